"""The four numbers the field calls frequency, recency, T and monetary_value.

Add here: their definition and checks. Not here: how they are counted from orders (dbt).

- ``frequency``: purchase days after the first one (same-day purchases are one).
- ``recency``: time from the first to the last purchase day; 0 without a repeat.
- ``T``: time from the first purchase day to the cut-off.
- ``monetary_value``: mean net amount of a purchase day, the first one left out; 0 without a repeat.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import InvalidDataError
from ml.frames import require_columns, to_float_frame

__all__ = ["BTYD_FEATURES", "check_summary", "summarize_customers"]

# Columns of ``customer_features`` and the field's names for them.
_STANDARD_NAMES = {
    "frequency_days": "frequency",
    "recency_days": "recency",
    "tenure_days": "T",
    "monetary_value": "monetary_value",
}
BTYD_FEATURES = tuple(_STANDARD_NAMES)


def summarize_customers(features: pd.DataFrame, *, days_per_time_unit: float) -> pd.DataFrame:
    """Return frequency, recency, T (in time units) and monetary_value, one row per input row.

    A customer without a purchase keeps null frequency, recency and T; a null monetary_value is 0.
    """
    numbers = to_float_frame(features, BTYD_FEATURES, frame_name="customer_features")
    summary = numbers.rename(columns=_STANDARD_NAMES)
    summary[["recency", "T"]] = summary[["recency", "T"]] / days_per_time_unit
    summary["monetary_value"] = summary["monetary_value"].fillna(0.0)
    return summary


def check_summary(summary: pd.DataFrame) -> None:
    """Refuse rows no customer can have.

    Raises:
        MissingColumnsError: frequency, recency or T is absent.
        InvalidDataError: Null, negative, recency beyond T, or recency without a repeat.
    """
    require_columns(summary, ("frequency", "recency", "T"), frame_name="customer summary")
    frequency, recency, tenure = (
        summary[name].to_numpy(dtype=np.float64) for name in ("frequency", "recency", "T")
    )
    broken_rules: dict[str, NDArray[np.bool_]] = {
        "a value is null or infinite": ~np.isfinite(frequency + recency + tenure),
        "frequency is no whole number ≥ 0": (frequency < 0) | (frequency != np.floor(frequency)),
        "recency is not between 0 and T": (recency < 0) | (recency > tenure),
        "recency is above 0 without a repeat purchase": (frequency == 0) & (recency > 0),
    }
    for rule, broken in broken_rules.items():
        if broken.any():
            raise InvalidDataError(
                f"customer summary: {rule} in {int(broken.sum())} rows, first at position "
                f"{int(np.argmax(broken))}",
                remedy="correct frequency_days, recency_days and tenure_days in customer_features",
            )
