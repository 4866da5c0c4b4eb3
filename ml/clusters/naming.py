"""Numbers and names of clusters, by what their customers do.

Add here: how a profile is called. Not here: what the clusters are (``model``).

A cluster is called by its centre alone, so that next month's cluster of the same kind has the same
name, whatever order the algorithm found it in.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from ml.clusters.config import ClusterConfig
from ml.clusters.features import CLUSTER_FEATURES, RECENCY, SPEND, VIEWS

__all__ = ["name_centres", "order_centres"]

Floats = NDArray[np.float64]


def order_centres(centres: Floats) -> Floats:
    """The most valuable first: spend and orders, less silence; then the numbers themselves."""
    places = {name: place for place, name in enumerate(CLUSTER_FEATURES)}
    value = centres[:, places[SPEND]] + centres[:, places["order_count_in_window"]]
    value = value - centres[:, places[RECENCY]]
    order = sorted(range(len(centres)), key=lambda row: (-value[row], tuple(centres[row])))
    ordered: Floats = centres[order]
    return ordered


def name_centres(centres: Floats, config: ClusterConfig) -> tuple[str, ...]:
    """One name per centre, in their order: spend, silence, and browsing where it stands out."""
    names = [_name(dict(zip(CLUSTER_FEATURES, row, strict=True)), config) for row in centres]
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return tuple(unique)


def _name(centre: dict[str, float], config: ClusterConfig) -> str:
    def band(feature: str, high: str, middle: str, low: str) -> str:
        if centre[feature] >= config.high_from:
            return high
        return low if centre[feature] <= config.low_to else middle

    words = [
        band(SPEND, "high_spend", "middle_spend", "low_spend"),
        band(RECENCY, "silent", "", "recent"),
        band(VIEWS, "browsing", "", ""),
    ]
    return "_".join(word for word in words if word)
