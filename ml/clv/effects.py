"""How each input moves a prediction, whatever the model.

Add here: shares and curves by moving one column. Not here: models.
"""

from collections.abc import Callable

import numpy as np

from ml.backtest import FeatureEffect
from ml.clv.features import CLV_FEATURES, Matrix
from ml.clv.likelihood import Floats

__all__ = ["measure_effects"]

# Enough rows for shares to the per cent, few enough for two hundred scorings.
_ROW_COUNT = 1_000
_POINT_COUNT = 8


def measure_effects(
    predict: Callable[[Matrix], Floats], matrix: Matrix, *, seed: int
) -> list[FeatureEffect]:
    """Permutation shares (Breiman 2001) and partial dependence (Friedman 2001), strongest first.

    The share of a feature is its part of the mean absolute change when its column is shuffled.
    """
    rng = np.random.default_rng(seed)
    if len(matrix) > _ROW_COUNT:
        matrix = matrix[np.sort(rng.choice(len(matrix), _ROW_COUNT, replace=False))]
    base = predict(matrix)
    changes, curves = [], []
    for column in range(matrix.shape[1]):
        moved = matrix.copy()
        moved[:, column] = rng.permutation(moved[:, column])
        changes.append(float(np.nanmean(np.abs(predict(moved) - base))) if len(matrix) else 0.0)
        curves.append(_draw_curve(predict, matrix, column))
    total = sum(changes) or 1.0
    effects = [
        FeatureEffect(feature=name, share_pct=100 * change / total, points=curve)
        for name, change, curve in zip(CLV_FEATURES, changes, curves, strict=True)
    ]
    return sorted(effects, key=lambda effect: (-effect.share_pct, effect.feature))


def _draw_curve(
    predict: Callable[[Matrix], Floats], matrix: Matrix, column: int
) -> tuple[tuple[float, float], ...]:
    known = matrix[~np.isnan(matrix[:, column]), column]
    if not len(known):
        return ()
    levels = np.linspace(0.05, 0.95, _POINT_COUNT)
    points = []
    for value in np.unique(np.quantile(known, levels, method="nearest")):
        moved = matrix.copy()
        moved[:, column] = value
        points.append((float(value), float(np.nanmean(predict(moved)))))
    return tuple(points)
