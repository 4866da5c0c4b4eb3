"""Connected components, and those of them that may not stay whole.

Add here: a reason to look at a component closely.
Not here: what is then done with it (``constrained``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ml.identity.overrides import Decisions
from ml.identity.semantics import IdentifierKind
from ml.identity.sightings import CodedSightings, Flags, Ints, ValueGroups

__all__ = ["find_components", "find_conflicts"]


def find_components(coded: CodedSightings, groups: ValueGroups, decisions: Decisions) -> Ints:
    """Smallest account of each account's component, before any constraint.

    In each round every account takes the smallest label within its groups, along with all that had
    its own label. Whoever is not the smallest everywhere is taken over in two rounds, so that n
    accounts need some 2 log2(n) rounds, a few in practice; groups that agree leave early.
    Source: Shiloach and Vishkin (1982), "An O(log n) Parallel Connectivity Algorithm", Journal of
    Algorithms 3(1), 57-67.
    """
    label = np.arange(coded.account_count, dtype=np.int32)
    members = np.concatenate([coded.code[groups.rows], decisions.linked.ravel()])
    sizes = np.concatenate([groups.sizes, np.full(len(decisions.linked), 2)])
    while len(sizes):
        starts = np.cumsum(sizes) - sizes
        held = label[members]
        least = np.minimum.reduceat(held, starts)
        is_split = least != np.maximum.reduceat(held, starts)
        is_kept = np.repeat(is_split, sizes)
        members, held, sizes = members[is_kept], held[is_kept], sizes[is_split]
        np.minimum.at(label, held, np.repeat(least[is_split], sizes))
        label = _settle(label)
    return label


def _settle(label: Ints) -> Ints:
    """Each label's own label in its place, until nothing changes."""
    while True:
        found: Ints = label[label]
        if np.array_equal(found, label):
            return label
        label = found


def find_conflicts(
    coded: CodedSightings,
    kinds: Sequence[IdentifierKind],
    component: Ints,
    decisions: Decisions,
    limit: int | None,
) -> Flags:
    """Marks, at its smallest account, each component that may break a constraint.

    Excluded and junk values are counted as evidence of two people here; looking closely at a
    component that turns out to be sound changes nothing about it.
    """
    is_flagged = np.zeros(coded.account_count, np.bool_)
    seen = np.zeros(coded.account_count, np.uint64)
    for number, kind in enumerate(kinds):
        if not kind.is_unique:
            continue
        rows = np.flatnonzero(coded.kind == number)
        of_row, digest = component[coded.code[rows]], coded.high[rows]
        seen[of_row] = digest
        is_flagged[of_row[seen[of_row] != digest]] = True
    one, other = component[decisions.apart[:, 0]], component[decisions.apart[:, 1]]
    is_flagged[one[one == other]] = True
    if limit is not None:
        is_flagged |= np.bincount(component, minlength=len(is_flagged)) > limit
    return is_flagged
