"""The raw score: gradient-boosted trees and a logistic regression, averaged in log-odds.

Add here: how both learn and predict. Not here: calibration, splitting by time.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from ml.churn.config import ChurnModelConfig
from ml.churn.features import (
    LOGISTIC_FEATURES,
    TREE_FEATURES,
    Matrix,
    build_logistic_inputs,
)
from ml.churn.logistic import LogisticParameters
from ml.churn.panel import TrainingPanel
from ml.trees import grow_trees, list_tree_parameters

__all__ = ["Blend"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blend:
    """Two models that err differently; the weighted mean of their log-odds is calibrated.

    Log-odds, so that what the inputs add is exactly what the score is made of. ``tree_features``
    are the inputs the trees read: columns that say nothing in this shop are left out.
    """

    trees: xgb.Booster
    tree_features: tuple[str, ...]
    logistic: LogisticParameters
    logistic_weight: float

    @classmethod
    def fit(
        cls,
        rows: TrainingPanel,
        config: ChurnModelConfig,
        *,
        rounds: int,
        held_out: TrainingPanel | None = None,
    ) -> Self:
        """Learn both; with ``held_out``, the trees stop where they no longer help there."""
        few = rows.sample(config)  # nine slopes need no more
        logistic = LogisticParameters.fit(
            LOGISTIC_FEATURES,
            build_logistic_inputs(few.inputs),
            few.churned,
            inverse_penalty=config.logistic_inverse_penalty,
        )
        trees = _grow(rows, config, rounds, held_out)
        return cls(trees, rows.tree_features, logistic, config.logistic_weight)

    @property
    def round_count(self) -> int:
        """Number of trees."""
        return int(self.trees.num_boosted_rounds())

    def predict(self, inputs: Matrix) -> Floats:
        """Return raw log-odds for a matrix of ``TREE_FEATURES``."""
        by_trees = self.trees.inplace_predict(
            _take(inputs, self.tree_features), predict_type="margin"
        )
        by_line = self.logistic.contribute(build_logistic_inputs(inputs)).sum(
            axis=1, dtype=np.float64
        )
        share = self.logistic_weight
        line: Floats = by_line + self.logistic.intercept
        return (1 - share) * np.asarray(by_trees, dtype=np.float64) + share * line

    def contribute(self, inputs: Matrix) -> tuple[Matrix, Matrix]:
        """Return what each input adds to the raw log-odds: of the trees, and of the line.

        Trees by the mean of the nodes on the way (``approx_contribs``): a hundred times faster than
        Shapley values, and the strongest input is the same for nearly everybody.
        """
        rows = xgb.DMatrix(
            _take(inputs, self.tree_features), feature_names=list(self.tree_features)
        )
        by_trees = self.trees.predict(rows, pred_contribs=True, approx_contribs=True)[:, :-1]
        by_line = self.logistic.contribute(build_logistic_inputs(inputs))
        return (1 - self.logistic_weight) * by_trees, self.logistic_weight * by_line


def _take(inputs: Matrix, names: tuple[str, ...]) -> Matrix:
    if names == TREE_FEATURES:
        return inputs
    taken: Matrix = inputs[:, [TREE_FEATURES.index(name) for name in names]]
    return taken


def _grow(
    rows: TrainingPanel, config: ChurnModelConfig, rounds: int, held_out: TrainingPanel | None
) -> xgb.Booster:
    matrix = _to_quantiles(rows, config)
    judge = None if held_out is None else _to_quantiles(held_out, config, like=matrix)
    parameters = _list_parameters(config, rows.tree_features)
    return grow_trees(parameters, matrix, config, rounds=rounds, held_out=judge)


def _to_quantiles(
    rows: TrainingPanel, config: ChurnModelConfig, *, like: xgb.QuantileDMatrix | None = None
) -> xgb.QuantileDMatrix:
    """Return the rows as XGBoost reads them; rows to check on take the bins of ``like``."""
    return xgb.QuantileDMatrix(
        _take(rows.inputs, rows.tree_features),
        rows.churned,
        feature_names=list(rows.tree_features),
        nthread=config.n_threads,
        ref=like,
    )


def _list_parameters(config: ChurnModelConfig, names: tuple[str, ...]) -> dict[str, Any]:
    directions = {
        **dict.fromkeys(config.increasing_features, 1),
        **dict.fromkeys(config.decreasing_features, -1),
    }
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "monotone_constraints": {name: directions[name] for name in directions if name in names},
        **list_tree_parameters(config),
    }
