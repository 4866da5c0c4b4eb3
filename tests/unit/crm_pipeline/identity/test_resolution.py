"""The resolution kept in the warehouse: stepped from night to night, never different for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_pipeline.lib.identity.customers import read_placed_accounts
from crm_pipeline.lib.identity.overrides import AccountKey
from crm_pipeline.lib.identity.resolution import resolve_accounts
from crm_pipeline.lib.identity.why import REASONS, tell_why
from ml.identity.links import DropReason
from tests.identity_support import NO_OVERRIDES, clusters, kinds, overrides, show

KINDS = kinds(
    ("member_number", "unique", 90), ("phone", "equality_only", 60), ("email", "shared", 40),
    ("receiver_phone", "receiver", 0),
)  # fmt: skip
RESOLVED = ("clusters", "edges", "dropped_edges", "applied_overrides")


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def kept(connection: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        name: connection.execute(f"from identity.{name} order by all").fetchall()
        for name in RESOLVED
    }


@pytest.mark.requirement("IDN-1")
def test_accounts_that_show_one_key_are_one_customer(warehouse: duckdb.DuckDBPyConnection) -> None:
    show(warehouse, [("app:1", "phone", "a"), ("pos:2", "phone", "a"), ("jd:3", "phone", "b")])
    found, summary = clusters(warehouse, KINDS)
    assert found == {frozenset({"app:1", "pos:2"}), frozenset({"jd:3"})}
    assert (summary.cluster_count, summary.edge_count, summary.changed_count) == (2, 1, None)


@pytest.mark.requirement("IDN-2")
def test_a_receiver_links_nobody_and_is_told_only_where_it_is_shared(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [("jd:1", "receiver_phone", "a"), ("jd:2", "receiver_phone", "a"),
                     ("jd:3", "receiver_phone", "b")])  # fmt: skip
    found, summary = clusters(warehouse, KINDS)
    assert len(found) == 3 and summary.edge_count == 0
    assert {row[0] for row in kept(warehouse)["dropped_edges"]} == {"jd:1", "jd:2"}


@pytest.mark.requirement("IDN-4")
def test_people_can_link_an_account_that_shows_nothing(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [("app:1", "phone", "a")])
    warehouse.execute(
        "insert into intermediate.int_accounts_seen values ('pos', '9', '2024-02-02', '2024-02-03')"
    )
    found, _ = clusters(warehouse, KINDS, overrides(("link", "app:1", "pos:9")))
    assert found == {frozenset({"app:1", "pos:9"})}


@pytest.mark.requirement("IDN-4")
def test_a_decision_about_an_unseen_account_waits_and_is_told(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [("app:1", "phone", "a")])
    decided = overrides(("link", "app:1", "pos:9"))
    assert clusters(warehouse, KINDS, decided)[0] == {frozenset({"app:1"})}
    assert [row[7] for row in kept(warehouse)["dropped_edges"]] == ["unknown_account"]
    show(warehouse, [("app:1", "phone", "a"), ("pos:9", "phone", "b")])
    assert clusters(warehouse, KINDS, decided)[0] == {frozenset({"app:1", "pos:9"})}


def test_a_quiet_night_changes_nothing_and_resolves_nothing(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [("app:1", "phone", "a"), ("pos:2", "phone", "a")])
    clusters(warehouse, KINDS)
    before = kept(warehouse)
    _, summary = clusters(warehouse, KINDS)
    assert (summary.changed_count, summary.touched_count) == (0, 0)
    assert kept(warehouse) == before


@pytest.mark.requirement("IDN-3")
def test_a_night_resolves_the_components_it_touches_and_no_others(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    known = [(f"app:{n}", "phone", f"p{n // 2}") for n in range(40)]
    show(warehouse, known)
    assert clusters(warehouse, KINDS)[1].touched_count is None
    show(warehouse, [*known, ("pos:1", "phone", "p3")])
    found, summary = clusters(warehouse, KINDS)
    assert frozenset({"app:6", "app:7", "pos:1"}) in found
    assert (summary.changed_count, summary.touched_count) == (1, 3)


def test_another_rule_table_starts_anew(warehouse: duckdb.DuckDBPyConnection) -> None:
    show(warehouse, [("app:1", "email", "a"), ("pos:2", "email", "a")])
    assert len(clusters(warehouse, KINDS)[0]) == 1
    strict = kinds(("member_number", "unique", 90), ("phone", "equality_only", 60),
                   ("email", "masked", 0), ("receiver_phone", "receiver", 0))  # fmt: skip
    found, summary = clusters(warehouse, strict)
    assert len(found) == 2 and summary.changed_count is None


ACCOUNT = st.sampled_from([f"c:{n}" for n in range(9)])
SHOWN = st.sets(
    st.tuples(ACCOUNT, st.sampled_from(["member_number", "phone", "email"]),
              st.sampled_from("abcd")),
    max_size=16,
)  # fmt: skip
DECIDED = st.lists(
    st.tuples(st.sampled_from(["link", "unlink", "never_link"]), ACCOUNT, ACCOUNT)
    .filter(lambda row: row[1] < row[2]),
    max_size=3, unique_by=lambda row: row[1:],
)  # fmt: skip


@pytest.mark.requirement("IDN-3")
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(SHOWN, DECIDED), min_size=2, max_size=4))
def test_stepping_through_nights_gives_what_resolving_anew_gives(
    nights: list[tuple[set[tuple[str, str, str]], list[tuple[str, str, str]]]],
) -> None:
    with duckdb.connect() as stepped, duckdb.connect() as anew:
        for shown, decided in nights:
            # Some accounts stay as they are, so that a step has something to leave alone.
            everybody = [*shown, *((f"d:{n}", "phone", f"d{n // 2}") for n in range(30))]
            show(stepped, everybody)
            clusters(stepped, KINDS, overrides(*decided))
        show(anew, everybody)
        clusters(anew, KINDS, overrides(*decided))
        assert kept(stepped) == kept(anew)


def test_the_reason_says_what_links_and_what_was_not_used(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [
        ("app:1", "phone", "a"), ("pos:2", "phone", "a"), ("app:1", "email", "e"),
        ("pos:2", "email", "e"), ("app:1", "member_number", "m1"), ("jd:3", "phone", "a"),
        ("jd:3", "member_number", "m2"), ("x:9", "email", "z"),
    ])  # fmt: skip
    resolve_accounts(warehouse, KINDS, NO_OVERRIDES)
    told = {
        f"{row['channel']}:{row['source_customer_id']}": (row["linked_by"], row["reason"])
        for row in read_placed_accounts(warehouse, NO_OVERRIDES).to_pylist()
    }
    assert told["app:1"][0] == "phone email"
    assert told["app:1"][1].startswith("linked by phone email")
    assert told["jd:3"] == (None, "not used: conflict_of_unique of phone")
    assert told["x:9"] == (None, "nothing links it")


def test_every_reason_has_words() -> None:
    assert REASONS.keys() == {str(reason) for reason in DropReason}


@pytest.mark.requirement("PRV-4")
def test_what_people_wrote_about_a_decision_stays_out_of_the_history(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [("app:1", "phone", "a"), ("pos:2", "phone", "a")])
    decided = overrides(("unlink", "app:1", "pos:2"))
    resolve_accounts(warehouse, KINDS, decided)
    reasons = {row["reason"] for row in read_placed_accounts(warehouse, decided).to_pylist()}
    assert reasons == {"unlink by people; not used: unlinked of phone"}


@pytest.mark.requirement("IDN-4")
def test_why_prints_the_chain_of_evidence_with_masks(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    show(warehouse, [
        ("app:1", "phone", "secret-a"), ("pos:2", "phone", "secret-a"),
        ("pos:2", "email", "secret-b"), ("jd:3", "email", "secret-b"), ("x:9", "email", "z"),
    ])  # fmt: skip
    clusters(warehouse, KINDS)
    warehouse.execute(
        "create table identity.customer_accounts as select channel, source_customer_id, "
        "case channel when 'x' then 'c2' else 'c1' end as customer_id "
        "from intermediate.int_accounts_seen"
    )
    told = tell_why(warehouse, KINDS, AccountKey("app", "1"), AccountKey("jd", "3"))
    assert told.splitlines() == [
        "app:1 and jd:3 are one customer, c1",
        "  app:1",
        "    | same phone s***, strength 60, seen 2024-01-01 to 2024-06-01",
        "  pos:2",
        "    | same email s***, strength 40, seen 2024-01-01 to 2024-06-01",
        "  jd:3",
    ]
    other = tell_why(warehouse, KINDS, AccountKey("app", "1"), AccountKey("x", "9"))
    assert other.splitlines() == [
        "app:1 (c1) and x:9 (c2) are two customers", "  they have nothing in common",
    ]  # fmt: skip
