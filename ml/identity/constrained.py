"""Clusters of components that may not stay whole.

Add here: what two clusters need to become one.
Not here: finding the components (``graph``), guards on one value (``links``).

Kruskal's algorithm with cannot-link constraints: edges come in order of strength, then of the
newest sighting, then by the alphabet; an edge whose ends may not be together is left out. So of
the edges that contradict each other the weakest goes, whatever the order of the input.
Sources: Kruskal (1956), Proceedings of the AMS 7(1), 48-50; cannot-link: Wagstaff et al. (2001),
"Constrained K-means Clustering with Background Knowledge", ICML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from ml.identity.links import DropReason, Members
from ml.identity.sightings import Ints

K = TypeVar("K")
V = TypeVar("V")

__all__ = ["Constraints", "Cut", "Refusal", "Verdict", "cut_components"]


class Verdict(NamedTuple):
    """Why two clusters stay two."""

    reason: DropReason
    detail: str


class Refusal(NamedTuple):
    """Two parts of one group that stay apart."""

    group: int
    part: int
    other_part: int
    verdict: Verdict


@dataclass(frozen=True)
class Constraints:
    """What must hold in every cluster.

    Attributes:
        labels: Value of each unique kind, by account: ``{account: {kind: value}}``.
        apart: Accounts that people keep apart, with the action: ``{account: {account: action}}``.
        limit: Most accounts of a cluster; ``None``: any number.
    """

    labels: dict[int, dict[str, int]] = field(default_factory=dict)
    apart: dict[int, dict[int, str]] = field(default_factory=dict)
    limit: int | None = None


@dataclass(frozen=True)
class Cut:
    """Result: where each member went.

    Attributes:
        part: Part of its group each member is in; parts of one group are in different clusters.
        root: Some account of the member's cluster, the same for all of them.
        refusals: Every pair of parts, with the reason found first.
    """

    part: Ints
    root: Ints
    refusals: list[Refusal]


def cut_components(members: Members, order: Ints, constraints: Constraints) -> Cut:
    """Clusters within groups of accounts that equal values put together.

    Args:
        members: Accounts of each group.
        order: Places in ``members``, strongest first. The first account of a group is its first
            part; each later one joins the first part it may join, else it is a part of its own.
        constraints: What must hold.
    """
    forest = _Forest(constraints)
    part = np.zeros(len(members), np.int64)
    parts: dict[int, list[int]] = {}
    refusals: list[Refusal] = []
    groups, codes = members.group[order].tolist(), members.code[order].tolist()
    for place, group, account in zip(order.tolist(), groups, codes, strict=True):
        held = parts.setdefault(group, [])
        verdicts: list[Verdict] = []
        for number, representative in enumerate(held):
            verdict = forest.unite(representative, account)
            if verdict is None:
                part[place] = number
                break
            verdicts.append(verdict)
        else:
            part[place] = len(held)
            refusals += [Refusal(group, n, len(held), v) for n, v in enumerate(verdicts)]
            held.append(account)
    roots = [forest.find(account) for account in members.code.tolist()]
    return Cut(part, np.array(roots, np.int64), refusals)


class _Forest:
    """Union-find (by size, path halving) that refuses what the constraints forbid."""

    def __init__(self, constraints: Constraints) -> None:
        self._parent: dict[int, int] = {}
        self._size: dict[int, int] = {}
        self._labels = {a: dict(values) for a, values in constraints.labels.items()}
        self._apart = {a: dict(others) for a, others in constraints.apart.items()}
        self._limit = constraints.limit

    def find(self, account: int) -> int:
        parent = self._parent
        while (above := parent.setdefault(account, account)) != account:
            parent[account] = parent[above]
            account = above
        return account

    def unite(self, one: int, other: int) -> Verdict | None:
        """Makes two clusters one, unless there is a reason not to."""
        large, small = self.find(one), self.find(other)
        if large == small:
            return None
        sizes = self._size
        if sizes.get(large, 1) < sizes.get(small, 1):
            large, small = small, large
        if verdict := self._judge(large, small):
            return verdict
        self._parent[small] = large
        sizes[large] = sizes.get(large, 1) + sizes.get(small, 1)
        self._labels[large] = _joined(self._labels.get(large), self._labels.pop(small, None))
        self._apart[large] = _joined(self._apart.get(large), self._apart.pop(small, None))
        return None

    def _judge(self, large: int, small: int) -> Verdict | None:
        if actions := self._decisions(large, small):
            return Verdict(DropReason.UNLINKED, min(actions))
        mine, theirs = self._labels.get(large, {}), self._labels.get(small, {})
        if kinds := [k for k, value in theirs.items() if mine.get(k, value) != value]:
            return Verdict(DropReason.CONFLICT_OF_UNIQUE, min(kinds))
        size = self._size.get(large, 1) + self._size.get(small, 1)
        if self._limit is not None and size > self._limit:
            return Verdict(DropReason.COMPONENT_LIMIT, str(self._limit))
        return None

    def _decisions(self, large: int, small: int) -> list[str]:
        """Actions of people that keep accounts of the two apart."""
        mine, theirs = self._apart.get(large), self._apart.get(small)
        if not mine or not theirs:
            return []
        asked, root = (theirs, large) if len(theirs) <= len(mine) else (mine, small)
        return [action for account, action in asked.items() if self.find(account) == root]


def _joined(large: dict[K, V] | None, small: dict[K, V] | None) -> dict[K, V]:
    """Both, made by adding to the larger dictionary."""
    large, small = large or {}, small or {}
    if len(large) < len(small):
        large, small = small, large
    large.update(small)
    return large
