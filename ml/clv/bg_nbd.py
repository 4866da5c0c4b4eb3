"""BG/NBD: how often a customer buys, and whether the customer is still one.

Add here: its likelihood and what follows from it. Not here: order values (``gamma_gamma``).

Source: Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24(2), 275-284. While alive a customer buys at rate
λ ~ Gamma(r, α) and leaves after any purchase with probability p ~ Beta(a, b).
In the formulas x = frequency, t = recency, T = T, all times in one unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.special import betaincinv, betaln, expit, gammaln, hyp2f1, psi

from ml.clv.config import FitConfig
from ml.clv.likelihood import (
    Floats,
    Levels,
    group_into_level_cells,
    group_into_levels,
    maximize,
)
from ml.clv.summary import check_summary
from ml.errors import NotEnoughDataError, NotFittedError

__all__ = ["BgNbdModel", "BgNbdParameters", "bg_nbd_log_likelihood"]

# Half the distance kept from a = 1 and a + b = 1, where the closed form is 0/0.
_SINGULARITY_STEP = 1e-5


@dataclass(frozen=True)
class BgNbdParameters:
    """Learned numbers: ``alpha`` in time units, the others without unit."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    customer_count: int
    at_limit: tuple[str, ...] = ()


def bg_nbd_log_likelihood(
    log_parameters: Floats, frequency: Floats, recency: Floats, tenure: Floats, weights: Floats
) -> tuple[float, Floats]:
    """Weighted mean log-likelihood per customer and its gradient by (ln r, ln α, ln a, ln b).

    Fader, Hardie and Lee (2005), eq. 6, with B(a+1, b+x−1) / B(a, b+x) = a / (b+x−1):
    L = Γ(r+x) α^r / Γ(r) · B(a, b+x) / B(a, b)
    · [(α+T)^−(r+x) + 1{x>0} · a/(b+x−1) · (α+t)^−(r+x)].
    """
    cells = _Cells(group_into_levels([frequency, recency, tenure]), np.asarray(weights))
    return cells.log_likelihood(log_parameters)


class _Cells:
    """Customers with equal (x, t, T), and what a climb computes once per distinct number.

    Logarithms and gamma functions are taken of the few hundred distinct counts and times and then
    handed out to the cells: that is most of the speed.
    """

    def __init__(self, levels: Sequence[Levels], weights: Floats) -> None:
        self.x, self.recency, self.tenure = levels
        self.weights = weights
        self._shares = weights / weights.sum()
        self._x_shares = np.bincount(
            self.x.codes, weights=self._shares, minlength=len(self.x.values)
        )

    def __len__(self) -> int:
        return len(self.weights)

    def log_likelihood(self, log_parameters: Floats) -> tuple[float, Floats]:
        """See ``bg_nbd_log_likelihood``."""
        r, alpha, a, b = np.exp(log_parameters)
        x, shares, x_shares = self.x.values, self._shares, self._x_shares
        is_repeat = x > 0
        trials = np.where(is_repeat, b + x - 1, 1.0)
        with np.errstate(divide="ignore"):
            log_leaving = np.where(is_repeat, np.log(a) - np.log(trials), -np.inf)
        log_tenure, log_recency = (
            np.log(alpha + times.values)[times.codes] for times in (self.tenure, self.recency)
        )
        orders = (r + x)[self.x.codes]
        longer = log_tenure - log_recency
        # ln of the odds that the customer left: the second term in brackets over the first.
        log_odds = log_leaving[self.x.codes] + orders * longer
        # One exponential serves ln(1 + odds) and odds / (1 + odds), without overflow.
        small = np.exp(-np.abs(log_odds))
        log_sum = np.maximum(log_odds, 0.0) + np.log1p(small) - orders * log_tenure
        left = np.where(log_odds >= 0, 1.0, small) / (1.0 + small)
        value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
        left_by_x = np.bincount(self.x.codes, weights=shares * left, minlength=len(x))
        by_r = x_shares @ (psi(r + x) - psi(r) + np.log(alpha))
        by_r -= shares @ (log_tenure - left * longer)
        per_tenure, per_recency = (
            (1 / (alpha + times.values))[times.codes] for times in (self.tenure, self.recency)
        )
        weighted = shares * orders
        by_alpha = r / alpha - weighted @ (per_tenure + left * (per_recency - per_tenure))
        by_a = x_shares @ (psi(a + b) - psi(a + b + x)) + left_by_x.sum() / a
        by_b = x_shares @ (psi(a + b) + psi(b + x) - psi(b) - psi(a + b + x)) - left_by_x @ (
            1 / trials
        )
        gradient = np.array([by_r * r, by_alpha * alpha, by_a * a, by_b * b])
        return float(x_shares @ value + shares @ log_sum), gradient

    def scale_times(self, factor: float) -> "_Cells":
        """The same customers with times in another unit."""
        times = [Levels(part.values * factor, part.codes) for part in (self.recency, self.tenure)]
        return _Cells([self.x, *times], self.weights)

    def sample(self, count: int) -> "_Cells":
        """About ``count`` customers at equal distances in the sorted base, the same every time."""
        ends = np.cumsum(self.weights)
        picked = np.searchsorted(ends, (np.arange(count) + 0.5) * ends[-1] / count)
        rows, counts = np.unique(picked, return_counts=True)
        levels = [
            Levels(part.values, part.codes[rows]) for part in (self.x, self.recency, self.tenure)
        ]
        return _Cells(levels, counts.astype(np.float64))


class BgNbdModel:
    """Number of repeat purchases by maximum likelihood.

    Args:
        config: Limits of the likelihood search.
        parameters: Known parameters, when nothing is to be fitted.
    """

    required_columns = ("frequency", "recency", "T")

    def __init__(
        self, config: FitConfig | None = None, *, parameters: BgNbdParameters | None = None
    ) -> None:
        self.config = config or FitConfig()
        self._parameters = parameters

    @property
    def parameters(self) -> BgNbdParameters:
        """Learned parameters; raises ``NotFittedError`` before ``fit``."""
        if self._parameters is None:
            raise NotFittedError("BgNbdModel")
        return self._parameters

    def fit(self, summary: pd.DataFrame) -> Self:
        """Learn r, alpha, a and b from frequency, recency and T, one row per customer.

        Raises:
            MissingColumnsError: A column is absent.
            InvalidDataError: Values no customer can have.
            NotEnoughDataError: Nobody bought twice, or no time has passed.
            ConvergenceError: The likelihood has no maximum that could be reached.
        """
        check_summary(summary)
        columns = [summary[name].to_numpy(dtype=np.float64) for name in self.required_columns]
        if not (columns[0] > 0).any() or not (columns[2] > 0).any():
            raise NotEnoughDataError(
                f"BG/NBD: none of {len(summary)} customers bought on two different days",
                remedy="wait for repeat purchases, or use the median of the segment instead",
            )
        cells = _Cells(*group_into_level_cells(columns))
        # Times near 1 keep the start values and limits meaningful in any unit.
        scale = float(cells.weights @ cells.tenure.values[cells.tenure.codes] / len(summary))
        scaled = cells.scale_times(1 / scale)
        sample = None
        if len(cells) > 2 * self.config.sample_size:
            sample = scaled.sample(self.config.sample_size).log_likelihood
        optimum = maximize(
            scaled.log_likelihood,
            names=("r", "alpha", "a", "b"),
            starts=((0.5, 0.5, 0.5, 2.0), (1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.05, 5.0)),
            config=self.config,
            sample=sample,
        )
        r, alpha, a, b = optimum.parameters * np.array([1.0, scale, 1.0, 1.0])
        # In the time unit of the input: a density per scaled unit differs by ln(scale) per order.
        mean = optimum.value - np.log(scale) * float(
            cells.weights @ cells.x.values[cells.x.codes] / len(summary)
        )
        self._parameters = BgNbdParameters(
            r=float(r), alpha=float(alpha), a=float(a), b=float(b),
            log_likelihood=float(mean * len(summary)),
            customer_count=len(summary), at_limit=optimum.at_limit,
        )  # fmt: skip
        return self

    def probability_alive(self, summary: pd.DataFrame) -> Floats:
        """P(alive at T | x, t, T) = 1 / (1 + 1{x>0} · a/(b+x−1) · ((α+T)/(α+t))^(r+x)).

        Source: Fader, Hardie and Lee (2008), "Computing P(alive) Using the BG/NBD Model".
        Computed as the logistic of a logarithm: the power itself overflows for busy customers.
        """
        p = self.parameters
        x, recency, tenure = self._columns(summary)
        trials = np.where(x > 0, p.b + x - 1, 1.0)
        log_odds_left = (
            np.log(p.a) - np.log(trials)
            + (p.r + x) * (np.log(p.alpha + tenure) - np.log(p.alpha + recency))
        )  # fmt: skip
        return np.where(x > 0, expit(-log_odds_left), 1.0)

    def expected_orders(self, summary: pd.DataFrame, horizon: float) -> Floats:
        """Expected purchases in (T, T + horizon], in the unit of T.

        Fader, Hardie and Lee (2005), eq. 10. Its ₂F₁(r+x, b+x; a+b+x−1; z), z = h/(α+T+h),
        overflows for busy customers, so Euler's transformation (Abramowitz and Stegun 15.3.3) is
        applied: E = P(alive) · (a+b+x−1)/(a−1) · [1 − (1−z)^(a−1) · ₂F₁(a−1, a+b−1−r; a+b+x−1; z)].
        """
        p = self.parameters
        x, _, tenure = self._columns(summary)
        if_alive = np.asarray(_expected_if_alive(p, x, tenure, horizon))
        # Alive with rate λ for the whole horizon is the most there can be.
        ceiling = horizon * (p.r + x) / (p.alpha + tenure)
        is_off = ~(np.isfinite(if_alive) & (if_alive >= 0) & (if_alive <= ceiling * (1 + 1e-6)))
        for row in np.flatnonzero(is_off):
            if_alive[row] = _expected_by_quadrature(p, x[row], tenure[row], horizon)
        return self.probability_alive(summary) * np.minimum(if_alive, ceiling)

    def no_order_probability(self, summary: pd.DataFrame, horizon: float) -> Floats:
        """P(no purchase in (T, T + horizon]) = 1 − P(alive)·(1 − ((α+T)/(α+T+h))^(r+x)).

        Given alive, λ ~ Gamma(r+x, α+T), and the chance of silence is E[exp(−λh)].
        """
        p = self.parameters
        x, _, tenure = self._columns(summary)
        log_silence = (p.r + x) * (np.log(p.alpha + tenure) - np.log(p.alpha + tenure + horizon))
        return 1 + self.probability_alive(summary) * np.expm1(log_silence)

    def _columns(self, summary: pd.DataFrame) -> list[Floats]:
        check_summary(summary)
        return [summary[name].to_numpy(dtype=np.float64) for name in self.required_columns]


def _expected_if_alive(p: BgNbdParameters, x: Floats, tenure: Floats, horizon: float) -> Floats:
    step = _SINGULARITY_STEP
    if min(abs(p.a - 1), abs(p.a + p.b - 1)) >= step:
        return _closed_form(p.r, p.alpha, p.a, p.b, x, tenure, horizon)
    # The function is smooth through the pole: the mean of both sides is exact to step².
    sides = [
        _closed_form(p.r, p.alpha, p.a + shift, p.b, x, tenure, horizon)
        for shift in (-2 * step, 2 * step)
    ]
    return (sides[0] + sides[1]) / 2


def _closed_form(
    r: float, alpha: float, a: float, b: float, x: Floats, tenure: Floats, horizon: float
) -> Floats:
    z = horizon / (alpha + tenure + horizon)
    with np.errstate(all="ignore"):
        series = hyp2f1(a - 1, a + b - 1 - r, a + b + x - 1, z)
        bracket = 1 - np.exp((a - 1) * np.log1p(-z)) * series
        return np.asarray((a + b + x - 1) / (a - 1) * bracket)


def _expected_by_quadrature(p: BgNbdParameters, x: float, tenure: float, horizon: float) -> float:
    """E = mean over q ~ Beta(a, b+x) of (1 − ((α+T)/(α+T+qh))^(r+x)) / q, by quantiles of q."""
    ceiling = horizon * (p.r + x) / (p.alpha + tenure)

    def expected_at(quantile: float) -> float:
        q = float(betaincinv(p.a, p.b + x, quantile))
        if q < 1e-12:
            return ceiling
        return float(-np.expm1(-(p.r + x) * np.log1p(q * horizon / (p.alpha + tenure))) / q)

    return float(quad(expected_at, 0, 1, limit=200)[0])
