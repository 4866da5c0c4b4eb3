"""Stepping a warehouse from night to night gives the tables a new warehouse would have.

Random deliveries: late, repeated, corrected, contradicting and taken-back records, ``as_of``
stepping forward, runs that die between two models. Each stepped table is compared row by row with
that of a full build.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt, order_line

FIRST_DAY = dt.date(2024, 6, 1)
STEPPED = (
    "marts.fct_events_daily",
    "marts.fct_sessions",
    "marts.fct_cart_days",
    "marts.fct_favourite_days",
    "marts.fct_live_days",
    "marts.fct_community_days",
    "intermediate.int_event_touches",
    "staging.stg_order_lines",
    "staging.stg_orders",
    "staging.stg_refunds",
    "ops.feed_balance",
    "ops.late_records",
)
CHAIN = ("+staged_parts", "late_records")
# Left out of the fast test: one row per record of seventeen entities, the dearest model to compile.
TIMELINE = ("int_account_touches",)
# A run may die after any of these; what stands before it in the chain is done.
DEATHS = (
    "stg_parts",
    "+stg_record_ids",
    "+stg_repeated_records",
    "+stg_touched_days",
    "+fct_sessions",
    "+fct_events_daily",
    "+stg_orders",
    "+feed_balance",
)


@dataclass(frozen=True)
class Night:
    """What comes before a run, and how the run goes."""

    deliveries: list[Delivery]
    days_on: int  # how far as_of steps
    taken_back: int | None  # which file is read again by another mapping, or dropped
    dies_after: str | None


def instants(days: int = 6) -> st.SearchStrategy[str]:
    """Moments of a few days, many of them around the gap of a session and the business midnight."""
    minutes = st.sampled_from([0, 1, 29, 30, 31, 59, 957, 958, 960, 961, 989, 990, 1439])
    return st.builds(
        lambda day, minute: str(
            dt.datetime.combine(FIRST_DAY, dt.time()) + dt.timedelta(days=day, minutes=minute)
        ),
        st.integers(0, days - 1),
        minutes,
    )


LATE_DAYS = st.sampled_from([0, 0, 0, 1, 3, 40, 429, 430, 431])
ACCOUNTS = st.sampled_from(["a1", "a2", None])


@st.composite
def placed(draw: st.DrawFn, column: str) -> dict[str, Any]:
    """When it happened, which version of it this is, and when it became known."""
    happened = draw(instants())
    version = draw(st.sampled_from([None, "2024-06-02", "2024-06-04", "delivery", "delivery"]))
    known = dt.datetime.fromisoformat(happened) + dt.timedelta(days=draw(LATE_DAYS))
    version = str(known) if version == "delivery" else version
    return {column: happened, "source_version": version, "known_at": str(known)}


def events() -> st.SearchStrategy[dict[str, Any]]:
    types = ["page_view", "product_view", "cart_added", "cart_removed", "favourite_added",
             "favourite_removed", "checkout_started", "live_entered", "live_liked"]  # fmt: skip
    return st.builds(
        lambda place, number, kind, account, device, sku: {
            "event_id": f"e{number}",
            "event_type": kind,
            "source_customer_id": account,
            "device_id": device,
            "sku": sku,
            "live_room_id": "room" if kind.startswith("live") else None,
            **place,
        },
        placed("occurred_at"),
        st.integers(1, 9),
        st.sampled_from(types),
        ACCOUNTS,
        st.sampled_from(["d1", "d2"]),
        st.sampled_from(["TEA", "CUP", None]),
    )


def posts() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda place, number, kind, account: {
            "post_id": f"p{number}",
            "post_kind": kind,
            "group_id": "g1",
            "source_customer_id": account,
            **place,
        },
        placed("posted_at"),
        st.integers(1, 4),
        st.sampled_from(["post", "question"]),
        ACCOUNTS,
    )


def lines() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda place, number, price: order_line(f"o{number}", unit_price_amount=price, **place),
        placed("ordered_at"),
        st.integers(1, 5),
        st.sampled_from(["10", "11"]),
    )


def orders() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda place, number, status: {
            "order_id": f"o{number}",
            "source_customer_id": "a1",
            "order_status": status,
            "paid_amount": "30",
            "currency": "CNY",
            **place,
        },
        placed("ordered_at"),
        st.integers(1, 4),
        st.sampled_from(["paid", "cancelled"]),
    )


def deliveries() -> st.SearchStrategy[Delivery]:
    kinds = [
        ("app_events", "app", "events", events()),
        ("posts", "community", "community_posts", posts()),
        ("shop_lines", "shop", "order_lines", lines()),
        ("shop_orders", "shop", "orders", orders()),
    ]
    return st.sampled_from(kinds).flatmap(
        lambda kind: st.builds(
            lambda records: Delivery(*kind[:3], records),
            st.lists(kind[3], min_size=1, max_size=6),
        )
    )


def nights(most: int) -> st.SearchStrategy[list[Night]]:
    night = st.builds(
        Night,
        deliveries=st.lists(deliveries(), max_size=3),
        days_on=st.integers(0, 3),
        taken_back=st.one_of(st.none(), st.none(), st.integers(0, 9)),
        dies_after=st.one_of(st.none(), st.sampled_from(DEATHS)),
    )
    return st.lists(night, min_size=2, max_size=most)


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


def step_through(
    dbt: ParsedDbt, folder: Path, plan: Sequence[Night], left_out: Sequence[str]
) -> None:
    """Lives through the nights, then compares with a warehouse that saw only the last one."""
    shutil.rmtree(folder, ignore_errors=True)
    stepped, fresh = folder / "stepped" / "crm.duckdb", folder / "fresh" / "crm.duckdb"
    for path in (stepped, fresh):
        path.parent.mkdir(parents=True)
    dbt_support.create_sources(stepped)
    as_of = FIRST_DAY + dt.timedelta(days=2)
    excluded = ("--exclude", *left_out) if left_out else ()
    for night in plan:
        as_of += dt.timedelta(days=night.days_on)
        dbt_support.deliver(stepped, fresh_files(stepped, night.deliveries))
        if night.taken_back is not None:
            take_back(stepped, night.taken_back)
        if night.dies_after:
            dbt.run(stepped, "--select", night.dies_after, *excluded, as_of=str(as_of))
        else:
            dbt.run(stepped, "--select", *CHAIN, *excluded, as_of=str(as_of))
    dbt.run(stepped, "--select", *CHAIN, *excluded, as_of=str(as_of))
    copy_sources(stepped, fresh)
    dbt.run(fresh, "--select", *CHAIN, *excluded, as_of=str(as_of))
    tables = [name for name in (*STEPPED, "intermediate.int_account_touches")
              if name.split(".")[1] not in left_out]  # fmt: skip
    assert differences(stepped, fresh, tables) == []


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
    assert differences(shop.path, fresh, STEPPED) == []


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
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(plan=nights(most=3))
def test_stepped_tables_equal_a_full_build(dbt: ParsedDbt, work: Path, plan: list[Night]) -> None:
    step_through(dbt, work / "fast", plan, left_out=TIMELINE)


@pytest.mark.soak
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=nights(most=6))
def test_stepped_tables_equal_a_full_build_long(
    dbt: ParsedDbt, work: Path, plan: list[Night]
) -> None:
    step_through(dbt, work / "long", plan, left_out=())
