"""Simulated customers with a known truth.

Add here: purchases and features that tests of models and of scoring share. Not here: tests.
"""

import numpy as np
import pandas as pd

from ml.churn import CHURN_FEATURES

FIRST_DAY = pd.Timestamp("2024-01-01")
HORIZON_DAYS = 90


def simulate_purchase_days(customer_count: int, seed: int) -> pd.DataFrame:
    """Customers who buy at their own pace and leave for ever after some purchase."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(1.0, 1 / 25, customer_count)
    leaving = rng.beta(1.0, 4.0, customer_count)
    starts = rng.integers(0, 400, customer_count)
    values = rng.gamma(8.0, 10.0, customer_count)
    rows = []
    for number in range(customer_count):
        day = float(starts[number])
        while day < 800:
            rows.append((f"c{number:05}", int(day), values[number] * rng.gamma(5, 0.2)))
            if rng.random() < leaving[number]:
                break
            day += rng.exponential(1 / rates[number])
    days = pd.DataFrame(rows, columns=["customer_id", "day", "amount"])
    return days.groupby(["customer_id", "day"], as_index=False)["amount"].sum()


def count_features(days: pd.DataFrame, cutoff_day: int) -> pd.DataFrame:
    """``customer_features`` of one cut-off, with labels; one order per purchase day."""
    past = days[days["day"] <= cutoff_day].copy()
    is_next = (days["day"] > cutoff_day) & (days["day"] <= cutoff_day + HORIZON_DAYS)
    past["gap"] = past.groupby("customer_id")["day"].diff()
    past["repeat_amount"] = past["amount"].where(past["gap"].notna())
    grouped = past.groupby("customer_id")
    count, first, last = grouped.size(), grouped["day"].min(), grouped["day"].max()
    features = pd.DataFrame(
        {
            "cutoff_date": FIRST_DAY + pd.Timedelta(days=cutoff_day),
            "order_count": count,
            "days_since_last_order": cutoff_day - last,
            "days_since_first_order": cutoff_day - first,
            "frequency_days": count - 1,
            "recency_days": last - first,
            "tenure_days": cutoff_day - first,
            "monetary_value": grouped["repeat_amount"].mean(),
            "spend_amount": grouped["amount"].sum(),
            "average_order_amount": grouped["amount"].mean(),
            "average_days_between_orders": grouped["gap"].mean(),
            "days_between_orders_stddev": grouped["gap"].std(),
            "refund_amount": 0.0,
            "refund_share_pct": 0.0,
            "product_count": count + 1,
            "average_lines_per_order": 2.0,
            "last_order_amount": grouped["amount"].last(),
            "median_days_between_orders": grouped["gap"].median(),
            "refund_180d_amount": 0.0,
        }
    )
    for window in (90, 180, 365):
        recent = past[past["day"] > cutoff_day - window].groupby("customer_id")["amount"]
        features[f"order_count_{window}d"] = recent.size().reindex(count.index, fill_value=0)
        features[f"spend_{window}d_amount"] = recent.sum().reindex(count.index, fill_value=0.0)
    season = past["day"].between(cutoff_day - 364, cutoff_day - 365 + HORIZON_DAYS)
    features["order_count_same_season"] = (
        past[season].groupby("customer_id").size().reindex(count.index, fill_value=0)
    )
    # A shop that knows nothing but orders: whatever comes from other channels is null.
    features = features.reindex(columns=list(dict.fromkeys([*features, *CHURN_FEATURES])))
    future = days[is_next].groupby("customer_id")["amount"]
    features["label_order_count"] = future.size().reindex(count.index, fill_value=0)
    features["label_spend_amount"] = future.sum().reindex(count.index, fill_value=0.0)
    return features.rename_axis("customer_id").reset_index()


def build_panel(customer_count: int, seed: int = 1) -> pd.DataFrame:
    """``customer_features`` at seven cut-offs, sixty days apart."""
    days = simulate_purchase_days(customer_count, seed)
    return pd.concat(
        [count_features(days, cutoff) for cutoff in range(240, 601, 60)], ignore_index=True
    )
