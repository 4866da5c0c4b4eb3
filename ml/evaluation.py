"""Backtests out of time: features at a cut-off, outcomes in (cut-off, cut-off + horizon].

Add here: what a model would have said then, beside the rules of thumb it must beat.
Not here: measures (``metrics``).
"""

from typing import Any

import pandas as pd

from ml.baselines import score_rfm
from ml.churn.backtest import backtest_churn
from ml.churn.features import label_churned
from ml.clv import ClvModel, ClvModelConfig
from ml.errors import NotEnoughDataError
from ml.frames import require_columns, to_float_frame
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

_REMEDY = "choose a cut-off whose horizon is over and at which there were customers"


def backtest_clv(
    panel: pd.DataFrame,
    *,
    cutoff_date: Any,
    horizon_days: int,
    config: ClvModelConfig | None = None,
) -> dict[str, float]:
    """Fit on the purchases until ``cutoff_date`` and compare with the spend after it.

    Args:
        panel: ``customer_features`` with labels, ``cutoff_date`` among its cut-offs.
        cutoff_date: The day the scores would have been made.
        horizon_days: Days the labels of ``panel`` cover.
        config: Settings of the model.

    Returns:
        ``spearman, normalized_gini, mae_over_mean, total_error_pct`` of predicted_clv; the same
        with ``past_spend_`` for the spend of the last 365 days, scaled to the horizon; the first
        two with ``rfm_`` for the RFM heuristic; ``customer_count, actual_spend_amount``.

    Raises:
        NotEnoughDataError: Too few customers at ``cutoff_date``, or no outcome after it.
    """
    require_columns(panel, ("cutoff_date", "label_spend_amount"), frame_name="customer_features")
    day = pd.Timestamp(cutoff_date)
    test, _ = _take_finished(panel[pd.to_datetime(panel["cutoff_date"]) == day], day)
    numbers = to_float_frame(
        test, ("label_spend_amount", "spend_365d_amount"), frame_name="customer_features"
    )
    actual = numbers["label_spend_amount"].fillna(0.0)
    if not actual.sum() > 0:
        raise NotEnoughDataError(f"nobody spent anything after {day.date()}", remedy=_REMEDY)
    predicted = ClvModel(config).fit(test).predict(test, horizon_days)["predicted_clv"]
    past_spend = numbers["spend_365d_amount"].fillna(0.0) * horizon_days / 365
    rfm = measure_amounts(actual, score_rfm(test))
    baselines = {
        "past_spend": measure_amounts(actual, past_spend),
        "rfm": {name: rfm[name] for name in ("spearman", "normalized_gini")},
    }
    return {
        **measure_amounts(actual, predicted),
        **_prefix(baselines),
        "customer_count": float(len(test)),
        "actual_spend_amount": float(actual.sum()),
    }


def _take_finished(test: pd.DataFrame, day: pd.Timestamp) -> tuple[pd.DataFrame, pd.Series]:
    """Return the customers at the cut-off whose outcome is known, and who churned (1) or not."""
    churned = label_churned(test)
    test, churned = test[churned.notna()], churned[churned.notna()].astype(float)
    if churned.nunique() < 2:
        raise NotEnoughDataError(
            f"{len(test)} customers with a known outcome at {day.date()}, all of one kind",
            remedy=_REMEDY,
        )
    return test, churned


def _prefix(baselines: dict[str, dict[str, float]]) -> dict[str, float]:
    return {
        f"{baseline}_{name}": value
        for baseline, measured in baselines.items()
        for name, value in measured.items()
    }
