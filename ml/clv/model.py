"""Customer lifetime value: how often times how much.

Add here: what ties BG/NBD and Gamma-Gamma together. Not here: their formulas.
"""

import json
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import pandas as pd

from ml.artifacts import ModelArtifact
from ml.clv.bg_nbd import BgNbdModel, BgNbdParameters
from ml.clv.config import ClvModelConfig, FitConfig
from ml.clv.gamma_gamma import GammaGammaModel, GammaGammaParameters
from ml.clv.summary import CLV_FEATURES, summarize_customers
from ml.errors import ArtifactError, NotEnoughDataError, NotFittedError
from ml.frames import hash_rows, refuse_duplicate_keys, require_columns

__all__ = ["CLV_MODEL_KIND", "ClvModel"]

CLV_MODEL_KIND = "clv_bg_nbd_gamma_gamma"


class ClvModel:
    """Expected orders and spend of each customer within a horizon.

    An order here is a purchase day: several orders on one day count as one, with their sum.
    Not discounted. Customers without a purchase have no lifetime yet: their predictions are null.
    """

    required_columns = ("customer_id", *CLV_FEATURES)

    def __init__(self, config: ClvModelConfig | None = None) -> None:
        self.config = config or ClvModelConfig()
        self.orders = BgNbdModel(self.config.fit)
        self.values = GammaGammaModel(self.config.fit, min_q=self.config.min_q)
        self.training_data_sha256: str | None = None

    def fit(self, features: pd.DataFrame) -> Self:
        """Learn from ``customer_features`` of one cut-off, one row per customer, any order.

        Raises:
            MissingColumnsError: A column is absent.
            InvalidDataError: Values no customer can have, or a customer in two rows.
            NotEnoughDataError: Fewer customers or repeat customers than the config asks.
            ConvergenceError: A likelihood has no maximum that could be reached.
        """
        require_columns(features, self.required_columns, frame_name="customer_features")
        refuse_duplicate_keys(features, ["customer_id"], frame_name="customer_features")
        features = features.sort_values("customer_id", kind="stable")
        summary = self._summarize(features)
        has_bought = self._has_bought(summary)
        summary = summary[has_bought]
        self._refuse_few(summary)
        self.orders.fit(summary)
        self.values.fit(summary)
        self.training_data_sha256 = hash_rows(features.loc[has_bought, ["customer_id"]], summary)
        return self

    def predict(self, features: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
        """Expected business of each customer in the ``horizon_days`` after the cut-off.

        Returns:
            ``customer_id``, ``predicted_clv`` (= expected_orders × expected_order_value, in the
            money of ``monetary_value``), ``expected_orders``, ``expected_order_value``,
            ``probability_alive``; one row per input row, in its order and with its index.
        """
        summary, has_bought = self._score_input(features)
        bought = summary[has_bought]
        horizon = horizon_days / self.config.days_per_time_unit
        expected_orders = self.orders.expected_orders(bought, horizon)
        order_value = self.values.expected_order_value(bought)
        columns = {
            "predicted_clv": expected_orders * order_value,
            "expected_orders": expected_orders,
            "expected_order_value": order_value,
            "probability_alive": self.orders.probability_alive(bought),
        }
        return self._assemble(features, has_bought, columns)

    def predict_churn(self, features: pd.DataFrame, horizon_days: int) -> pd.DataFrame:
        """``customer_id, churn_probability``: P(no order within ``horizon_days``).

        The answer where there is too little data for ``ml.churn.ChurnModel``.
        """
        summary, has_bought = self._score_input(features)
        horizon = horizon_days / self.config.days_per_time_unit
        silence = self.orders.no_order_probability(summary[has_bought], horizon)
        return self._assemble(
            features, has_bought, {"churn_probability": np.clip(silence, 0.0, 1.0)}
        )

    @property
    def metrics(self) -> dict[str, float]:
        """Figures of the fit: likelihoods, counts and the independence Gamma-Gamma relies on."""
        orders, values = self.orders.parameters, self.values.parameters
        return {
            "customer_count": float(orders.customer_count),
            "repeat_customer_count": float(values.customer_count),
            "bg_nbd_log_likelihood": orders.log_likelihood,
            "gamma_gamma_log_likelihood": values.log_likelihood,
            "frequency_value_correlation": values.frequency_value_correlation,
            "parameters_at_limit_count": float(len(orders.at_limit) + len(values.at_limit)),
        }

    def to_artifact(self, *, code_version: str) -> ModelArtifact:
        """Return the fitted model as a portable artifact."""
        if self.training_data_sha256 is None:
            raise NotFittedError("ClvModel")
        parameters = {
            "bg_nbd": asdict(self.orders.parameters),
            "gamma_gamma": asdict(self.values.parameters),
        }
        return ModelArtifact(
            kind=CLV_MODEL_KIND,
            features=CLV_FEATURES,
            config=asdict(self.config),
            parameters={},
            metrics=self.metrics,
            training_data_sha256=self.training_data_sha256,
            code_version=code_version,
            model=json.dumps(parameters, sort_keys=True, allow_nan=False).encode(),
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
            stored = json.loads(artifact.model)
            orders = BgNbdParameters(**_with_tuple(stored["bg_nbd"]))
            values = GammaGammaParameters(**_with_tuple(stored["gamma_gamma"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the CLV artifact lacks or misspells a setting: {error}", remedy=remedy
            ) from error
        model.orders = BgNbdModel(model.config.fit, parameters=orders)
        model.values = GammaGammaModel(
            model.config.fit, min_q=model.config.min_q, parameters=values
        )
        model.training_data_sha256 = artifact.training_data_sha256
        return model

    def _summarize(self, features: pd.DataFrame) -> pd.DataFrame:
        return summarize_customers(features, days_per_time_unit=self.config.days_per_time_unit)

    @staticmethod
    def _has_bought(summary: pd.DataFrame) -> "pd.Series[bool]":
        return summary[["frequency", "recency", "T"]].notna().any(axis=1)

    def _score_input(self, features: pd.DataFrame) -> tuple[pd.DataFrame, "pd.Series[bool]"]:
        require_columns(features, self.required_columns, frame_name="customer_features")
        summary = self._summarize(features)
        return summary, self._has_bought(summary)

    def _assemble(
        self, features: pd.DataFrame, has_bought: "pd.Series[bool]", columns: dict[str, Any]
    ) -> pd.DataFrame:
        predictions = features[["customer_id"]].copy()
        rows = has_bought.to_numpy()
        for name, values in columns.items():
            full = np.full(len(features), np.nan)
            full[rows] = np.round(values, self.config.decimals)
            predictions[name] = full
        return predictions

    def _refuse_few(self, summary: pd.DataFrame) -> None:
        repeat_count = int((summary["frequency"] > 0).sum())
        if len(summary) < self.config.min_customers or repeat_count < (
            self.config.min_repeat_customers
        ):
            raise NotEnoughDataError(
                f"CLV: {len(summary)} customers, {repeat_count} of them with a repeat purchase; "
                f"needed are {self.config.min_customers} and {self.config.min_repeat_customers}",
                remedy="wait for more orders, or lower the minimum in ClvModelConfig on purpose",
            )


def _with_tuple(parameters: dict[str, Any]) -> dict[str, Any]:
    return {**parameters, "at_limit": tuple(parameters["at_limit"])}
