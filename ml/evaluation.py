"""Backtests out of time: features at a cut-off, outcomes in (cut-off, cut-off + horizon].

Add here: what a model would have said then, beside the rules of thumb it must beat.
Not here: measures (``metrics``).
"""

from typing import Any

import pandas as pd

from ml.churn import CHURN_FEATURES, ChurnModel, ChurnModelConfig, label_churned
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


def score_rfm(features: pd.DataFrame) -> pd.Series:
    """RFM heuristic: sum of the percentile ranks of recency, frequency and spend; high is good."""
    columns = ("days_since_last_order", "order_count", "spend_amount")
    numbers = to_float_frame(features, columns, frame_name="customer_features")
    numbers["days_since_last_order"] *= -1
    ranks: pd.Series = numbers.rank(pct=True).sum(axis=1)
    return ranks


def backtest_churn(
    panel: pd.DataFrame, *, cutoff_date: Any, config: ChurnModelConfig | None = None
) -> dict[str, float]:
    """Train on what was known at ``cutoff_date`` and compare with what happened after it.

    Only cut-offs whose horizon had ended by ``cutoff_date`` are learned from.

    Args:
        panel: ``customer_features`` with labels at several cut-offs, ``cutoff_date`` among them.
        cutoff_date: The day the scores would have been made.
        config: Settings of the model.

    Returns:
        ``auc, pr_auc, lift_at_10pct, brier, ece`` of the model; the same with ``bg_nbd_`` for
        BG/NBD; the ranking measures with ``days_since_last_order_`` and ``rfm_`` for the rules of
        thumb; ``customer_count, churn_rate, training_cutoff_count, round_count``.

    Raises:
        NotEnoughDataError: Too little history before ``cutoff_date``, or no outcome after it.
    """
    config = config or ChurnModelConfig()
    require_columns(panel, ("cutoff_date", *CHURN_FEATURES), frame_name="customer_features")
    dates = pd.to_datetime(panel["cutoff_date"])
    day = pd.Timestamp(cutoff_date)
    history = panel[dates + pd.Timedelta(days=config.horizon_days) <= day]
    test, actual = _take_finished(panel[dates == day], day)
    model = ChurnModel(config).fit(history, label_churned(history))
    probability = model.predict(test)["churn_probability"]
    by_silence = to_float_frame(test, CHURN_FEATURES, frame_name="customer_features")
    bg_nbd = ClvModel().fit(test).predict_churn(test, config.horizon_days)["churn_probability"]
    baselines = {
        "bg_nbd": measure_classification(actual, bg_nbd),
        "days_since_last_order": measure_ranking(actual, by_silence["days_since_last_order"]),
        "rfm": measure_ranking(actual, -score_rfm(test)),
    }
    return {
        **measure_classification(actual, probability),
        **_prefix(baselines),
        "customer_count": float(len(test)),
        "churn_rate": float(actual.mean()),
        "training_cutoff_count": model.metrics["training_cutoff_count"],
        "round_count": model.metrics["round_count"],
    }


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
