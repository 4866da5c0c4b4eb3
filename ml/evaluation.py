"""Backtests out of time: features at a cut-off, outcomes in (cut-off, cut-off + horizon].

Add here: nothing but names: the backtest of a model stands in its own package.
Not here: measures (``metrics``).
"""

from ml.baselines import score_rfm
from ml.churn.backtest import backtest_churn
from ml.clv.backtest import backtest_clv
from ml.metrics import (
    brier_score,
    expected_calibration_error,
    lift_at,
    measure_amounts,
    measure_classification,
    measure_ranking,
    normalized_gini,
    spearman,
)

__all__ = [
    "backtest_churn",
    "backtest_clv",
    "brier_score",
    "expected_calibration_error",
    "lift_at",
    "measure_amounts",
    "measure_classification",
    "measure_ranking",
    "normalized_gini",
    "score_rfm",
    "spearman",
]
