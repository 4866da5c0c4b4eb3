"""One question to many customers: are days of A followed by B more often than their other days?

Add here: statistics of stratified two-by-two tables. Not here: which rule is kept.

Within a customer the days are fixed, and so is which of them B followed. If A has nothing to do
with B, every choice of which days were A's is as likely as any other: the number of A's days that B
followed is hypergeometric, and the customers are independent. So neither how much somebody buys
nor how fond they are of B can make a rule, and several days of one customer are no extra evidence.

    Mantel, Haenszel (1959), J. Natl. Cancer Inst. 22:719; exact conditional test: Birch (1964),
    J. R. Stat. Soc. B 26:313. The ratio is that of Mantel and Haenszel for risks, as in Greenland,
    Robins (1985), Biometrics 41:55; its variance is taken between customers (sandwich).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import norm

__all__ = ["Cells", "Evidence", "weigh"]

_SMALLEST_P = 1e-12  # the transform is exact to about this

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cells:
    """Equal customers, counted: arrays of shape [cells × strata], ``customers`` of [cells].

    A customer's days may lie in several strata (here: with and without a recent B); days are
    compared within a stratum only.
    """

    days: Ints
    followed: Ints
    first_days: Ints
    first_followed: Ints
    customers: Ints


@dataclass(frozen=True)
class Evidence:
    """What the customers of a rule say together."""

    expected_followed: float  # of the days of A, under chance
    z_score: float  # deviation from it in standard deviations
    p_value: float  # one-sided: A is followed by B more often
    lift: float  # NaN: no other day was followed by B, or none can be compared
    lift_low: float
    lift_high: float


def weigh(cells: Cells, *, exact_until_variance: float, interval_z: float) -> Evidence:
    """The evidence of one rule."""
    days = np.maximum(cells.days, 1)
    others = cells.days - cells.first_days
    expected = cells.first_days * cells.followed / days
    unfollowed = cells.days - cells.followed
    spread = expected * others * unfollowed / days / np.maximum(cells.days - 1, 1)
    customers = cells.customers[:, None]
    total, variance = float((customers * expected).sum()), float((customers * spread).sum())
    seen = float((customers * cells.first_followed).sum())
    z_score = (seen - total) / np.sqrt(variance) if variance > 0 else 0.0
    if variance <= 0:
        p_value = 1.0
    elif variance <= exact_until_variance:
        p_value = _exact_tail(cells, spread > 0, variance)
    else:
        # Half a count less: counts are whole, the normal distribution is not.
        p_value = float(norm.sf((seen - total - 0.5) / np.sqrt(variance)))
    by_first = (cells.first_followed * others / days).sum(axis=1)
    by_others = ((cells.followed - cells.first_followed) * cells.first_days / days).sum(axis=1)
    lift, low, high = _ratio(by_first, by_others, cells.customers, interval_z)
    return Evidence(total, z_score, max(p_value, _SMALLEST_P), lift, low, high)


def _ratio(
    top: Floats, bottom: Floats, customers: Ints, interval_z: float
) -> tuple[float, float, float]:
    above, below = float(top @ customers), float(bottom @ customers)
    if below <= 0:
        return float("nan"), float("nan"), float("nan")
    lift = above / below
    if above <= 0:
        return 0.0, 0.0, float("nan")
    residual = top - lift * bottom
    error = float(np.sqrt((residual * residual) @ customers)) / above
    return lift, lift * np.exp(-interval_z * error), lift * np.exp(interval_z * error)


def _exact_tail(cells: Cells, is_open: NDArray[np.bool_], variance: float) -> float:
    """P(at least as many as were seen): a sum of hypergeometrics, by characteristic functions."""
    counts = np.broadcast_to(cells.customers[:, None], cells.days.shape)[is_open]
    shapes = np.stack(
        [cells.days[is_open], cells.followed[is_open], cells.first_days[is_open]], axis=1
    )
    kinds, place = np.unique(shapes, axis=0, return_inverse=True)
    weights = np.bincount(place.ravel(), weights=counts, minlength=len(kinds))
    days, followed, first = kinds.T
    lowest = np.maximum(0, followed + first - days)
    chances = _hypergeometric(days, followed, first, lowest)
    # The transform lives on a circle wider than 16 standard deviations either side of the mean.
    size = 2 ** int(np.ceil(np.log2(32 * np.sqrt(variance) + chances.shape[1] + 32)))
    waves = np.fft.rfft(chances, n=size, axis=1)
    with np.errstate(divide="ignore"):
        loudness = np.exp(weights @ np.maximum(np.log(np.abs(waves)), -1e300))
    density = np.fft.irfft(loudness * np.exp(1j * (weights @ np.angle(waves))), n=size)
    seen = int(counts @ cells.first_followed[is_open]) - int(weights @ lowest)
    centre = round(float(weights @ (first * followed / days - lowest)))
    last = centre + size // 2  # opposite to the mean, where the circle is cut open
    return float(density[np.arange(min(seen, last), last) % size].sum().clip(0.0, 1.0))


def _hypergeometric(days: Ints, followed: Ints, first: Ints, lowest: Ints) -> Floats:
    """Chances of ``lowest``, ``lowest + 1`` … of the first days among the followed ones."""
    width = int((np.minimum(followed, first) - lowest).max()) + 1
    hits = lowest[:, None] + np.arange(width)
    days, followed, first = days[:, None], followed[:, None], first[:, None]
    is_possible = hits <= np.minimum(followed, first)
    hits = np.where(is_possible, hits, lowest[:, None])
    logs = (
        _log_choose(followed, hits)
        + _log_choose(days - followed, first - hits)
        - _log_choose(days, first)
    )
    return np.where(is_possible, np.exp(logs), 0.0)


def _log_choose(of: Ints, chosen: Ints) -> Floats:
    choices: Floats = gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1)
    return choices
