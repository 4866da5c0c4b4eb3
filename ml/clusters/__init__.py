"""Clusters of customers. Add here: groups the data forms by itself. Not here: tiers (rules)."""

from ml.clusters.config import ClusterConfig
from ml.clusters.features import CLUSTER_FEATURES
from ml.clusters.model import CLUSTER_MODEL_KIND, ClusterModel
from ml.clusters.stability import Stability, adjusted_rand_index, judge_stability

__all__ = [
    "CLUSTER_FEATURES",
    "CLUSTER_MODEL_KIND",
    "ClusterConfig",
    "ClusterModel",
    "Stability",
    "adjusted_rand_index",
    "judge_stability",
]
