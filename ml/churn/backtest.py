"""Backtest of churn: what the model would have said at a past day, beside the rules of thumb.

Add here: which figures are told of churn. Not here: measures (``ml.metrics``), the model.
"""

from typing import Any

import numpy as np
import pandas as pd

from ml.backtest import Backtest
from ml.baselines import score_rfm
from ml.churn.config import ChurnModelConfig
from ml.churn.features import CHURN_FEATURES, label_churned
from ml.churn.model import ChurnModel
from ml.clv import ClvModel
from ml.errors import NotEnoughDataError
from ml.frames import require_columns, to_float_frame
from ml.metrics import (
    calibration_slope,
    lift_at,
    log_loss,
    measure_classification,
    measure_ranking,
)

__all__ = ["backtest_churn"]

PLAYBOOK = "is_playbook_churn_risk"
_REMEDY = "choose a cut-off whose horizon is over and at which there were customers"


def backtest_churn(
    panel: pd.DataFrame, *, cutoff_date: Any, config: ChurnModelConfig | None = None
) -> Backtest:
    """Train on what was known at ``cutoff_date`` and compare with what happened after it.

    Only cut-offs whose horizon had ended by ``cutoff_date`` are learned from.

    Args:
        panel: ``customer_features`` with labels at several cut-offs, ``cutoff_date`` among them.
        cutoff_date: The day the scores would have been made.
        config: Settings of the model.

    Returns:
        Figures ``auc, pr_auc, lift_at_10pct, brier, ece`` of the model; the same with ``bg_nbd_``
        for BG/NBD; the ranking measures with ``days_since_last_order_`` and ``rfm_`` for the rules
        of thumb; ``log_loss, calibration_slope, customer_count, churn_rate, training_cutoff_count,
        round_count``; ``leak_suspected`` 1 where the AUC is too good to be true, else 0; where the
        panel has the playbook's trigger, ``playbook_flagged_share_pct, playbook_precision,
        playbook_recall`` and, for as many customers chosen by the model,
        ``at_playbook_budget_precision, at_playbook_budget_recall``. Customers with ``actual`` (1
        churned), ``predicted`` and one column per baseline, high is churn.

    Raises:
        NotEnoughDataError: Too little history before ``cutoff_date``, or no outcome after it.
    """
    config = config or ChurnModelConfig()
    require_columns(panel, ("cutoff_date", *CHURN_FEATURES), frame_name="customer_features")
    dates = pd.to_datetime(panel["cutoff_date"])
    day = pd.Timestamp(cutoff_date)
    history = panel[dates + pd.Timedelta(days=config.horizon_days) <= day]
    test, actual = _take_finished(panel[dates == day].sort_values("customer_id"), day)
    model = ChurnModel(config).fit(history, label_churned(history))
    inputs = to_float_frame(test, ("days_since_last_order",), frame_name="customer_features")
    bg_nbd = ClvModel().fit(test).predict_churn(test, config.horizon_days)["churn_probability"]
    customers = pd.DataFrame(
        {
            "actual": actual,
            "predicted": model.predict(test)["churn_probability"],
            "days_since_last_order": inputs["days_since_last_order"],
            "rfm": -score_rfm(test),
            "bg_nbd": bg_nbd,
        }
    ).reset_index(drop=True)
    if PLAYBOOK in test:
        is_flagged = test[PLAYBOOK].astype("boolean").fillna(False)
        customers["playbook"] = is_flagged.to_numpy(dtype=np.float64)
    figures = {
        **measure_classification(customers["actual"], customers["predicted"]),
        **_prefix("bg_nbd", measure_classification(customers["actual"], customers["bg_nbd"])),
        **_rank_by("days_since_last_order", customers),
        **_rank_by("rfm", customers),
        **_compare_with_playbook(customers),
        "log_loss": log_loss(customers["actual"], customers["predicted"]),
        "calibration_slope": calibration_slope(customers["actual"], customers["predicted"]),
        "customer_count": float(len(test)),
        "churn_rate": float(actual.mean()),
        "training_cutoff_count": model.metrics["training_cutoff_count"],
        "round_count": model.metrics["round_count"],
    }
    figures["leak_suspected"] = float(figures["auc"] > config.leak_suspected_above_auc)
    return Backtest(day.date(), config.horizon_days, figures, customers)


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


def _compare_with_playbook(customers: pd.DataFrame) -> dict[str, float]:
    """Precision and recall of the trigger, and of the model given the same number of customers."""
    flagged_count = int(customers["playbook"].sum()) if "playbook" in customers else 0
    if not flagged_count:
        return {}
    actual = customers["actual"]
    figures = {"playbook_flagged_share_pct": 100 * flagged_count / len(customers)}
    for name, score in (("playbook", "playbook"), ("at_playbook_budget", "predicted")):
        share = flagged_count / len(customers)
        precision = lift_at(actual, customers[score], share=share) * float(actual.mean())
        figures[f"{name}_precision"] = precision
        figures[f"{name}_recall"] = precision * flagged_count / float(actual.sum())
    return figures


def _rank_by(baseline: str, customers: pd.DataFrame) -> dict[str, float]:
    return _prefix(baseline, measure_ranking(customers["actual"], customers[baseline]))


def _prefix(baseline: str, measured: dict[str, float]) -> dict[str, float]:
    return {f"{baseline}_{name}": value for name, value in measured.items()}
