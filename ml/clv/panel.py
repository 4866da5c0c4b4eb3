"""What the trees learn from: finished cut-offs, each seen through BG/NBD fitted on that day.

Add here: choice of the horizon, rows with an outcome. Not here: learning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.clv.buy_till_you_die import BuyTillYouDie, Outlook
from ml.clv.config import ClvModelConfig
from ml.clv.features import Matrix, to_matrix
from ml.clv.likelihood import Floats
from ml.clv.summary import summarize_customers
from ml.errors import ConvergenceError, NotEnoughDataError
from ml.frames import to_float_frame

__all__ = ["Labels", "Snapshot", "choose_labels", "list_labels", "take_snapshots"]

YEAR_DAYS = 365


@dataclass(frozen=True)
class Labels:
    """Names of the outcome columns and the days they cover."""

    horizon_days: int
    order_count: str
    spend_amount: str


@dataclass(frozen=True)
class Snapshot:
    """The customers of one finished cut-off: what was known, what BG/NBD said, what came."""

    cutoff: np.datetime64
    matrix: Matrix
    outlook: Outlook
    spend: Floats
    bought: NDArray[np.bool_]


def list_labels(panel: pd.DataFrame, config: ClvModelConfig) -> list[Labels]:
    """Outcomes the panel has, the longest horizon first."""
    known = (
        Labels(YEAR_DAYS, "label_year_order_count", "label_year_spend_amount"),
        Labels(config.label_horizon_days, "label_order_count", "label_spend_amount"),
    )
    return [
        labels
        for labels in known
        if {labels.order_count, labels.spend_amount} <= set(panel.columns)
    ]


def choose_labels(
    panel: pd.DataFrame, as_of: pd.Timestamp, config: ClvModelConfig, horizon_days: int | None
) -> tuple[Labels | None, str]:
    """The longest horizon with enough finished cut-offs, or the one asked for; else why not."""
    reasons = []
    for labels in list_labels(panel, config):
        if horizon_days is not None and labels.horizon_days != horizon_days:
            continue
        counts = (
            _finished(panel, labels, as_of).groupby("cutoff_date")["bought"].agg(["size", "sum"])
        )
        enough = (counts["size"] >= config.min_boosting_customers) & (
            counts["sum"] >= config.min_boosting_buyers
        )
        if int(enough.sum()) >= config.min_cutoffs:
            return labels, ""
        reasons.append(
            f"{labels.horizon_days} days: {int(enough.sum())} finished cut-offs with at least "
            f"{config.min_boosting_customers} customers and {config.min_boosting_buyers} buyers, "
            f"needed are {config.min_cutoffs}"
        )
    return None, "; ".join(reasons) or "the panel has no outcome columns for this horizon"


def take_snapshots(
    panel: pd.DataFrame, labels: Labels, as_of: pd.Timestamp, config: ClvModelConfig
) -> list[Snapshot]:
    """One snapshot per finished cut-off that BG/NBD can be fitted at, the oldest first.

    One after which more was refunded than bought has no level to learn and is left out.
    """
    finished = _finished(panel, labels, as_of).sort_values(["cutoff_date", "customer_id"])
    snapshots = []
    for cutoff, rows in finished.groupby("cutoff_date"):
        if (
            len(rows) < config.min_boosting_customers
            or rows["bought"].sum() < config.min_boosting_buyers
            or not rows["spend"].sum() > 0
        ):
            continue
        summary = summarize_customers(rows, days_per_time_unit=config.days_per_time_unit)
        try:
            pair = BuyTillYouDie(config).fit(summary)
        except (NotEnoughDataError, ConvergenceError):
            continue
        snapshots.append(
            Snapshot(
                cutoff=pd.Timestamp(str(cutoff)).to_datetime64(),
                matrix=to_matrix(rows),
                outlook=pair.look_ahead(summary, labels.horizon_days),
                spend=rows["spend"].to_numpy(dtype=np.float64),
                bought=rows["bought"].to_numpy(dtype=bool),
            )
        )
    return snapshots


def split_by_time(
    snapshots: Sequence[Snapshot], horizon_days: int
) -> tuple[list[Snapshot], Snapshot]:
    """Earlier snapshots and the latest; those whose outcome reaches into it stay out if others do
    not.
    """
    *earlier, latest = snapshots
    horizon = np.timedelta64(horizon_days, "D")
    return [one for one in earlier if one.cutoff + horizon <= latest.cutoff] or earlier, latest


def _finished(panel: pd.DataFrame, labels: Labels, as_of: pd.Timestamp) -> pd.DataFrame:
    outcome = to_float_frame(
        panel, (labels.order_count, labels.spend_amount), frame_name="customer_features"
    )
    cutoffs = pd.to_datetime(panel["cutoff_date"])
    is_over = cutoffs + pd.Timedelta(days=labels.horizon_days) <= as_of
    is_known = outcome[labels.order_count].notna() & panel["tenure_days"].notna()
    rows = panel.assign(
        cutoff_date=cutoffs,
        spend=outcome[labels.spend_amount].fillna(0.0),
        bought=outcome[labels.order_count] > 0,
    )
    return rows[is_over & is_known]
