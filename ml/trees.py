"""Boosted trees as every model here grows them: they stop where they no longer help.

Add here: settings and steps that are the same whatever is predicted.
Not here: objectives, inputs (each model's own package).
"""

from typing import Any, Protocol

import xgboost as xgb

__all__ = ["TreeSettings", "grow_trees", "list_tree_parameters"]


class TreeSettings(Protocol):
    """What a model's configuration says of its trees."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def max_depth(self) -> int: ...
    @property
    def min_child_weight(self) -> float: ...
    @property
    def row_share(self) -> float: ...
    @property
    def column_share(self) -> float: ...
    @property
    def l2_penalty(self) -> float: ...
    @property
    def early_stopping_rounds(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def n_threads(self) -> int: ...


def list_tree_parameters(config: TreeSettings) -> dict[str, Any]:
    """XGBoost's parameters that do not hang on what is predicted."""
    return {
        "tree_method": "hist",
        "eta": config.learning_rate,
        "max_depth": config.max_depth,
        "min_child_weight": config.min_child_weight,
        "subsample": config.row_share,
        "colsample_bytree": config.column_share,
        "lambda": config.l2_penalty,
        "seed": config.seed,
        "nthread": config.n_threads,
        "verbosity": 0,
    }


def grow_trees(
    parameters: dict[str, Any],
    matrix: xgb.QuantileDMatrix,
    config: TreeSettings,
    *,
    rounds: int,
    held_out: xgb.QuantileDMatrix | None = None,
) -> xgb.Booster:
    """``rounds`` trees; with ``held_out`` only as many as still help there."""
    if held_out is None:
        return xgb.train(parameters, matrix, num_boost_round=rounds)
    trees = xgb.train(
        parameters,
        matrix,
        num_boost_round=rounds,
        evals=[(held_out, "held_out")],
        early_stopping_rounds=config.early_stopping_rounds,
        verbose_eval=False,
    )
    return trees[: trees.best_iteration + 1]
