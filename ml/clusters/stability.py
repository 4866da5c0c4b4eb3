"""Whether this month's clusters are those of last month.

Add here: how two groupings are compared, and the gate. Not here: what is kept when it is shut.
"""

from dataclasses import dataclass

import pandas as pd
from sklearn.metrics import adjusted_rand_score

from ml.clusters.config import ClusterConfig
from ml.frames import refuse_duplicate_keys, require_columns

__all__ = ["Stability", "adjusted_rand_index", "judge_stability"]

_COLUMNS = ("customer_id", "cluster_number")


@dataclass(frozen=True)
class Stability:
    """How this month's grouping compares with last month's."""

    common_customers: int
    index: float | None  # None where too few customers are in both
    is_stable: bool
    reason: str


def adjusted_rand_index(before: pd.DataFrame, after: pd.DataFrame) -> tuple[float, int]:
    """Agreement of two groupings on the customers both have, and how many those are.

    1 when they group the same, about 0 for chance, below 0 for worse; what the groups are called
    does not count (Hubert and Arabie, 1985).
    """
    for frame, name in ((before, "last month's clusters"), (after, "this month's clusters")):
        require_columns(frame, _COLUMNS, frame_name=name)
        refuse_duplicate_keys(frame, ["customer_id"], frame_name=name)
    common = before[list(_COLUMNS)].merge(after[list(_COLUMNS)], on="customer_id")
    if common.empty:
        return 0.0, 0
    index = adjusted_rand_score(common["cluster_number_x"], common["cluster_number_y"])
    return round(float(index), 6), len(common)


def judge_stability(
    before: pd.DataFrame, after: pd.DataFrame, config: ClusterConfig | None = None
) -> Stability:
    """The gate: this month's clusters are used only if they are still those of last month."""
    config = config or ClusterConfig()
    index, common = adjusted_rand_index(before, after)
    least = config.min_adjusted_rand_index
    if common < config.min_common_customers:
        reason = (
            f"only {common} customers are in both months; needed are {config.min_common_customers}"
        )
        return Stability(common, None, False, reason)
    is_stable = index >= least
    sign = "at least" if is_stable else "below"
    reason = f"adjusted Rand index {index:.3f} of {common} customers, {sign} {least:g}"
    return Stability(common, index, is_stable, reason)
