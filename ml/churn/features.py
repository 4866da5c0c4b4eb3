"""What the churn model reads.

Add here: the list of input columns, ratios derived from them, the label. Not here: how the inputs
are counted from orders (dbt model ``customer_features``).
"""

import numpy as np
import pandas as pd

from ml.frames import require_columns, to_float_frame

__all__ = [
    "CHURN_FEATURES",
    "LOGISTIC_FEATURES",
    "build_logistic_inputs",
    "build_tree_inputs",
    "label_churned",
]

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
)
# Few and plain on purpose: the straight line in the blend steadies the trees on small bases.
LOGISTIC_FEATURES = (
    "log_days_since_last_order",
    "log_frequency_days",
    "log_tenure_days",
    "log_spend_amount",
    "log_average_order_amount",
    "log_order_count_90d",
    "log_order_count_365d",
    "log_product_count",
    "log_silence_ratio",
)


def build_tree_inputs(features: pd.DataFrame) -> pd.DataFrame:
    """Return ``CHURN_FEATURES`` as float64 plus two ratios; null stays NaN, which trees read."""
    inputs = to_float_frame(features, CHURN_FEATURES, frame_name="customer_features")
    inputs["silence_ratio"] = _silence_ratio(inputs)
    inputs["active_share"] = inputs["recency_days"] / (inputs["tenure_days"] + 1)
    return inputs


def build_logistic_inputs(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return ``LOGISTIC_FEATURES`` from the tree inputs: logarithms, since counts have long tails.

    Amounts below 0 (more refunded than bought) count as 0.
    """
    logs = {
        f"log_{name}": np.log1p(inputs[name].clip(lower=0))
        for name in (
            "days_since_last_order", "frequency_days", "tenure_days", "spend_amount",
            "average_order_amount", "order_count_90d", "order_count_365d", "product_count",
        )
    }  # fmt: skip
    logs["log_silence_ratio"] = np.log(inputs["silence_ratio"])
    return pd.DataFrame(logs, index=inputs.index)[list(LOGISTIC_FEATURES)]


def label_churned(panel: pd.DataFrame) -> pd.Series:
    """Whether no order followed within the horizon; null where the horizon is not over yet."""
    require_columns(panel, ("label_order_count",), frame_name="customer_features")
    counts = to_float_frame(panel, ("label_order_count",), frame_name="customer_features")
    count = counts["label_order_count"]
    return (count == 0).astype("boolean").mask(count.isna()).rename("churned")


def _silence_ratio(inputs: pd.DataFrame) -> pd.Series:
    """Present silence against the customer's own gap between orders; null before a second order."""
    usual_gap = inputs["average_days_between_orders"].clip(lower=0)
    return (inputs["days_since_last_order"].clip(lower=0) + 1) / (usual_gap + 1)
