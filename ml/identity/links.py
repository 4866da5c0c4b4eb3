"""Which shared values link their accounts, and why the others do not.

Add here: a guard that looks at one value and its holders.
Not here: guards that look at whole components (``constrained``).

What happens to a value follows from its own sightings alone; increments rely on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ml.identity.semantics import IdentifierKind
from ml.identity.sightings import CodedSightings, Flags, Ints, ValueGroups, from_sizes, group_rows

__all__ = ["DropReason", "Gaps", "Links", "Members", "find_links", "gather_members"]

DAY = 86_400_000_000  # microseconds
_FOR_EVER = np.iinfo(np.int64).max


class DropReason(StrEnum):
    """Why evidence was not used."""

    JUNK_VALUE = "junk_value"  # more accounts than any person has
    EXCLUDED = "excluded"  # a pattern says that the value is nobody's
    NOT_LINKING = "not_linking"  # masked, or the receiver's
    RECYCLED = "recycled"  # too long between one account's sightings and the next one's
    CONFLICT_OF_UNIQUE = "conflict_of_unique"  # two values of a kind a person has one of
    COMPONENT_LIMIT = "component_limit"  # the cluster would grow beyond all likelihood
    TOO_MANY_PEOPLE = "too_many_people"  # its accounts are more people than share anything
    UNLINKED = "unlinked"  # a person decided so
    UNKNOWN_ACCOUNT = "unknown_account"  # an override about an account nobody has seen


OF_VALUE = (
    DropReason.JUNK_VALUE,
    DropReason.EXCLUDED,
    DropReason.NOT_LINKING,
    DropReason.RECYCLED,
)


@dataclass(frozen=True)
class Gaps:
    """Silences that end what a value proves: one entry per pair of neighbouring eras."""

    row: Ints  # a sighting with the value
    before: Ints  # smallest account of the earlier era
    after: Ints  # smallest account of the later era
    last_seen: Ints
    seen_again: Ints


@dataclass(frozen=True)
class Links:
    """Shared values after the guards.

    Attributes:
        groups: Each group's accounts belong together, as far as this value goes.
        dropped: Values that link nobody, by reason, with all their sightings.
        gaps: Where recyclable values were cut.
    """

    groups: ValueGroups
    dropped: dict[DropReason, ValueGroups]
    gaps: Gaps


@dataclass(frozen=True)
class Members:
    """Accounts of groups: one entry per group and account, in this order."""

    group: Ints
    code: Ints
    seen_from: Ints
    seen_to: Ints

    def __len__(self) -> int:
        return len(self.group)

    @property
    def starts(self) -> Ints:
        """First entry of each group."""
        return np.flatnonzero(np.append(True, np.diff(self.group) != 0)[: len(self)])

    def select(self, wanted: Flags | Ints) -> Members:
        """Some of the entries, or all in another order."""
        columns = (self.group, self.code, self.seen_from, self.seen_to)
        return Members(*(column[wanted] for column in columns))


def find_links(coded: CodedSightings, kinds: Sequence[IdentifierKind]) -> Links:
    """Groups sightings by value and takes away what proves nothing."""
    shared = group_rows(coded.low, coded.high, coded.code)
    kind = coded.kind[shared.first]
    never = np.array([not k.links for k in kinds], np.bool_)[kind]
    excluded = coded.is_excluded[shared.first] & ~never
    is_junk = _find_junk(coded, shared, kinds, ~never & ~excluded)
    dropped = {
        DropReason.NOT_LINKING: shared.select(never),
        DropReason.EXCLUDED: shared.select(excluded),
        DropReason.JUNK_VALUE: shared.select(is_junk),
    }
    groups, gaps = _split_eras(coded, shared.select(~(never | excluded | is_junk)), kinds)
    return Links(groups, dropped, gaps)


def gather_members(coded: CodedSightings, groups: ValueGroups) -> Members:
    """Accounts of each group with the span of their sightings in it."""
    group, code = groups.numbers(), coded.code[groups.rows].astype(np.int64)
    key = group * coded.account_count + code
    order = np.argsort(key, kind="stable")
    key, rows = key[order], groups.rows[order]
    starts = np.flatnonzero(np.append(True, np.diff(key) != 0)[: len(key)])
    if not len(starts):
        nothing = np.zeros(0, np.int64)
        return Members(nothing, nothing, nothing, nothing)
    return Members(
        group[order][starts],
        code[order][starts],
        np.minimum.reduceat(coded.seen_from[rows], starts),
        np.maximum.reduceat(coded.seen_to[rows], starts),
    )


def _find_junk(
    coded: CodedSightings,
    groups: ValueGroups,
    kinds: Sequence[IdentifierKind],
    candidates: Flags,
) -> Flags:
    limits = np.array([k.account_limit or _FOR_EVER for k in kinds], np.int64)
    limit = limits[coded.kind[groups.first]]
    suspects = candidates & (groups.sizes > limit)
    is_junk = np.zeros(len(groups), np.bool_)
    suspicious = groups.select(suspects)
    if len(suspicious):
        holders = gather_members(coded, suspicious).group
        count = np.bincount(holders, minlength=len(suspicious))
        is_junk[np.flatnonzero(suspects)] = count > limit[suspects]
    return is_junk


def _split_eras(
    coded: CodedSightings, groups: ValueGroups, kinds: Sequence[IdentifierKind]
) -> tuple[ValueGroups, Gaps]:
    """Cuts a value's sightings where the silence is longer than the kind's ``valid_days``.

    Source of the method: sessions by gap, on the union of intervals.
    """
    reach = np.array(
        [_FOR_EVER if k.valid_days is None else k.valid_days * DAY for k in kinds], np.int64
    )
    is_suspect = _may_have_gaps(coded, groups, reach)
    suspects = groups.select(is_suspect) if is_suspect.any() else from_sizes(*_NOTHING)
    eras, of_group = _cut(coded, suspects, reach)
    gaps = _find_gaps(coded, eras, of_group)
    code = coded.code[eras.rows]
    if not len(eras):
        return groups, gaps
    starts = eras.starts[:-1]
    links = np.minimum.reduceat(code, starts) != np.maximum.reduceat(code, starts)
    kept, linking = groups.select(~is_suspect), eras.select(links)
    rows = np.concatenate([kept.rows, linking.rows])
    return from_sizes(rows, np.concatenate([kept.sizes, linking.sizes])), gaps


_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def _may_have_gaps(coded: CodedSightings, groups: ValueGroups, reach: Ints) -> Flags:
    """No silence can be longer than from the first end to the last beginning."""
    is_suspect = np.zeros(len(groups), np.bool_)
    limit = reach[coded.kind[groups.first]]
    is_timed = limit < _FOR_EVER
    if not is_timed.any():
        return is_suspect
    timed = groups.select(is_timed)
    last_start = np.maximum.reduceat(coded.seen_from[timed.rows], timed.starts[:-1])
    first_end = np.minimum.reduceat(coded.seen_to[timed.rows], timed.starts[:-1])
    is_suspect[is_timed] = last_start - first_end > limit[is_timed]
    return is_suspect


def _cut(coded: CodedSightings, groups: ValueGroups, reach: Ints) -> tuple[ValueGroups, Ints]:
    """Eras, and the group each of them is part of."""
    if not len(groups):
        return groups, np.zeros(0, np.int64)
    group = groups.numbers()
    begin, end = coded.seen_from[groups.rows], coded.seen_to[groups.rows]
    order = np.lexsort((coded.code[groups.rows], end, begin, group))
    rows, group, begin, end = groups.rows[order], group[order], begin[order], end[order]
    # Ranks instead of instants, so that one running maximum serves all groups.
    instants, rank = np.unique(end, return_inverse=True)
    latest = instants[np.maximum.accumulate(group * len(instants) + rank) % len(instants)]
    is_start = np.ones(len(rows), np.bool_)
    is_start[1:] = (group[1:] != group[:-1]) | (
        begin[1:] - latest[:-1] > reach[coded.kind[rows[1:]]]
    )
    starts = np.flatnonzero(is_start)
    return ValueGroups(rows, np.append(starts, len(rows))), group[starts]


def _find_gaps(coded: CodedSightings, eras: ValueGroups, of_group: Ints) -> Gaps:
    if not len(eras):
        return Gaps(*(np.zeros(0, np.int64) for _ in range(5)))
    starts = eras.starts[:-1]
    smallest = np.minimum.reduceat(coded.code[eras.rows], starts)
    first = np.minimum.reduceat(coded.seen_from[eras.rows], starts)
    last = np.maximum.reduceat(coded.seen_to[eras.rows], starts)
    between = (of_group[1:] == of_group[:-1]) & (smallest[1:] != smallest[:-1])
    before = np.flatnonzero(between)
    return Gaps(
        eras.first[before], smallest[before], smallest[before + 1], last[before], first[before + 1]
    )
