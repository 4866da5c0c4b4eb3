"""Stepping a warehouse from night to night gives the tables a new warehouse would have.

Random deliveries: late, repeated, corrected, contradicting and taken-back records of every entity
a stepped table reads, ``as_of`` stepping forward, runs that die between two models. Each stepped
table is compared row by row with that of a full build on the same files in another order.
"""

from __future__ import annotations

import datetime as dt
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt
from tests.integration.stepped_support import (
    FAR_STEPS,
    FIRST_DAY,
    KINDS,
    Night,
    Plan,
    far_plans,
    plans,
)

BALANCE = "ops.feed_balance"
COMPARED = (
    "marts.fct_events_daily",
    "marts.fct_sessions",
    "marts.fct_cart_days",
    "marts.fct_product_days",
    "marts.fct_favourite_days",
    "marts.fct_live_days",
    "marts.fct_community_days",
    "intermediate.int_event_touches",
    "intermediate.int_account_touches",
    "intermediate.int_linked_touches",
    "intermediate.int_order_documents",
    "staging.stg_order_lines",
    "staging.stg_orders",
    "staging.stg_refunds",
    BALANCE,
    "ops.late_records",
)
CHAIN = ("+staged_parts", "late_records")
# Left out where a test is about single days: the dearest model to compile.
TIMELINE = ("int_account_touches",)


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> ParsedDbt:
    return ParsedDbt(tmp_path_factory.mktemp("stepped"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("stepped_warehouses")


@pytest.fixture(autouse=True)
def zone_of_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DBT_BUSINESS_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_DBT_REPORTING_CURRENCY", "CNY")


def step_through(dbt: ParsedDbt, folder: Path, plan: Plan) -> Path:
    """Lives through the nights, then compares with warehouses that saw only the last one.

    All tables but the balance per file must come out the same when the files came in another order;
    which of two equal records counts as the duplicate follows the order. Returns the warehouse.
    """
    shutil.rmtree(folder, ignore_errors=True)
    stepped, fresh, same_order = (
        folder / name / "crm.duckdb" for name in ("stepped", "fresh", "same_order")
    )
    for path in (stepped, fresh, same_order):
        path.parent.mkdir(parents=True)
    as_of = live_through(dbt, stepped, plan.nights)
    copy_sources(stepped, fresh)
    shuffle(fresh, plan.order)
    dbt.run(fresh, "--select", *CHAIN, as_of=as_of)
    assert differences(stepped, fresh, [name for name in COMPARED if name != BALANCE]) == []
    copy_sources(stepped, same_order)
    dbt.run(same_order, "--select", f"+{BALANCE.split('.')[1]}", as_of=as_of)
    assert differences(stepped, same_order, [BALANCE]) == []
    return stepped


def live_through(dbt: ParsedDbt, warehouse: Path, nights: Sequence[Night]) -> str:
    """One run per night; a last one that dies is run again. Returns the day it ends with."""
    dbt_support.create_sources(warehouse)
    as_of = FIRST_DAY + dt.timedelta(days=2)
    for night in nights:
        as_of += dt.timedelta(days=night.days_on)
        dbt_support.deliver(warehouse, fresh_files(warehouse, night.deliveries))
        if night.taken_back is not None:
            take_back(warehouse, night.taken_back)
        chosen = (night.dies_after,) if night.dies_after else CHAIN
        dbt.run(warehouse, "--select", *chosen, as_of=str(as_of))
    if nights[-1].dies_after:
        dbt.run(warehouse, "--select", *CHAIN, as_of=str(as_of))
    return str(as_of)


def shuffle(warehouse: Path, seed: int) -> None:
    """Lets the files have come in another order, and lie in it."""
    with duckdb.connect(str(warehouse)) as connection:
        files = connection.execute(
            "select feed, file_sha256 from ledger.inbox_files order by inbox_seq"
        ).fetchall()
        random.Random(seed).shuffle(files)
        connection.executemany(
            "update ledger.inbox_files set inbox_seq = ? where feed = ? and file_sha256 = ?",
            [[place, *file] for place, file in enumerate(files, start=1)],
        )
        for name in dbt_support.SHOWN:
            connection.execute(
                f"create or replace table conformed.{name} as select records.* "
                f"from conformed.{name} as records inner join ledger.inbox_files as files "
                "on records.feed = files.feed and records.file_sha256 = files.file_sha256 "
                "order by files.inbox_seq, records.record_number"
            )


def fresh_files(warehouse: Path, wanted: Sequence[Delivery]) -> list[Delivery]:
    """The door takes the same bytes of one feed only once."""
    known = {row["file_sha256"] for row in dbt_support.read(warehouse, "from ledger.inbox_files")}
    files = {delivery.file_sha256: delivery for delivery in wanted}
    return [delivery for sha256, delivery in files.items() if sha256 not in known]


def take_back(warehouse: Path, place: int) -> None:
    """Reads a file again by another mapping, which holds its first record."""
    with duckdb.connect(str(warehouse)) as connection:
        files = connection.execute(
            "select feed, entity, file_sha256, contract_hash from ledger.inbox_files "
            "where written_count > 0 order by inbox_seq"
        ).fetchall()
        if not files:
            return
        feed, entity, file_sha256, contract_hash = files[place % len(files)]
        where = "feed = ? and file_sha256 = ?"
        connection.execute(
            f"delete from conformed.{entity} where {where} and record_number = "
            f"(select min(record_number) from conformed.{entity} where {where})",
            [feed, file_sha256, feed, file_sha256],
        )
        connection.execute(
            "update ledger.inbox_files set contract_hash = ?, written_count = written_count - 1, "
            f"quarantined_count = quarantined_count + 1 where {where}",
            [contract_hash + "x", feed, file_sha256],
        )


def copy_sources(source: Path, target: Path) -> None:
    """What the door, the ledger and the Python steps have written, without any model."""
    dbt_support.create_sources(target)
    with duckdb.connect(str(target)) as connection:
        connection.execute(f"attach '{source}' as other (read_only)")
        for name in ("ledger.inbox_files", *(f"conformed.{name}" for name in dbt_support.SHOWN)):
            connection.execute(f"insert into {name} by name select * from other.{name}")


def differences(stepped: Path, fresh: Path, tables: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows that only one of the two warehouses has."""
    found: list[tuple[Any, ...]] = []
    with duckdb.connect() as connection:
        connection.execute(f"attach '{stepped}' as stepped (read_only)")
        connection.execute(f"attach '{fresh}' as fresh (read_only)")
        for name in tables:
            for one, other in (("stepped", "fresh"), ("fresh", "stepped")):
                rows = connection.execute(
                    f"select * from {one}.{name} except all select * from {other}.{name}"
                ).fetchall()
                found += [(name, f"only {one}", *row) for row in rows]
    return found


class Shop:
    """One warehouse that is stepped night by night."""

    def __init__(self, dbt: ParsedDbt, folder: Path) -> None:
        self._dbt = dbt
        self.path = folder / "shop" / "crm.duckdb"
        self.path.parent.mkdir(parents=True)
        dbt_support.create_sources(self.path)

    def deliver(self, *records: dict[str, Any]) -> None:
        dbt_support.deliver(self.path, [Delivery("app_events", "app", "events", list(records))])

    def run(self, as_of: str, *selected: str) -> None:
        chosen = selected or CHAIN
        self._dbt.run(self.path, "--select", *chosen, "--exclude", *TIMELINE, as_of=as_of)

    def touched(self) -> list[str]:
        """Days of events the last run has replaced."""
        rows = dbt_support.read(
            self.path,
            "select distinct business_date as day from staging.stg_touched_days "
            "where entity = 'events' order by day",
        )
        return [f"{row['day']:%m-%d}" for row in rows]

    def rolled_up(self) -> dict[str, int]:
        """Events per day in the rollup."""
        rows = dbt_support.read(
            self.path,
            "select business_date as day, sum(event_count) as events from marts.fct_events_daily "
            "group by business_date order by day",
        )
        return {f"{row['day']:%m-%d}": int(row["events"]) for row in rows}


def shop_event(number: int, occurred_at: str, **columns: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_type": "page_view",
        "source_customer_id": "a1",
        "occurred_at": occurred_at,
    } | columns


@pytest.mark.slow
@pytest.mark.requirement("ING-6")
@pytest.mark.bad_input("B58")
def test_a_night_replaces_exactly_the_days_that_changed(
    dbt: ParsedDbt, work: Path, tmp_path: Path
) -> None:
    shop = Shop(dbt, work)
    first = shop_event(1, "2024-06-01 10:00")
    shop.deliver(
        first,
        shop_event(2, "2024-06-02 10:00", known_at="2024-06-10 08:00"),
        shop_event(3, "2024-06-05 10:00", known_at="2024-06-02 10:00"),
    )
    shop.run("2024-06-03")
    assert shop.rolled_up() == {"06-01": 1}

    shop.run("2024-06-03")  # nothing new
    assert shop.touched() == []

    shop.run("2024-06-10")  # as_of steps: what was delivered or happens later appears
    assert shop.touched() == ["06-02", "06-05"]
    assert shop.rolled_up() == {"06-01": 1, "06-02": 1, "06-05": 1}

    moved = {"source_version": "2024-06-09", "known_at": "2024-06-09"}
    shop.deliver(first, shop_event(3, "2024-06-07 10:00", **moved))  # an equal copy; a correction
    shop.run("2024-06-10")
    assert shop.touched() == ["06-05", "06-07"]
    assert shop.rolled_up() == {"06-01": 1, "06-02": 1, "06-07": 1}

    shop.deliver(shop_event(4, "2024-06-08 10:00"), shop_event(5, "2024-06-09 10:00"))
    shop.run("2024-06-10", "+fct_events_daily")  # dies before the parts count as staged
    take_back(shop.path, 2)  # and its file is then read by a mapping that holds event 4
    shop.run("2024-06-10")
    assert shop.touched() == ["06-08", "06-09"]
    assert shop.rolled_up() == {"06-01": 1, "06-02": 1, "06-07": 1, "06-09": 1}

    shop.deliver(first | {"event_type": "search"})  # the same version with other content
    shop.run("2024-06-11")
    assert shop.touched() == ["06-01"]
    assert shop.rolled_up() == {"06-02": 1, "06-07": 1, "06-09": 1}

    shop.deliver(
        shop_event(6, "2023-05-01 10:00", known_at="2024-06-11"),  # 407 days late
        shop_event(7, "2023-04-01 10:00", known_at="2024-06-11"),  # 437: beyond the look-back
    )
    shop.run("2024-06-11")
    assert shop.rolled_up() == {"05-01": 1, "06-02": 1, "06-07": 1, "06-09": 1}
    late = dbt_support.read(
        shop.path,
        "select within_days, record_count, is_in_time from ops.late_records "
        "where within_days > 30 or within_days is null order by within_days",
    )
    assert [tuple(row.values()) for row in late] == [(430, 1, True), (None, 1, False)]

    take_back(shop.path, 2)  # a part that counts as staged loses its last record
    shop.run("2024-06-11")
    assert shop.touched() == ["06-09"]
    assert shop.rolled_up() == {"05-01": 1, "06-02": 1, "06-07": 1}

    fresh = tmp_path / "crm.duckdb"
    copy_sources(shop.path, fresh)
    dbt.run(fresh, "--select", *CHAIN, "--exclude", *TIMELINE, as_of="2024-06-11")
    made = [name for name in COMPARED if not name.endswith(TIMELINE)]
    assert differences(shop.path, fresh, made) == []


@pytest.mark.slow
def test_a_table_that_missed_a_night_is_made_anew(dbt: ParsedDbt, work: Path) -> None:
    shop = Shop(dbt, work / "missed")
    shop.deliver(shop_event(1, "2024-06-01 10:00"))
    shop.run("2024-06-03")
    shop.deliver(shop_event(2, "2024-06-02 10:00"))
    # Somebody runs all but one rollup by hand, and the parts count as staged without it.
    shop.run("2024-06-03", "path:models/staging", "staged_parts")
    assert shop.rolled_up() == {"06-01": 1}
    shop.deliver(shop_event(3, "2024-06-03 10:00"))
    shop.run("2024-06-03")
    assert shop.rolled_up() == {"06-01": 1, "06-02": 1, "06-03": 1}
    notes = dbt_support.read(
        shop.path, "select table_name, is_full from staging.step_notes order by table_name"
    )
    made_anew = {row["table_name"] for row in notes if row["is_full"]}
    assert {"fct_sessions", "fct_events_daily"} <= made_anew
    assert not {"stg_record_ids", "stg_order_lines"} & made_anew


@pytest.mark.slow
@pytest.mark.requirement("ING-6")
def test_a_document_follows_the_rate_of_its_lines_on_the_day_of_its_header(
    dbt: ParsedDbt, work: Path, tmp_path: Path
) -> None:
    """The header is in the shop's currency and days after the line: neither record has its rate."""
    stepped, fresh = work / "rates" / "crm.duckdb", tmp_path / "crm.duckdb"
    stepped.parent.mkdir(parents=True)
    dbt_support.create_sources(stepped)

    def rate(value: str, known_at: str) -> Delivery:
        quoted = {"base_currency": "USD", "quote_currency": "CNY", "rate_date": "2024-06-02",
                  "rate": value, "source_version": known_at, "known_at": known_at}  # fmt: skip
        return Delivery("fx_rates", "shop", "exchange_rates", [quoted])

    head = {"order_id": "o1", "source_customer_id": "a1", "ordered_at": "2024-06-03 10:00",
            "order_status": "paid", "currency": "CNY"}  # fmt: skip
    line = dbt_support.order_line("o1", "2024-06-01 10:00", currency="USD")
    dbt_support.deliver(stepped, [
        rate("7", "2024-06-02 10:00"),
        Delivery("shop_orders", "shop", "orders", [head]),
        Delivery("shop_lines", "shop", "order_lines", [line]),
    ])  # fmt: skip
    dbt.run(stepped, "--select", *CHAIN, "--exclude", *TIMELINE, as_of="2024-06-05")
    dbt_support.deliver(stepped, [rate("8", "2024-06-06 10:00")])
    dbt.run(stepped, "--select", *CHAIN, "--exclude", *TIMELINE, as_of="2024-06-06")
    copy_sources(stepped, fresh)
    dbt.run(fresh, "--select", *CHAIN, "--exclude", *TIMELINE, as_of="2024-06-06")
    documents = "intermediate.int_order_documents"
    assert differences(stepped, fresh, [documents]) == []
    [document] = dbt_support.read(fresh, f"select reporting_rate from {documents}")
    assert document["reporting_rate"] == 8


def random_plans(most: int) -> settings:
    """Other plans in every run; a failing one is printed."""
    return settings(
        max_examples=most,
        deadline=None,
        derandomize=False,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )


def rows_of(warehouse: Path) -> Counter[str]:
    """Rows of each compared table."""
    counts = (f"select '{name}' as name, count(*) as rows from {name}" for name in COMPARED)
    found = dbt_support.read(warehouse, " union all ".join(counts))
    return Counter({row["name"]: row["rows"] for row in found})


def step_through_plans(
    dbt: ParsedDbt, folder: Path, plans: st.SearchStrategy[Plan], most: int
) -> None:
    """Steps through random plans; a table without a row in all of them would have shown nothing."""
    rows: Counter[str] = Counter()

    @random_plans(most)
    @given(plan=plans)
    def equal_a_full_build(plan: Plan) -> None:
        rows.update(rows_of(step_through(dbt, folder, plan)))

    equal_a_full_build()
    assert [name for name in COMPARED if not rows[name]] == []


def step_over_many_ranges(dbt: ParsedDbt, folder: Path, most: int) -> None:
    """Steps over more touched days far apart than a table asks for as ranges."""

    @random_plans(most)
    @given(plan=far_plans())
    def equal_a_full_build(plan: Plan) -> None:
        warehouse = step_through(dbt, folder, plan)
        (far,) = dbt_support.read(
            warehouse,
            "select min(day_count) as days from (select entity, count(*) as day_count "
            "from staging.stg_touched_days group by entity)",
        )
        assert far["days"] >= FAR_STEPS, "no two of them are neighbours"
        notes = "from staging.step_notes where table_name like 'fct_%' and not is_full"
        rollups = [name for name in COMPARED if name.startswith("marts.fct_")]
        assert len(dbt_support.read(warehouse, notes)) == len(rollups), "stepped, not made anew"

    equal_a_full_build()


@pytest.mark.slow
@pytest.mark.requirement("ING-6")
def test_stepped_tables_equal_a_full_build_in_any_order(dbt: ParsedDbt, work: Path) -> None:
    step_through_plans(dbt, work / "fast", plans(most_nights=3, most_files=2), most=3)


@pytest.mark.slow
@pytest.mark.requirement("ING-6")
def test_days_far_apart_are_replaced_without_those_between(dbt: ParsedDbt, work: Path) -> None:
    step_over_many_ranges(dbt, work / "far", most=2)


@pytest.mark.slow
def test_every_entity_that_feeds_a_stepped_table_is_delivered(dbt: ParsedDbt) -> None:
    assert dbt.entities_stepped_by() <= {kind.entity for kind in KINDS}


@pytest.mark.soak
def test_stepped_tables_equal_a_full_build_in_any_order_long(dbt: ParsedDbt, work: Path) -> None:
    step_through_plans(dbt, work / "long", plans(most_nights=6, most_files=4), most=60)


@pytest.mark.soak
def test_days_far_apart_are_replaced_without_those_between_long(dbt: ParsedDbt, work: Path) -> None:
    step_over_many_ranges(dbt, work / "far_long", most=20)
