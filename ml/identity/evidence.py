"""From components to clusters, with the evidence for and against.

Add here: how edges, refusals and labels are told in numbers.
Not here: tables of names (``resolution``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.identity.constrained import Constraints, Cut, Refusal, cut_components
from ml.identity.links import DropReason, Links, Members, gather_members
from ml.identity.overrides import LINK, Decisions
from ml.identity.semantics import MAX_STRENGTH, OVERRIDE_KIND, IdentifierKind
from ml.identity.sightings import CodedSightings, Flags, Ints, ValueGroups

__all__ = [
    "OVERRIDE_STRENGTH",
    "Conflicts",
    "Evidence",
    "Limits",
    "refused_pairs",
    "settle_conflicts",
]

OVERRIDE_STRENGTH = MAX_STRENGTH + 1  # a person who decides is stronger than any identifier


@dataclass(frozen=True)
class Limits:
    """Most accounts of a cluster (``None``: any number), most people that may share a value."""

    accounts: int | None
    people: int


@dataclass(frozen=True)
class Surplus:
    """A value of a unique kind given up by an account that has another one."""

    code: int
    other: int | None  # smallest of the accounts it would have been linked to
    row: int  # a sighting with the value
    seen_from: int
    seen_to: int


@dataclass(frozen=True)
class Crowds:
    """Values that prove nothing, because many people hold them.

    Attributes:
        members: Their accounts.
        people: Least number of people each of these groups has.
    """

    members: Members
    people: dict[int, int]


@dataclass(frozen=True)
class Conflicts:
    """What became of the components that were looked at closely.

    Attributes:
        members: Accounts of their groups; without crowds and what accounts gave up.
        rows: A sighting of each group; -1 for a link made by a person.
        cut: Where each member went.
        surplus: What accounts gave up.
        crowds: Groups that link nobody.
    """

    members: Members
    rows: Ints
    cut: Cut
    surplus: list[Surplus]
    crowds: Crowds


@dataclass(frozen=True)
class Evidence:
    """All that edges and dropped evidence are told from."""

    coded: CodedSightings
    kinds: Sequence[IdentifierKind]
    links: Links
    decisions: Decisions
    is_hot: Flags  # per linking group: its component was looked at closely
    is_hot_decision: Flags  # per linked pair
    conflicts: Conflicts


def settle_conflicts(
    coded: CodedSightings,
    kinds: Sequence[IdentifierKind],
    links: Links,
    decisions: Decisions,
    component: Ints,
    is_flagged: Flags,
    limits: Limits,
) -> tuple[Ints, Evidence]:
    """Cluster of each account (its smallest account), and the evidence."""
    groups = links.groups
    is_hot = is_flagged[component[coded.code[groups.first]]]
    is_hot_decision = is_flagged[component[decisions.linked[:, 0]]]
    hot = groups.select(is_hot)
    members = gather_members(coded, hot)
    labels, surplus_rows = _choose_labels(coded, kinds, links, is_flagged[component])
    members, surplus = _give_up(coded, hot, members, surplus_rows)
    members, crowds = _leave_out_crowds(members, labels, limits)
    members, rows = _add_decisions(members, hot, decisions, is_hot_decision)
    order = _order_members(coded, kinds, members, rows)
    constraints = Constraints(labels, _apart(decisions), limits.accounts, limits.people)
    cut = cut_components(members, order, constraints)
    cluster = component.copy()
    is_open = is_flagged[component]
    cluster[is_open] = np.flatnonzero(is_open)
    smallest = np.full(coded.account_count, coded.account_count, np.int64)
    np.minimum.at(smallest, cut.root, members.code)
    cluster[members.code] = smallest[cut.root]
    conflicts = Conflicts(members, rows, cut, surplus, crowds)
    return cluster, Evidence(coded, kinds, links, decisions, is_hot, is_hot_decision, conflicts)


def refused_pairs(conflicts: Conflicts) -> list[tuple[Refusal, int, int]]:
    """Each refusal with the places, in ``members``, of the smallest account of either part."""
    smallest: dict[tuple[int, int], int] = {}
    group, part = conflicts.members.group.tolist(), conflicts.cut.part.tolist()
    for place, key in enumerate(zip(group, part, strict=True)):
        smallest.setdefault(key, place)
    return [
        (one, smallest[one.group, one.part], smallest[one.group, one.other_part])
        for one in conflicts.cut.refusals
    ]


@dataclass(frozen=True)
class _SurplusRow:
    row: int
    seen_from: int
    seen_to: int


_SurplusRows = dict[tuple[int, int, str], _SurplusRow]  # by account, kind and value


def _choose_labels(
    coded: CodedSightings, kinds: Sequence[IdentifierKind], links: Links, is_open: Flags
) -> tuple[dict[int, dict[str, int]], _SurplusRows]:
    """The value of each unique kind an account stands for: the one seen last."""
    is_unique = np.array([kind.is_unique for kind in kinds], np.bool_)
    wanted = is_unique[coded.kind] & is_open[coded.code] & ~coded.is_excluded
    wanted[links.dropped[DropReason.JUNK_VALUE].rows] = False
    rows = np.flatnonzero(wanted)
    texts = coded.value.take(pa.array(rows)).to_pylist()
    spans: _SurplusRows = {}
    columns = (coded.code, coded.kind, coded.seen_from, coded.seen_to)
    listed = (column[rows].tolist() for column in columns)
    for row, text, code, kind, begin, end in zip(rows.tolist(), texts, *listed, strict=True):
        known = spans.get((code, kind, text))
        if known is not None:
            begin, end = min(begin, known.seen_from), max(end, known.seen_to)
        spans[code, kind, text] = _SurplusRow(row, begin, end)
    number = {text: place for place, text in enumerate(sorted(set(texts)))}
    labels: dict[int, dict[str, int]] = {}
    surplus: _SurplusRows = {}
    newest_first = sorted(spans.items(), key=lambda i: (-i[1].seen_to, -i[1].seen_from, i[0]))
    for (code, kind, text), span in newest_first:
        values = labels.setdefault(code, {})
        if kinds[kind].name in values:
            surplus[code, kind, text] = span
        else:
            values[kinds[kind].name] = number[text]
    return labels, surplus


def _give_up(
    coded: CodedSightings, hot: ValueGroups, members: Members, given_up: _SurplusRows
) -> tuple[Members, list[Surplus]]:
    """Takes accounts out of the groups of values they gave up."""
    if not given_up:
        return members, []
    values = coded.value.take(pa.array(hot.first)).to_pylist()
    kind = coded.kind[hot.first].tolist()
    starts = np.append(members.starts, len(members))
    others: dict[tuple[int, int, str], int] = {}
    is_kept = np.ones(len(members), np.bool_)
    codes = {code for code, _, _ in given_up}
    for place in np.flatnonzero(np.isin(members.code, list(codes))).tolist():
        group, code = int(members.group[place]), int(members.code[place])
        key = (code, kind[group], values[group])
        if key not in given_up:
            continue
        is_kept[place] = False
        first = int(starts[group])
        other = int(members.code[first if first != place else first + 1])
        others[key] = min(other, others.get(key, other))
    surplus = [
        Surplus(key[0], others.get(key), span.row, span.seen_from, span.seen_to)
        for key, span in given_up.items()
    ]
    return members.select(is_kept), surplus


def _leave_out_crowds(
    members: Members, labels: dict[int, dict[str, int]], limits: Limits
) -> tuple[Members, Crowds]:
    """Takes away values that more people hold than may share one, whoever they are.

    Accounts without a label would else be given to any of those people.
    """
    sizes = np.bincount(members.group)
    people = {}
    for group in np.flatnonzero(sizes > limits.people).tolist():
        codes = members.code[np.searchsorted(members.group, [group])[0] :][: sizes[group]]
        count = _count_people(codes.tolist(), labels, limits.accounts)
        if count > limits.people:
            people[group] = count
    is_crowd = np.isin(members.group, list(people))
    return members.select(~is_crowd), Crowds(members.select(is_crowd), people)


def _count_people(
    codes: Sequence[int], labels: dict[int, dict[str, int]], account_limit: int | None
) -> int:
    """At least so many: as many as values of a unique kind, as clusters that can hold them."""
    values: dict[str, set[int]] = {}
    for code in codes:
        for kind, value in labels.get(code, {}).items():
            values.setdefault(kind, set()).add(value)
    least = 1 if account_limit is None else -(-len(codes) // account_limit)
    return max([least, *map(len, values.values())])


def _add_decisions(
    members: Members, hot: ValueGroups, decisions: Decisions, is_hot: Flags
) -> tuple[Members, Ints]:
    """Links made by people are groups of two."""
    pairs, at = decisions.linked[is_hot], decisions.linked_at[is_hot]
    group = np.repeat(len(hot) + np.arange(len(pairs)), 2)
    joined = Members(
        np.concatenate([members.group, group]),
        np.concatenate([members.code, pairs.ravel()]),
        np.concatenate([members.seen_from, np.repeat(at, 2)]),
        np.concatenate([members.seen_to, np.repeat(at, 2)]),
    )
    return joined, np.concatenate([hot.first, np.full(len(pairs), -1)])


def _order_members(
    coded: CodedSightings, kinds: Sequence[IdentifierKind], members: Members, rows: Ints
) -> Ints:
    """Strongest kind, newest sighting, then the alphabet: the same for any order of the input."""
    is_decision = rows < 0
    kind = np.where(is_decision, len(kinds), coded.kind[rows])
    strength = np.array([*(k.strength for k in kinds), OVERRIDE_STRENGTH])[kind]
    rank = np.zeros(len(rows), np.int64)
    rank[_alphabetical(coded, kinds, members, rows)] = np.arange(len(rows))
    group = members.group
    return np.lexsort(
        (members.code, rank[group], -members.seen_from, -members.seen_to, -strength[group])
    )


def _alphabetical(
    coded: CodedSightings, kinds: Sequence[IdentifierKind], members: Members, rows: Ints
) -> Ints:
    """Groups by kind, value, first sighting and smallest account."""
    is_decision = rows < 0
    names = [*(kind.name for kind in kinds), OVERRIDE_KIND]
    rank = np.argsort(np.argsort(names))
    values = coded.value.take(pa.array(rows, mask=is_decision))
    starts = members.starts
    begin, smallest = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    begin[members.group[starts]] = members.seen_from[starts]
    smallest[members.group[starts]] = members.code[starts]
    table = pa.table(
        {
            "kind": rank[np.where(is_decision, len(kinds), coded.kind[rows])],
            "value": pc.fill_null(values, LINK),
            "begin": begin,
            "smallest": smallest,
        }
    )
    keys = [(name, "ascending") for name in table.column_names]
    order: Ints = pc.sort_indices(table, sort_keys=keys).to_numpy()
    return order


def _apart(decisions: Decisions) -> dict[int, dict[int, str]]:
    apart: dict[int, dict[int, str]] = {}
    for (one, other), action in zip(decisions.apart.tolist(), decisions.apart_action, strict=True):
        apart.setdefault(one, {})[other] = action
        apart.setdefault(other, {})[one] = action
    return apart
