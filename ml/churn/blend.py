"""The raw score: gradient-boosted trees and a logistic regression, averaged.

Add here: how both learn and predict. Not here: calibration, splitting by time.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from ml.churn.config import ChurnModelConfig
from ml.churn.features import build_logistic_inputs
from ml.churn.logistic import LogisticParameters
from ml.churn.panel import TrainingPanel

__all__ = ["Blend"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Blend:
    """Two models that err differently; their weighted mean is what calibration reads."""

    trees: xgb.Booster
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
        logistic = LogisticParameters.fit(
            build_logistic_inputs(rows.inputs),
            rows.churned,
            inverse_penalty=config.logistic_inverse_penalty,
        )
        return cls(_grow(rows, config, rounds, held_out), logistic, config.logistic_weight)

    @property
    def round_count(self) -> int:
        """Number of trees."""
        return int(self.trees.num_boosted_rounds())

    def predict(self, inputs: pd.DataFrame) -> Floats:
        """Return raw probabilities for the inputs of ``build_tree_inputs``."""
        by_trees = self.trees.inplace_predict(inputs.to_numpy(dtype=np.float32))
        by_line = self.logistic.predict(build_logistic_inputs(inputs))
        share = self.logistic_weight
        return (1 - share) * np.asarray(by_trees, dtype=np.float64) + share * by_line


def _grow(
    rows: TrainingPanel, config: ChurnModelConfig, rounds: int, held_out: TrainingPanel | None
) -> xgb.Booster:
    matrix = _to_matrix(rows, config)
    if held_out is None:
        return xgb.train(_list_parameters(config), matrix, num_boost_round=rounds)
    trees = xgb.train(
        _list_parameters(config),
        matrix,
        num_boost_round=rounds,
        evals=[(_to_matrix(held_out, config, like=matrix), "held_out")],
        early_stopping_rounds=config.early_stopping_rounds,
        verbose_eval=False,
    )
    return trees[: trees.best_iteration + 1]


def _to_matrix(
    rows: TrainingPanel, config: ChurnModelConfig, *, like: xgb.QuantileDMatrix | None = None
) -> xgb.QuantileDMatrix:
    """Return the rows as XGBoost reads them; rows to check on take the bins of ``like``."""
    return xgb.QuantileDMatrix(
        rows.inputs.astype(np.float32), rows.churned, nthread=config.n_threads, ref=like
    )


def _list_parameters(config: ChurnModelConfig) -> dict[str, Any]:
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "eta": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": config.min_child_weight,
        "subsample": config.row_share,
        "colsample_bytree": config.column_share,
        "lambda": config.l2_penalty,
        "monotone_constraints": dict.fromkeys(config.increasing_features, 1),
        "seed": config.seed,
        "nthread": config.n_threads,
        "verbosity": 0,
    }
