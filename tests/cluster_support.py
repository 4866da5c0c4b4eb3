"""Customers of three kinds that any look would tell apart.

Add here: what several tests of clusters need. Not here: assertions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.clusters import CLUSTER_FEATURES

# Typical figures of three kinds of customers, in the order of CLUSTER_FEATURES.
KINDS = {
    "regular": (5, 12, 4000, 330, 25, 60, 12),
    "browser": (40, 2, 300, 150, 30, 150, 10),
    "gone": (250, 1, 90, 90, 0, 0, 0),
}


def plant(
    size: int = 80, seed: int = 1, kinds: dict[str, tuple[float, ...]] = KINDS
) -> pd.DataFrame:
    """``size`` customers of each kind, spread around it by about a fifth."""
    rng = np.random.default_rng(seed)
    rows = [
        [f"{kind}-{number:03}", *np.array(typical) * rng.lognormal(0, 0.2, len(typical))]
        for kind, typical in kinds.items()
        for number in range(size)
    ]
    return pd.DataFrame(rows, columns=["customer_id", *CLUSTER_FEATURES])
