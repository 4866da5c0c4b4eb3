"""What the value model reads: columns of ``customer_features`` and what follows from them.

Add here: the list of input columns, ratios. Not here: how the inputs are counted (dbt),
what BG/NBD makes of them (``buy_till_you_die``).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml import frames
from ml.rhythm import active_share, silence_ratio

__all__ = ["CLV_FEATURES", "add_ratios", "column_of", "to_matrix"]

CLV_FEATURES = (
    "frequency_days",
    "recency_days",
    "tenure_days",
    "monetary_value",
    "order_count",
    "days_since_last_order",
    "spend_amount",
    "spend_90d_amount",
    "spend_180d_amount",
    "spend_365d_amount",
    "order_count_90d",
    "order_count_180d",
    "order_count_365d",
    "average_order_amount",
    "average_days_between_orders",
    "days_between_orders_stddev",
    "refund_amount",
    "refund_share_pct",
    "product_count",
    "average_lines_per_order",
)
RATIOS = ("silence_ratio", "active_share")

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]


def to_matrix(features: pd.DataFrame) -> Matrix:
    """Return ``CLV_FEATURES`` as the float32 matrix the model scores; null becomes NaN."""
    return frames.to_matrix(features, CLV_FEATURES)


def column_of(matrix: Matrix, name: str) -> Floats:
    """One column of a matrix of ``CLV_FEATURES``, in double precision."""
    return matrix[:, CLV_FEATURES.index(name)].astype(np.float64)


def add_ratios(matrix: Matrix) -> list[Floats]:
    """``RATIOS``: silence against the customer's own gap, and the active share of the tenure."""
    silence, gap, recency, tenure = (
        column_of(matrix, name)
        for name in (
            "days_since_last_order",
            "average_days_between_orders",
            "recency_days",
            "tenure_days",
        )
    )
    return [silence_ratio(silence, gap), active_share(recency, np.maximum(tenure, 0))]
