"""What links accounts, what does not, and which evidence goes."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from ml.errors import InvalidDataError, MissingColumnsError
from ml.identity import (
    IdentifierKind,
    Resolution,
    ResolveConfig,
    Semantics,
    resolve,
    resolve_increment,
)
from ml.identity.sightings import group_rows

Row = tuple[str, str, str, int, int]

DAY_0 = dt.datetime(2025, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
KINDS = (
    IdentifierKind("phone", Semantics.SHARED, 50, 4, 365, (r"\+8613800138000",)),
    IdentifierKind("lent_phone", Semantics.EXPIRING, 10, valid_days=0),
    IdentifierKind("email", Semantics.SHARED, 60, account_limit=4),
    IdentifierKind("union_id", Semantics.UNIQUE, 90),
    IdentifierKind("device", Semantics.EQUALITY_ONLY, 20, account_limit=2),
    IdentifierKind("masked_phone", Semantics.MASKED, 0),
    IdentifierKind("receiver_phone", Semantics.RECEIVER, 0),
)


def sighting(account: str, kind: str, value: str, first: int = 0, last: int | None = None) -> Row:
    return account, kind, value, first, first if last is None else last


def make_sightings(rows: Sequence[Row]) -> pa.Table:
    account, kind, value, first, last = zip(*rows, strict=True)
    return pa.table(
        {
            "account": account,
            "kind": kind,
            "value": value,
            "seen_from": [DAY_0 + dt.timedelta(days=day) for day in first],
            "seen_to": [DAY_0 + dt.timedelta(days=day) for day in last],
        }
    )


def make_overrides(*rows: tuple[Any, Any, str]) -> pa.Table:
    names = ("account_a", "account_b", "action")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])


def customers(resolution: Resolution) -> list[str]:
    """Accounts of each cluster, joined."""
    found: dict[Any, list[str]] = {}
    for row in resolution.clusters.to_pylist():
        found.setdefault(row["cluster"], []).append(str(row["account"]))
    return ["".join(accounts) for accounts in found.values()]


def dropped(resolution: Resolution) -> list[tuple[Any, ...]]:
    names = ("account_a", "account_b", "kind", "value", "reason", "detail")
    return [tuple(row[name] for name in names) for row in resolution.dropped.to_pylist()]


def test_equal_values_link_and_an_edge_tells_the_span_of_both() -> None:
    found = resolve(
        make_sightings([
            sighting("a", "phone", "+861", 0, 5), sighting("b", "phone", "+861", 9, 12),
            sighting("a", "phone", "+861", 7), sighting("c", "email", "+861"),
        ]),
        KINDS,
    )  # fmt: skip
    assert customers(found) == ["ab", "c"]
    assert found.edges.to_pylist() == [
        {
            "account_a": "a", "account_b": "b", "kind": "phone", "value": "+861", "strength": 50,
            "seen_from": DAY_0, "seen_to": DAY_0 + dt.timedelta(days=12),
        }
    ]  # fmt: skip
    assert found.dropped.num_rows == 0


def test_a_value_of_many_is_a_star_and_not_all_pairs() -> None:
    kinds = (IdentifierKind("email", Semantics.SHARED, 60),)
    rows = [sighting(f"a{n:04}", "email", "m") for n in range(1000)]
    found = resolve(make_sightings(rows), kinds, config=ResolveConfig(None))
    assert found.edges.num_rows == 999
    assert set(found.edges["account_a"].to_pylist()) == {"a0000"}


@pytest.mark.requirement("IDN-2")
@pytest.mark.parametrize("kind", ["masked_phone", "receiver_phone"])
def test_masks_and_receivers_never_link(kind: str) -> None:
    found = resolve(make_sightings([sighting("a", kind, "x"), sighting("b", kind, "x")]), KINDS)
    assert customers(found) == ["a", "b"]
    assert [(row[0], row[4], row[5]) for row in dropped(found)] == [
        ("a", "not_linking", kind.removesuffix("_phone")),
        ("b", "not_linking", kind.removesuffix("_phone")),
    ]


@pytest.mark.bad_input("B66")
def test_an_excluded_value_links_nobody() -> None:
    rows = [sighting("a", "phone", "+8613800138000"), sighting("b", "phone", "+8613800138000")]
    found = resolve(make_sightings(rows), KINDS)
    assert customers(found) == ["a", "b"]
    assert {row[4] for row in dropped(found)} == {"excluded"}


@pytest.mark.requirement("IDN-2")
@pytest.mark.bad_input("F42")
def test_one_phone_shared_by_5000_customers_links_nobody() -> None:
    rows = [sighting(f"a{n}", "phone", "+8655") for n in range(5000)]
    rows += [sighting("a0", "phone", "+861"), sighting("a1", "phone", "+861")]
    found = resolve(make_sightings(rows), KINDS)
    assert found.clusters["cluster"].to_pylist().count("a0") == 2
    assert len(set(found.clusters["cluster"].to_pylist())) == 4999
    assert set(found.dropped["reason"].to_pylist()) == {"junk_value"}
    assert set(found.dropped["detail"].to_pylist()) == {"5000"}
    assert found.dropped.num_rows == 5000


def test_the_limit_counts_accounts_and_not_sightings() -> None:
    rows = [sighting("a", "device", "d", day) for day in range(9)] + [sighting("b", "device", "d")]
    assert customers(resolve(make_sightings(rows), KINDS)) == ["ab"]
    more = [*rows, sighting("c", "device", "d")]
    assert customers(resolve(make_sightings(more), KINDS)) == ["a", "b", "c"]


@pytest.mark.requirement("IDN-2")
def test_a_recycled_number_does_not_join_its_two_owners() -> None:
    rows = [
        sighting("a", "phone", "+861", 0, 10), sighting("b", "phone", "+861", 300),
        sighting("c", "phone", "+861", 700, 710), sighting("d", "phone", "+861", 720),
    ]  # fmt: skip
    found = resolve(make_sightings(rows), KINDS)
    assert customers(found) == ["ab", "cd"]
    assert dropped(found) == [("a", "c", "phone", "+861", "recycled", "400")]


def test_silence_of_exactly_the_valid_days_still_links() -> None:
    rows = [sighting("a", "phone", "+861", 0), sighting("b", "phone", "+861", 365)]
    assert customers(resolve(make_sightings(rows), KINDS)) == ["ab"]
    rows[1] = sighting("b", "phone", "+861", 366)
    assert customers(resolve(make_sightings(rows), KINDS)) == ["a", "b"]


def test_a_long_sighting_bridges_what_begins_within_it() -> None:
    rows = [
        sighting("a", "lent_phone", "x", 0, 90), sighting("b", "lent_phone", "x", 5, 6),
        sighting("c", "lent_phone", "x", 80, 85), sighting("d", "lent_phone", "x", 91, 95),
    ]  # fmt: skip
    assert customers(resolve(make_sightings(rows), KINDS)) == ["abc", "d"]


@pytest.mark.requirement("IDN-2")
def test_of_evidence_against_two_unique_values_the_weakest_goes() -> None:
    rows = [
        sighting("a", "union_id", "u1"), sighting("c", "union_id", "u2"),
        sighting("a", "email", "m"), sighting("b", "email", "m"),
        sighting("b", "phone", "+861"), sighting("c", "phone", "+861"),
    ]  # fmt: skip
    found = resolve(make_sightings(rows), KINDS)
    assert customers(found) == ["ab", "c"]
    assert dropped(found) == [("b", "c", "phone", "+861", "conflict_of_unique", "union_id")]
    assert found.clusters["component"].to_pylist() == ["a", "a", "a"]


def test_of_equally_strong_evidence_the_older_goes() -> None:
    rows = [
        sighting("a", "union_id", "u1"), sighting("c", "union_id", "u2"),
        sighting("a", "email", "m1", 3), sighting("b", "email", "m1", 3),
        sighting("b", "email", "m2", 8), sighting("c", "email", "m2", 8),
    ]  # fmt: skip
    assert customers(resolve(make_sightings(rows), KINDS)) == ["a", "bc"]


def test_holders_of_a_value_that_may_be_together_stay_together() -> None:
    rows = [
        sighting("a", "union_id", "u1"), sighting("a", "phone", "+861", 9),
        sighting("b", "union_id", "u2"), sighting("b", "phone", "+861", 5),
        sighting("c", "union_id", "u2", 1), sighting("d", "phone", "+861", 4),
    ]  # fmt: skip
    found = resolve(make_sightings(rows), KINDS)
    assert customers(found) == ["ad", "bc"]


def test_an_account_with_two_unique_values_stands_for_the_newer_one() -> None:
    rows = [
        sighting("a", "union_id", "u1", 1), sighting("b", "union_id", "u1", 9),
        sighting("b", "union_id", "u2", 2), sighting("c", "union_id", "u2", 2),
    ]  # fmt: skip
    found = resolve(make_sightings(rows), KINDS)
    assert customers(found) == ["ab", "c"]
    assert dropped(found) == [("b", "c", "union_id", "u2", "conflict_of_unique", "union_id")]


@pytest.mark.requirement("IDN-4")
def test_people_link_and_keep_apart() -> None:
    rows = [sighting(account, "email", "m") for account in "abc"] + [sighting("d", "email", "n")]
    overrides = make_overrides(("c", "a", "never_link"), ("d", "c", "link"), ("a", "z", "link"))
    found = resolve(make_sightings(rows), KINDS, overrides=overrides)
    assert customers(found) == ["ab", "cd"]
    assert ("a", "c", "email", "m", "unlinked", "never_link") in dropped(found)
    assert ("a", "z", "override", "link", "unknown_account", "") in dropped(found)
    assert ("c", "d", "override") in [tuple(e.values())[:3] for e in found.edges.to_pylist()]


def test_a_person_s_link_is_stronger_than_any_identifier() -> None:
    rows = [
        sighting("a", "union_id", "u1"), sighting("b", "phone", "+861"),
        sighting("a", "phone", "+861"), sighting("c", "union_id", "u2"),
    ]  # fmt: skip
    overrides = make_overrides(("b", "c", "link"))
    assert customers(resolve(make_sightings(rows), KINDS, overrides=overrides)) == ["a", "bc"]


def test_a_component_beyond_the_limit_loses_its_weakest_edges() -> None:
    rows = [
        sighting("a", "union_id", "u"), sighting("b", "union_id", "u"),
        sighting("b", "phone", "+861"), sighting("c", "phone", "+861"),
        sighting("c", "email", "m"), sighting("d", "email", "m"),
    ]  # fmt: skip
    found = resolve(make_sightings(rows), KINDS, config=ResolveConfig(component_limit=2))
    assert customers(found) == ["ab", "cd"]
    assert dropped(found) == [("b", "c", "phone", "+861", "component_limit", "2")]


NO_LIMIT = (IdentifierKind("shop_phone", Semantics.SHARED, 50), *KINDS)


def test_one_phone_of_20000_people_links_nobody_though_its_kind_has_no_limit() -> None:
    numbered = [f"n{n:05}" for n in range(20_000)]
    rows = [sighting(account, "shop_phone", "+861") for account in numbered]
    rows += [sighting(account, "union_id", account) for account in numbered]
    rows += [sighting(f"u{n}", "shop_phone", "+861") for n in range(500)]  # whose are these?
    rows += [sighting(account, "email", "m") for account in ("u7", "u8")]
    found = resolve(make_sightings(rows), NO_LIMIT)
    sizes = found.clusters.group_by("cluster").aggregate([("account", "count")])
    assert sorted(sizes["account_count"].to_pylist())[-2:] == [1, 2]
    assert found.edges["kind"].to_pylist() == ["email"]
    assert len(dropped(found)) == 20_500
    assert {row[4:] for row in dropped(found)} == {("too_many_people", "20000")}


def test_people_who_show_on_the_way_only_are_bounded_too() -> None:
    """The phone's accounts have no number of their own: e-mail, which is stronger, lends one."""
    rows = [sighting(f"p{n:04}", "shop_phone", "+861") for n in range(2000)]
    rows += [sighting(f"{who}{n:04}", "email", f"m{n}") for n in range(2000) for who in "pq"]
    rows += [sighting(f"q{n:04}", "union_id", f"u{n}") for n in range(2000)]
    found = resolve(make_sightings(rows), NO_LIMIT, config=ResolveConfig(None, 10))
    assert customers(found) == [f"p{n:04}q{n:04}" for n in range(2000)]
    told = [row[4:] for row in dropped(found)]
    assert told.count(("conflict_of_unique", "union_id")) == 45
    assert told.count(("too_many_people", "10")) == 1990
    assert len(told) == 45 + 1990


def test_as_many_people_as_may_share_a_value_still_share_it() -> None:
    rows = [sighting(account, "shop_phone", "+861") for account in "abcdef"]
    rows += [sighting(account, "union_id", account) for account in "abc"]
    config = ResolveConfig(people_limit=3)
    assert customers(resolve(make_sightings(rows), NO_LIMIT, config=config)) == ["adef", "b", "c"]
    rows.append(sighting("d", "union_id", "d"))
    assert customers(resolve(make_sightings(rows), NO_LIMIT, config=config)) == list("abcdef")


def test_a_value_of_more_accounts_than_so_many_clusters_hold_links_nobody() -> None:
    rows = [sighting(account, "shop_phone", "+861") for account in "abcde"]
    found = resolve(make_sightings(rows), NO_LIMIT, config=ResolveConfig(2, 2))
    assert customers(found) == list("abcde")
    assert {row[4:] for row in dropped(found)} == {("too_many_people", "3")}


@pytest.mark.parametrize("spread", [1, 10**12])
def test_numbers_and_relations_give_what_texts_and_tables_give(spread: int) -> None:
    rng = np.random.default_rng(5)
    count = 3000
    account, person = rng.integers(0, 900, count), rng.integers(0, 4, count)
    text = make_sightings([
        sighting(f"{a:04}", "email", f"m{a // 3}")
        if p
        else sighting(f"{a:04}", "union_id", f"u{a}")
        for a, p in zip(account.tolist(), person.tolist(), strict=True)
    ])  # fmt: skip
    numbers = text.set_column(0, "account", pa.array(account * spread - 7))
    expected = resolve(text, KINDS)
    connection = duckdb.connect()
    connection.register("numbers", numbers)
    found = resolve(connection.table("numbers"), KINDS)
    for column in ("account", "cluster", "component"):
        texts = [int(one) * spread - 7 for one in expected.clusters[column].to_pylist()]
        assert found.clusters[column].to_pylist() == texts
    assert found.edges.drop(["account_a", "account_b"]).equals(
        expected.edges.drop(["account_a", "account_b"])
    )


def test_accounts_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [sighting(account, "email", account[1:]) for account in ("a1", "b1", "c2", "dd3")]
    expected = resolve(make_sightings(rows), KINDS)
    monkeypatch.setattr("ml.identity.sightings._HASH", "hash(length(account))")
    assert resolve(make_sightings(rows), KINDS).clusters.equals(expected.clusters)
    assert customers(expected) == ["a1b1", "c2", "dd3"]


def test_equal_beginnings_of_digests_are_told_apart() -> None:
    low = np.array([8, 9, 8, 9, 8, 700 << 40], np.uint64)
    high = np.array([1, 2, 1, 2, 3, 1], np.uint64)
    groups = group_rows(low, high, np.array([0, 1, 2, 3, 4, 5]))
    found = {tuple(sorted(part.tolist())) for part in np.split(groups.rows, groups.starts[1:-1])}
    assert found == {(0, 2), (1, 3)}


def test_an_increment_without_any_change_changes_nothing() -> None:
    sightings = make_sightings([sighting(account, "email", "m") for account in "abc"])
    before = resolve(sightings, KINDS)
    step = resolve_increment(before, sightings, sightings.select(["account", "kind", "value"])[:0])
    assert step.clusters.equals(before.clusters)
    assert step.edges.equals(before.edges)


def test_an_increment_leaves_holders_of_a_junk_value_alone() -> None:
    rows = [sighting(f"a{n}", "phone", "+8655") for n in range(50)]
    before = resolve(make_sightings(rows), KINDS)
    new = [sighting("b", "phone", "+8655"), sighting("b", "email", "m")]
    changed = make_sightings(new).select(["account", "kind", "value"])
    step = resolve_increment(before, make_sightings(rows + new), changed)
    assert (before.touched_count, step.touched_count) == (None, 1)
    assert set(step.dropped["detail"].to_pylist()) == {"51"}
    assert step.dropped.equals(resolve(make_sightings(rows + new), KINDS).dropped)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": pa.array(["fax"])}, "kind 'fax' is not declared (1 rows)"),
        ({"value": pa.array([""])}, "at least 1 rows with an empty cell"),
        ({"account": pa.array([None], pa.string())}, "at least 1 rows with an empty cell"),
        ({"seen_to": pa.array([DAY_0 - dt.timedelta(days=1)])}, "1 rows with seen_to before"),
        ({"account": pa.array([1.5])}, "account is DOUBLE"),
    ],
)
def test_rows_that_cannot_be_are_refused(change: dict[str, pa.Array], told: str) -> None:
    table = make_sightings([sighting("a", "email", "m")])
    for name, column in change.items():
        table = table.set_column(table.column_names.index(name), name, column)
    with pytest.raises(InvalidDataError) as caught:
        resolve(table, KINDS)
    assert told in str(caught.value)


def test_an_absent_column_is_named() -> None:
    table = make_sightings([sighting("a", "email", "m")]).drop(["seen_to"])
    with pytest.raises(MissingColumnsError, match="sightings lacks the columns: seen_to") as caught:
        resolve(table, KINDS)
    assert caught.value.remedy == "add them to the query or file that makes sightings"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (("a", "b", "merge"), "1 rows with an unknown action"),
        (("a", "a", "link"), "1 rows that pair an account with itself"),
        (("a", None, "link"), "1 rows with an empty cell"),
    ],
)
def test_overrides_that_cannot_be_are_refused(override: tuple[Any, Any, str], told: str) -> None:
    table = make_sightings([sighting("a", "email", "m")])
    overrides = make_overrides(override, ("a", "b", "link"))
    with pytest.raises(InvalidDataError) as caught:
        resolve(table, KINDS, overrides=overrides)
    assert told in str(caught.value)


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidDataError, match="phone"):
        resolve(make_sightings([sighting("a", "email", "m")]), (*KINDS, KINDS[0]))
