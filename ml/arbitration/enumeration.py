"""Small components by trying every subset, many components of one shape at a time.

Add here: nothing that is not exact.
Not here: components too large for it (``solver``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ml.arbitration.layout import Layout
from ml.arbitration.problem import Flags, Ints


def enumerate_components(layout: Layout, components: Ints, *, cells_at_once: int) -> Flags:
    """The best subset of each of ``components``; of equals the one with the earlier messages."""
    chosen = np.zeros(layout.problem.message_count, np.bool_)
    for same in _same_shape(layout, components, cells_at_once):
        messages = layout.messages.table(same, int(layout.messages.sizes[same[0]]))
        best = _best_subset(layout, same, messages)
        bit = np.arange(messages.shape[1] - 1, -1, -1)
        chosen[messages] = (best[:, None] >> bit) & 1 == 0
    return chosen


def _same_shape(layout: Layout, components: Ints, cells_at_once: int) -> Iterator[Ints]:
    """Components with as many messages and limits as each other, as many as fit into memory."""
    sizes, limits = layout.messages.sizes[components], layout.limits.sizes[components]
    order = np.lexsort((components, limits, sizes))
    changes = (np.diff(sizes[order]) != 0) | (np.diff(limits[order]) != 0)
    for same in np.split(order, np.flatnonzero(changes) + 1):
        if len(same):
            step = max(1, cells_at_once >> int(sizes[same[0]]))
            for start in range(0, len(same), step):
                yield components[same[start : start + step]]


def _best_subset(layout: Layout, same: Ints, messages: Ints) -> Ints:
    problem = layout.problem
    limits = layout.limits.table(same, int(layout.limits.sizes[same[0]]))
    rows, line = layout.rows.rows(same)
    weight = np.zeros((limits.shape[1], *messages.shape), np.int64)
    limit_place = layout.limits.place[problem.limit[rows]]
    weight[limit_place, line, layout.messages.place[problem.message[rows]]] = problem.weight[rows]
    total = _subset_sums(problem.value[messages])
    for place, weights in enumerate(weight):
        total[_subset_sums(weights) > problem.capacity[limits[:, place]][:, None]] = -1
    best: Ints = np.argmax(total, axis=1)
    return best


def _subset_sums(numbers: Ints) -> Ints:
    """Sum of every subset of each line; the subset with the earlier members stands first.

    Column k takes the member at place j of n where bit n - 1 - j of k is 0.
    """
    sums = np.zeros((len(numbers), 1), np.int64)
    for column in numbers.T[::-1]:
        sums = np.concatenate([sums + column[:, None], sums], axis=1)
    return sums
