"""What the value model reads: columns of ``customer_features`` and what follows from them.

Add here: the list of input columns, ratios. Not here: how the inputs are counted (dbt),
what BG/NBD makes of them (``buy_till_you_die``).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.frames import to_float_frame

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
    numbers = to_float_frame(features, CLV_FEATURES, frame_name="customer_features")
    return numbers.to_numpy(dtype=np.float32)


def column_of(matrix: Matrix, name: str) -> Floats:
    """One column of a matrix of ``CLV_FEATURES``, in double precision."""
    return matrix[:, CLV_FEATURES.index(name)].astype(np.float64)


def add_ratios(matrix: Matrix) -> list[Floats]:
    """``RATIOS``: silence against the customer's own gap, and the active share of the tenure."""
    silence = np.maximum(column_of(matrix, "days_since_last_order"), 0)
    gap = np.maximum(column_of(matrix, "average_days_between_orders"), 0)
    tenure = np.maximum(column_of(matrix, "tenure_days"), 0)
    return [(silence + 1) / (gap + 1), column_of(matrix, "recency_days") / (tenure + 1)]
