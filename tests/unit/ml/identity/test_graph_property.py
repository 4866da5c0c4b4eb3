"""Resolution against an oracle, its invariants, and increments against the full run."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.identity import IdentifierKind, Resolution, ResolveConfig, Semantics, resolve_increment
from ml.identity import resolve as resolve_tables

Row = tuple[str, str, str, int, int]  # account, kind, value, first and last day
Override = tuple[str, str, str]

DAY_0 = dt.datetime(2025, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
PHONE = IdentifierKind("phone", Semantics.SHARED, 50, account_limit=4, valid_days=10)
UNION = IdentifierKind("union_id", Semantics.UNIQUE, 90)
MEMBER = IdentifierKind("member", Semantics.UNIQUE, 70, 3, exclude_patterns=("v0",))
LENT = IdentifierKind("lent", Semantics.EXPIRING, 20, valid_days=0)
DEVICE = IdentifierKind("device", Semantics.EQUALITY_ONLY, 20)
RECEIVER = IdentifierKind("receiver", Semantics.RECEIVER, 0)
KINDS = (PHONE, UNION, MEMBER, LENT, DEVICE, RECEIVER)
NO_CONFLICT = tuple(replace(k, semantics=Semantics.SHARED) if k.is_unique else k for k in KINDS)
ACCOUNTS = [f"a{n}" for n in range(8)]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    kind = st.sampled_from([kind.name for kind in KINDS])
    value = st.sampled_from(["v0", "v1", "v2", "v3"])
    first, length = st.integers(0, 40), st.integers(0, 6)
    one = st.tuples(st.sampled_from(ACCOUNTS), kind, value, first, length)
    found = draw(st.lists(one, max_size=22))
    return [(a, k, v, f, f + n) for a, k, v, f, n in found]


overrides = st.lists(
    st.tuples(
        st.sampled_from([*ACCOUNTS, "nobody"]),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(["link", "link", "unlink", "never_link"]),
    ).filter(lambda one: one[0] != one[1]),
    max_size=4,
)

people_limits = st.sampled_from([1, 2, 100])


def make_sightings(found: Sequence[Row]) -> pa.Table:
    account, kind, value, first, last = zip(*found, strict=True) if found else ((),) * 5
    return pa.table(
        {
            "account": pa.array(account, pa.string()),
            "kind": pa.array(kind, pa.string()),
            "value": pa.array(value, pa.string()),
            "seen_from": pa.array([instant(day) for day in first], pa.timestamp("us")),
            "seen_to": pa.array([instant(day) for day in last], pa.timestamp("us")),
        }
    )


def instant(day: int) -> dt.datetime:
    return DAY_0 + dt.timedelta(days=day)


def make_overrides(found: Sequence[Override]) -> pa.Table:
    columns = list(zip(*found, strict=True)) if found else [(), (), ()]
    names = ("account_a", "account_b", "action")
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.table(dict(zip(names, arrays, strict=True)))


def resolve(
    found: Sequence[Row],
    kinds: Sequence[IdentifierKind] = KINDS,
    decided: Sequence[Override] = (),
    limit: int | None = None,
    people: int = 100,
) -> Resolution:
    return resolve_tables(
        make_sightings(found),
        kinds,
        overrides=make_overrides(decided),
        config=ResolveConfig(limit, people),
    )


def clusters_of(resolution: Resolution) -> dict[str, str]:
    table = resolution.clusters
    return dict(zip(table["account"].to_pylist(), table["cluster"].to_pylist(), strict=True))


def tables_of(resolution: Resolution) -> list[Any]:
    tables = (resolution.clusters, resolution.edges, resolution.dropped, resolution.overrides)
    return [table.to_pylist() for table in tables]


@dataclass
class Oracle:
    """All pairs of sightings, then a closure by repeated relabelling."""

    found: Sequence[Row]
    kinds: Sequence[IdentifierKind]

    def linking(self, kind: IdentifierKind, value: str) -> list[Row]:
        held = [row for row in self.found if row[1:3] == (kind.name, value)]
        holders = {row[0] for row in held}
        is_junk = kind.account_limit is not None and len(holders) > kind.account_limit
        return [] if not kind.links or value in kind.exclude_patterns or is_junk else held

    def pairs(self) -> set[tuple[str, str]]:
        found = set()
        for kind in self.kinds:
            for value in {row[2] for row in self.found}:
                held = self.linking(kind, value)
                for one in held:
                    for other in held:
                        gap = max(one[3], other[3]) - min(one[4], other[4])
                        if kind.valid_days is None or gap <= kind.valid_days:
                            found.add((one[0], other[0]))
        return found

    def clusters(self, decided: Sequence[Override]) -> dict[str, str]:
        label = {row[0]: row[0] for row in self.found}
        links = [(a, b) for a, b, _ in decided if a in label and b in label]
        for _ in label:
            for one, other in [*self.pairs(), *links]:
                label[one] = label[other] = min(label[one], label[other])
        return label


@settings(max_examples=60, deadline=None)
@given(rows(), overrides)
def test_without_conflicts_clusters_are_the_closure_of_all_pairs(
    found: list[Row], decided: list[Override]
) -> None:
    links = [(a, b, "link") for a, b, _ in decided]
    got = resolve(found, NO_CONFLICT, links)
    assert clusters_of(got) == Oracle(found, NO_CONFLICT).clusters(links)
    assert got.clusters["cluster"].to_pylist() == got.clusters["component"].to_pylist()


@settings(max_examples=60, deadline=None)
@given(rows(), overrides, st.sampled_from([None, 2, 3, 5]), people_limits)
def test_clusters_break_no_constraint(
    found: list[Row], decided: list[Override], limit: int | None, people: int
) -> None:
    got = resolve(found, KINDS, decided, limit, people)
    clusters = clusters_of(got)
    assert list(clusters) == sorted({row[0] for row in found})
    members = defaultdict(set)
    for account, cluster in clusters.items():
        members[cluster].add(account)
    assert all(cluster == min(accounts) for cluster, accounts in members.items())
    assert limit is None or all(len(accounts) <= limit for accounts in members.values())
    for one, other, action in decided:
        if action != "link" and one in clusters and other in clusters:
            assert clusters[one] != clusters[other]
    for kind in (UNION, MEMBER):
        values = defaultdict(set)
        for account, value in current_values(found, kind).items():
            values[clusters[account]].add(value)
        assert all(len(held) == 1 for held in values.values())


def current_values(found: Sequence[Row], kind: IdentifierKind) -> dict[str, str]:
    """The value an account stands for: the one seen last, then the one that began last."""
    span: dict[tuple[str, str], tuple[int, int]] = {}
    for row in found:
        if row[1] == kind.name and Oracle(found, [kind]).linking(kind, row[2]):
            last, first = span.get((row[0], row[2]), (-1, 10**6))
            span[row[0], row[2]] = (max(last, row[4]), min(first, row[3]))
    newest: dict[str, str] = {}
    for account, value in sorted(span, key=lambda key: (-span[key][0], -span[key][1], key[1])):
        newest.setdefault(account, value)
    return newest


@settings(max_examples=60, deadline=None)
@given(rows(), overrides, st.sampled_from([None, 2, 4]), people_limits)
def test_clusters_are_connected_by_edges_and_apart_by_dropped_ones(
    found: list[Row], decided: list[Override], limit: int | None, people: int
) -> None:
    got = resolve(found, KINDS, decided, limit, people)
    clusters = clusters_of(got)
    label = {account: account for account in clusters}
    edges = got.edges.select(["account_a", "account_b"]).to_pylist()
    for _ in label:
        for edge in edges:
            one, other = edge["account_a"], edge["account_b"]
            label[one] = label[other] = min(label[one], label[other])
    assert label == clusters
    for row in got.dropped.to_pylist():
        if row["reason"] in ("component_limit", "unlinked"):
            assert clusters[row["account_a"]] != clusters[row["account_b"]]


@settings(max_examples=60, deadline=None)
@given(rows(), overrides, people_limits, st.randoms(use_true_random=False))
def test_the_order_of_the_input_changes_nothing(
    found: list[Row], decided: list[Override], people: int, random: Any
) -> None:
    shuffled, turned = list(found) + found[:3], [(b, a, action) for a, b, action in decided]
    random.shuffle(shuffled)
    random.shuffle(turned)
    one = resolve(found, KINDS, decided, 4, people)
    other = resolve(shuffled, KINDS, turned, 4, people)
    assert tables_of(one) == tables_of(other)


@settings(max_examples=60, deadline=None)
@given(rows(), rows(), overrides, overrides, people_limits, st.data())
def test_an_increment_equals_the_full_resolution(
    before: list[Row],
    arriving: list[Row],
    decided: list[Override],
    decided_now: list[Override],
    people: int,
    data: st.DataObject,
) -> None:
    gone = data.draw(st.sets(st.sampled_from(range(len(before))))) if before else set()
    arriving = arriving[: data.draw(st.integers(0, 5))]
    now = [row for place, row in enumerate(before) if place not in gone] + arriving
    changed = [before[place] for place in sorted(gone)] + arriving
    previous = resolve(before, KINDS, decided, 4, people)
    step = resolve_increment(
        previous,
        make_sightings(now),
        make_sightings(changed).select(["account", "kind", "value"]),
        overrides=make_overrides(decided_now),
    )
    assert tables_of(step) == tables_of(resolve(now, KINDS, decided_now, 4, people))


@pytest.mark.parametrize("kinds", [KINDS, NO_CONFLICT])
def test_nothing_seen_gives_nothing(kinds: tuple[IdentifierKind, ...]) -> None:
    got = resolve([], kinds, [("a0", "a1", "link")])
    assert got.clusters.num_rows == got.edges.num_rows == 0
    assert got.dropped["reason"].to_pylist() == ["unknown_account"]
