"""Clusters in the marts: the newest slice of customers that exist, and what they have in common."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

JUNE = "2024-06-30"


def cluster(customer: str, day: str, number: int, name: str) -> dict[str, Any]:
    return {
        "customer_id": customer, "as_of_date": day, "cluster_number": number, "cluster_name": name,
        "distance": 0.5, "model_version": "m1", "fitted_as_of_date": "2024-05-31",
        "scored_at": day,
    }  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three buyers, two of them in one cluster; the unit tests of the features have passed."""
    work = tmp_path_factory.mktemp("clusters")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    lines = [
        order_line("o1", "2024-06-28", source_customer_id="a1", unit_price_amount="30"),
        order_line("o2", "2024-06-20", source_customer_id="a2", unit_price_amount="10"),
        order_line("o3", "2024-06-10", source_customer_id="a2", unit_price_amount="20"),
        order_line("o4", "2023-01-10", source_customer_id="a3", unit_price_amount="99"),
    ]
    views = [
        {"event_id": f"e{number}", "source_customer_id": "a1", "event_type": "product_view",
         "occurred_at": f"2024-06-{day} 02:00", "sku": "TEA"}
        for number, day in enumerate(("01", "01", "02"))
    ]  # fmt: skip
    dbt_support.deliver(path, [Delivery("shop", "shop", "order_lines", lines),
                               Delivery("app", "shop", "events", views)])  # fmt: skip
    dbt_support.identify_every_account(path)
    dbt_support.insert(path, "scores.customer_clusters", [
        cluster("c-shop-a1", JUNE, 1, "high_spend_recent"),
        cluster("c-shop-a2", JUNE, 1, "high_spend_recent"),
        cluster("c-shop-a3", JUNE, 2, "low_spend_silent"),
        cluster("gone", JUNE, 2, "low_spend_silent"),
        cluster("c-shop-a1", "2024-06-29", 2, "low_spend_silent"),
        cluster("c-shop-a1", "2024-07-01", 2, "low_spend_silent"),
    ])  # fmt: skip
    dbt_support.build(path, work, "--select", "+cluster_profiles", "--indirect-selection",
                      "buildable")  # fmt: skip
    return path


@pytest.mark.requirement("CUS-13")
def test_each_customer_is_in_the_cluster_of_the_newest_day_by_as_of(warehouse: Path) -> None:
    rows = dbt_support.read(warehouse, "from marts.customer_clusters order by customer_id")
    assert [(row["customer_id"], row["cluster_number"]) for row in rows] == [
        ("c-shop-a1", 1), ("c-shop-a2", 1), ("c-shop-a3", 2),
    ]  # fmt: skip
    assert {row["as_of_date"] for row in rows} == {date(2024, 6, 30)}
    assert {row["fitted_as_of_date"] for row in rows} == {date(2024, 5, 31)}


def test_a_profile_is_the_mean_of_its_customers(warehouse: Path) -> None:
    first, second = dbt_support.read(
        warehouse, "from marts.cluster_profiles order by cluster_number"
    )
    assert (first["cluster_name"], first["customer_count"]) == ("high_spend_recent", 2)
    assert first["customer_share_pct"] == pytest.approx(200 / 3)
    assert first["mean_days_since_last_order"] == 6.0  # 2 and 10
    assert first["mean_order_count_in_window"] == 1.5
    assert first["mean_spend_in_window_amount"] == 30.0
    assert (first["mean_active_day_count"], first["mean_product_view_count"]) == (1.0, 1.5)
    assert (second["customer_count"], second["mean_spend_in_window_amount"]) == (1, 0.0)


def test_the_features_know_no_event_and_no_order_outside_their_windows(warehouse: Path) -> None:
    rows = dbt_support.read(warehouse, "from intermediate.int_cluster_features order by 1")
    assert [row["spend_in_window_amount"] for row in rows] == [
        Decimal("30.00"), Decimal("30.00"), Decimal("0.00"),
    ]  # fmt: skip
    assert [row["product_view_count"] for row in rows] == [3, 0, 0]
