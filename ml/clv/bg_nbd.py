"""BG/NBD: how often a customer buys, and whether the customer is still one.

Add here: its likelihood and what follows from it. Not here: order values (``gamma_gamma``).

Source: Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way: An Alternative to the
Pareto/NBD Model", Marketing Science 24(2), 275-284. While alive a customer buys at rate
λ ~ Gamma(r, α) and leaves after any purchase with probability p ~ Beta(a, b).
In the formulas x = frequency, t = recency, T = T, all times in one unit.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.integrate import quad
from scipy.special import betaincinv, betaln, expit, gammaln, hyp2f1, psi

from ml.clv.config import FitConfig
from ml.clv.likelihood import Floats, group_into_cells, maximize
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
    r, alpha, a, b = np.exp(log_parameters)
    x, is_repeat = frequency, frequency > 0
    trials = np.where(is_repeat, b + x - 1, 1.0)
    log_alive = -(r + x) * np.log(alpha + tenure)
    log_left = np.where(
        is_repeat, np.log(a) - np.log(trials) - (r + x) * np.log(alpha + recency), -np.inf
    )
    log_sum = np.logaddexp(log_alive, log_left)
    value = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    left = np.exp(log_left - log_sum)
    alive = 1 - left
    by_r = (
        psi(r + x) - psi(r) + np.log(alpha)
        - alive * np.log(alpha + tenure) - left * np.log(alpha + recency)
    )  # fmt: skip
    by_alpha = r / alpha - (r + x) * (alive / (alpha + tenure) + left / (alpha + recency))
    by_a = psi(a + b) - psi(a + b + x) + left / a
    by_b = psi(a + b) + psi(b + x) - psi(b) - psi(a + b + x) - left / trials
    shares = weights / weights.sum()
    gradient = np.array(
        [shares @ by_r * r, shares @ by_alpha * alpha, shares @ by_a * a, shares @ by_b * b]
    )
    return float(shares @ (value + log_sum)), gradient


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
        (frequency, recency, tenure), weights = group_into_cells(columns)
        # Times near 1 keep the start values and limits meaningful in any unit.
        scale = float(np.average(tenure, weights=weights))
        optimum = maximize(
            lambda p: bg_nbd_log_likelihood(p, frequency, recency / scale, tenure / scale, weights),
            names=("r", "alpha", "a", "b"),
            starts=((0.5, 0.5, 0.5, 2.0), (1.0, 1.0, 1.0, 1.0), (0.1, 0.1, 0.05, 5.0)),
            config=self.config,
        )
        r, alpha, a, b = optimum.parameters * np.array([1.0, scale, 1.0, 1.0])
        mean, _ = bg_nbd_log_likelihood(
            np.log([r, alpha, a, b]), frequency, recency, tenure, weights
        )
        self._parameters = BgNbdParameters(
            r=float(r), alpha=float(alpha), a=float(a), b=float(b),
            log_likelihood=mean * float(weights.sum()),
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
