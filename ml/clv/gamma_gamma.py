"""Gamma-Gamma: what a customer's next order is worth.

Add here: its likelihood and expected order value. Not here: how often (``bg_nbd``).

Source: Fader and Hardie (2013), "The Gamma-Gamma Model of Monetary Value", note 025. An order of a
customer is worth Gamma(p, ν), and ν ~ Gamma(q, v) over customers, independent of how often they
buy. In the formulas x = frequency and m = monetary_value, the mean over those x purchase days.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from scipy.special import gammaln, psi

from ml.clv.config import FitConfig
from ml.clv.likelihood import Floats, group_into_cells, maximize
from ml.errors import NotEnoughDataError, NotFittedError
from ml.frames import to_float_frame

__all__ = ["GammaGammaModel", "GammaGammaParameters", "gamma_gamma_log_likelihood"]


@dataclass(frozen=True)
class GammaGammaParameters:
    """Learned numbers: ``v`` in money, ``p`` and ``q`` without unit.

    ``frequency_value_correlation`` should be near 0: the model takes both as independent.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    customer_count: int
    frequency_value_correlation: float
    at_limit: tuple[str, ...] = ()


def gamma_gamma_log_likelihood(
    log_parameters: Floats, frequency: Floats, value: Floats, weights: Floats
) -> tuple[float, Floats]:
    """Weighted mean log-likelihood per customer and its gradient by (ln p, ln q, ln v).

    Fader and Hardie (2013), eq. 1a: f(m | p, q, v; x) =
    Γ(px+q) / (Γ(px) Γ(q)) · v^q · m^(px−1) · x^(px) / (v + xm)^(px+q).
    """
    p, q, v = np.exp(log_parameters)
    shape = p * frequency
    log_total = np.log(v + frequency * value)
    terms = (
        gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
        + (shape - 1) * np.log(value) + shape * np.log(frequency) - (shape + q) * log_total
    )  # fmt: skip
    by_p = frequency * (psi(shape + q) - psi(shape) + np.log(value) + np.log(frequency) - log_total)
    by_q = psi(shape + q) - psi(q) + np.log(v) - log_total
    by_v = q / v - (shape + q) * np.exp(-log_total)
    shares = weights / weights.sum()
    return float(shares @ terms), np.array(
        [shares @ by_p * p, shares @ by_q * q, shares @ by_v * v]
    )


class GammaGammaModel:
    """Expected value of an order by maximum likelihood.

    Args:
        config: Limits of the likelihood search.
        min_q: Lowest q allowed; the population mean p·v/(q−1) exists only above 1.
        parameters: Known parameters, when nothing is to be fitted.
    """

    required_columns = ("frequency", "monetary_value")

    def __init__(
        self,
        config: FitConfig | None = None,
        *,
        min_q: float = 1.05,
        parameters: GammaGammaParameters | None = None,
    ) -> None:
        self.config = config or FitConfig()
        self.min_q = min_q
        self._parameters = parameters

    @property
    def parameters(self) -> GammaGammaParameters:
        """Learned parameters; raises ``NotFittedError`` before ``fit``."""
        if self._parameters is None:
            raise NotFittedError("GammaGammaModel")
        return self._parameters

    def fit(self, summary: pd.DataFrame) -> Self:
        """Learn p, q and v from customers with a repeat purchase and a value above 0.

        Others carry no information on the spread of values, and a zero amount would silently end
        the search at a wrong place, so they are left out here.

        Raises:
            MissingColumnsError: A column is absent.
            NotEnoughDataError: Fewer than two distinct usable values.
            ConvergenceError: The likelihood has no maximum that could be reached.
        """
        frequency, value = self._columns(summary)
        is_usable = (frequency > 0) & (value > 0)
        if len(np.unique(value[is_usable])) < 2:
            raise NotEnoughDataError(
                f"Gamma-Gamma: {int(is_usable.sum())} customers have a repeat purchase with a "
                "value above 0, and fewer than two values differ",
                remedy="wait for repeat purchases, or use the mean order value instead",
            )
        (x, m), weights = group_into_cells([frequency[is_usable], value[is_usable]])
        # Values near 1 keep the start values and limits meaningful in any currency.
        scale = float(np.average(m, weights=weights))
        optimum = maximize(
            lambda log_p: gamma_gamma_log_likelihood(log_p, x, m / scale, weights),
            names=("p", "q", "v"),
            starts=((2.0, 3.0, 1.0), (6.0, 4.0, 0.5), (1.0, 1.5, 1.0)),
            config=self.config,
            lower_limits={"q": self.min_q},
        )
        p, q, v = optimum.parameters * np.array([1.0, 1.0, scale])
        mean, _ = gamma_gamma_log_likelihood(np.log([p, q, v]), x, m, weights)
        self._parameters = GammaGammaParameters(
            p=float(p), q=float(q), v=float(v),
            log_likelihood=mean * float(weights.sum()),
            customer_count=int(weights.sum()),
            frequency_value_correlation=_correlate(x, m, weights),
            at_limit=optimum.at_limit,
        )  # fmt: skip
        return self

    def expected_order_value(self, summary: pd.DataFrame) -> Floats:
        """E[order value | x, m] = p(v + xm) / (px + q − 1), in the money of ``monetary_value``.

        Fader and Hardie (2013), eq. 5: the customer's own mean, shrunk to the population's mean
        p·v/(q−1), which is also the answer without a repeat purchase. A value below 0 (all
        returned) counts as 0.
        """
        params = self.parameters
        frequency, value = self._columns(summary)
        x = np.where(np.isnan(frequency) | np.isnan(value), 0.0, frequency)
        total = x * np.where(np.isnan(value), 0.0, np.maximum(value, 0.0))
        return params.p * (params.v + total) / (params.p * x + params.q - 1)

    def _columns(self, summary: pd.DataFrame) -> tuple[Floats, Floats]:
        numbers = to_float_frame(summary, self.required_columns, frame_name="customer summary")
        return numbers["frequency"].to_numpy(), numbers["monetary_value"].to_numpy()


def _correlate(x: Floats, y: Floats, weights: Floats) -> float:
    covariance = np.atleast_2d(np.cov(x, y, aweights=weights, ddof=0))
    spread = float(np.sqrt(covariance[0, 0] * covariance[1, 1]))
    return float(covariance[0, 1]) / spread if spread > 0 else 0.0
