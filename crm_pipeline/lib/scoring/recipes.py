"""How each score is trained, judged and computed.

Add here: a score, as one ``Recipe``.
Not here: maths (``ml``), which version is in use (``promotion``), reading and writing (``scores``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from ml.clv.backtest import backtest_clv
from numpy.typing import NDArray

from crm_pipeline.lib.scoring.stream import Matrix, Scorer, name_positions
from ml.artifacts import ModelArtifact
from ml.backtest import Backtest, FeatureEffect
from ml.churn import (
    CHURN_FEATURES,
    CHURN_MODEL_KIND,
    CHURN_REASONS,
    ChurnModel,
    ChurnModelConfig,
    label_churned,
)
from ml.churn.backtest import backtest_churn
from ml.clv import CLV_FEATURES, CLV_MODEL_KIND, ClvModel, ClvModelConfig
from ml.comparison import log_loss
from ml.errors import NotEnoughDataError
from ml.metrics import normalized_gini

CODE_VERSION = "2"  # raise it when training changes its result on equal data
CLV_HORIZON_DAYS = 365

Floats = NDArray[np.float64]
Columns = dict[str, Any]  # of a table of scores: arrays of one length


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
        """The rows of a panel a backtest was about, in its order."""
        days = pd.to_datetime(panel["cutoff_date"])
        rows = panel[days == pd.Timestamp(backtest.cutoff_date)]
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


def to_matrix(frame: pd.DataFrame, features: tuple[str, ...]) -> Matrix:
    """Columns of a panel as models read them; null becomes NaN."""
    return np.column_stack(
        [frame[name].astype("Float64").to_numpy(np.float32, na_value=np.nan) for name in features]
    )


def make_churn_recipe(config: ChurnModelConfig | None = None) -> Recipe:
    """No order within the horizon."""
    settings = config or ChurnModelConfig()

    def train(panel: pd.DataFrame, _: date) -> ModelArtifact:
        model = ChurnModel(settings).fit(panel, label_churned(panel))
        return model.to_artifact(code_version=CODE_VERSION)

    def look_back(panel: pd.DataFrame) -> Backtest:
        return backtest_churn(panel, cutoff_date=newest_labelled_cutoff(panel), config=settings)

    def score(artifact: ModelArtifact) -> Scorer:
        model = ChurnModel.from_artifact(artifact)

        def columns(matrix: Matrix) -> Columns:
            batch = model.score(matrix)
            named = {
                f"reason_{place + 1}": name_positions(batch.reasons[:, place], CHURN_REASONS)
                for place in range(batch.reasons.shape[1])
            }
            return {"churn_probability": batch.probability, **named}

        return columns

    def predict(artifact: ModelArtifact, rows: pd.DataFrame, _: int) -> Floats:
        model = ChurnModel.from_artifact(artifact)
        return model.score(to_matrix(rows, CHURN_FEATURES), with_reasons=False).probability

    def effects(artifact: ModelArtifact, matrix: Matrix) -> list[FeatureEffect]:
        return ChurnModel.from_artifact(artifact).feature_effects(matrix)

    return Recipe(
        name="churn",
        kind=CHURN_MODEL_KIND,
        features=CHURN_FEATURES,
        settings=settings,
        horizon_days=settings.horizon_days,
        headline="churn_probability",
        measure_name="log_loss",
        measure=log_loss,
        high_is_good=False,
        train=train,
        look_back=look_back,
        score=score,
        predict=predict,
        effects=effects,
    )


def make_clv_recipe(config: ClvModelConfig | None = None) -> Recipe:
    """Spend within a year."""
    settings = config or ClvModelConfig()

    def train(panel: pd.DataFrame, as_of: date) -> ModelArtifact:
        model = ClvModel(settings).fit(panel, as_of=as_of)
        return model.to_artifact(code_version=CODE_VERSION)

    def look_back(panel: pd.DataFrame) -> Backtest:
        horizon = ChurnModelConfig().horizon_days  # the horizon the labels of the panel cover
        cutoff = newest_labelled_cutoff(panel)
        return backtest_clv(panel, cutoff_date=cutoff, horizon_days=horizon, config=settings)

    def score(artifact: ModelArtifact) -> Scorer:
        model = ClvModel.from_artifact(artifact)

        def columns(matrix: Matrix) -> Columns:
            return dict(vars(model.score(matrix, CLV_HORIZON_DAYS)))

        return columns

    def predict(artifact: ModelArtifact, rows: pd.DataFrame, horizon_days: int) -> Floats:
        model = ClvModel.from_artifact(artifact)
        return model.score(to_matrix(rows, CLV_FEATURES), horizon_days).predicted_clv

    def effects(artifact: ModelArtifact, matrix: Matrix) -> list[FeatureEffect]:
        return ClvModel.from_artifact(artifact).feature_effects(matrix)

    return Recipe(
        name="clv",
        kind=CLV_MODEL_KIND,
        features=CLV_FEATURES,
        settings=settings,
        horizon_days=CLV_HORIZON_DAYS,
        headline="predicted_clv",
        measure_name="normalized_gini",
        measure=normalized_gini,
        high_is_good=True,
        train=train,
        look_back=look_back,
        score=score,
        predict=predict,
        effects=effects,
    )


def figures_of(backtest: Backtest | None) -> Mapping[str, float]:
    """The figures of a backtest, none where there was too little history for one."""
    return {} if backtest is None else backtest.figures
