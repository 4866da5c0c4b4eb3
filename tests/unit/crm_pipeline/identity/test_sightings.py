"""Parts are read once, and what was read is forgotten with its part."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity.resolution import resolve_accounts
from crm_pipeline.lib.identity.sightings import Reading, make_identifiers, refresh_sightings
from crm_pipeline.lib.ledger import open_vault
from crm_pipeline.lib.ledger.schema import vault
from tests import dbt_support, identity_support
from tests.identity_support import AS_OF, accounts, make_warehouse

READING = Reading(identity_support.shipped_kinds(), b"a key for tests", ZoneInfo("Asia/Shanghai"))
ANN = {
    "source_customer_id": "ann", "registered_at": "2024-01-05", "known_at": "2024-02-01",
    "phone": "138 1234 0042", "email": "Ann@Box.example.com",
}  # fmt: skip


@pytest.fixture
def engine(home: CrmHome) -> sa.Engine:
    return open_vault(home)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = make_warehouse(tmp_path / "crm.duckdb", accounts("app", ANN))
    yield connection
    connection.close()


def shown(connection: duckdb.DuckDBPyConnection, as_of: dt.date = AS_OF) -> list[tuple[Any, ...]]:
    make_identifiers(connection, as_of)
    return connection.execute(
        "select channel || ':' || source_customer_id, identifier_kind, identifier_state, "
        "seen_from::date::varchar, seen_to::date::varchar from identity.identifiers order by all"
    ).fetchall()


def test_an_account_shows_its_identifiers_from_its_opening_to_its_delivery(
    warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine
) -> None:
    assert refresh_sightings(warehouse, engine, READING) == 1
    assert shown(warehouse) == [
        ("app:ann", "email", "key", "2024-01-05", "2024-02-01"),
        ("app:ann", "phone", "key", "2024-01-05", "2024-02-01"),
    ]


@pytest.mark.requirement("PRV-4")
def test_clear_contacts_are_in_the_vault_and_nowhere_in_the_warehouse(
    warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine
) -> None:
    refresh_sightings(warehouse, engine, READING)
    make_identifiers(warehouse, AS_OF)
    tokens = {row[0] for row in warehouse.execute(
        "select identifier_token from identity.identifiers").fetchall()}  # fmt: skip
    with engine.connect() as connection:
        kept = {row.token: row.clear_value for row in connection.execute(sa.select(vault))}
    assert kept.keys() == tokens
    assert set(kept.values()) == {"+8613812340042", "ann@box.example.com"}
    for table in ("sightings", "identifiers"):
        text = str(warehouse.execute(f"from identity.{table}").fetchall()).lower()
        assert "13812340042" not in text and "138 1234" not in text and "ann@box" not in text


def test_a_part_is_read_once(warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine) -> None:
    assert refresh_sightings(warehouse, engine, READING) == 1
    before = warehouse.execute("from identity.sightings order by all").fetchall()
    assert refresh_sightings(warehouse, engine, READING) == 0
    assert warehouse.execute("from identity.sightings order by all").fetchall() == before


def test_another_rule_about_values_reads_every_part_again(
    warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine
) -> None:
    refresh_sightings(warehouse, engine, READING)
    kinds = tuple(
        replace(kind, exclude_patterns=(r"ann@.*",)) if kind.name == "email" else kind
        for kind in READING.kinds
    )
    assert refresh_sightings(warehouse, engine, replace(READING, kinds=kinds)) == 1
    assert [row[1:3] for row in shown(warehouse)] == [("email", "excluded"), ("phone", "key")]


def test_a_part_that_is_no_longer_active_takes_its_sightings_along(
    warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine
) -> None:
    refresh_sightings(warehouse, engine, READING)
    warehouse.execute("update ledger.inbox_files set state = 'superseded'")
    assert refresh_sightings(warehouse, engine, READING) == 0
    assert shown(warehouse) == []


def test_a_record_staging_takes_out_is_no_evidence_either(
    warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine
) -> None:
    refresh_sightings(warehouse, engine, READING)
    warehouse.execute(
        "insert into staging.stg_repeats "
        "select entity, feed, file_sha256, 1, 'conflict' from ledger.inbox_files"
    )
    assert refresh_sightings(warehouse, engine, READING) == 1
    assert shown(warehouse) == []


@pytest.mark.requirement("IDN-2")
def test_a_corrected_value_is_believed_from_when_it_was_said(
    tmp_path: Path, engine: sa.Engine
) -> None:
    later = ANN | {"phone": "13900001111", "known_at": "2024-05-01", "source_version": "2024-04-20"}
    with make_warehouse(tmp_path / "w.duckdb", accounts("app", ANN), accounts("app", later)) as w:
        refresh_sightings(w, engine, READING)
        assert [row for row in shown(w) if row[1] == "phone"] == [
            ("app:ann", "phone", "key", "2024-01-05", "2024-02-01"),
            ("app:ann", "phone", "key", "2024-04-20", "2024-05-01"),
        ]
        assert [row for row in shown(w) if row[1] == "email"] == [
            ("app:ann", "email", "key", "2024-01-05", "2024-05-01"),
        ]


@pytest.mark.requirement("IDN-2")
def test_a_lent_number_is_the_accounts_until_it_ends(tmp_path: Path, engine: sa.Engine) -> None:
    lent = {
        "source_customer_id": "bob", "registered_at": "2024-01-05", "known_at": "2024-03-01",
        "phone": "17012345678", "phone_valid_until": "2024-01-20",
    }  # fmt: skip
    with make_warehouse(tmp_path / "w.duckdb", accounts("jd", lent)) as w:
        refresh_sightings(w, engine, READING)
        assert shown(w) == [("jd:bob", "virtual_phone", "key", "2024-01-05", "2024-01-20")]
    with engine.connect() as connection:
        assert connection.execute(sa.select(vault)).all() == []


def test_a_second_lent_number_that_has_ended_already_is_seen_until_its_end(
    tmp_path: Path, engine: sa.Engine
) -> None:
    first = {
        "source_customer_id": "bob", "registered_at": "2024-01-05", "known_at": "2024-01-10",
        "phone": "17012340042", "phone_valid_until": "2024-01-20",
    }  # fmt: skip
    second = first | {
        "phone": "17012340043", "phone_valid_until": "2024-02-01", "known_at": "2024-03-01",
    }  # fmt: skip
    with make_warehouse(tmp_path / "w.duckdb", accounts("jd", first), accounts("jd", second)) as w:
        refresh_sightings(w, engine, READING)
        assert [row[3:] for row in shown(w)] == [
            ("2024-01-05", "2024-01-20"), ("2024-02-01", "2024-02-01"),
        ]  # fmt: skip
        resolve_accounts(w, READING.kinds, identity_support.NO_OVERRIDES)


def test_what_an_order_or_a_broken_text_said_before_takes_nothing_from_the_profile(
    tmp_path: Path, engine: sa.Engine
) -> None:
    broken = ANN | {"phone": "12345", "known_at": "2024-01-06", "source_version": "2024-01-06"}
    order = {
        "order_id": "o1", "source_customer_id": "ann", "ordered_at": "2024-01-07",
        "buyer_phone": "13700001111",
    }  # fmt: skip
    deliveries = (
        accounts("app", broken),
        accounts("app", ANN | {"source_version": "2024-02-01"}),
        dbt_support.Delivery("app_orders", "app", "orders", [order]),
    )
    with make_warehouse(tmp_path / "w.duckdb", *deliveries) as w:
        refresh_sightings(w, engine, READING)
        keys = [row[3:] for row in shown(w) if row[1:3] == ("phone", "key")]
        assert keys == [("2024-01-05", "2024-02-01"), ("2024-01-07", "2024-01-07")]


def test_orders_and_events_show_what_their_account_uses(tmp_path: Path, engine: sa.Engine) -> None:
    order = {
        "order_id": "o1", "source_customer_id": "v1", "ordered_at": "2024-03-03",
        "member_number": "vip-001", "buyer_phone": "13812340042", "receiver_phone": "13700001111",
        "receiver_name": "王小明", "receiver_address": "上海市黄浦区南京东路1号",
    }  # fmt: skip
    guest = order | {"order_id": "o2", "source_customer_id": None}
    event = {"event_id": "e1", "source_customer_id": "ann", "occurred_at": "2024-03-04",
             "device_id": "d0a1b2c3d4"}  # fmt: skip
    deliveries = (
        dbt_support.Delivery("pos_orders", "pos", "orders", [order, guest]),
        dbt_support.Delivery("app_events", "app", "events", [event, event | {"event_id": "e2"}]),
    )
    with make_warehouse(tmp_path / "w.duckdb", *deliveries) as w:
        refresh_sightings(w, engine, READING)
        assert [row[:2] for row in shown(w)] == [
            ("app:ann", "device"), ("pos:v1", "member_number"), ("pos:v1", "phone"),
            ("pos:v1", "receiver_address"), ("pos:v1", "receiver_phone"),
        ]  # fmt: skip


@pytest.mark.requirement("CUS-3")
def test_a_past_day_sees_what_was_known_by_its_end_in_the_business_zone(
    tmp_path: Path, engine: sa.Engine
) -> None:
    late = ANN | {"known_at": "2024-03-01 16:30:00"}  # half past midnight of the 2nd in Shanghai
    with make_warehouse(tmp_path / "w.duckdb", accounts("app", late)) as w:
        refresh_sightings(w, engine, READING)
        assert shown(w, dt.date(2024, 3, 1)) == []
        assert len(shown(w, dt.date(2024, 3, 2))) == 2


def test_a_failure_in_the_middle_leaves_what_was_there(
    warehouse: duckdb.DuckDBPyConnection, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh_sightings(warehouse, engine, READING)
    before = warehouse.execute("from identity.sightings order by all").fetchall()

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("crm_pipeline.lib.identity.sightings._fill_vault", fail)
    other = replace(READING, zone=ZoneInfo("UTC"))
    with pytest.raises(OSError, match="full"):
        refresh_sightings(warehouse, engine, other)
    assert warehouse.execute("from identity.sightings order by all").fetchall() == before
    monkeypatch.undo()
    assert refresh_sightings(warehouse, engine, other) == 1
