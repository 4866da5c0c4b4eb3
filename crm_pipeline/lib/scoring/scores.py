"""Churn and CLV scores of one day.

Add here: from a feature panel to a frame of scores.
Not here: reading or writing the warehouse (``defs/scoring``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import pandas as pd

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.scoring.registry import ModelRecord, find_or_train, key_of
from ml.artifacts import ModelArtifact
from ml.churn import CHURN_FEATURES, CHURN_MODEL_KIND, ChurnModel, ChurnModelConfig, label_churned
from ml.clv import CLV_FEATURES, CLV_MODEL_KIND, ClvModel, ClvModelConfig
from ml.errors import MlError, NotEnoughDataError
from ml.evaluation import backtest_churn, backtest_clv

CODE_VERSION = "1"  # raise it when training changes its result on equal data
CLV_HORIZON_DAYS = 365
BY_BG_NBD = "bg_nbd"

CHURN_COLUMNS = ["customer_id", "churn_probability", "model_version"]
CLV_COLUMNS = [
    "customer_id",
    "predicted_clv",
    "probability_alive",
    "expected_orders",
    "expected_order_value",
    "model_version",
]


@dataclass(frozen=True)
class Scores:
    """Scores of one day, the version that made them, and why there is none if there is none."""

    rows: pd.DataFrame
    record: ModelRecord | None
    horizon_days: int
    note: str | None = None


@dataclass(frozen=True)
class Panel:
    """Features of several cut-offs: today's, and those a model may learn from.

    ``frame`` holds both; ``trained_until`` is the last day the training may know.
    """

    frame: pd.DataFrame
    as_of: date
    trained_until: date

    @property
    def today(self) -> pd.DataFrame:
        """Rows to be scored."""
        return self.frame[self._dates == pd.Timestamp(self.as_of)].reset_index(drop=True)

    @property
    def training(self) -> pd.DataFrame:
        """Rows a model may learn from: today's customers only as they were by then."""
        return self.frame[self._dates <= pd.Timestamp(self.trained_until)].reset_index(drop=True)

    @property
    def newest_training(self) -> pd.DataFrame:
        """Rows of the latest cut-off a model may learn from."""
        training = self.training
        dates = pd.to_datetime(training["cutoff_date"])
        return training[dates == dates.max()].reset_index(drop=True)

    @property
    def _dates(self) -> pd.Series:
        return pd.to_datetime(self.frame["cutoff_date"])


def score_clv(home: CrmHome, panel: Panel, *, horizon_days: int = CLV_HORIZON_DAYS) -> Scores:
    """Expected spend of each customer in the ``horizon_days`` after ``panel.as_of``.

    Too few customers or no repeat buyers give no scores and a note that says so.
    """
    try:
        artifact, record = _clv_version(home, panel)
    except MlError as error:
        return Scores(pd.DataFrame(columns=CLV_COLUMNS), None, horizon_days, str(error))
    scored = ClvModel.from_artifact(artifact).predict(panel.today, horizon_days)
    return Scores(scored.assign(model_version=record.version)[CLV_COLUMNS], record, horizon_days)


def score_churn(home: CrmHome, panel: Panel, config: ChurnModelConfig | None = None) -> Scores:
    """Probability of no order within the horizon, by trees or, on small bases, by BG/NBD."""
    config = config or ChurnModelConfig()
    try:
        artifact, record = _churn_version(home, panel, config)
    except NotEnoughDataError as error:
        return _score_churn_small(home, panel, config, str(error))
    scored = ChurnModel.from_artifact(artifact).predict(panel.today)
    rows = scored.assign(model_version=record.version)[CHURN_COLUMNS]
    return Scores(rows, record, config.horizon_days)


def _score_churn_small(
    home: CrmHome, panel: Panel, config: ChurnModelConfig, reason: str
) -> Scores:
    try:
        artifact, record = _clv_version(home, panel)
    except MlError as error:
        note = f"{reason}; {error}"
        return Scores(pd.DataFrame(columns=CHURN_COLUMNS), None, config.horizon_days, note)
    scored = ClvModel.from_artifact(artifact).predict_churn(panel.today, config.horizon_days)
    version = f"{BY_BG_NBD}-{record.version}"
    rows = scored.assign(model_version=version)[CHURN_COLUMNS]
    return Scores(rows, record, config.horizon_days, f"scored by BG/NBD: {reason}")


def _churn_version(
    home: CrmHome, panel: Panel, config: ChurnModelConfig
) -> tuple[ModelArtifact, ModelRecord]:
    training = panel.training

    def train() -> tuple[ModelArtifact, dict[str, float]]:
        model = ChurnModel(config).fit(training, label_churned(training))
        cutoff = newest_labelled_cutoff(training)
        figures = _or_nothing(lambda: backtest_churn(training, cutoff_date=cutoff, config=config))
        return model.to_artifact(code_version=CODE_VERSION), figures

    return find_or_train(
        home,
        "churn",
        key_of(training, settings=config, code_version=CODE_VERSION),
        kind=CHURN_MODEL_KIND,
        features=CHURN_FEATURES,
        train=train,
        trained_until=panel.trained_until,
    )


def _clv_version(home: CrmHome, panel: Panel) -> tuple[ModelArtifact, ModelRecord]:
    training, newest = panel.training, panel.newest_training
    horizon = ChurnModelConfig().horizon_days  # the horizon the labels of the panel cover

    def train() -> tuple[ModelArtifact, dict[str, float]]:
        model = ClvModel().fit(newest)
        cutoff = newest_labelled_cutoff(training)
        figures = _or_nothing(
            lambda: backtest_clv(training, cutoff_date=cutoff, horizon_days=horizon)
        )
        return model.to_artifact(code_version=CODE_VERSION), figures

    return find_or_train(
        home,
        "clv",
        key_of(training, settings=ClvModelConfig(), code_version=CODE_VERSION),
        kind=CLV_MODEL_KIND,
        features=CLV_FEATURES,
        train=train,
        trained_until=panel.trained_until,
    )


def newest_labelled_cutoff(training: pd.DataFrame) -> pd.Timestamp:
    """The latest cut-off whose outcome is known: what a backtest may be asked about."""
    labelled = training[training["label_order_count"].notna()]
    if labelled.empty:
        raise NotEnoughDataError(
            "no cut-off has a known outcome yet", remedy="wait until a horizon is over"
        )
    return pd.to_datetime(labelled["cutoff_date"]).max()


def _or_nothing(backtest: Callable[[], dict[str, float]]) -> dict[str, float]:
    """A base too small for a backtest still gets its model; the record then has no figures."""
    try:
        return backtest()
    except NotEnoughDataError:
        return {}
