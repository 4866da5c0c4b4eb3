"""The scores there are.

Add here: a score, as one ``Recipe``.
Not here: maths (``ml``), which version is in use (``promotion``), reading and writing (``scores``).
"""

from __future__ import annotations

from datetime import date

import pandas as pd

from crm_pipeline.lib.scoring.recipe import (
    CODE_VERSION,
    Columns,
    Floats,
    Recipe,
    newest_labelled_cutoff,
)
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
from ml.clv.backtest import backtest_clv
from ml.frames import to_matrix
from ml.metrics import log_loss, normalized_gini

CLV_HORIZON_DAYS = 365


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
