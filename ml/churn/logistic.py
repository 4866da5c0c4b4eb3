"""The straight line in the blend: a standardised logistic regression as plain numbers.

Add here: fit and formula. Not here: which inputs it reads (``features``).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

__all__ = ["LogisticParameters"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LogisticParameters:
    """Learned numbers in the order of ``names``; means and scales are of the training rows."""

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @classmethod
    def fit(cls, inputs: pd.DataFrame, outcome: Floats, *, inverse_penalty: float) -> Self:
        """Learn scalers and coefficients; a null counts as the mean of its column."""
        means = inputs.mean().fillna(0.0).to_numpy(dtype=np.float64)
        scales = inputs.std(ddof=0).fillna(0.0).to_numpy(dtype=np.float64)
        scales = np.where(scales > 0, scales, 1.0)
        model = LogisticRegression(C=inverse_penalty, max_iter=1000, tol=1e-8)
        model.fit(_standardize(inputs, means, scales), outcome)
        return cls(
            names=tuple(inputs.columns),
            means=tuple(means.tolist()),
            scales=tuple(scales.tolist()),
            coefficients=tuple(model.coef_[0].tolist()),
            intercept=float(model.intercept_[0]),
        )

    def predict(self, inputs: pd.DataFrame) -> Floats:
        """Return probabilities, scaled by what was learned at fit."""
        standardized = _standardize(
            inputs[list(self.names)], np.array(self.means), np.array(self.scales)
        )
        return np.asarray(expit(standardized @ np.array(self.coefficients) + self.intercept))


def _standardize(inputs: pd.DataFrame, means: Floats, scales: Floats) -> Floats:
    return np.nan_to_num((inputs.to_numpy(dtype=np.float64) - means) / scales, nan=0.0)
