"""Customer lifetime value: fit the candidates, keep the champion, score with it.

Add here: what ties the parts together. Not here: formulas, trees, intervals.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
import xgboost as xgb

from ml.artifacts import ModelArtifact
from ml.backtest import FeatureEffect
from ml.clv.bg_nbd import BgNbdModel
from ml.clv.boosting import SpendTrees
from ml.clv.buy_till_you_die import BuyTillYouDie, Outlook
from ml.clv.candidates import blend, choose_champion, decile_calibration_error, predict_by_rules
from ml.clv.config import ClvModelConfig, FitConfig
from ml.clv.effects import measure_effects
from ml.clv.features import CLV_FEATURES, Matrix, column_of, to_matrix
from ml.clv.gamma_gamma import GammaGammaModel
from ml.clv.interval import ErrorBands, promised_coverage, spend_interval
from ml.clv.likelihood import Floats
from ml.clv.panel import YEAR_DAYS, Snapshot, choose_labels, split_by_time, take_snapshots
from ml.clv.summary import BTYD_FEATURES, summarize_customers
from ml.errors import ArtifactError, InvalidDataError, NotFittedError
from ml.frames import hash_rows, refuse_duplicate_keys, require_columns
from ml.metrics import measure_amounts

__all__ = ["CLV_MODEL_KIND", "ClvBatch", "ClvModel"]

CLV_MODEL_KIND = "clv_champion"
YEAR = np.timedelta64(YEAR_DAYS, "D")


@dataclass(frozen=True)
class ClvBatch:
    """Predictions of one matrix, one number per row; NaN where a customer has no purchase."""

    predicted_clv: Floats
    predicted_clv_low: Floats
    predicted_clv_high: Floats
    predicted_number_of_orders: Floats
    predicted_order_value: Floats
    probability_alive: Floats


@dataclass
class _Learned:
    """What a fit leaves behind, apart from BG/NBD and Gamma-Gamma of the newest cut-off."""

    champion: str = "bg_nbd"
    horizon_days: int | None = None
    trees: SpendTrees | None = None
    levels: dict[str, float] = field(default_factory=dict)
    bands: ErrorBands | None = None
    notes: dict[str, Any] = field(default_factory=dict)


class ClvModel:
    """Expected spend and orders of each customer within a horizon, with an interval.

    BG/NBD and Gamma-Gamma are always fitted, at the newest cut-off. Where enough outcomes are over,
    they compete with trees that start from them, with the geometric mean of these three and with
    two rules of thumb, on the latest finished cut-off; the champion then learns from all of them.
    Trees learn on the longest horizon that is over often enough; other horizons follow by the ratio
    of expected orders under BG/NBD, customer by customer.

    An order here is a purchase day: several orders on one day count as one, with their sum. Amounts
    are net of refunds and not discounted. Customers without a purchase have no lifetime yet: their
    predictions are null.
    """

    features = CLV_FEATURES
    required_columns = ("customer_id", *CLV_FEATURES)

    def __init__(self, config: ClvModelConfig | None = None) -> None:
        self.config = config or ClvModelConfig()
        self.metrics: dict[str, float] = {}
        self.training_data_sha256: str | None = None
        self.pair = BuyTillYouDie(self.config)
        self._learned = _Learned()

    @property
    def champion(self) -> str:
        """Which candidate makes ``predicted_clv``."""
        return self._learned.champion

    @property
    def orders(self) -> BgNbdModel:
        """BG/NBD of the newest cut-off."""
        return self.pair.orders

    @property
    def values(self) -> GammaGammaModel:
        """Gamma-Gamma of the newest cut-off."""
        return self.pair.values

    @property
    def interval_source(self) -> str:
        """``past_errors`` of the latest finished cut-off, or ``probability`` (BG/NBD)."""
        return "past_errors" if self._learned.bands else "probability"

    def fit(
        self, panel: pd.DataFrame, *, as_of: Any = None, horizon_days: int | None = None
    ) -> Self:
        """Learn from ``customer_features`` at one or several cut-offs, rows in any order.

        Args:
            panel: One row per cut-off and customer; outcomes where they are known.
            as_of: Last day that may be known; an outcome counts once its horizon is over by then.
                By default the newest cut-off.
            horizon_days: Horizon the trees learn; by default the longest that can be learned.

        Raises:
            MissingColumnsError: A column is absent.
            InvalidDataError: Values no customer can have, or a customer twice at a cut-off.
            NotEnoughDataError: Fewer customers or repeat customers than the config asks.
            ConvergenceError: A likelihood has no maximum that could be reached.
        """
        required = ("cutoff_date", *self.required_columns)
        require_columns(panel, required, frame_name="customer_features")
        refuse_duplicate_keys(panel, ["cutoff_date", "customer_id"], frame_name="customer_features")
        dates = pd.to_datetime(panel["cutoff_date"])
        day = dates.max() if as_of is None else pd.Timestamp(as_of)
        panel = panel[dates <= day].assign(cutoff_date=dates)
        newest = panel[panel["cutoff_date"] == panel["cutoff_date"].max()]
        newest = newest.sort_values("customer_id", kind="stable")
        summary = summarize_customers(newest, days_per_time_unit=self.config.days_per_time_unit)
        bought = _has_bought(summary).to_numpy()
        self.pair = BuyTillYouDie(self.config).fit(summary[bought])
        labels, reason = choose_labels(panel, day, self.config, horizon_days)
        snapshots: list[Snapshot] = []
        if labels is not None:
            snapshots = take_snapshots(panel, labels, day, self.config)
        self._learned = _Learned(notes={"why_no_trees": reason})
        self.metrics = dict(self.pair.metrics)
        if labels is not None and len(snapshots) >= self.config.min_cutoffs:
            self._compete(snapshots, labels.horizon_days)
        elif labels is not None:
            self._learned.notes["why_no_trees"] = (
                "at fewer than two cut-offs BG/NBD could be fitted and something was spent after it"
            )
        self.training_data_sha256 = _hash(newest[bought], summary[bought], snapshots)
        return self

    def score(self, matrix: Matrix, horizon_days: int) -> ClvBatch:
        """Score a matrix of ``features``; rows do not influence each other."""
        return self._score(matrix, horizon_days, repair=False)

    def predict(self, features: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
        """``score`` of a frame: ``customer_id`` and the columns of ``ClvBatch``, in its order."""
        require_columns(features, self.required_columns, frame_name="customer_features")
        batch = self.score(to_matrix(features), horizon_days)
        return features[["customer_id"]].assign(
            **{name: getattr(batch, name) for name in ClvBatch.__dataclass_fields__}
        )

    def predict_candidates(self, features: pd.DataFrame, horizon_days: int) -> dict[str, Floats]:
        """What every candidate says of customers who all have a purchase."""
        matrix = to_matrix(features)
        summary, _ = self._summarize(matrix)
        return self._candidates(matrix, summary, horizon_days)

    def look_back(self, features: pd.DataFrame, horizon_days: int) -> Floats:
        """The champion's word on an earlier cut-off, BG/NBD and Gamma-Gamma refitted there."""
        matrix = to_matrix(features)
        summary, _ = self._summarize(matrix)
        learned, pair = self._learned, BuyTillYouDie(self.config).fit(summary)
        found = _predict_all(
            matrix, pair.look_ahead(summary, horizon_days), horizon_days,
            learned.trees, learned.levels, self.config, threads=1,
        )  # fmt: skip
        return found[self.champion]

    def pair_outlook(self, features: pd.DataFrame, horizon_days: int) -> Outlook:
        """BG/NBD and Gamma-Gamma alone, for customers who all have a purchase."""
        summary, _ = self._summarize(to_matrix(features))
        return self.pair.look_ahead(summary, horizon_days)

    def predict_churn(self, features: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
        """``customer_id, churn_probability``: P(no order within ``horizon_days``) by BG/NBD.

        The answer where there is too little data for ``ml.churn.ChurnModel``.
        """
        columns = ("customer_id", *BTYD_FEATURES)
        require_columns(features, columns, frame_name="customer_features")
        summary = summarize_customers(features, days_per_time_unit=self.config.days_per_time_unit)
        bought = _has_bought(summary).to_numpy()
        horizon = horizon_days / self.config.days_per_time_unit
        silence = self.pair.orders.no_order_probability(summary[bought], horizon)
        full = _spread(np.clip(silence, 0.0, 1.0), bought, self.config.decimals)
        return features[["customer_id"]].assign(churn_probability=full)

    def feature_effects(self, matrix: Matrix, horizon_days: int = 365) -> list[FeatureEffect]:
        """How each input moves ``predicted_clv``, the strongest first."""
        return measure_effects(
            lambda rows: self._score(rows, horizon_days, repair=True).predicted_clv,
            matrix,
            seed=self.config.seed,
        )

    def to_artifact(self, *, code_version: str) -> ModelArtifact:
        """Return the fitted model as a portable artifact: one JSON with XGBoost's own inside."""
        if self.training_data_sha256 is None:
            raise NotFittedError("ClvModel")
        learned = self._learned
        trees = learned.trees.to_json() if learned.trees else None
        model = {"btyd": self.pair.to_json(), "trees": trees}
        bands = _to_lists(asdict(learned.bands)) if learned.bands else None
        return ModelArtifact(
            kind=CLV_MODEL_KIND,
            features=CLV_FEATURES,
            config=asdict(self.config),
            parameters={
                "champion": learned.champion,
                "training_horizon_days": learned.horizon_days,
                "levels": learned.levels,
                "interval": self.interval_source,
                "bands": bands,
                "notes": learned.notes,
            },
            metrics=self.metrics,
            training_data_sha256=self.training_data_sha256,
            code_version=code_version,
            model=json.dumps(model, sort_keys=True, allow_nan=False).encode(),
        )

    @classmethod
    def from_artifact(cls, artifact: ModelArtifact) -> Self:
        """Rebuild the model that ``to_artifact`` described.

        Raises:
            ArtifactError: The artifact is of another kind or lacks parameters.
        """
        remedy = "train the CLV model again"
        if artifact.kind != CLV_MODEL_KIND or artifact.features != CLV_FEATURES:
            raise ArtifactError(f"no CLV model of this code: {artifact.kind}", remedy=remedy)
        try:
            settings = {**artifact.config, "fit": FitConfig(**artifact.config["fit"])}
            model = cls(ClvModelConfig(**settings))
            stored, found = json.loads(artifact.model), artifact.parameters
            model.pair = BuyTillYouDie.from_json(stored["btyd"], model.config)
            bands = found["bands"]
            model._learned = _Learned(
                champion=found["champion"],
                horizon_days=found["training_horizon_days"],
                trees=SpendTrees.from_json(stored["trees"]) if stored["trees"] else None,
                levels=dict(found["levels"]),
                bands=ErrorBands(**_to_tuples(bands)) if bands else None,
                notes=dict(found["notes"]),
            )
        except (KeyError, TypeError, ValueError, xgb.core.XGBoostError) as error:
            raise ArtifactError(
                f"the CLV artifact lacks or misspells a setting: {error}", remedy=remedy
            ) from error
        model.metrics = dict(artifact.metrics)
        model.training_data_sha256 = artifact.training_data_sha256
        return model

    def _compete(self, snapshots: list[Snapshot], horizon_days: int) -> None:
        """Choose the champion on the latest snapshot, then learn from all of them."""
        config = self.config
        earlier, latest = split_by_time(snapshots, horizon_days)
        scout = SpendTrees.fit(earlier, config, held_out=latest)
        rivals = self._rivals(
            latest, scout, horizon_days, self._learn_levels(earlier, scout, horizon_days)
        )
        champion, losses = choose_champion(latest.spend, rivals, config)
        trees = SpendTrees.fit(snapshots, config, rounds=scout.rounds)
        bands, figures = self._choose_interval(latest, rivals[champion], horizon_days)
        self._learned = _Learned(
            champion=champion,
            horizon_days=horizon_days,
            trees=trees,
            levels=self._learn_levels(snapshots, trees, horizon_days),
            bands=bands,
            notes={"losses": losses, "rounds": trees.rounds},
        )
        held_out = measure_amounts(latest.spend, rivals[champion])
        self.metrics |= {
            "training_row_count": float(sum(len(one.spend) for one in snapshots)),
            "training_cutoff_count": float(len(snapshots)),
            "training_horizon_days": float(horizon_days),
            **{f"held_out_{name}": value for name, value in held_out.items() if np.isfinite(value)},
            "held_out_decile_calibration_error": decile_calibration_error(
                latest.spend, rivals[champion]
            ),
            **figures,
        }

    def _choose_interval(
        self, latest: Snapshot, predicted: Floats, horizon_days: int
    ) -> tuple[ErrorBands | None, dict[str, float]]:
        """Probability where it covers what it promises on the latest snapshot, else past errors."""
        config = self.config
        summary, _ = self._summarize(latest.matrix)
        pair = BuyTillYouDie(config).fit(summary)
        low, high = self._probability_interval(
            pair, summary, latest.outlook, horizon_days, predicted
        )
        inside = float(np.mean((latest.spend >= low) & (latest.spend <= high)))
        promised = promised_coverage(latest.outlook, config.interval_level)
        figures = {
            "held_out_probability_coverage_pct": 100 * inside,
            "held_out_promised_coverage_pct": 100 * promised,
        }
        if abs(inside - promised) <= config.coverage_tolerance:
            return None, figures
        return ErrorBands.fit(latest.spend, predicted, config), figures

    def _probability_interval(
        self,
        pair: BuyTillYouDie,
        summary: pd.DataFrame,
        outlook: Outlook,
        horizon_days: float,
        predicted: Floats,
    ) -> tuple[Floats, Floats]:
        """BG/NBD's interval, moved in proportion to where the champion sees the customer."""
        low, high = spend_interval(pair, summary, outlook, horizon_days, self.config.interval_level)
        moved = predicted / np.maximum(outlook.spend, 1e-300)
        moved = np.where(outlook.spend > 0, moved, 0.0)
        return low * moved, high * moved

    def _learn_levels(
        self, snapshots: list[Snapshot], trees: SpendTrees, horizon_days: int
    ) -> dict[str, float]:
        """What came over what each candidate said, in total over the year up to the last one.

        The rules of thumb have no level of their own. The trees start from that of BG/NBD, and
        only a whole year can tell whether it is off: anything shorter is season first of all.
        """
        recent = [one for one in snapshots if one.cutoff > snapshots[-1].cutoff - YEAR]
        said: dict[str, float] = {}
        came = sum(float(one.spend.sum()) for one in recent)
        for one in recent:
            for name, values in self._rivals(one, trees, horizon_days, {}).items():
                said[name] = said.get(name, 0.0) + float(values.sum())
        return {
            name: came / total if total > 0 and came > 0 else 1.0
            for name, total in said.items()
            if name in ("past_spend", "rfm_decay")
            or (name != "bg_nbd" and horizon_days >= YEAR_DAYS)
        }

    def _rivals(
        self, one: Snapshot, trees: SpendTrees, horizon_days: int, levels: dict[str, float]
    ) -> dict[str, Floats]:
        return _predict_all(
            one.matrix, one.outlook, horizon_days, trees, levels, self.config, threads=1
        )

    def _candidates(
        self, matrix: Matrix, summary: pd.DataFrame, horizon_days: float
    ) -> dict[str, Floats]:
        """Every candidate at this horizon; those of another training horizon are stretched."""
        learned = self._learned
        trained = learned.horizon_days or horizon_days
        outlook = self.pair.look_ahead(summary, trained)
        found = _predict_all(
            matrix, outlook, trained, learned.trees, learned.levels, self.config,
            threads=self.config.scoring_threads,
        )  # fmt: skip
        if trained == horizon_days:
            return found
        here = self.pair.look_ahead(summary, horizon_days)
        longer = here.orders / np.maximum(outlook.orders, 1e-300)
        return {name: values * longer for name, values in found.items()}

    def _score(self, matrix: Matrix, horizon_days: int, *, repair: bool) -> ClvBatch:
        if self.training_data_sha256 is None:
            raise NotFittedError("ClvModel")
        if matrix.ndim != 2 or matrix.shape[1] != len(CLV_FEATURES):
            raise InvalidDataError(
                f"a matrix of shape {matrix.shape} for {len(CLV_FEATURES)} features",
                remedy="pass the columns ClvModel.features in that order",
            )
        summary, bought = self._summarize(matrix, repair=repair)
        matrix = matrix[bought]
        outlook = self.pair.look_ahead(summary, horizon_days)
        if self.champion == "bg_nbd":
            predicted = outlook.spend
        else:
            predicted = self._candidates(matrix, summary, horizon_days)[self.champion]
        low, high = self._interval(summary, outlook, horizon_days, predicted)
        value = outlook.order_value
        columns = {
            "predicted_clv": predicted,
            "predicted_clv_low": np.minimum(low, predicted),
            "predicted_clv_high": np.maximum(high, predicted),
            "predicted_number_of_orders": predicted / np.maximum(value, 1e-300),
            "predicted_order_value": value,
            "probability_alive": outlook.alive,
        }
        decimals = self.config.decimals
        return ClvBatch(**{n: _spread(v, bought, decimals) for n, v in columns.items()})

    def _interval(
        self, summary: pd.DataFrame, outlook: Outlook, horizon_days: float, predicted: Floats
    ) -> tuple[Floats, Floats]:
        bands, trained = self._learned.bands, self._learned.horizon_days
        if bands is None or trained is None:
            return self._probability_interval(self.pair, summary, outlook, horizon_days, predicted)
        shorter = self.pair.look_ahead(summary, trained).orders / np.maximum(outlook.orders, 1e-300)
        low, high = bands.apply(predicted * shorter)
        return low / np.maximum(shorter, 1e-300), high / np.maximum(shorter, 1e-300)

    def _summarize(self, matrix: Matrix, *, repair: bool = False) -> tuple[pd.DataFrame, Any]:
        """Standard names for the rows with a purchase, and which rows these are.

        ``repair`` makes moved inputs possible again: no recency without a repeat or beyond T.
        """
        frame = pd.DataFrame({name: column_of(matrix, name) for name in BTYD_FEATURES})
        summary = summarize_customers(frame, days_per_time_unit=self.config.days_per_time_unit)
        if repair:
            summary["frequency"] = np.rint(np.maximum(summary["frequency"], 0))
            longest = np.where(summary["frequency"] > 0, summary["T"], 0.0)
            summary["recency"] = np.clip(summary["recency"], 0.0, longest)
        bought = _has_bought(summary).to_numpy()
        return summary[bought].reset_index(drop=True), bought


def _predict_all(
    matrix: Matrix,
    outlook: Outlook,
    horizon_days: float,
    trees: SpendTrees | None,
    levels: dict[str, float],
    config: ClvModelConfig,
    *,
    threads: int,
) -> dict[str, Floats]:
    found = predict_by_rules(matrix, outlook, horizon_days, config)
    if trees is not None:
        found |= trees.predict(matrix, outlook, threads=threads)
        found["geometric_mean"] = blend(found, config.bg_nbd_weight)
    return {name: values * levels.get(name, 1.0) for name, values in found.items()}


def _has_bought(summary: pd.DataFrame) -> "pd.Series[bool]":
    return summary[["frequency", "recency", "T"]].notna().any(axis=1)


def _spread(values: Floats, rows: Any, decimals: int) -> Floats:
    """Values of the chosen rows at their places, null elsewhere."""
    full = np.full(len(rows), np.nan)
    full[rows] = np.round(values, decimals)
    return full


def _hash(newest: pd.DataFrame, summary: pd.DataFrame, snapshots: list[Snapshot]) -> str:
    learned = [
        np.column_stack([one.matrix.astype(np.float64), one.spend, one.bought]) for one in snapshots
    ]
    names = [*CLV_FEATURES, "spend", "bought"]
    rows = pd.DataFrame(
        np.concatenate(learned) if learned else np.empty((0, len(names))), columns=names
    )
    parts = [
        hash_rows(newest[["customer_id"]], summary),
        hash_rows(pd.DataFrame(index=rows.index), rows),
    ]
    return hash_rows(pd.DataFrame({"part": parts}), pd.DataFrame(index=range(2)))


def _to_lists(value: dict[str, Any]) -> dict[str, Any]:
    return {key: list(item) if isinstance(item, tuple) else item for key, item in value.items()}


def _to_tuples(value: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
