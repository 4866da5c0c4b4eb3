"""Groups of records from links between them.

Add here: how links become groups. Not here: where links come from, or the guards of customer ids
(``graph``). A group is named by its smallest member, so that it does not depend on an order.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["connect", "connect_by_mean_weight"]

Positions = NDArray[np.int64]
Weights = NDArray[np.float64]
# A weight beyond these odds (one in a million) adds nothing to a mean.
_CERTAIN_WEIGHT = 20.0


def connect(record_count: int, left: Positions, right: Positions) -> Positions:
    """Smallest member of each record's connected component."""
    ones = np.ones(len(left), dtype=np.int8)
    graph = coo_array((ones, (left, right)), shape=(record_count, record_count))
    _, labels = connected_components(graph.tocsr(), directed=False)
    return _smallest_member(labels.astype(np.int64))


def connect_by_mean_weight(
    record_count: int,
    left: Positions,
    right: Positions,
    weights: Weights,
    *,
    min_link_weight: float,
    min_mean_weight: float,
    absent_weight: float,
) -> Positions:
    """Join by the strongest link first, unless the groups as a whole speak against it.

    Two groups are joined by a link of at least ``min_link_weight`` when the mean weight over all
    pairs across them is at least ``min_mean_weight``; a pair that is not listed counts as
    ``absent_weight``. This is average linkage as a veto on single linkage: one accidental likeness
    does not join two well-known people, and many weak likenesses do not join strangers.
    Ties go to the smaller positions. Groups never reach beyond ``connect``.
    """
    is_link = weights >= min_link_weight
    reachable = connect(record_count, left[is_link], right[is_link])
    sizes = np.bincount(reachable, minlength=record_count)
    # What is alone or a plain pair needs no veto but its own weight.
    is_inside = (reachable[left] == reachable[right]) & (sizes[reachable[left]] > 2)
    groups = _Groups(record_count, absent_weight)
    is_pair = is_link & ~is_inside & (weights >= min_mean_weight)
    for first, second in zip(left[is_pair].tolist(), right[is_pair].tolist(), strict=True):
        groups.join(first, second)
    first, second, weight = left[is_inside], right[is_inside], weights[is_inside]
    capped = np.clip(weight, absent_weight, _CERTAIN_WEIGHT)
    for one, other, value in zip(first.tolist(), second.tolist(), capped.tolist(), strict=True):
        groups.add_evidence(one, other, value)
    order = np.lexsort((second, first, -weight))
    for index in order[: int((weight >= min_link_weight).sum())].tolist():
        groups.join_if(int(first[index]), int(second[index]), min_mean_weight)
    return _smallest_member(np.array([groups.find(i) for i in range(record_count)], dtype=np.int64))


class _Groups:
    """Disjoint sets, each with the sum of weights towards the sets it has evidence about."""

    def __init__(self, record_count: int, absent_weight: float) -> None:
        self._parent = list(range(record_count))
        self._size = [1] * record_count
        self._absent_weight = absent_weight
        # set -> other set -> sum of (weight − absent weight) over listed pairs
        self._evidence: dict[int, dict[int, float]] = {}

    def find(self, record: int) -> int:
        parent = self._parent
        while parent[record] != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    def add_evidence(self, left: int, right: int, weight: float) -> None:
        for one, other in ((left, right), (right, left)):
            toward = self._evidence.setdefault(one, {})
            toward[other] = toward.get(other, 0.0) + weight - self._absent_weight

    def join_if(self, left: int, right: int, min_mean_weight: float) -> None:
        one, other = self.find(left), self.find(right)
        if one == other:
            return
        pair_count = self._size[one] * self._size[other]
        mean = self._absent_weight + self._evidence[one].get(other, 0.0) / pair_count
        if mean >= min_mean_weight:
            self.join(one, other)

    def join(self, left: int, right: int) -> None:
        keep, drop = self.find(left), self.find(right)
        if len(self._evidence.get(keep, ())) < len(self._evidence.get(drop, ())):
            keep, drop = drop, keep
        self._parent[drop] = keep
        self._size[keep] += self._size[drop]
        for other, value in self._evidence.pop(drop, {}).items():
            del self._evidence[other][drop]
            if other != keep:
                for one, two in ((keep, other), (other, keep)):
                    toward = self._evidence[one]
                    toward[two] = toward.get(two, 0.0) + value


def _smallest_member(labels: Positions) -> Positions:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)
