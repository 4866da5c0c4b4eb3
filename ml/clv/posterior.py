"""How much a customer may spend, not only on average: the whole distribution under BG/NBD and
Gamma-Gamma.

Add here: that distribution and its quantiles. Not here: intervals from past errors (``interval``).

Given that the customer is alive, the rate λ ~ Gamma(r+x, α+T) and the chance to leave
p ~ Beta(a, b+x) are independent. At least n orders come in the horizon h when at least n would
come without leaving and the customer stays after the first n−1 of them:
P(N ≥ n) = B(a, b+x+n−1) / B(a, b+x) · P(NB(r+x, h/(α+T+h)) ≥ n).
n orders are worth (v+xm) · BetaPrime(pn, q+px) (Fader and Hardie 2013, eq. 3 and 4), so that
P(spend > s) = P(alive) · Σ P(N = n) · (1 − I_u(pn, q+px)), u = s/(s+v+xm).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betainc, betaln, gammaln

from ml.clv.buy_till_you_die import BuyTillYouDie, Outlook
from ml.clv.likelihood import Floats

__all__ = ["SpendDistribution"]

# Counts above this are grouped: a rate that is off by 4 % moves no quantile that anyone reads.
_EXACT_COUNTS = 25
_COUNT_STEP = 0.08
# Steps of ln(h / (α+T)) between the tables.
_SHARE_STEP = 0.08
_MOST_ORDERS = 2_000
_SUPPORT_SIZE = 16
_GRID = np.geomspace(1e-4, 60.0, 72)
# A value that never varies, as a Gamma-Gamma so narrow that nothing is seen of its width.
_NARROW = (1e3, 1e7)


@dataclass(frozen=True)
class SpendDistribution:
    """Quantiles of the spend within ``horizon_days``, by tables over kinds of customers.

    Customers of about equal x and h/(α+T) share a table of P(spend > s); a customer's own scale
    and P(alive) are exact.
    """

    pair: BuyTillYouDie
    horizon_days: float

    def quantiles(
        self, summary: pd.DataFrame, outlook: Outlook, levels: list[Floats]
    ) -> list[Floats]:
        """The quantile of each customer at that customer's level, for each of ``levels``."""
        frequency = summary["frequency"].to_numpy(dtype=np.float64)
        tenure = summary["T"].to_numpy(dtype=np.float64)
        rates = self.pair.orders.parameters
        horizon = self.horizon_days / self.pair.config.days_per_time_unit
        counts = _group_counts(frequency)
        shares = np.rint(np.log(horizon / (rates.alpha + tenure)) / _SHARE_STEP)
        lowest = shares.min(initial=0.0)
        width = int(shares.max(initial=0.0) - lowest) + 1
        packed = (counts * width + (shares - lowest)).astype(np.int64)
        kind_of, kinds = pd.factorize(packed, sort=True)
        order = np.argsort(kind_of, kind="stable")
        ends = np.searchsorted(kind_of[order], np.arange(len(kinds) + 1))
        tails = [(1 - level) / np.maximum(outlook.alive, 1e-300) for level in levels]
        # Each customer's own mean, if alive, over the mean of the table.
        own_mean = outlook.spend / np.maximum(outlook.alive, 1e-300)
        found = [np.zeros(len(frequency)) for _ in levels]
        for number, kind in enumerate(kinds):
            count, share = float(kind // width), float(kind % width) + lowest
            rows = order[ends[number] : ends[number + 1]]
            values, survival, mean = self._tabulate(count, float(np.exp(share * _SHARE_STEP)))
            scale = own_mean[rows] / mean
            for tail, quantile in zip(tails, found, strict=True):
                # Survival falls with the value: both turned round for the interpolation.
                read = np.interp(tail[rows], survival[::-1], np.log(values[::-1]))
                quantile[rows] = np.where(tail[rows] >= survival[0], 0.0, np.exp(read) * scale)
        return found

    def _tabulate(self, count: float, share: float) -> tuple[Floats, Floats, float]:
        """Values, P(spend > value | alive) and the mean, in units of v + xm."""
        rates = self.pair.orders.parameters
        orders, chances = _spread_orders(rates.r, rates.a, rates.b, count, share)
        p, q = _NARROW
        if self.pair.only_value is None:
            p, q = self.pair.values.parameters.p, self.pair.values.parameters.q
        q_own = q + p * count if self.pair.only_value is None else q
        mean = max(float(chances @ orders) * p / (q_own - 1), 1e-300)
        values = _GRID * mean
        cumulative = betainc(p * orders[None, :], q_own, (values / (1 + values))[:, None])
        return values, (1 - cumulative) @ chances, mean


def _group_counts(frequency: Floats) -> Floats:
    """The count itself up to ``_EXACT_COUNTS``, above it the middle of a geometric step."""
    steps = np.rint(np.log(np.maximum(frequency, 1) / _EXACT_COUNTS) / _COUNT_STEP)
    return np.where(
        frequency <= _EXACT_COUNTS, frequency, np.rint(_EXACT_COUNTS * np.exp(steps * _COUNT_STEP))
    )


def _spread_orders(
    r: float, a: float, b: float, count: float, share: float
) -> tuple[Floats, Floats]:
    """Numbers of orders within the horizon and their chances for a customer who is alive.

    ``share`` is h/(α+T). Many numbers are merged into ``_SUPPORT_SIZE`` groups with their means.
    """
    shape = r + count
    top = int(min(_MOST_ORDERS, 20 + 4 * shape * share + 12 * np.sqrt(shape * share * (1 + share))))
    n = np.arange(top + 1, dtype=np.float64)
    log_share = np.log(share) - np.log1p(share)
    log_chance = (
        gammaln(shape + n) - gammaln(shape) - gammaln(n + 1)
        - shape * np.log1p(share) + n * log_share
    )  # fmt: skip
    # P(at least n orders would come), summed from the far end so that small tails stay exact.
    would_come = np.cumsum(np.exp(log_chance)[::-1])[::-1]
    stays = np.exp(betaln(a, b + count + np.maximum(n - 1, 0)) - betaln(a, b + count))
    at_least = np.append(np.minimum(would_come, 1.0) * stays, 0.0)
    numbers, chances = n[1:], np.maximum(at_least[1:-1] - at_least[2:], 0.0)
    return _merge(numbers, chances)


def _merge(numbers: Floats, chances: Floats) -> tuple[Floats, Floats]:
    """Groups of about equal chance, each at its mean number."""
    total = chances.sum()
    if not total > 0:
        return np.array([1.0]), np.array([0.0])
    group = np.minimum(
        (np.cumsum(chances) - chances / 2) / total * _SUPPORT_SIZE, _SUPPORT_SIZE - 1
    ).astype(int)
    group[:8] = np.arange(min(8, len(group)))  # the first numbers stay apart
    group[8:] += 8
    weight = np.bincount(group, weights=chances)
    mean = np.bincount(group, weights=chances * numbers)
    kept = weight > 0
    return np.asarray(mean[kept] / weight[kept]), np.asarray(weight[kept], dtype=np.float64)
