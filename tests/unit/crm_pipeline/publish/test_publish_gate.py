"""What must hold before BI sees a build."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from publish_support import fill_warehouse

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.publish import check_build, require_clean
from crm_pipeline.lib.publish.gate import check_candidates


@pytest.fixture
def build() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        fill_warehouse(connection)
        yield connection


def failed(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [finding.check for finding in check_build(connection)]


def test_a_good_build_has_no_finding(build: duckdb.DuckDBPyConnection) -> None:
    assert check_build(build) == []
    require_clean([])


@pytest.mark.bad_input("B93")
def test_an_empty_shop_may_be_published() -> None:
    with duckdb.connect() as connection:
        fill_warehouse(connection, customers=0, lines=0)
        assert check_build(connection) == []


@pytest.mark.requirement("SRV-1")
@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("drop table marts.customer_360", "required_tables_exist"),
        ("update ops.feed_balance set duplicate_count = 1", "feed_balance_closes"),
        ("update ops.feed_balance set accepted_count = null", "feed_balance_closes"),
        (
            "update ops.feed_balance set accepted_count = 201, duplicate_count = -1",
            "feed_balance_closes",
        ),
        ("delete from ops.feed_balance", "every_file_is_balanced"),
        (
            "update ops.feed_balance set received_count = 1, accepted_count = 1",
            "every_file_is_balanced",
        ),
        (
            "delete from marts.customer_360 where customer_id = "
            "(select min(customer_id) from marts.customer_360)",
            "customer_360_has_every_customer_once",
        ),
        (
            "insert into marts.customer_360 from marts.customer_360 limit 1",
            "customer_360_has_every_customer_once",
        ),
        (
            "insert into marts.rfm_tiers values ('a stranger', 'new')",
            "rfm_tiers_has_every_customer_once",
        ),
        (
            "insert into marts.source_customers from marts.source_customers limit 1",
            "source_customers_maps_each_account_once",
        ),
        ("delete from marts.fct_orders", "orders_exist_where_lines_do"),
        (
            "create table marts.outreach_decisions as "
            "select 'd' as decision_id, 'maybe' as outcome",
            "every_candidate_has_one_outcome",
        ),
    ],
)
def test_a_build_that_is_not_whole_is_stopped(
    build: duckdb.DuckDBPyConnection, damage: str, check: str
) -> None:
    build.execute(damage)
    assert check in failed(build)


def test_lost_customers_are_noticed(build: duckdb.DuckDBPyConnection) -> None:
    for table in ("dim_customers", "customer_360", "rfm_tiers", "source_customers"):
        build.execute(f"delete from marts.{table}")
    assert failed(build) == ["customers_exist_where_orders_do"]


def test_the_message_names_every_finding(build: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    build.execute("update ops.feed_balance set duplicate_count = 1")
    build.execute("delete from marts.rfm_tiers")
    with pytest.raises(PublishError) as caught:
        require_clean(check_build(build))
    for word in ("2 check(s) failed", "feed_balance_closes", "lines abc", "rfm_tiers_has_every"):
        assert word in str(caught.value)


@pytest.mark.requirement("OUT-3")
@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("delete from marts.outreach_decisions where step = 'b'", "wake_up: 3 candidates, 2"),
        (
            "insert into marts.outreach_decisions from marts.outreach_decisions where step = 'b'",
            "wake_up: 3 candidates, 0",
        ),
        (
            "update marts.outreach_decisions set customer_id = 'p0', step = 'a' where step = 'b'",
            "wake_up: 3 candidates, 2",
        ),
        ("delete from marts.outreach_decisions", "wake_up: 3 candidates, 0"),
    ],
    ids=["lost", "doubled", "another's", "all lost"],
)
def test_a_build_with_a_lost_or_doubled_candidate_is_stopped(
    build: duckdb.DuckDBPyConnection, damage: str, told: str
) -> None:
    day = dt.date(2026, 3, 1)
    build.execute(
        "create table marts.outreach_decisions as select * from (values "
        "('d1', 'p0', 'a'), ('d2', 'p1', 'a'), ('d3', 'p1', 'b')) as t (decision_id, customer_id, "
        "step), (values ('wake_up', 'o', 'nightly', date '2026-03-01', 'send')) as u (journey, "
        "occurrence, run_kind, as_of_date, outcome)"
    )
    assert check_candidates(build, day, {"wake_up": 3, "empty": 0}) == []
    # What was decided between the nights, and on another day, is nobody's candidate of this night.
    build.execute(
        "insert into marts.outreach_decisions select * replace ('cart' as run_kind, "
        "'t' || decision_id as decision_id) from marts.outreach_decisions where step = 'b'"
    )
    assert check_candidates(build, day, {"wake_up": 3}) == []
    build.execute(damage)
    [finding] = check_candidates(build, day, {"wake_up": 3})
    assert finding.check == "candidates_are_the_sum_of_the_outcomes"
    assert told in finding.message
