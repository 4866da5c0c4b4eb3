"""Why a customer may leave: what pushes the score up, grouped into reasons people use.

Add here: a reason, which inputs belong to it, what must be true before it is told. Not here: what
it is called (``seeds/churn_reasons.csv``), how a push is measured (``blend``).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ml.churn.features import Matrix, column_of

__all__ = ["CHURN_REASONS", "NO_REASON", "REASON_COUNT", "group_by_reason", "rank_reasons"]

REASON_COUNT = 3
NO_REASON: Final = -1

# Only together do these speak: many orders in a long time may be few.
_PACE = (
    "order_count", "frequency_days", "days_since_first_order", "tenure_days", "recency_days",
    "active_share",
)  # fmt: skip
_INPUTS_OF = {
    "long_silence": (
        "days_since_last_order", "silence_ratio", "average_days_between_orders",
        "median_days_between_orders", "days_between_orders_stddev",
    ),
    "few_recent_orders": ("order_count_90d", "order_count_180d", "order_count_365d"),
    # Two words for one push: which of them is true of the customer is told.
    "single_purchase": _PACE,
    "rare_purchases": _PACE,
    "low_spend": ("spend_amount", "monetary_value", "average_order_amount", "last_order_amount"),
    "falling_spend": ("spend_90d_amount", "spend_180d_amount", "spend_365d_amount"),
    "refunds": ("refund_amount", "refund_share_pct", "refund_180d_amount"),
    "narrow_range": (
        "product_count", "category_count", "channel_count", "average_lines_per_order",
    ),
    "fewer_visits": (
        "visit_count_30d", "visit_count_90d", "active_day_count_30d", "active_day_count_90d",
        "interaction_count_30d", "interaction_monthly_mean", "days_since_last_interaction",
    ),
    "fading_interest": (
        "product_view_count_90d", "cart_added_count_90d", "favourite_added_count_90d",
    ),
    "complaints": ("ticket_count_90d", "complaint_count_180d"),
    "low_ratings": ("low_rating_count_180d",),
    "late_parcels": ("late_parcel_count_180d",),
    "discount_dependence": ("discount_share_pct",),
    "off_season": ("order_count_same_season",),
    "unread_messages": ("message_response_count_90d",),
}  # fmt: skip
CHURN_REASONS = tuple(_INPUTS_OF)

# What must be so before a reason is told: a score may rise for a customer without any parcel, but
# "late parcels" would be a lie. An absent number does not contradict. Reasons that are not here say
# "less than others", which the push itself measures.
_IS_SO: dict[str, Callable[[Matrix], NDArray[np.bool_]]] = {
    "long_silence": lambda inputs: ~(column_of(inputs, "silence_ratio") <= 1),
    "single_purchase": lambda inputs: ~(column_of(inputs, "order_count") > 1),
    "rare_purchases": lambda inputs: column_of(inputs, "order_count") > 1,
    "falling_spend": lambda inputs: (
        4 * column_of(inputs, "spend_90d_amount") < column_of(inputs, "spend_365d_amount")
    ),
    "refunds": lambda inputs: column_of(inputs, "refund_amount") > 0,
    "fewer_visits": lambda inputs: (
        ~(
            column_of(inputs, "interaction_count_30d")
            > column_of(inputs, "interaction_monthly_mean")
        )
    ),
    "complaints": lambda inputs: (
        (column_of(inputs, "ticket_count_90d") > 0)
        | (column_of(inputs, "complaint_count_180d") > 0)
    ),
    "low_ratings": lambda inputs: column_of(inputs, "low_rating_count_180d") > 0,
    "late_parcels": lambda inputs: column_of(inputs, "late_parcel_count_180d") > 0,
    "discount_dependence": lambda inputs: column_of(inputs, "discount_share_pct") > 0,
    "off_season": lambda inputs: column_of(inputs, "order_count_same_season") == 0,
    "unread_messages": lambda inputs: column_of(inputs, "message_response_count_90d") == 0,
}


def group_by_reason(names: tuple[str, ...]) -> Matrix:
    """Return the 0/1 matrix [inputs × reasons] that adds pushes of inputs up to their reasons."""
    belongs = [[name in inputs for inputs in _INPUTS_OF.values()] for name in names]
    return np.array(belongs, dtype=np.float32).reshape(len(names), len(CHURN_REASONS))


def rank_reasons(pushes: Matrix, inputs: Matrix, *, min_push: float) -> NDArray[np.int8]:
    """Return the ``REASON_COUNT`` largest pushes per row as places in ``CHURN_REASONS``.

    Args:
        pushes: Log-odds each reason adds to the score of an average customer; is written over.
        inputs: ``TREE_FEATURES`` of the same rows.
        min_push: Smaller pushes are no reason.
    """
    for place, reason in enumerate(CHURN_REASONS):
        if reason in _IS_SO:
            pushes[~_IS_SO[reason](inputs), place] = -np.inf
    rows = np.arange(len(pushes))
    ranked = np.empty((len(pushes), REASON_COUNT), dtype=np.int8)
    for rank in range(REASON_COUNT):
        best = pushes.argmax(axis=1)
        is_reason = pushes[rows, best] >= min_push
        ranked[:, rank] = np.where(is_reason, best, NO_REASON)
        pushes[rows, best] = -np.inf
    return ranked
