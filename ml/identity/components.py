"""Connected components, and those of them that may not stay whole.

Add here: a reason to look at a component closely.
Not here: what is then done with it (``constrained``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from ml.identity.overrides import Decisions
from ml.identity.semantics import IdentifierKind
from ml.identity.sightings import CodedSightings, Flags, Ints, ValueGroups

__all__ = ["find_components", "find_conflicts"]


def find_components(coded: CodedSightings, groups: ValueGroups, decisions: Decisions) -> Ints:
    """Smallest account of each account's component, before any constraint.

    Groups and accounts are the two sides of one bipartite graph: a group of n accounts costs n
    edges, and sorted groups are already the rows of a sparse matrix.
    """
    count, group_count = coded.account_count, len(groups) + len(decisions.linked)
    if not group_count:
        return np.arange(count, dtype=np.int32)
    members = np.concatenate([coded.code[groups.rows], decisions.linked.ravel()])
    ends = groups.starts[-1] + 2 * np.arange(1, len(decisions.linked) + 1)
    # One index space: accounts first, then groups; only the rows of groups have entries.
    starts = np.concatenate([np.zeros(count, np.int64), groups.starts, ends])
    index_type = np.int32 if max(len(members), count + group_count) < 2**31 else np.int64
    matrix = csr_array(
        (np.ones(len(members)), members.astype(index_type), starts.astype(index_type)),
        shape=(count + group_count, count + group_count),
    )
    component_count, labels = connected_components(matrix, directed=False)
    labels = labels[:count]
    smallest = np.zeros(component_count, np.int32)
    smallest[labels[::-1]] = np.arange(count - 1, -1, -1)  # of equal places the last one stays
    component: Ints = smallest[labels]
    return component


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
