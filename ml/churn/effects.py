"""Which inputs move the scores, and which way.

Add here: how effects are drawn. Not here: reasons of one customer (``reasons``).
"""

import numpy as np
from numpy.typing import NDArray

from ml.backtest import FeatureEffect
from ml.churn.blend import Blend
from ml.churn.calibration import PlattCalibration
from ml.churn.features import TREE_FEATURES, Matrix

__all__ = ["draw_effects"]


def draw_effects(
    blend: Blend, calibration: PlattCalibration, inputs: Matrix, *, point_count: int
) -> list[FeatureEffect]:
    """Return the partial dependence and the share of contributions of every input that moves.

    The partial dependence is the mean probability when everybody has that value and keeps the rest
    (Friedman 2001, "Greedy Function Approximation", section 8.2).
    """
    sizes = _measure_sizes(blend, inputs)
    effects = [
        FeatureEffect(
            feature=name,
            share_pct=float(100 * size / sizes.sum()),
            points=_draw_points(blend, calibration, inputs, place, point_count),
        )
        for place, (name, size) in enumerate(zip(TREE_FEATURES, sizes, strict=True))
        if size > 0
    ]
    return sorted(effects, key=lambda effect: (-effect.share_pct, effect.feature))


def _measure_sizes(blend: Blend, inputs: Matrix) -> NDArray[np.float64]:
    """Mean absolute contribution per input; trees and line may pull in opposite directions."""
    together = np.zeros(inputs.shape)
    by_trees, by_line = blend.contribute(inputs)
    for names, parts in ((blend.tree_features, by_trees), (blend.logistic.names, by_line)):
        for place, name in enumerate(names):
            together[:, TREE_FEATURES.index(name.removeprefix("log_"))] += parts[:, place]
    sizes: NDArray[np.float64] = np.abs(together).mean(axis=0)
    return sizes


def _draw_points(
    blend: Blend, calibration: PlattCalibration, inputs: Matrix, place: int, point_count: int
) -> tuple[tuple[float, float], ...]:
    known = inputs[np.isfinite(inputs[:, place]), place]
    if not len(known):
        return ()
    shares = np.linspace(0.05, 0.95, point_count)
    values = np.unique(np.quantile(known, shares, method="inverted_cdf"))
    changed = inputs.copy()
    points = []
    for value in values:
        changed[:, place] = value
        mean = calibration.apply(blend.predict(changed)).mean()
        points.append((float(value), float(mean)))
    return tuple(points)
