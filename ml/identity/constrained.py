"""Clusters of components that may not stay whole.

Add here: what two clusters need to become one.
Not here: finding the components (``graph``), guards on one value (``links``).

Kruskal's algorithm with cannot-link constraints: edges come in order of strength, then of the
newest sighting, then by the alphabet; an edge whose ends may not be together is left out. So of
the edges that contradict each other the weakest goes, whatever the order of the input.
A group that fell into as many parts as people may share a value takes no more: who fits none of
them is left alone, so that n accounts cost n tries of each part and not of one another.
Sources: Kruskal (1956), Proceedings of the AMS 7(1), 48-50; cannot-link: Wagstaff et al. (2001),
"Constrained K-means Clustering with Background Knowledge", ICML.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        part_limit: Most parts of a group that accounts may join.
    """

    labels: dict[int, dict[str, int]] = field(default_factory=dict)
    apart: dict[int, dict[int, str]] = field(default_factory=dict)
    limit: int | None = None
    part_limit: int = 100


@dataclass(frozen=True)
class Cut:
    """Result: where each member went.

    Attributes:
        part: Part of its group each member is in; parts of one group are in different clusters.
        root: Some account of the member's cluster, the same for all of them.
        refusals: Every pair of parts that could be joined, with the reason found first; each of
            the others once, beside the first part.
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
    accounts, numbers = np.unique(members.code, return_inverse=True)
    forest = _Forest(accounts.tolist(), constraints)
    part_limit, crowded = constraints.part_limit, str(constraints.part_limit)
    part = [0] * len(members)
    parts: list[list[int]] = [[] for _ in range(int(members.group.max(initial=-1)) + 1)]
    left_over: dict[int, int] = {}
    refusals: list[Refusal] = []
    groups, ordered = members.group[order].tolist(), numbers[order].tolist()
    for place, group, account in zip(order.tolist(), groups, ordered, strict=True):
        held = parts[group]
        verdicts: list[Verdict] = []
        for number, representative in enumerate(held):
            verdict = forest.unite(representative, account)
            if verdict is None:
                part[place] = number
                break
            verdicts.append(verdict)
        else:
            if len(held) < part_limit:
                number = len(held)
                refusals += [Refusal(group, n, number, v) for n, v in enumerate(verdicts)]
                held.append(account)
            else:
                number = left_over[group] = left_over.get(group, part_limit - 1) + 1
                verdict = Verdict(DropReason.TOO_MANY_PEOPLE, crowded)
                refusals.append(Refusal(group, 0, number, verdict))
            part[place] = number
    roots = np.array([forest.find(number) for number in range(len(accounts))], np.int64)
    return Cut(np.array(part, np.int64), accounts[roots[numbers]], refusals)


class _Forest:
    """Union-find (by size, path halving) that refuses what the constraints forbid.

    Accounts are called by their places among those that take part.
    """

    def __init__(self, accounts: Sequence[int], constraints: Constraints) -> None:
        self._parent = list(range(len(accounts)))
        self._size = [1] * len(accounts)
        labels, self._apart = constraints.labels, _renumber(constraints.apart, accounts)
        self._labels = {n: dict(labels[a]) for n, a in enumerate(accounts) if a in labels}
        self._limit = constraints.limit

    def find(self, account: int) -> int:
        parent = self._parent
        while (above := parent[account]) != account:
            parent[account] = account = parent[above]
        return account

    def unite(self, one: int, other: int) -> Verdict | None:
        """Makes two clusters one, unless there is a reason not to."""
        large, small = self.find(one), self.find(other)
        if large == small:
            return None
        sizes = self._size
        if sizes[large] < sizes[small]:
            large, small = small, large
        if verdict := self._judge(large, small):
            return verdict
        self._parent[small] = large
        sizes[large] += sizes[small]
        _move(self._labels, small, large)
        _move(self._apart, small, large)
        return None

    def _judge(self, large: int, small: int) -> Verdict | None:
        if actions := self._decisions(large, small):
            return Verdict(DropReason.UNLINKED, min(actions))
        mine, theirs = self._labels.get(large), self._labels.get(small)
        if mine and theirs:
            kinds = [k for k, value in theirs.items() if mine.get(k, value) != value]
            if kinds:
                return Verdict(DropReason.CONFLICT_OF_UNIQUE, min(kinds))
        if self._limit is not None and self._size[large] + self._size[small] > self._limit:
            return Verdict(DropReason.COMPONENT_LIMIT, str(self._limit))
        return None

    def _decisions(self, large: int, small: int) -> list[str]:
        """Actions of people that keep accounts of the two apart."""
        mine, theirs = self._apart.get(large), self._apart.get(small)
        if not mine or not theirs:
            return []
        asked, root = (theirs, large) if len(theirs) <= len(mine) else (mine, small)
        return [action for account, action in asked.items() if self.find(account) == root]


def _renumber(
    apart: dict[int, dict[int, str]], accounts: Sequence[int]
) -> dict[int, dict[int, str]]:
    """The same by places; who takes no part is in nobody's way."""
    if not apart:
        return {}
    number = {account: place for place, account in enumerate(accounts)}
    return {
        number[account]: {number[one]: action for one, action in others.items() if one in number}
        for account, others in apart.items()
        if account in number
    }


def _move(held: dict[int, dict[K, V]], small: int, large: int) -> None:
    """Gives what one has to the other, by adding to the larger dictionary."""
    given = held.pop(small, None)
    if given is None:
        return
    kept = held.get(large, {})
    if len(kept) < len(given):
        kept, given = given, kept
    kept.update(given)
    held[large] = kept
