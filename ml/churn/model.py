"""Churn: probability that a customer places no order within the horizon.

Add here: fit, predict and artifact of the blend. Not here: feature lists, calibration maths,
backtests (``backtest``).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import xgboost as xgb
from numpy.typing import NDArray

from ml.artifacts import ModelArtifact
from ml.backtest import FeatureEffect
from ml.churn.blend import Blend
from ml.churn.calibration import PlattCalibration
from ml.churn.config import ChurnModelConfig
from ml.churn.effects import draw_effects
from ml.churn.features import (
    CHURN_FEATURES,
    LOGISTIC_FEATURES,
    TREE_FEATURES,
    Matrix,
    add_ratios,
    to_matrix,
)
from ml.churn.logistic import LogisticParameters
from ml.churn.panel import TrainingPanel
from ml.churn.reasons import NO_REASON, REASON_COUNT, group_by_reason, rank_reasons
from ml.errors import ArtifactError, NotFittedError
from ml.frames import require_columns
from ml.metrics import measure_classification

__all__ = ["CHURN_MODEL_KIND", "ChurnBatch", "ChurnModel"]

CHURN_MODEL_KIND = "churn_xgboost_logistic"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChurnBatch:
    """Scores of the rows of a matrix, in their order.

    Args:
        probability: Of no order within the horizon, in [0, 1].
        reasons: The strongest reasons first, as places in ``CHURN_REASONS``; −1 where there is
            none, or none was asked for. One column per rank.
    """

    probability: Floats
    reasons: NDArray[np.int8]


class ChurnModel:
    """Probability of no order in the ``horizon_days`` after the cut-off.

    The mean (in log-odds) of gradient-boosted trees and a small logistic regression, calibrated.
    First, a scout learns from the earlier cut-offs, and the latest one, held out, gives the number
    of trees and the slope of the calibration. Then both learn from all cut-offs, and the intercept
    is set so that they meet the churn rate of the latest one: the scout's intercept would count the
    same drift twice (ECE .109 against .077 on Online Retail II). Earlier cut-offs whose horizon
    reaches into the held-out one stay out of the scout where others remain, so that no outcome is
    seen twice.
    """

    features: tuple[str, ...] = CHURN_FEATURES
    required_columns = ("customer_id", *CHURN_FEATURES)

    def __init__(self, config: ChurnModelConfig | None = None) -> None:
        self.config = config or ChurnModelConfig()
        self.metrics: dict[str, float] = {}
        self.training_data_sha256: str | None = None
        self._blend: Blend | None = None
        self._calibration = PlattCalibration()

    def fit(self, panel: pd.DataFrame, churned: pd.Series) -> Self:
        """Learn from several cut-offs.

        Args:
            panel: ``customer_features``: one row per customer and ``cutoff_date``, in any order.
            churned: Outcome per row of ``panel``, same length and order; null where the horizon
                is not over yet (such rows are left out).

        Raises:
            MissingColumnsError: A column is absent.
            InvalidDataError: Text or infinite values, a repeated (cutoff_date, customer_id), or
                outcomes of another length.
            NotEnoughDataError: Too few customers, cut-offs or outcomes of one kind; score with
                ``ml.clv.ClvModel.predict_churn`` instead.
        """
        config = self.config
        training = TrainingPanel.build(panel, churned, config)
        earlier, held_out = (part.sample(config) for part in training.split_by_time(config))
        scout = Blend.fit(earlier, config, rounds=config.max_rounds, held_out=held_out)
        raw = scout.predict(held_out.inputs)
        calibration = PlattCalibration.fit(
            raw,
            held_out.churned,
            min_slope=config.min_calibration_slope,
            max_slope=config.max_calibration_slope,
        )
        blend = Blend.fit(training, config, rounds=scout.round_count)
        self.training_data_sha256 = training.sha256
        self._blend = blend
        self._calibration = calibration.recenter(
            blend.predict(held_out.inputs), float(held_out.churned.mean())
        )
        self.metrics = {
            "training_row_count": float(len(training)),
            "training_cutoff_count": float(training.cutoff_count),
            "scout_cutoff_count": float(earlier.cutoff_count),
            "input_count": float(len(blend.tree_features)),
            "round_count": float(blend.round_count),
            "calibration_slope": self._calibration.slope,
            "calibration_intercept": self._calibration.intercept,
            # The scout's: Brier and ECE flatter, since it was calibrated on these rows.
            **_prefix("held_out", measure_classification(held_out.churned, calibration.apply(raw))),
        }
        return self

    def score(self, matrix: Matrix, *, with_reasons: bool = True) -> ChurnBatch:
        """Score customers, many at once.

        Args:
            matrix: Rows of ``features``, NaN where there is no value.
            with_reasons: Whether reasons are asked for; they cost several times the probability.
        """
        blend = self._fitted()
        probability: Floats = np.empty(len(matrix))
        reasons = np.full((len(matrix), REASON_COUNT), NO_REASON, dtype=np.int8)
        for rows in _slices(len(matrix), self.config.rows_per_batch):
            inputs = add_ratios(matrix[rows])
            probability[rows] = self._calibration.apply(blend.predict(inputs))
            if with_reasons:
                reasons[rows] = rank_reasons(
                    self._push(blend, inputs), inputs, min_push=self.config.min_reason_push
                )
        return ChurnBatch(np.round(probability, self.config.decimals), reasons)

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """Score customers.

        Args:
            features: ``customer_features`` of one cut-off; the outcome columns are not read.

        Returns:
            ``customer_id`` and ``churn_probability`` in [0, 1], one row per input row, in its
            order and with its index.
        """
        self._fitted()
        require_columns(features, self.required_columns, frame_name="customer_features")
        scores = features[["customer_id"]].copy()
        batch = self.score(to_matrix(features), with_reasons=False)
        scores["churn_probability"] = batch.probability
        return scores

    def feature_effects(self, matrix: Matrix) -> list[FeatureEffect]:
        """How much each input moves the scores of these customers, and which way.

        Args:
            matrix: Rows of ``features``; a sample of them is drawn, evenly over the rows.

        Returns:
            One effect per input that moves a score, the largest share first.
        """
        blend = self._fitted()
        step = max(1, len(matrix) // self.config.effect_sample_rows)
        return draw_effects(
            blend,
            self._calibration,
            add_ratios(matrix[::step]),
            point_count=self.config.effect_point_count,
        )

    def _push(self, blend: Blend, inputs: Matrix) -> Matrix:
        """Log-odds each reason adds to the calibrated score, beside an average customer."""
        by_trees, by_line = blend.contribute(inputs)
        pushes: Matrix = by_trees @ group_by_reason(blend.tree_features)
        pushes += by_line @ group_by_reason(
            tuple(name.removeprefix("log_") for name in blend.logistic.names)
        )
        pushes *= np.float32(self._calibration.slope)
        return pushes

    def _fitted(self) -> Blend:
        if self._blend is None:
            raise NotFittedError("ChurnModel")
        return self._blend

    def to_artifact(self, *, code_version: str) -> ModelArtifact:
        """Return the fitted model as a portable artifact; ``model`` is XGBoost's own JSON."""
        if self._blend is None or self.training_data_sha256 is None:
            raise NotFittedError("ChurnModel")
        return ModelArtifact(
            kind=CHURN_MODEL_KIND,
            features=CHURN_FEATURES,
            config=_to_json(asdict(self.config)),
            parameters=_to_json(
                {
                    "tree_features": self._blend.tree_features,
                    "logistic": asdict(self._blend.logistic),
                    "calibration": asdict(self._calibration),
                }
            ),
            metrics=self.metrics,
            training_data_sha256=self.training_data_sha256,
            code_version=code_version,
            model=bytes(self._blend.trees.save_raw(raw_format="json")),
        )

    @classmethod
    def from_artifact(cls, artifact: ModelArtifact) -> Self:
        """Rebuild the model that ``to_artifact`` described.

        Raises:
            ArtifactError: The artifact is of another kind or lacks parameters.
        """
        remedy = "train the churn model again"
        if artifact.kind != CHURN_MODEL_KIND or artifact.features != CHURN_FEATURES:
            raise ArtifactError(f"no churn model of this code: {artifact.kind}", remedy=remedy)
        try:
            model = cls(ChurnModelConfig(**_to_tuples(artifact.config)))
            logistic = LogisticParameters(**_to_tuples(artifact.parameters["logistic"]))
            model._calibration = PlattCalibration(**artifact.parameters["calibration"])
            tree_features = tuple(artifact.parameters["tree_features"])
            if logistic.names != LOGISTIC_FEATURES or not set(tree_features) <= set(TREE_FEATURES):
                raise ValueError("it reads other features")
            trees = xgb.Booster({"nthread": model.config.n_threads})
            trees.load_model(bytearray(artifact.model))
        except (KeyError, TypeError, ValueError, xgb.core.XGBoostError) as error:
            raise ArtifactError(
                f"the churn artifact lacks or misspells a setting: {error}", remedy=remedy
            ) from error
        model._blend = Blend(trees, tree_features, logistic, model.config.logistic_weight)
        model.metrics = dict(artifact.metrics)
        model.training_data_sha256 = artifact.training_data_sha256
        return model


def _slices(row_count: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, row_count, step))


def _prefix(word: str, measured: dict[str, float]) -> dict[str, float]:
    return {f"{word}_{name}": value for name, value in measured.items()}


def _to_json(value: dict[str, Any]) -> dict[str, Any]:
    """Tuples as lists, as JSON will give them back."""

    def convert(item: Any) -> Any:
        if isinstance(item, dict):
            return _to_json(item)
        return list(item) if isinstance(item, tuple) else item

    return {key: convert(item) for key, item in value.items()}


def _to_tuples(value: Any) -> dict[str, Any]:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
