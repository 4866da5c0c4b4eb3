"""What the clusters are made of.

Add here: the list of input columns and how they are scaled. Not here: how they are counted from
orders and events (dbt model ``int_cluster_features``).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.clusters.config import ClusterConfig
from ml.frames import to_float_frame

__all__ = ["CLUSTER_FEATURES", "RECENCY", "SPEND", "VIEWS", "Scaler", "log_inputs"]

RECENCY, SPEND, VIEWS = "days_since_last_order", "spend_in_window_amount", "product_view_count"
CLUSTER_FEATURES = (
    RECENCY,
    "order_count_in_window",
    SPEND,
    "average_order_amount",
    "active_day_count",
    VIEWS,
    "cart_added_count",
)

Floats = NDArray[np.float64]


def log_inputs(features: pd.DataFrame) -> pd.DataFrame:
    """Logarithms, since counts and amounts have long tails; below 0 counts as 0."""
    inputs = to_float_frame(features, CLUSTER_FEATURES, frame_name="int_cluster_features")
    return inputs.clip(lower=0).apply(np.log1p)


@dataclass(frozen=True)
class Scaler:
    """Means and scales of the rows learned from; a column without any spread says nothing."""

    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, logs: pd.DataFrame, config: ClusterConfig) -> Self:
        """Learns from log inputs; nulls are left out."""
        means = logs.mean().fillna(0.0).round(config.decimals)
        scales = logs.std(ddof=0).fillna(0.0).round(config.decimals)
        return cls(tuple(means.tolist()), tuple(scales.tolist()))

    def apply(self, logs: pd.DataFrame, config: ClusterConfig) -> Floats:
        """Deviations in standard deviations; a null counts as the mean."""
        scales = np.array(self.scales)
        spread = np.where(scales > 0, scales, np.inf)
        deviations = (logs.to_numpy(dtype=np.float64) - np.array(self.means)) / spread
        held = np.clip(np.nan_to_num(deviations, nan=0.0), -config.max_deviation,
                       config.max_deviation)  # fmt: skip
        rounded: Floats = np.round(held, config.decimals)
        return rounded
