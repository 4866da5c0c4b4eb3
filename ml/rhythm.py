"""A customer's silence and activity against their own rhythm.

Add here: ratios several models read. Not here: counts (dbt model ``customer_features``).
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["active_share", "silence_ratio"]

_Number = TypeVar("_Number", np.float32, np.float64)


def silence_ratio(silence: NDArray[_Number], usual_gap: NDArray[_Number]) -> NDArray[_Number]:
    """Days of silence over the usual gap, both a day longer; null before a second order."""
    found: NDArray[_Number] = (np.maximum(silence, 0) + 1) / (np.maximum(usual_gap, 0) + 1)
    return found


def active_share(recency: NDArray[_Number], tenure: NDArray[_Number]) -> NDArray[_Number]:
    """Share of the days since the first order that lie before the last one."""
    found: NDArray[_Number] = recency / (tenure + 1)
    return found
