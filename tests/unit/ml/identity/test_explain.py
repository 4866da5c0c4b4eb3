"""Why two accounts are one customer, and why not."""

import datetime as dt

import pyarrow as pa
import pytest

from ml.errors import InvalidDataError
from ml.identity import IdentifierKind, Resolution, Semantics, explain, resolve

KINDS = (
    IdentifierKind("phone", Semantics.SHARED, 50, account_limit=3, valid_days=30),
    IdentifierKind("email", Semantics.SHARED, 40),
    IdentifierKind("union_id", Semantics.UNIQUE, 90),
    IdentifierKind("receiver", Semantics.RECEIVER, 0),
)
DAY_0 = dt.datetime(2025, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)


def make_resolution(
    rows: list[tuple[str, str, str, int]], decided: list[tuple[str, str, str]] | None = None
) -> Resolution:
    account, kind, value, day = zip(*rows, strict=True)
    at = [DAY_0 + dt.timedelta(days=number) for number in day]
    sightings = pa.table(
        {"account": account, "kind": kind, "value": value, "seen_from": at, "seen_to": at}
    )
    names = ("account_a", "account_b", "action")
    overrides = [dict(zip(names, one, strict=True)) for one in decided or []]
    return resolve(sightings, KINDS, overrides=pa.Table.from_pylist(overrides) if decided else None)


def test_the_chain_with_the_strongest_weakest_edge_is_told() -> None:
    rows = [
        ("a", "email", "m", 0), ("d", "email", "m", 0),  # direct, weak
        ("a", "union_id", "u", 0), ("b", "union_id", "u", 0),
        ("b", "phone", "p", 0), ("d", "phone", "p", 9),
    ]  # fmt: skip
    found = explain(make_resolution(rows), "a", "d")
    assert found.is_same
    assert [(link.account_a, link.account_b, link.kind) for link in found.chain] == [
        ("a", "b", "union_id"),
        ("b", "d", "phone"),
    ]
    assert found.chain[1].seen_to == DAY_0 + dt.timedelta(days=9)
    back = explain(make_resolution(rows), "d", "a")
    assert [(link.account_a, link.account_b) for link in back.chain] == [("d", "b"), ("b", "a")]


def test_of_equally_strong_chains_the_shortest_is_told() -> None:
    rows = [
        ("a", "email", "m1", 0), ("b", "email", "m1", 0), ("b", "email", "m2", 0),
        ("c", "email", "m2", 0), ("a", "email", "m3", 0), ("c", "email", "m3", 0),
    ]  # fmt: skip
    found = explain(make_resolution(rows), "a", "c")
    assert [(link.account_b, link.value) for link in found.chain] == [("c", "m3")]


def test_a_link_by_a_person_is_told_as_such() -> None:
    rows = [("a", "email", "m1", 0), ("b", "email", "m2", 0)]
    found = explain(make_resolution(rows, [("b", "a", "link")]), "a", "b")
    assert [(link.kind, link.value, link.seen_to) for link in found.chain] == [
        ("override", "link", None)
    ]


@pytest.mark.parametrize(
    ("rows", "decided", "told"),
    [
        (
            [("a", "phone", "p", 0), ("b", "phone", "p", 99)],
            [],
            [("a", "b", "phone", "recycled", "99")],
        ),
        (
            [("a", "receiver", "r", 0), ("b", "receiver", "r", 0)],
            [],
            [("a", "b", "receiver", "not_linking", "receiver")],
        ),
        (
            [(account, "phone", "p", 0) for account in "abcd"],
            [],
            [("a", "b", "phone", "junk_value", "4")],
        ),
        (
            [("a", "email", "m", 0), ("b", "email", "m", 0)],
            [("b", "a", "never_link")],
            [("a", "b", "email", "unlinked", "never_link")],
        ),
        ([("a", "email", "m1", 0), ("b", "email", "m2", 0)], [], []),
    ],
)
def test_the_reason_why_two_accounts_stay_two_is_told(
    rows: list[tuple[str, str, str, int]],
    decided: list[tuple[str, str, str]],
    told: list[tuple[str, ...]],
) -> None:
    found = explain(make_resolution(rows, decided), "a", "b")
    assert not found.is_same
    assert found.chain == ()
    assert [
        (one.account_a, one.account_b, one.kind, one.reason, one.detail) for one in found.obstacles
    ] == told


def test_a_conflict_elsewhere_in_the_two_customers_is_told() -> None:
    rows = [
        ("a", "union_id", "u1", 0), ("b", "union_id", "u1", 0),
        ("c", "union_id", "u2", 0), ("d", "union_id", "u2", 0),
        ("b", "email", "m", 0), ("c", "email", "m", 0),
    ]  # fmt: skip
    found = explain(make_resolution(rows), "a", "d")
    assert found.shares_component
    assert [(one.account_a, one.account_b, one.reason, one.detail) for one in found.obstacles] == [
        ("b", "c", "conflict_of_unique", "union_id")
    ]


def test_an_account_is_itself_and_an_unknown_one_is_refused() -> None:
    resolution = make_resolution([("a", "email", "m", 0)])
    assert explain(resolution, "a", "a").is_same
    with pytest.raises(InvalidDataError, match="'z' is not among the 1 resolved"):
        explain(resolution, "a", "z")
