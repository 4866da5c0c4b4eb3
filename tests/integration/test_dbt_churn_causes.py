"""Facts beside a silence, with the lift worked out by hand; sales by day and their forecast."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

pytestmark = pytest.mark.requirement("SCO-8")

AS_OF = "2024-06-30"
FIRST, AGAIN = "2024-01-10 04:00", "2024-02-20 04:00"


def shop() -> list[Delivery]:
    """Of 40 with a late parcel 30 never come again, of 160 others 40; all others come once more."""
    lines, parcels = [], []
    for number in range(200):
        customer, is_late = f"a{number}", number < 40
        lines.append(order_line(f"{customer}-1", FIRST, source_customer_id=customer))
        if not (number < 30 or 40 <= number < 80):
            lines.append(order_line(f"{customer}-2", AGAIN, source_customer_id=customer))
        came = "2024-01-16 04:00" if is_late else "2024-01-12 04:00"
        parcels.append(parcel(f"{customer}-1", "2024-01-13 15:59:59", came))
    lines += [
        order_line("fresh-1", "2024-06-24 04:00", source_customer_id="fresh"),
        order_line("waiting-1", "2024-04-05 04:00", source_customer_id="waiting"),
        order_line("paid-1", "2024-05-02 04:00", source_customer_id="dear", unit_price_amount="20"),
        order_line("paid-2", "2024-05-04 04:00", source_customer_id=None, unit_price_amount="25"),
    ]
    parcels += [
        parcel("fresh-1", "2024-06-26 15:59:59", "2024-06-28 04:00"),
        parcel("waiting-1", "2024-04-07 15:59:59", None),
    ]
    tickets = [
        ticket("t1", "a0", "a0-1", "2024-01-18 04:00"),
        ticket("t2", "a0", "a0-1", "2024-01-18 05:00"),
        ticket("t3", "a50", None, "2024-01-20 04:00"),
        ticket("t4", "a51", None, "2024-02-20 04:00"),  # six weeks after the last order
        ticket("t5", "a52", None, "2024-01-20 04:00", "question"),
        ticket("t6", "a53", "a53-1", "2024-07-01 04:00"),
    ]
    reviews = [{"review_id": "r1", "source_customer_id": "a54", "order_id": "a54-1", "sku": "TEA",
                "rating": 1, "reviewed_at": "2024-01-19 04:00"}]  # fmt: skip
    refunds = [{"refund_id": "b1", "order_id": "a55-1", "refunded_at": "2024-01-21 04:00",
                "refund_amount": "4", "currency": "CNY"}]  # fmt: skip
    return [
        Delivery("shop", "shop", "order_lines", lines),
        Delivery("logistics", "shop", "shipments", parcels),
        Delivery("service", "shop", "tickets", tickets),
        Delivery("reviews", "shop", "reviews", reviews),
        Delivery("refunds", "shop", "refunds", refunds),
        Delivery("catalogue", "shop", "products", [
            {"sku": "TEA", "product_name": "Tea", "category_name": "Drinks"},
            {"sku": "CUP", "product_name": "Cup", "category_name": "Drinks"},
            {"sku": "BOWL", "product_name": "Bowl", "category_name": "Drinks"}]),
        Delivery("stock", "shop", "stock_levels", [
            {"sku": sku, "location_id": place, "counted_at": moment, "quantity_on_hand": pieces}
            for sku, place, moment, pieces in (
                ("CUP", "w1", "2024-01-08", "0"), ("CUP", "w2", "2024-01-08", "0"),
                ("CUP", "w1", "2024-01-15", "9"),
                # The places of the bowl are counted on different days; w1 has it until the 18th.
                ("BOWL", "w1", "2024-01-08", "5"), ("BOWL", "w2", "2024-01-10", "0"),
                ("BOWL", "w1", "2024-01-18", "0"))]),
        Delivery("app", "shop", "events", [
            {"event_id": f"e{number}", "source_customer_id": customer, "sku": sku,
             "event_type": "product_view", "occurred_at": moment}
            for number, (customer, sku, moment) in enumerate((
                ("a56", "CUP", "2024-01-12 04:00"), ("a57", "CUP", "2024-01-16 04:00"),
                ("a58", "BOWL", "2024-01-12 04:00"), ("a59", "BOWL", "2024-01-19 04:00")))]),
    ]  # fmt: skip


def parcel(order_id: str, promised: str, came: str | None) -> dict[str, Any]:
    return {"shipment_id": f"p-{order_id}", "order_channel": "shop", "order_id": order_id,
            "promised_at": promised, "shipped_at": FIRST, "delivered_at": came,
            "shipment_status": "delivered" if came else "in_transit"}  # fmt: skip


def ticket(
    number: str, customer: str, order_id: str | None, opened: str, kind: str = "complaint"
) -> dict[str, Any]:
    return {"ticket_id": number, "source_customer_id": customer, "order_id": order_id,
            "ticket_kind": kind, "ticket_status": "open", "opened_at": opened}  # fmt: skip


def forecast(as_of: str, day: str, amount: float) -> dict[str, Any]:
    return {"series": "total", "as_of_date": as_of, "forecast_date": day, "method": "mean",
            "expected_amount": amount, "backtest_origin_count": 0, "note": "",
            "model_version": "forecast-1", "scored_at": as_of}  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("causes")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, shop())
    dbt_support.identify_every_account(path)
    dbt_support.insert(path, "scores.sales_forecast", [
        forecast("2024-06-28", "2024-06-29", 1), forecast("2024-06-29", "2024-06-30", 2.345),
        forecast("2024-07-01", "2024-07-02", 3),
    ])  # fmt: skip
    dbt_support.build(path, work, "--select", "+churn_causes", "sales_forecast", "+int_sales_days",
                      "--exclude-resource-type", "unit_test", "test")  # fmt: skip
    return path


def causes(warehouse: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = dbt_support.read(warehouse, "from marts.churn_causes")
    return {(row["customer_id"].removeprefix("c-shop-"), row["cause"]): row for row in rows}


def test_the_lift_is_the_rate_with_the_fact_over_that_of_like_orders_without(
    warehouse: Path,
) -> None:
    """30 of 40 against 40 of 160; the second orders, all silent, are of another frequency."""
    late = causes(warehouse)["a5", "late_delivery"]
    assert late["churn_rate_with"] == 0.75
    assert late["churn_rate_without"] == 0.25
    assert late["churn_lift"] == 3.0
    assert late["churn_lift_low"] == pytest.approx((30 - 1.96 * 30**0.5) / 10, abs=1e-6)
    assert late["is_likely_cause"]


def test_a_cause_is_told_of_whoever_stayed_away_after_it_and_of_nobody_else(
    warehouse: Path,
) -> None:
    told = {customer for customer, cause in causes(warehouse) if cause == "late_delivery"}
    assert told == {f"a{number}" for number in range(30)} | {"waiting"}


def test_the_words_tell_how_late_and_when_it_was_known(warehouse: Path) -> None:
    late = causes(warehouse)["a5", "late_delivery"]
    assert late["evidence_en"] == "parcel 3 day(s) later than promised"
    assert late["evidence_zh"] == "包裹比承诺晚3天"
    assert late["happened_on"] == dt.date(2024, 1, 14)
    assert late["days_before_silence"] == (dt.date(2024, 1, 10) - late["happened_on"]).days + 41
    waiting = causes(warehouse)["waiting", "late_delivery"]
    # It has not come yet: the words must not say that it has.
    assert waiting["evidence_en"] == "parcel 84 day(s) later than promised"
    assert waiting["evidence_zh"] == "包裹比承诺晚84天"


def test_the_fact_with_the_larger_lift_comes_first_and_an_unmeasured_one_last(
    warehouse: Path,
) -> None:
    found = causes(warehouse)
    assert found["a0", "late_delivery"]["cause_rank"] == 1
    complaint = found["a0", "complaint"]
    assert (complaint["cause_rank"], complaint["churn_lift"]) == (2, None)
    assert not complaint["is_likely_cause"]
    assert complaint["evidence_zh"] == "当天投诉2次"


def test_every_kind_of_fact_is_found_within_two_weeks_of_the_order(warehouse: Path) -> None:
    others = {key for key in causes(warehouse) if key[1] != "late_delivery"}
    assert others == {
        ("a0", "complaint"), ("a50", "complaint"), ("a54", "low_rating"), ("a55", "refund"),
        ("a56", "stock_out"), ("a59", "stock_out"), ("dear", "price"),
    }  # fmt: skip
    assert causes(warehouse)["dear", "price"]["evidence_en"].endswith("25 % dearer")


def test_the_newest_forecast_by_as_of_is_shown_and_said_to_be_old(warehouse: Path) -> None:
    (row,) = dbt_support.read(warehouse, "from marts.sales_forecast")
    assert (row["forecast_date"], row["is_stale"]) == (dt.date(2024, 6, 30), True)
    assert row["expected_amount"] == Decimal("2.35")


def test_sales_of_a_day_are_told_in_total_and_by_category(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse, "from intermediate.int_sales_days where business_date = date '2024-01-10'"
    )
    assert {row["series"]: row["sales_amount"] for row in rows} == {
        "total": Decimal("2000.00"), "category: Drinks": Decimal("2000.00"),
    }  # fmt: skip
