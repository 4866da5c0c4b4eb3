"""Sequence rules in the warehouse: the SQL counts as plain loops do; the mart shows the newest."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.sequences import CELL_COLUMNS, TOTAL_COLUMNS
from tests import dbt_support
from tests.dbt_support import Delivery, order_line
from tests.sequence_support import Calendar, Shop, count, make_shop

pytestmark = pytest.mark.requirement("SCO-5")

FIRST, AS_OF, MONTH_END = dt.date(2023, 3, 1), dt.date(2024, 7, 10), dt.date(2024, 6, 30)
WINDOWS = (7, 14, 30, 60, 90)
CALENDAR = Calendar(
    discovered_until=(MONTH_END - dt.timedelta(days=180) - FIRST).days,
    until=(MONTH_END - FIRST).days,
)


def purchases() -> Shop:
    """Until ten days after the month end: what comes after it is counted next month."""
    return make_shop(np.random.default_rng(7), customers=40, days=(AS_OF - FIRST).days,
                     planted=("a", "b", 14, 0.4))  # fmt: skip


def rule(then: str, day: str, **columns: Any) -> dict[str, Any]:
    return {
        "first_category": "a", "then_category": then, "within_days": 14, "as_of_date": day,
        "status": "active", "is_leading": True, "reason": "confirmed_by_holdout",
        "since_on": "2024-05-31", "lift": 2.0, "decided_as_of_date": "2024-06-30", "scored_at": day,
    } | columns  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("sequences")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    orders = [
        (f"{customer}-{day}", customer, FIRST + dt.timedelta(days=day), sorted(names))
        for customer, days in purchases().items()
        for day, names in days.items()
    ]
    lines = [
        order_line(order, f"{day} 02:00", source_customer_id=customer, sku=f"{name}{number}",
                   line_number=f"{number}")
        for order, customer, day, names in orders for number, name in enumerate(names)
    ]  # fmt: skip
    lines += [  # neither a gift nor a thing without a category is a purchase of a category
        order_line("g1", "2023-06-01", source_customer_id="c1", sku="b0", line_kind="gift"),
        order_line("g2", "2023-06-01", source_customer_id="c1", sku="LOOSE"),
    ]
    products = [{"sku": f"{name}{number}", "product_name": "P", "category_name": name}
                for name in "abcd" for number in range(4)]  # fmt: skip
    dbt_support.deliver(path, [Delivery("shop", "shop", "order_lines", lines),
                               Delivery("erp", "erp", "products", products)])  # fmt: skip
    dbt_support.identify_every_account(path)
    dbt_support.insert(path, "scores.sequence_rules", [
        rule("b", "2024-07-09"), rule("c", "2024-07-09", status="retired"),
        rule("d", "2024-07-08"), rule("d", "2024-07-11"),
    ])  # fmt: skip
    dbt_support.build(path, work, "--select", "+sequence_rules", "+int_sequence_cells",
                      "+int_sequence_totals", "--indirect-selection", "buildable",
                      as_of_date=str(AS_OF))  # fmt: skip
    return path


def same_rows(warehouse: Path, model: str, columns: list[str], expected: pd.DataFrame) -> None:
    found = pd.DataFrame(dbt_support.read(warehouse, f"from intermediate.{model}"))[columns]
    order = columns[:-1]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True),
        expected.sort_values(order, ignore_index=True),
        check_dtype=False,
    )


def test_the_sql_counts_what_plain_loops_count(warehouse: Path) -> None:
    known = {
        customer: {day: names for day, names in days.items() if day <= CALENDAR.until}
        for customer, days in purchases().items()
    }
    cells, totals = count(known, WINDOWS, CALENDAR)
    assert set(cells["period"]) == {"discovery", "holdout"} and len(cells) > 500
    same_rows(warehouse, "int_sequence_cells", CELL_COLUMNS, cells)
    same_rows(warehouse, "int_sequence_totals", TOTAL_COLUMNS, totals)


def test_no_rule_says_that_a_category_follows_itself(warehouse: Path) -> None:
    for model in ("int_sequence_cells", "int_sequence_totals"):
        query = f"from intermediate.{model} where first_category = then_category"
        assert dbt_support.read(warehouse, query) == []


def test_the_mart_shows_the_newest_rules_by_as_of(warehouse: Path) -> None:
    rows = dbt_support.read(warehouse, "from marts.sequence_rules order by then_category")
    assert [(row["then_category"], row["status"]) for row in rows] == [
        ("b", "active"), ("c", "retired"),
    ]  # fmt: skip
    assert {row["as_of_date"] for row in rows} == {dt.date(2024, 7, 9)}
