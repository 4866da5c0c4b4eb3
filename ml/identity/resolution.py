"""The result of resolving, as tables people and programs can read.

Add here: a column of the result.
Not here: how it is found (``graph``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.identity.evidence import OVERRIDE_STRENGTH, Evidence, refused_pairs
from ml.identity.links import DAY, DropReason, Members, gather_members
from ml.identity.overrides import LINK, NO_TIME
from ml.identity.semantics import OVERRIDE_KIND, IdentifierKind
from ml.identity.sightings import Ints, connect

__all__ = [
    "DROPPED_ORDER",
    "EDGE_ORDER",
    "Resolution",
    "ResolveConfig",
    "sort_table",
    "tell_dropped",
    "tell_edges",
    "tell_unknown",
]

EDGE_ORDER = ("account_a", "account_b", "kind", "value", "seen_from")
DROPPED_ORDER = (*EDGE_ORDER, "seen_to", "strength", "reason", "detail")
_SMALL = 100_000


@dataclass(frozen=True)
class ResolveConfig:
    """Settings of ``resolve``.

    Attributes:
        component_limit: Most accounts of one cluster; the weakest edges of a larger one go. Ten
            channels with ten accounts each are more than people have. ``None``: no limit.
        people_limit: Most people that may share a value; it links nobody where its accounts have
            more values of a unique kind, or are more than so many clusters can hold. A household or
            an office has fewer; without it each of n people would be compared with all others.
    """

    component_limit: int | None = 100
    people_limit: int = 100


@dataclass(frozen=True)
class Resolution:
    """Who is who, and why.

    ``edges`` and ``dropped`` are made when first asked for.

    Attributes:
        clusters: ``account, cluster, component``, by account. ``cluster`` is the smallest account
            of the cluster; ``component`` that of the component before guards cut it.
        overrides: The overrides that were applied: ``account_a, account_b, action, decided_at``.
        kinds: The kinds used.
        config: The settings used.
        touched_count: Accounts an increment resolved anew; ``None``: all, in full.
    """

    clusters: pa.Table
    overrides: pa.Table
    kinds: tuple[IdentifierKind, ...]
    config: ResolveConfig
    make_edges: Callable[[], pa.Table] = field(repr=False, compare=False)
    make_dropped: Callable[[], pa.Table] = field(repr=False, compare=False)
    touched_count: int | None = None

    @classmethod
    def from_tables(
        cls,
        clusters: pa.Table,
        edges: pa.Table,
        dropped: pa.Table,
        overrides: pa.Table,
        *,
        kinds: Sequence[IdentifierKind],
        config: ResolveConfig,
        touched_count: int | None = None,
    ) -> Resolution:
        """A resolution that was stored table by table."""
        made = (lambda: edges, lambda: dropped)
        return cls(clusters, overrides, tuple(kinds), config, *made, touched_count)

    @cached_property
    def edges(self) -> pa.Table:
        """Evidence that was used, sorted by its first four columns and ``seen_from``.

        ``account_a, account_b, kind, value, strength, seen_from, seen_to``: ``account_a`` is the
        smallest of the accounts the value links (a star); the span covers the sightings of both.
        A link made by a person has kind ``override`` and value ``link``.
        """
        return self.make_edges()

    @cached_property
    def dropped(self) -> pa.Table:
        """Evidence that was not used, sorted by all columns.

        ``account_a, account_b, kind, value, strength, seen_from, seen_to, reason, detail``:

        - ``junk_value`` (detail: number of accounts), ``excluded``, ``not_linking`` (semantics):
          one row per account that shares the value; ``account_b`` is null.
        - ``recycled``: smallest accounts before and after a silence; ``seen_from`` and ``seen_to``
          are its ends, detail its days.
        - ``conflict_of_unique`` (the kind with two values), ``component_limit`` (the limit),
          ``unlinked`` (the action): smallest accounts of the two sides. Where one account itself
          has two values of a unique kind, it is ``account_a`` and stands for the one seen last;
          the row tells the other one, and the smallest account that shares it, if any.
        - ``too_many_people``: one row per account that shares a value of more people than may share
          one, where they are known at once (``account_b`` is null; detail: people at least); where
          they show on the way, smallest accounts of the first part and of who fits none (detail:
          the limit).
        - ``unknown_account``: an override about an account without a sighting.
        """
        return self.make_dropped()


def tell_edges(evidence: Evidence) -> pa.Table:
    """``Resolution.edges``."""
    coded, conflicts = evidence.coded, evidence.conflicts
    cold = evidence.links.groups.select(~evidence.is_hot)
    members = gather_members(coded, cold)
    stars = [(_find_stars(members), members, cold.first)]
    order = np.lexsort((conflicts.members.code, conflicts.cut.part, conflicts.members.group))
    hot = conflicts.members.select(order)
    part = conflicts.cut.part[order]
    stars.append((_find_stars(hot, part), hot, conflicts.rows))
    pieces = [
        _Piece(
            held.code[centre], held.code[leaf], rows[held.group[leaf]],
            np.minimum(held.seen_from[centre], held.seen_from[leaf]),
            np.maximum(held.seen_to[centre], held.seen_to[leaf]),
        )
        for (centre, leaf), held, rows in stars
    ]  # fmt: skip
    pairs = evidence.decisions.linked[~evidence.is_hot_decision]
    at = evidence.decisions.linked_at[~evidence.is_hot_decision]
    pieces.append(_Piece(pairs[:, 0], pairs[:, 1], np.full(len(pairs), -1), at, at))
    table = pa.concat_tables([_name(evidence, piece) for piece in pieces])
    return sort_table(table, EDGE_ORDER)


def tell_dropped(evidence: Evidence) -> pa.Table:
    """``Resolution.dropped``."""
    tables = [_tell_values(evidence, reason) for reason in evidence.links.dropped]
    tables += [_tell_gaps(evidence), _tell_refusals(evidence), _tell_surplus(evidence)]
    tables += [_tell_crowds(evidence), tell_unknown(evidence.decisions.unknown)]
    return sort_table(pa.concat_tables(tables), DROPPED_ORDER)


def tell_unknown(overrides: pa.Table) -> pa.Table:
    """Rows of ``dropped`` for overrides about accounts nobody has seen."""
    count = overrides.num_rows
    at = overrides["decided_at"].cast(pa.timestamp("us"))
    return pa.table(
        {
            "account_a": overrides["account_a"],
            "account_b": overrides["account_b"],
            "kind": _repeat(OVERRIDE_KIND, count),
            "value": overrides["action"],
            "strength": pa.array(np.full(count, OVERRIDE_STRENGTH, np.int32)),
            "seen_from": at,
            "seen_to": at,
            "reason": _repeat(DropReason.UNKNOWN_ACCOUNT, count),
            "detail": _repeat("", count),
        }
    )


@dataclass(frozen=True)
class _Piece:
    """Evidence in numbers; ``row`` is a sighting with the value, -1 for a person's link."""

    one: Ints
    other: Ints | None
    row: Ints
    seen_from: Ints
    seen_to: Ints


def _find_stars(members: Members, part: Ints | None = None) -> tuple[Ints, Ints]:
    """Places of centre and leaf of each edge: the smallest account of a group, and each other."""
    is_centre = np.ones(len(members), np.bool_)
    is_centre[1:] = members.group[1:] != members.group[:-1]
    if part is not None:
        is_centre[1:] |= part[1:] != part[:-1]
    centres = np.flatnonzero(is_centre)
    leaf = np.flatnonzero(~is_centre)
    return centres[np.cumsum(is_centre) - 1][leaf], leaf


def _tell_values(evidence: Evidence, reason: DropReason) -> pa.Table:
    groups = evidence.links.dropped[reason]
    members = gather_members(evidence.coded, groups)
    row = groups.first[members.group]
    piece = _Piece(members.code, None, row, members.seen_from, members.seen_to)
    if reason is DropReason.JUNK_VALUE:
        counts = np.bincount(members.group, minlength=len(groups))
        detail = pa.array(counts[members.group]).cast(pa.string())
    elif reason is DropReason.NOT_LINKING:
        semantics = pa.array([str(kind.semantics) for kind in evidence.kinds], pa.string())
        detail = semantics.take(pa.array(evidence.coded.kind[row]))
    else:
        detail = _repeat("", len(members))
    return _name(evidence, piece, _repeat(reason, len(members)), detail)


def _tell_gaps(evidence: Evidence) -> pa.Table:
    gaps = evidence.links.gaps
    piece = _Piece(gaps.before, gaps.after, gaps.row, gaps.last_seen, gaps.seen_again)
    days = pa.array((gaps.seen_again - gaps.last_seen) // DAY).cast(pa.string())
    return _name(evidence, piece, _repeat(DropReason.RECYCLED, len(gaps.row)), days)


def _tell_refusals(evidence: Evidence) -> pa.Table:
    conflicts = evidence.conflicts
    found = refused_pairs(conflicts)
    members = conflicts.members
    one = np.array([place for _, place, _ in found], np.int64)
    other = np.array([place for _, _, place in found], np.int64)
    one, other = (np.where((members.code[one] < members.code[other]) == first, one, other)
                  for first in (True, False))  # fmt: skip
    group = np.array([refusal.group for refusal, _, _ in found], np.int64)
    piece = _Piece(
        members.code[one], members.code[other], conflicts.rows[group],
        np.minimum(members.seen_from[one], members.seen_from[other]),
        np.maximum(members.seen_to[one], members.seen_to[other]),
    )  # fmt: skip
    reasons = pa.array([str(refusal.verdict.reason) for refusal, _, _ in found], pa.string())
    details = pa.array([refusal.verdict.detail for refusal, _, _ in found], pa.string())
    return _name(evidence, piece, reasons, details)


def _tell_surplus(evidence: Evidence) -> pa.Table:
    surplus = evidence.conflicts.surplus
    columns = [
        np.array([getattr(one, name) for one in surplus], np.int64)
        for name in ("code", "row", "seen_from", "seen_to")
    ]
    code, row, seen_from, seen_to = columns
    other = np.array([-1 if one.other is None else one.other for one in surplus], np.int64)
    detail = pa.array([evidence.kinds[k].name for k in evidence.coded.kind[row]], pa.string())
    reason = _repeat(DropReason.CONFLICT_OF_UNIQUE, len(surplus))
    return _name(evidence, _Piece(code, other, row, seen_from, seen_to), reason, detail)


def _tell_crowds(evidence: Evidence) -> pa.Table:
    crowds = evidence.conflicts.crowds
    members = crowds.members
    row = evidence.conflicts.rows[members.group]
    piece = _Piece(members.code, None, row, members.seen_from, members.seen_to)
    people = pa.array([str(crowds.people[group]) for group in members.group.tolist()], pa.string())
    return _name(evidence, piece, _repeat(DropReason.TOO_MANY_PEOPLE, len(members)), people)


def _name(
    evidence: Evidence,
    piece: _Piece,
    reason: pa.Array | None = None,
    detail: pa.Array | None = None,
) -> pa.Table:
    """Numbers to names; a place of -1 is null."""
    coded, kinds = evidence.coded, evidence.kinds
    is_decision = piece.row < 0
    kind = np.full(len(piece.row), len(kinds), np.int64)
    kind[~is_decision] = coded.kind[piece.row[~is_decision]]
    names = pa.array([*(k.name for k in kinds), OVERRIDE_KIND], pa.string())
    strengths = np.array([*(k.strength for k in kinds), OVERRIDE_STRENGTH], np.int32)
    other = np.full(len(piece.row), -1) if piece.other is None else piece.other
    value = coded.value.take(pa.array(piece.row, mask=is_decision)).cast(pa.string())
    columns = {
        "account_a": coded.accounts.take(pa.array(piece.one)),
        "account_b": coded.accounts.take(pa.array(other, mask=other < 0)),
        "kind": names.take(pa.array(kind)),
        "value": pc.fill_null(value, LINK),
        "strength": pa.array(strengths[kind]),
        "seen_from": _instants(piece.seen_from),
        "seen_to": _instants(piece.seen_to),
    }
    if reason is not None and detail is not None:
        columns |= {"reason": reason, "detail": detail}
    return pa.table(columns)


def _instants(times: Ints) -> pa.Array:
    return pa.array(times.astype("datetime64[us]"), pa.timestamp("us"), mask=times == NO_TIME)


def _repeat(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(str(text), pa.string()), count)


def sort_table(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Rows in one order, whatever made them: bytes of texts, nulls last."""
    if table.num_rows < _SMALL:
        return table.sort_by([(name, "ascending") for name in columns])
    # Several times faster from a million rows on, and slower to start.
    return connect().from_arrow(table).order(", ".join(columns)).to_arrow_table()
