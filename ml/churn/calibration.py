"""Platt calibration: a probability that means what it says.

Add here: the logistic map from raw log-odds to calibrated probability. Not here: the raw models.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize
from scipy.special import expit

__all__ = ["PlattCalibration"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlattCalibration:
    """p' = 1 / (1 + exp(−(slope · margin + intercept))), where the margin is the raw log-odds.

    Source: Platt (1999), "Probabilistic Outputs for Support Vector Machines", with its softened
    targets. Two numbers stay stable where isotonic steps follow the noise of a small base.
    """

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, margin: Floats, outcome: Floats, *, min_slope: float, max_slope: float) -> Self:
        """Learn from raw log-odds of rows the model has not seen, by maximum likelihood."""
        positives, negatives = outcome.sum(), (1 - outcome).sum()
        target = np.where(outcome == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

        def loss(parameters: Floats) -> tuple[float, Floats]:
            score = parameters[0] * margin + parameters[1]
            error = expit(score) - target
            value = float(np.mean(np.logaddexp(0, score) - target * score))
            return value, np.array([np.mean(error * margin), np.mean(error)])

        result = minimize(
            loss,
            np.array([1.0, 0.0]),
            jac=True,
            method="L-BFGS-B",
            bounds=[(min_slope, max_slope), (-10, 10)],
        )
        return cls(slope=float(result.x[0]), intercept=float(result.x[1]))

    def recenter(self, margin: Floats, rate: float) -> Self:
        """Keep the slope and move the intercept so that the mean over ``margin`` becomes ``rate``.

        Raises:
            ValueError: ``rate`` is 0 or 1, which no finite intercept gives.
        """
        if not 0 < rate < 1:
            raise ValueError(f"a rate of {rate} has no logit")
        return replace(
            self,
            intercept=brentq(
                lambda shift: replace(self, intercept=shift).apply(margin).mean() - rate, -100, 100
            ),
        )

    def apply(self, margin: Floats) -> Floats:
        """Return calibrated probabilities; the order of customers stays."""
        return np.asarray(expit(self.slope * margin + self.intercept))
