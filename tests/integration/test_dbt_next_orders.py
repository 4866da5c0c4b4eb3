"""When somebody buys again: lives and rhythms planted in a small shop are found in its orders.

Four goods are planted with a known life or none at all, and watched for as short a time as real
shops are: most of their buyers have not come back yet. Beside them stand single customers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

pytestmark = pytest.mark.requirement("SCO-4")

AS_OF = dt.date(2024, 6, 30)
GOODS = {
    "FILTER": ("净水滤芯 标准装", "净水", None),
    "PURIFIER": ("台式净饮机", "净水", None),
    "DIAPER": ("纸尿裤 L", "纸尿裤", None),
    "POWDER": ("蛋白粉", "运动营养", None),
    "TOY": ("Blocks", "Toys", 0),
    "FLAKES": ("Flakes", "Aquarium", 10),
    "BOOK": ("Novel", "Books", None),
    "SERUM": ("Serum", "Beauty", None),
    "HEAD": ("替换刷头", "口腔护理", None),
}


def days_ago(days: int) -> str:
    return f"{AS_OF - dt.timedelta(days=days)} 04:00"


def bought(customer: str, sku: str, *ago: int, quantity: int = 1) -> Iterator[dict[str, Any]]:
    for days in ago:
        yield order_line(f"{customer}-{sku}-{days}", days_ago(days), source_customer_id=customer,
                         sku=sku, quantity=str(quantity))  # fmt: skip


def planted(
    sku: str, start: np.ndarray, gap: np.ndarray, quantity: np.ndarray | None = None
) -> Iterable[dict[str, Any]]:
    """A first purchase ``start`` days ago by each buyer, and the next if its day has come."""
    pieces = np.ones(len(start), int) if quantity is None else quantity
    rows = zip(start.tolist(), gap.tolist(), pieces.tolist(), strict=True)
    for number, (first, days, count) in enumerate(rows):
        customer = f"{sku.lower()}{number}"
        yield from bought(customer, sku, first, quantity=count)
        if days <= first:
            yield from bought(customer, sku, first - days, quantity=count)


def planted_orders() -> list[dict[str, Any]]:
    """A filter lasts 90 days, diapers 30 with a quarter of the buyers, powder 30 days a tub."""
    rng = np.random.default_rng(7)

    def life(mean: float, count: int) -> np.ndarray:
        return np.maximum(np.round(rng.gamma(25, mean / 25, count)), 1).astype(int)

    filters, diapers, powders, toys = 500, 900, 400, 400
    pieces = rng.integers(1, 4, powders)
    returns = rng.random(diapers) < 0.25
    by_chance = np.ceil(rng.exponential(240, diapers)).astype(int)
    again = np.where(returns, np.minimum(life(30, diapers), by_chance), by_chance)
    return [
        *planted("FILTER", rng.integers(10, 130, filters), life(90, filters)),
        *planted("DIAPER", rng.integers(1, 300, diapers), again),
        *planted("POWDER", rng.integers(1, 200, powders), life(30, powders) * pieces, pieces),
        *planted("TOY", rng.integers(1, 120, toys), np.ceil(rng.exponential(60, toys)).astype(int)),
    ]


def single_customers() -> list[dict[str, Any]]:
    return [
        *bought("steady", "BOOK", 65, 45, 15, 5),  # gaps 20, 30, 10
        *bought("late", "BOOK", 50, 40, 30),  # gaps 10, 10: due 20 days ago
        *bought("over", "BOOK", 94, 92, 90),  # gaps 2, 2: the span of the next order is long over
        *bought("due_today", "BOOK", 60, 40, 20),
        *bought("gone", "BOOK", 400, 390, 380),
        *bought("twice", "BOOK", 40, 12),
        *bought("once_beauty", "SERUM", 3),
        *bought("once_toy", "TOY", 2),
        *bought("unlisted", "MYSTERY", 8),
        *bought("fish", "FLAKES", 20, quantity=3),
        *bought("brush_due", "HEAD", 180, quantity=2),
        *bought("brush_lapsed", "HEAD", 273),
        *bought("brush_own", "HEAD", 150, 90, 30),
        *bought("brush_pause", "HEAD", 700, 300, 30),
        *bought("brush_back", "HEAD", 10),
        *bought("purifier", "PURIFIER", 60),
        *bought("purifier_twice", "PURIFIER", 60),
        *bought("purifier_twice", "FILTER", 20, quantity=2),
    ]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("next_orders")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    products = [
        {"sku": sku, "product_name": name, "category_name": category, "replenish_days": life}
        for sku, (name, category, life) in GOODS.items()
    ]
    back = {"refund_id": "r1", "order_id": "brush_back-HEAD-10", "refunded_at": days_ago(2),
            "refund_amount": "10", "currency": "CNY"}  # fmt: skip
    dbt_support.deliver(path, [
        Delivery("shop", "shop", "order_lines", [*planted_orders(), *single_customers()]),
        Delivery("catalogue", "shop", "products", products),
        Delivery("refunds", "shop", "refunds", [back]),
    ])  # fmt: skip
    dbt_support.identify_every_account(path)
    dbt_support.build(path, work, "--select", "+next_orders", "+replenishment_dues",
                      "--exclude-resource-type", "unit_test", "test",
                      )  # fmt: skip
    return path


def by_customer(warehouse: Path, table: str) -> dict[str, dict[str, Any]]:
    rows = dbt_support.read(warehouse, f"from marts.{table}")
    return {row["customer_id"].removeprefix("c-shop-"): row for row in rows}


def life_of(warehouse: Path, scope: str, series: str) -> dict[str, Any]:
    (row,) = dbt_support.read(
        warehouse,
        "select lives.*, (select avg(gap_days) from intermediate.int_repurchase_gaps as gaps "
        "where gaps.series = lives.series and gaps.scope = lives.scope and is_closed) as naive "
        "from intermediate.int_repurchase_lives as lives "
        f"where scope = '{scope}' and series = '{series}'",
    )
    return row


def test_a_life_most_buyers_have_not_reached_yet_is_found_and_the_mean_of_gaps_misses_it(
    warehouse: Path,
) -> None:
    found = life_of(warehouse, "use", "water_filter")
    assert found["life_days"] == pytest.approx(90, rel=0.08)
    assert found["naive"] < 84
    assert abs(found["life_days"] - 90) < abs(found["naive"] - 90) / 1.5


def test_a_life_is_found_among_people_who_buy_again_for_other_reasons(warehouse: Path) -> None:
    found = life_of(warehouse, "use", "diapers")
    assert found["life_days"] == pytest.approx(30, abs=2)
    assert not found["is_per_unit"]
    assert found["naive"] > 45
    assert found["median_days"] > 45
    # A quarter of the 900 planted buyers, and none of those who are back, less who came before.
    planted_share = 0.25 * 0.88 * 900 / (900 + found["closed_count"])
    assert found["excess_share"] == pytest.approx(planted_share, abs=0.03)


def test_two_tubs_last_twice_as_long_where_people_buy_so(warehouse: Path) -> None:
    found = life_of(warehouse, "use", "sports_nutrition")
    assert found["is_per_unit"]
    assert found["life_days"] == pytest.approx(30, abs=2)


def test_what_is_not_used_up_has_no_life_but_a_cadence_that_waits_for_the_silent(
    warehouse: Path,
) -> None:
    """The planted rhythm is a median of 42 days; over those who came back it is far shorter."""
    found = life_of(warehouse, "category", "Toys")
    assert found["life_days"] is None
    (naive,) = dbt_support.read(
        warehouse,
        "select median(gap_days) as days from intermediate.int_repurchase_gaps "
        "where series = 'Toys' and is_closed",
    )
    customer = by_customer(warehouse, "next_orders")["once_toy"]
    assert customer["cadence_basis"] == "category"
    assert customer["cadence_days"] > naive["days"] + 4
    uses = dbt_support.read(warehouse, "select use_group from intermediate.int_product_uses")
    assert {row["use_group"] for row in uses} == {
        "water_filter", "diapers", "sports_nutrition", "Aquarium", "brush_head",
    }  # fmt: skip


def test_the_curve_is_the_product_limit_estimate(warehouse: Path) -> None:
    """The same by numpy, from the gaps themselves."""
    gaps = dbt_support.read(
        warehouse,
        "select gap_days, is_closed from intermediate.int_repurchase_gaps "
        "where scope = 'category' and series = 'Toys'",
    )
    days = np.array([row["gap_days"] for row in gaps])
    closed = np.array([row["is_closed"] for row in gaps])
    expected, left = [], 1.0
    for day in range(130):
        if waiting := int((days >= day).sum()):
            left *= 1 - int(((days == day) & closed).sum()) / waiting
        expected.append(left)
    curve = dbt_support.read(
        warehouse,
        "select survival from intermediate.int_repurchase_curves where scope = 'category' "
        "and series = 'Toys' and basis = 'purchase' and day_number < 130 order by day_number",
    )
    assert [row["survival"] for row in curve] == pytest.approx(expected, abs=1e-9)


def test_three_purchase_days_tell_an_own_rhythm_and_the_next_order_follows_its_median(
    warehouse: Path,
) -> None:
    steady = by_customer(warehouse, "next_orders")["steady"]
    assert (steady["cadence_basis"], steady["cadence_days"]) == ("own", 20)
    assert steady["average_days_between_orders"] == 20.0
    assert steady["expected_date_of_next_order"] == AS_OF + dt.timedelta(days=15)
    assert (steady["is_overdue"], steady["overdue_days"]) == (False, 0)
    assert steady["next_order_from_date"] <= steady["expected_date_of_next_order"]
    assert steady["expected_date_of_next_order"] <= steady["next_order_until_date"]


def test_an_overdue_customer_is_expected_any_day_and_a_lapsed_one_no_more(warehouse: Path) -> None:
    customers = by_customer(warehouse, "next_orders")
    tomorrow = AS_OF + dt.timedelta(days=1)
    late = customers["late"]
    assert (late["next_order_status"], late["is_overdue"]) == ("overdue", True)
    assert late["due_date"] == AS_OF - dt.timedelta(days=20)
    assert (late["expected_date_of_next_order"], late["overdue_days"]) == (tomorrow, 21)
    today = customers["due_today"]
    assert (today["due_date"], today["is_overdue"], today["overdue_days"]) == (AS_OF, True, 1)
    gone = customers["gone"]
    assert (gone["next_order_status"], gone["expected_date_of_next_order"]) == ("lapsed", None)
    assert gone["next_order_until_date"] is None
    silent = customers["over"]
    assert silent["next_order_status"] == "overdue"
    assert (silent["next_order_from_date"], silent["next_order_until_date"]) == (None, None)
    dates = [row["expected_date_of_next_order"] for row in customers.values()]
    assert min(date for date in dates if date) == tomorrow


@pytest.mark.parametrize(
    ("customer", "category", "days"),
    [("twice", "Books", 30), ("once_beauty", "Beauty", 45), ("unlisted", None, 30)],
)
def test_without_enough_gaps_the_rule_of_the_category_speaks(
    warehouse: Path, customer: str, category: str | None, days: int
) -> None:
    row = by_customer(warehouse, "next_orders")[customer]
    assert (row["last_category_name"], row["cadence_basis"]) == (category, "rule")
    assert row["cadence_days"] == days


def test_every_customer_with_an_order_has_a_row(warehouse: Path) -> None:
    (counts,) = dbt_support.read(
        warehouse,
        "select (select count(*) from marts.next_orders) as told, (select count(distinct "
        "source_customer_id) from conformed.order_lines) as buyers",
    )
    assert counts["told"] == counts["buyers"]


def test_the_first_filter_wears_from_the_day_of_the_purifier(warehouse: Path) -> None:
    dues = by_customer(warehouse, "replenishment_dues")
    first, spare = dues["purifier"], dues["purifier_twice"]
    assert (first["use_group"], first["is_with_durable"]) == ("water_filter", True)
    assert (first["quantity_bought"], first["life_basis"]) == (Decimal(1), "measured")
    wears = dt.timedelta(days=first["life_days"])
    assert first["expected_depletion_date"] == AS_OF - dt.timedelta(days=60) + wears
    assert (spare["is_with_durable"], spare["quantity_bought"]) == (False, Decimal(2))
    assert spare["last_bought_on"] == AS_OF - dt.timedelta(days=20)


@pytest.mark.parametrize(
    ("customer", "basis", "life", "left", "status"),
    [
        ("fish", "declared", 10, 10, "in_use"),  # three packs of ten days, 20 days ago
        ("brush_due", "rule", 90, 0, "due"),
        ("brush_lapsed", "rule", 90, -183, "lapsed"),
        ("brush_own", "own", 60, 30, "in_use"),
        ("brush_pause", "rule", 90, 60, "in_use"),  # gaps of 400 and 270 days say nothing of use
    ],
)
def test_a_life_is_ones_own_else_declared_else_a_rule(
    warehouse: Path, customer: str, basis: str, life: int, left: int, status: str
) -> None:
    row = by_customer(warehouse, "replenishment_dues")[customer]
    assert (row["life_basis"], row["life_days"]) == (basis, life)
    assert (row["days_left"], row["replenishment_status"]) == (left, status)
    assert row["is_due"] == (status == "due")


def test_what_was_given_back_is_not_used_up(warehouse: Path) -> None:
    assert "brush_back" not in by_customer(warehouse, "replenishment_dues")
