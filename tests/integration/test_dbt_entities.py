"""One record of every entity through staging into the timeline, and money in other currencies."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from crm_pipeline.lib.ingestion.contracts.columns import Column, Entity
from crm_pipeline.lib.privacy import CLASSES
from tests import dbt_support
from tests.dbt_support import SHOWN, Delivery, ParsedDbt, order_line

MODELS = dbt_support.PROJECT / "models"
PUBLIC = ("marts", "metrics", "activation", "ops")

WRITTEN = "words somebody wrote"
SECRET = "name or number of a person"
# Goods, money and weather have no account; the two accounts of a pair are no touch of theirs.
WITHOUT_TOUCH = {
    "products", "stock_levels", "marketing_spend", "exchange_rates", "weather_alerts",
    "identity_pairs",
}  # fmt: skip


def described_columns() -> dict[str, dict[str, str]]:
    """Model -> column -> its class, as the YAML files beside the models say."""
    models = [
        model
        for path in MODELS.rglob("*.yml")
        for model in yaml.safe_load(path.read_text("utf-8")).get("models", [])
    ]
    return {
        model["name"]: {
            column["name"]: column.get("config", {}).get("meta", {}).get("pii", "")
            for column in model.get("columns", [])
            if column.get("description")
        }
        for model in models
    }


DESCRIBED = described_columns()


def sample(entity: Entity, **given: Any) -> dict[str, Any]:
    """A record with every column filled; what a person wrote or is called by holds a marker."""
    staged = DESCRIBED[f"stg_{entity.name}"]
    values: dict[str, Any] = {
        column.name: WRITTEN if staged.get(column.name) == "text" else _value(column)
        for column in entity.columns
    }
    return values | given


def _value(column: Column) -> Any:
    if column.values:
        return column.values[0]
    by_kind = {
        "integer": 4,
        "money": "10.005",
        "quantity": "2",
        "timestamp": "2024-06-20 10:00",
        "date": "2024-06-20",
        "currency": "CNY",
        "boolean": True,
    }
    text = SECRET if column.pii == "direct" else f"{column.name}-1"
    return by_kind.get(column.kind, text)


SAMPLES: dict[str, dict[str, Any]] = {
    "products": {"product_name": "Tea", "category_name": "Drinks", "brand_name": "Hill"},
    "order_lines": {"line_kind": "sale", "item_class": "product", "order_id": "order_id-1"},
    "orders": {"order_status": "paid"},
    "accounts": {"registered_at": "2024-05-01", "birth_date": "1990-05-01"},
    "shipments": {"order_channel": "account_channel-1", "delivered_at": "2024-06-21 20:00"},
    "tickets": {"resolved_at": "2024-06-22 08:00"},
    "exchange_rates": {"base_currency": "USD", "rate": "7.25"},
}


def deliveries() -> list[Delivery]:
    """Desks and shop serve one channel, whose name is what their column for it holds."""
    records = {name: sample(entity, **SAMPLES.get(name, {})) for name, entity in SHOWN.items()}
    own = {name: [record] for name, record in records.items()}
    abroad = {"order_id": "abroad", "currency": "USD", "paid_amount": "80", "discount_amount": "20"}
    own["orders"] += [
        records["orders"] | abroad,
        records["orders"] | {"order_id": "unknown", "currency": "HKD", "paid_amount": "100"},
        records["orders"] | {"order_id": "guest", "source_customer_id": None},
        records["orders"] | {"order_id": "waiting", "order_status": "unpaid"},
    ]
    own["order_lines"] += [
        order_line("abroad", "2024-06-20", source_customer_id="a1", unit_price_amount="100",
                   currency="USD"),
        order_line("waiting", "2024-06-20", source_customer_id="a1", unit_price_amount="9"),
    ]  # fmt: skip
    own["refunds"] += [
        {"refund_id": "back", "order_id": "abroad", "refunded_at": "2024-06-25", "refund_amount":
         "80", "currency": "USD"},
    ]  # fmt: skip
    own["events"] += [{**records["events"], "event_id": "anonymous", "source_customer_id": None}]
    return [
        Delivery(f"feed_of_{name}", "account_channel-1", name, listed)
        for name, listed in own.items()
    ]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("dbt_entities")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, deliveries())
    dbt_support.insert(path, "ledger.consents", [{
        "event_id": "consent-1", "channel": "account_channel-1",
        "source_customer_id": "source_customer_id-1",
        "contact_kind": "email", "contact_token": "t", "contact_mask": "w***", "purpose":
        "marketing", "consent_channel": "email", "is_granted": True, "occurred_at": "2024-06-20",
        "known_at": "2024-06-20", "feed": "c", "file_sha256": "c",
    }])  # fmt: skip
    dbt_support.identify_every_account(path)
    dbt_support.build(path, work, "--exclude-resource-type", "unit_test")
    return path


def test_every_entity_with_an_account_is_in_the_timeline_and_the_others_are_not(
    warehouse: Path,
) -> None:
    rows = dbt_support.read(warehouse, "from marts.customer_timeline")
    touched = {row["entity"] for row in rows}
    assert touched == (set(SHOWN) | {"consents"}) - WITHOUT_TOUCH
    assert len({row["touch_id"] for row in rows}) == len(rows)


def test_the_timeline_says_when_what_and_for_how_much(warehouse: Path) -> None:
    def touch(kind: str, **where: str) -> dict[str, Any]:
        conditions = " and ".join(f"{name} = '{value}'" for name, value in where.items())
        [row] = dbt_support.read(
            warehouse,
            f"from marts.customer_timeline where touch_kind = '{kind}' and {conditions or 'true'}",
        )
        return row

    order = touch("order_placed", reference_id="order_id-1")
    assert (order["amount"], order["currency"], order["label"]) == (Decimal("10.00"), "CNY", "paid")
    assert order["occurred_at"] == dt.datetime(2024, 6, 20, 10)  # noqa: DTZ001
    assert touch("refund_booked", reference_id="abroad")["amount"] == Decimal("-80.00")
    delivered = touch("parcel_delivered")
    assert delivered["business_date"] == dt.date(2024, 6, 22)  # 20:00 UTC is the next day there
    assert delivered["source_customer_id"] == "source_customer_id-1"  # by its order
    assert touch("chat_by_customer")["source_customer_id"] == "source_customer_id-1"  # by ticket
    assert touch("review_written")["label"] == "4 of 5"
    assert touch("points_received")["source_customer_id"] == "to_customer_id-1"


@pytest.fixture(scope="module")
def opened(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        yield connection


def tables_in(opened: duckdb.DuckDBPyConnection, *schemas: str) -> list[tuple[str, str]]:
    listed = ", ".join(f"'{schema}'" for schema in schemas)
    return opened.execute(
        "select table_schema, table_name from information_schema.tables "
        f"where table_schema in ({listed}) order by all"
    ).fetchall()


def holds(opened: duckdb.DuckDBPyConnection, table: tuple[str, str], text: str) -> bool:
    rows = opened.execute(f"from {'.'.join(table)}").fetchall()
    return any(text in str(value) for row in rows for value in row)


def test_what_names_a_person_stays_at_the_door_and_what_they_wrote_in_staging(
    opened: duckdb.DuckDBPyConnection,
) -> None:
    assert any(holds(opened, ("conformed", name), SECRET) for name in SHOWN)
    assert any(holds(opened, ("staging", f"stg_{name}"), WRITTEN) for name in SHOWN)
    beyond_the_door = tables_in(opened, "staging", "intermediate", *PUBLIC)
    assert [table for table in beyond_the_door if holds(opened, table, SECRET)] == []
    public = tables_in(opened, *PUBLIC)
    assert [table for table in public if holds(opened, table, WRITTEN)] == []


def test_every_column_people_can_read_is_described_and_classified(
    opened: duckdb.DuckDBPyConnection,
) -> None:
    staged = [("staging", f"stg_{name}") for name in (*SHOWN, "consents")]
    for schema, table in [*staged, *tables_in(opened, *PUBLIC)]:
        described = opened.execute(f"describe {schema}.{table}").fetchall()
        classes = DESCRIBED[table]
        assert {name for name, *_ in described} == set(classes), f"{schema}.{table}"
        assert set(classes.values()) <= set(CLASSES), f"{schema}.{table}"
        assert schema == "staging" or "text" not in classes.values(), f"{schema}.{table}"


def test_every_account_a_record_is_about_is_seen_and_hearsay_is_not(warehouse: Path) -> None:
    seen = {
        (row["channel"], row["source_customer_id"])
        for row in dbt_support.read(warehouse, "from intermediate.int_accounts_seen")
    }
    channel = "account_channel-1"
    assert seen == {
        (channel, "source_customer_id-1"), (channel, "a1"), (channel, "to_customer_id-1"),
        (channel, "invitee_customer_id-1"),
    }  # fmt: skip


def order(warehouse: Path, order_id: str) -> dict[str, Any]:
    [row] = dbt_support.read(warehouse, f"from marts.fct_orders where order_id = '{order_id}'")
    return row


def test_a_coupon_order_abroad_counts_at_the_rate_of_its_day_and_paid_back_leaves_nothing(
    warehouse: Path,
) -> None:
    abroad = order(warehouse, "abroad")
    assert (abroad["currency"], abroad["gross_amount"]) == ("USD", Decimal("725.00"))
    assert abroad["discount_amount"] == Decimal("145.00")
    assert (abroad["refund_amount"], abroad["net_amount"]) == (Decimal("580.00"), 0)


@pytest.mark.bad_input("B48")
def test_money_without_a_rate_is_held_and_listed(warehouse: Path) -> None:
    unknown = order(warehouse, "unknown")
    assert (unknown["document_kind"], unknown["net_amount"]) == ("sale", None)
    [held] = dbt_support.read(warehouse, "from ops.unconverted_amounts")
    assert held == {
        "entity": "orders",
        "channel": "account_channel-1",
        "currency": "HKD",
        "business_date": dt.date(2024, 6, 20),
        "record_count": 1,
        "amount": Decimal("100.00"),
    }


def test_an_order_that_is_not_paid_sells_nothing(warehouse: Path) -> None:
    waiting = order(warehouse, "waiting")
    assert (waiting["document_kind"], waiting["gross_amount"]) == ("adjustment", 0)
    assert waiting["sale_line_count"] == 0


def corrections() -> list[Delivery]:
    """Every entity's record once more, a day later and of a newer version; an order comes late."""
    again = []
    for delivery in deliveries():
        entity = SHOWN[delivery.entity]
        if entity.event_time is None:
            continue
        newer = [
            record | {entity.event_time: "2024-06-21 10:00", "source_version": "2024-06-22",
                      "known_at": "2024-06-22"}
            for record in delivery.records
            if entity.event_time not in entity.natural_key
        ]  # fmt: skip
        again.append(Delivery(f"{delivery.feed}_again", delivery.channel, delivery.entity, newer))
    late = order_line("late", "2024-02-01", source_customer_id="a1", known_at="2024-06-23")
    return [
        *(delivery for delivery in again if delivery.records),
        Delivery("late_lines", "account_channel-1", "order_lines", [late]),
    ]


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> ParsedDbt:
    return ParsedDbt(tmp_path_factory.mktemp("dbt_parsed"))


@pytest.fixture
def settings_of_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_DBT_BUSINESS_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_DBT_REPORTING_CURRENCY", "CNY")


@pytest.mark.requirement("CUS-2")
@pytest.mark.usefixtures("settings_of_the_shop")
def test_a_corrected_or_late_record_moves_its_touches_as_a_new_build_would(
    dbt: ParsedDbt, tmp_path: Path
) -> None:
    timelines = []
    for name, nights in {
        "stepped": [deliveries(), corrections()],
        "fresh": [[*deliveries(), *corrections()]],
    }.items():
        path = tmp_path / name / "crm.duckdb"
        path.parent.mkdir()
        dbt_support.create_sources(path)
        for night in nights:
            dbt_support.deliver(path, night)
            dbt.run(path, "--select", "+staged_parts", "+customer_timeline",
                    "--exclude", "path:models/marts/behaviour", as_of="2024-06-30")  # fmt: skip
        timelines.append(dbt_support.read(path, "from marts.customer_timeline order by touch_id"))
    stepped, fresh = timelines
    assert stepped == fresh
    days = {row["business_date"] for row in stepped if row["entity"] == "tickets"}
    assert days == {dt.date(2024, 6, 21), dt.date(2024, 6, 22)}  # opened anew, resolved as before
    assert dt.date(2024, 2, 1) in {row["business_date"] for row in stepped}


TOUCHES_BY_CUSTOMER = """
    select customer_id, count(*) as touches from marts.customer_timeline group by customer_id
"""


@pytest.mark.requirement("CUS-2")
@pytest.mark.usefixtures("settings_of_the_shop")
def test_a_merge_moves_every_touch_to_the_kept_customer_and_rewrites_none(
    warehouse: Path, dbt: ParsedDbt, tmp_path: Path
) -> None:
    path = tmp_path / "crm.duckdb"
    shutil.copy(warehouse, path)
    kept, gone = "c-account_channel-1-a1", "c-account_channel-1-source_customer_id-1"
    stored = "from intermediate.int_touches order by touch_id"
    before = {row["customer_id"]: row["touches"]
              for row in dbt_support.read(path, TOUCHES_BY_CUSTOMER)}  # fmt: skip
    touches = dbt_support.read(path, stored)
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update identity.customer_accounts set customer_id = ? where customer_id = ?",
            [kept, gone],
        )
    dbt.run(path, "--select", "source_customers", as_of="2024-06-30")
    after = {row["customer_id"]: row["touches"]
             for row in dbt_support.read(path, TOUCHES_BY_CUSTOMER)}  # fmt: skip
    assert after[kept] == before[kept] + before[gone]
    assert gone not in after
    assert dbt_support.read(path, stored) == touches
