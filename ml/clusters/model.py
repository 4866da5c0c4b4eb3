"""Clusters beside the tiers: groups of customers who buy and browse alike.

Add here: fit, predict and artifact. Not here: names (``naming``), the gate (``stability``).
"""

import json
from dataclasses import asdict
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from ml.artifacts import ModelArtifact
from ml.clusters.config import ClusterConfig
from ml.clusters.features import CLUSTER_FEATURES, Scaler, log_inputs
from ml.clusters.naming import name_centres, order_centres
from ml.errors import ArtifactError, NotEnoughDataError, NotFittedError
from ml.frames import hash_rows, refuse_duplicate_keys, require_columns

__all__ = ["CLUSTER_MODEL_KIND", "ClusterModel"]

CLUSTER_MODEL_KIND = "clusters_kmeans"
Floats = NDArray[np.float64]


class ClusterModel:
    """KMeans on standardised logarithms; how many clusters is decided by their silhouette.

    The rows are sorted by what they say, never by id, so that neither the order of the input nor
    the names of the customers change anything. One thread adds floats in one order.
    """

    required_columns = ("customer_id", *CLUSTER_FEATURES)

    def __init__(self, config: ClusterConfig | None = None) -> None:
        self.config = config or ClusterConfig()
        self.metrics: dict[str, float] = {}
        self.names: tuple[str, ...] = ()
        self.training_data_sha256: str | None = None
        self._scaler: Scaler | None = None
        self._centres: Floats = np.empty((0, len(CLUSTER_FEATURES)))

    def fit(self, features: pd.DataFrame) -> Self:
        """Learn scales and centres from one row per customer.

        Raises:
            MissingColumnsError: A column is absent.
            InvalidDataError: Text or infinite values, or a repeated customer.
            NotEnoughDataError: Too few customers, or too few different ones, for clusters.
        """
        config = self.config
        require_columns(features, self.required_columns, frame_name="int_cluster_features")
        refuse_duplicate_keys(features, ["customer_id"], frame_name="int_cluster_features")
        logs = log_inputs(features).sort_values(list(CLUSTER_FEATURES)).reset_index(drop=True)
        _refuse_few(logs, config)
        scaler = Scaler.fit(logs, config)
        inputs = scaler.apply(logs, config)
        _refuse_alike(inputs, config)
        sample = _sample(inputs, config.fit_sample, config.seed)
        with threadpool_limits(limits=1):
            silhouettes = {k: _silhouette(sample, k, config) for k in _counts(sample, config)}
            chosen = max(silhouettes, key=lambda k: (silhouettes[k], -k))
            centres = _kmeans(sample, chosen, config).cluster_centers_
        self._scaler = scaler
        self._centres = order_centres(np.round(centres, config.decimals))
        self.names = name_centres(self._centres, config)
        self.training_data_sha256 = hash_rows(pd.DataFrame(), logs)
        self.metrics = {
            "customer_count": float(len(logs)),
            "cluster_count": float(chosen),
            "silhouette": round(silhouettes[chosen], config.decimals),
        }
        return self

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """``customer_id``, ``cluster_number`` (1 = most valuable), ``cluster_name``, ``distance``.

        The distance is to the cluster's centre, in standard deviations.
        """
        if self._scaler is None:
            raise NotFittedError("ClusterModel")
        require_columns(features, self.required_columns, frame_name="int_cluster_features")
        inputs = self._scaler.apply(log_inputs(features), self.config)
        squares = np.stack([((inputs - row) ** 2).sum(axis=1) for row in self._centres], axis=1)
        nearest = squares.argmin(axis=1)
        distance = np.sqrt(squares[np.arange(len(squares)), nearest])
        return pd.DataFrame(
            {
                "customer_id": features["customer_id"],
                "cluster_number": nearest + 1,
                "cluster_name": [self.names[place] for place in nearest],
                "distance": np.round(distance, self.config.decimals),
            },
            index=features.index,
        )

    def to_artifact(self, *, code_version: str) -> ModelArtifact:
        """Everything needed to predict again."""
        if self._scaler is None or self.training_data_sha256 is None:
            raise NotFittedError("ClusterModel")
        learned = {"centres": self._centres.tolist(), "names": list(self.names)}
        scaler = {name: list(numbers) for name, numbers in asdict(self._scaler).items()}
        return ModelArtifact(
            kind=CLUSTER_MODEL_KIND,
            features=CLUSTER_FEATURES,
            config=asdict(self.config),
            parameters={"scaler": scaler},
            metrics=self.metrics,
            training_data_sha256=self.training_data_sha256,
            code_version=code_version,
            model=json.dumps(learned, sort_keys=True).encode(),
        )

    @classmethod
    def from_artifact(cls, artifact: ModelArtifact) -> Self:
        """Rebuild the model that ``to_artifact`` described.

        Raises:
            ArtifactError: The artifact is of another kind or lacks parameters.
        """
        remedy = "fit the clusters again: run the monthly job"
        if artifact.kind != CLUSTER_MODEL_KIND or artifact.features != CLUSTER_FEATURES:
            raise ArtifactError(f"no clusters of this code: {artifact.kind}", remedy=remedy)
        try:
            model = cls(ClusterConfig(**artifact.config))
            scaler, learned = artifact.parameters["scaler"], json.loads(artifact.model)
            model._scaler = Scaler(tuple(scaler["means"]), tuple(scaler["scales"]))
            model._centres = np.array(learned["centres"], dtype=np.float64)
            model.names = tuple(learned["names"])
            if model._centres.shape != (len(model.names), len(CLUSTER_FEATURES)):
                raise ValueError("centres and names do not fit together")
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the clusters' artifact lacks or misspells a setting: {error}", remedy=remedy
            ) from error
        model.metrics = dict(artifact.metrics)
        model.training_data_sha256 = artifact.training_data_sha256
        return model


def _counts(inputs: Floats, config: ClusterConfig) -> range:
    """How many clusters are tried: never as many as there are different customers."""
    different = len(np.unique(inputs, axis=0))
    return range(config.min_clusters, min(config.max_clusters, different - 1) + 1)


def _silhouette(inputs: Floats, k: int, config: ClusterConfig) -> float:
    labels = _kmeans(inputs, k, config).labels_
    rows = _sample(np.arange(len(inputs)), config.silhouette_sample, config.seed)
    if len(np.unique(labels[rows])) < 2:
        return -1.0
    return float(silhouette_score(inputs[rows], labels[rows]))


def _kmeans(inputs: Floats, k: int, config: ClusterConfig) -> KMeans:
    return KMeans(k, n_init=config.starts, random_state=config.seed).fit(inputs)


def _sample(rows: NDArray, size: int, seed: int) -> NDArray:
    if len(rows) <= size:
        return rows
    return rows[np.sort(np.random.default_rng(seed).choice(len(rows), size, replace=False))]


def _refuse_few(logs: pd.DataFrame, config: ClusterConfig) -> None:
    if len(logs) < config.min_customers:
        raise NotEnoughDataError(
            f"clusters: {len(logs)} customers with an order; needed are {config.min_customers}",
            remedy="use the tiers, which need no other customers, until there are more",
        )


def _refuse_alike(inputs: Floats, config: ClusterConfig) -> None:
    different = len(np.unique(inputs, axis=0))
    if different <= config.min_clusters:
        raise NotEnoughDataError(
            f"clusters: all customers are of {different} kinds; needed are more than "
            f"{config.min_clusters}",
            remedy="use the tiers: customers who are all alike form no groups",
        )
