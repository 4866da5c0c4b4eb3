"""What the churn model reads.

Add here: the list of input columns, ratios derived from them, the label. Not here: how the inputs
are counted from orders (dbt model ``customer_features``), what a reason is called (``reasons``).
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml import frames
from ml.errors import InvalidDataError
from ml.frames import require_columns, to_float_frame
from ml.rhythm import active_share, silence_ratio

__all__ = [
    "CHURN_FEATURES",
    "LOGISTIC_FEATURES",
    "TREE_FEATURES",
    "add_ratios",
    "build_logistic_inputs",
    "label_churned",
    "to_matrix",
]

Matrix = NDArray[np.float32]

CHURN_FEATURES = (
    "order_count",
    "days_since_last_order",
    "days_since_first_order",
    "frequency_days",
    "recency_days",
    "tenure_days",
    "monetary_value",
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
    "last_order_amount",
    "median_days_between_orders",
    "order_count_same_season",
    "discount_share_pct",
    "refund_180d_amount",
    "channel_count",
    "category_count",
    "visit_count_30d",
    "visit_count_90d",
    "product_view_count_90d",
    "cart_added_count_90d",
    "favourite_added_count_90d",
    "interaction_count_30d",
    "message_response_count_90d",
    "ticket_count_90d",
    "complaint_count_180d",
    "low_rating_count_180d",
    "late_parcel_count_180d",
    "active_day_count_30d",
    "active_day_count_90d",
    "days_since_last_interaction",
    "interaction_monthly_mean",
)
# The silence against the customer's own gap, and the part of the known time with orders in it.
TREE_FEATURES = (*CHURN_FEATURES, "silence_ratio", "active_share")
_PLACES = {name: place for place, name in enumerate(TREE_FEATURES)}

# Few and plain on purpose: the straight line in the blend steadies the trees on small bases.
_LOGGED = (
    "days_since_last_order",
    "frequency_days",
    "tenure_days",
    "spend_amount",
    "average_order_amount",
    "order_count_90d",
    "order_count_365d",
    "product_count",
    "silence_ratio",
)
LOGISTIC_FEATURES = tuple(f"log_{name}" for name in _LOGGED)


def to_matrix(features: pd.DataFrame) -> Matrix:
    """Return ``CHURN_FEATURES`` as one float32 matrix; null becomes NaN, which trees read.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: A column holds text or an infinite value.
    """
    return frames.to_matrix(features, CHURN_FEATURES)


def add_ratios(matrix: Matrix) -> Matrix:
    """Return ``TREE_FEATURES`` from a matrix of ``CHURN_FEATURES``.

    The silence ratio is null before a second order.
    """
    if matrix.ndim != 2 or matrix.shape[1] != len(CHURN_FEATURES):
        raise InvalidDataError(
            f"the churn model reads {len(CHURN_FEATURES)} columns, but the matrix has the shape "
            f"{matrix.shape}",
            remedy="pass the columns of ChurnModel.features in their order",
        )
    inputs = np.empty((len(matrix), len(TREE_FEATURES)), dtype=np.float32)
    inputs[:, : len(CHURN_FEATURES)] = matrix
    inputs[:, _PLACES["silence_ratio"]] = silence_ratio(
        column_of(matrix, "days_since_last_order"),
        column_of(matrix, "average_days_between_orders"),
    )
    inputs[:, _PLACES["active_share"]] = active_share(
        column_of(matrix, "recency_days"), column_of(matrix, "tenure_days")
    )
    return inputs


def column_of(inputs: Matrix, name: str) -> Matrix:
    """Return one column of ``TREE_FEATURES`` by its name."""
    column: Matrix = inputs[:, _PLACES[name]]
    return column


def build_logistic_inputs(inputs: Matrix) -> Matrix:
    """Return ``LOGISTIC_FEATURES`` from the tree inputs: logarithms, since counts have long tails.

    Amounts below 0 (more refunded than bought) count as 0.
    """
    logs = inputs[:, [_PLACES[name] for name in _LOGGED]]
    silence_ratio = _LOGGED.index("silence_ratio")
    logs[:, silence_ratio] -= 1  # this ratio is never 0, so its logarithm is taken as it is
    np.maximum(logs, 0, out=logs, where=np.arange(len(_LOGGED)) != silence_ratio)
    return np.log1p(logs, out=logs)


def label_churned(panel: pd.DataFrame) -> pd.Series:
    """Whether no order followed within the horizon; null where the horizon is not over yet."""
    require_columns(panel, ("label_order_count",), frame_name="customer_features")
    counts = to_float_frame(panel, ("label_order_count",), frame_name="customer_features")
    count = counts["label_order_count"]
    return (count == 0).astype("boolean").mask(count.isna()).rename("churned")
