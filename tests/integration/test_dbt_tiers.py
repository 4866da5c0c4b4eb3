"""Tiers in the warehouse: every preset on one shop, official tiers month by month."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

JUNE = date(2024, 6, 30)
TIERED = ("--select", "int_customers_tiered+", "--exclude-resource-type", "unit_test")


def orders(account: str, days_ago: int, count: int, amount: int) -> list[dict[str, Any]]:
    """Orders of one account that sum up to the amount, one a day, the last so many days ago."""
    return [
        order_line(
            f"{account}-{number}",
            f"{JUNE - timedelta(days=days_ago + number)} 04:00",
            source_customer_id=account,
            unit_price_amount=f"{amount / count:.2f}",
        )
        for number in range(count)
    ]


def shop() -> list[Delivery]:
    """One account at each corner of the classic classes, and one that never ordered."""
    lines = [
        *orders("often_much", 5, 5, 1000),
        *orders("once_much", 5, 1, 900),
        *orders("silent_often_much", 120, 4, 950),
        *orders("silent_once_much", 120, 1, 900),
        *orders("often_little", 5, 5, 100),
        *orders("once_little", 5, 1, 50),
        *orders("silent_often_little", 120, 4, 60),
        *orders("silent_once_little", 120, 1, 10),
    ]
    accounts = [{"source_customer_id": "visitor", "registered_at": "2024-06-28"}]
    return [
        Delivery("shop", "shop", "order_lines", lines),
        Delivery("accounts", "shop", "accounts", accounts),
    ]


@pytest.fixture(scope="module")
def rebuild(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The shop built whole once; the function builds what depends on tiers anew, and its tests."""
    work = tmp_path_factory.mktemp("dbt_tiers")
    warehouse = work / "crm.duckdb"
    dbt_support.create_sources(warehouse)
    dbt_support.deliver(warehouse, shop())
    dbt_support.identify_every_account(warehouse)
    dbt_support.build(warehouse, work, "--exclude-resource-type", "unit_test")

    def again(**variables: Any) -> Path:
        dbt_support.build(warehouse, work, *TIERED, **variables)
        return warehouse

    return again


def tiers(warehouse: Path, table: str = "marts.rfm_tiers") -> dict[str, str]:
    rows = dbt_support.read(warehouse, f"select customer_id, rfm_tier from {table}")
    return {row["customer_id"].removeprefix("c-shop-"): row["rfm_tier"] for row in rows}


PRESETS = {
    "playbook": "core new dormant dormant high_potential_growth new churn_risk churn_risk new",
    "diamond_gold_silver": "diamond silver gold silver silver silver silver silver basic",
    "classic_8": "important_value important_development important_retention important_win_back "
    "ordinary_value ordinary_development ordinary_retention ordinary_win_back "
    "ordinary_development",
}


@pytest.mark.requirement("CUS-5")
@pytest.mark.parametrize("ladder", PRESETS)
def test_a_run_with_each_preset_gives_everybody_a_tier_of_that_ladder(
    rebuild: Callable[..., Path], ladder: str
) -> None:
    warehouse = rebuild(ladder=ladder)
    assert tiers(warehouse) == dict(zip(accounts(), PRESETS[ladder].split(), strict=True))
    names = dbt_support.read(warehouse, "select distinct ladder from marts.rfm_tiers")
    assert names == [{"ladder": ladder}]


def accounts() -> Sequence[str]:
    speaking = [line["source_customer_id"] for line in shop()[0].records]
    return [*dict.fromkeys(speaking), "visitor"]
