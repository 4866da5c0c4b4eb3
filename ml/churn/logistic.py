"""The straight line in the blend: a standardised logistic regression as plain numbers.

Add here: fit and formula. Not here: which inputs it reads (``features``).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

__all__ = ["LogisticParameters"]

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class LogisticParameters:
    """Learned numbers in the order of ``names``; means and scales are of the training rows."""

    names: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    @classmethod
    def fit(
        cls, names: tuple[str, ...], inputs: Matrix, outcome: Floats, *, inverse_penalty: float
    ) -> Self:
        """Learn scalers and coefficients; a null counts as the mean of its column."""
        known = np.isfinite(inputs)
        count = np.maximum(known.sum(axis=0), 1)
        filled = np.where(known, inputs, 0).astype(np.float64)
        means = filled.sum(axis=0) / count
        squares = np.where(known, (filled - means) ** 2, 0).sum(axis=0)
        scales = np.sqrt(squares / count)
        scales = np.where(scales > 0, scales, 1.0)
        model = LogisticRegression(C=inverse_penalty, max_iter=1000, tol=1e-8)
        model.fit(np.where(known, (filled - means) / scales, 0.0), outcome)
        return cls(
            names=names,
            means=tuple(means.tolist()),
            scales=tuple(scales.tolist()),
            coefficients=tuple(model.coef_[0].tolist()),
            intercept=float(model.intercept_[0]),
        )

    def contribute(self, inputs: Matrix) -> Matrix:
        """Return what each input adds to the log-odds, by what was learned at fit."""
        slopes = np.array(self.coefficients) / np.array(self.scales)
        parts = inputs - np.array(self.means, dtype=np.float32)
        parts *= slopes.astype(np.float32)
        return np.nan_to_num(parts, copy=False, nan=0.0)
