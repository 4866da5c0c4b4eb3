"""What it takes to make a score: trained, judged, computed.

Add here: what every score is asked for.
Not here: the scores themselves (``recipes``), which version is in use (``promotion``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crm_pipeline.lib.scoring.stream import Matrix, Scorer
from ml.artifacts import ModelArtifact
from ml.backtest import Backtest, FeatureEffect
from ml.churn import label_churned
from ml.errors import NotEnoughDataError

CODE_VERSION = "2"  # raise it when training changes its result on equal data

Floats = NDArray[np.float64]
Columns = dict[str, Any]  # of a table of scores: arrays of one length, or constants


@dataclass(frozen=True)
class Recipe:
    """One score.

    Args:
        name: The score: its table is ``scores.<name>_scores``.
        kind: Artifact kind of its models.
        features: Columns of ``customer_features`` its models read, in their order.
        settings: All that changes a training beside data and code.
        horizon_days: Days after ``as_of`` the score is about.
        headline: Column of the scores whose distribution is watched.
        measure_name: What champion and challenger are compared by.
        measure: The same as a function of actual and predicted.
        high_is_good: Whether more of it is better.
        train: From a training panel to a version.
        look_back: The backtest at the latest cut-off with a known outcome.
        score: From a version to what computes its columns.
        predict: Predictions for rows of a panel and a horizon, to compare two versions by.
        effects: How inputs move the prediction, on a sample of customers.
    """

    name: str
    kind: str
    features: tuple[str, ...]
    settings: object
    horizon_days: int
    headline: str
    measure_name: str
    measure: Callable[[Floats, Floats], float]
    high_is_good: bool
    train: Callable[[pd.DataFrame, date], ModelArtifact]
    look_back: Callable[[pd.DataFrame], Backtest]
    score: Callable[[ModelArtifact], Scorer]
    predict: Callable[[ModelArtifact, pd.DataFrame, int], Floats]
    effects: Callable[[ModelArtifact, Matrix], list[FeatureEffect]]

    @property
    def table(self) -> str:
        """Address of the scores."""
        return f"scores.{self.name}_scores"

    @staticmethod
    def rows_of_backtest(panel: pd.DataFrame, backtest: Backtest) -> pd.DataFrame:
        """The rows of a panel a backtest was about, in its order: by customer."""
        days = pd.to_datetime(panel["cutoff_date"])
        rows = panel[days == pd.Timestamp(backtest.cutoff_date)].sort_values("customer_id")
        rows = rows[label_churned(rows).notna().to_numpy()]
        if len(rows) != len(backtest.customers):
            raise NotEnoughDataError(
                f"the backtest was about {len(backtest.customers)} customers, "
                f"the panel has {len(rows)}",
                remedy="compare on the panel the backtest was made from",
            )
        return rows


def newest_labelled_cutoff(panel: pd.DataFrame) -> pd.Timestamp:
    """The latest cut-off whose outcome is known: what a backtest may be asked about."""
    labelled = panel[panel["label_order_count"].notna()]
    if labelled.empty:
        raise NotEnoughDataError(
            "no cut-off has a known outcome yet", remedy="wait until a horizon is over"
        )
    return pd.to_datetime(labelled["cutoff_date"]).max()
