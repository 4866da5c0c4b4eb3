"""Stages of customers on a small shop whose orders and looks are known day by day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

pytestmark = pytest.mark.requirement("CUS-11")

AS_OF = "2024-06-30"
MODELS_ONLY = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")


def bought(account: str, *days: str) -> list[dict[str, Any]]:
    return [
        order_line(f"{account}-{number}", f"{day} 04:00", source_customer_id=account)
        for number, day in enumerate(days)
    ]


def did(account: str, kind: str, *days: str) -> list[dict[str, Any]]:
    return [
        {"event_id": f"{account}-{kind}-{number}", "source_customer_id": account,
         "event_type": kind, "sku": "TEA", "occurred_at": f"{day} 04:00"}
        for number, day in enumerate(days)
    ]  # fmt: skip


def deliveries() -> list[Delivery]:
    """One account per story; b1 and b2 are one customer."""
    orders = [
        *bought("once", "2024-06-10"),
        *bought("again", "2024-05-20", "2024-06-30"),
        *bought("loyal", *(f"2024-0{m}-{day}" for m in (3, 4, 5, 6) for day in (10, 15, 25))),
        *bought("leaver", "2024-04-01"),  # 90 days before as_of, 89 the day before
        *bought("returner", "2024-01-10", "2024-06-20"),
        *bought("b1", "2024-06-01"),
        *bought("b2", "2024-06-02"),
    ]  # fmt: skip
    looks = [
        *did("looker", "product_view", "2024-06-01", "2024-06-02", "2024-06-30"),
        *did("early", "product_view", "2024-05-31", "2024-06-02", "2024-06-30"),
        *did("cart", "cart_added", "2024-06-29"),
        *did("idle", "login", "2024-02-01"),
    ]
    return [
        Delivery("lines", "shop", "order_lines", orders),
        Delivery("events", "shop", "events", looks),
        Delivery("visits", "shop", "store_visits", [
            {"visit_id": "v1", "source_customer_id": "visitor", "store_id": "S1",
             "visited_at": "2024-06-25 04:00", "is_purchase": False}]),
        Delivery("posts", "shop", "community_posts", [
            {"post_id": "p1", "source_customer_id": "asker", "group_id": "G1",
             "posted_at": "2024-06-25 04:00", "post_kind": "question"}]),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("lifecycle")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, deliveries())
    together = [
        {"channel": "shop", "source_customer_id": account, "customer_id": "c-both"}
        for account in ("b1", "b2")
    ]
    dbt_support.insert(path, "identity.customer_accounts", together)
    dbt_support.identify_every_account(path)
    dbt_support.build(
        path, work, *MODELS_ONLY, "--select", "+lifecycle_stages", "+lifecycle_transitions",
        as_of_date=AS_OF,
    )  # fmt: skip
    return path


def stages(warehouse: Path, column: str) -> dict[str, Any]:
    rows = dbt_support.read(warehouse, f"select customer_id, {column} as stage "
                            "from marts.lifecycle_stages")  # fmt: skip
    return {row["customer_id"].removeprefix("c-shop-"): row["stage"] for row in rows}


def test_every_customer_has_the_stage_of_what_was_bought_and_when(warehouse: Path) -> None:
    assert stages(warehouse, "lifecycle_stage") == {
        "once": "first_purchase", "again": "repeat", "loyal": "loyal", "leaver": "churned",
        "returner": "repeat", "c-both": "repeat", "looker": "aware", "early": "aware",
        "cart": "aware", "idle": "aware", "visitor": "aware", "asker": "aware",
    }  # fmt: skip


def test_interest_is_a_cart_a_visit_a_question_or_three_looks_within_thirty_days(
    warehouse: Path,
) -> None:
    found = stages(warehouse, "aipl_stage")
    interested = {who for who, stage in found.items() if stage == "interest"}
    assert interested == {"looker", "cart", "visitor", "asker"}
    assert {who for who, stage in found.items() if stage == "loyalty"} == {
        "again", "loyal", "returner", "c-both",
    }  # fmt: skip
    assert (found["early"], found["idle"], found["leaver"]) == ("aware", "aware", "purchase")


def test_a_change_of_today_is_seen_beside_the_stage_of_yesterday(warehouse: Path) -> None:
    today, yesterday = (
        stages(warehouse, "lifecycle_stage"),
        stages(warehouse, "lifecycle_stage_yesterday"),
    )
    changed = {who for who in today if today[who] != yesterday[who]}
    assert changed == {"again", "leaver"}
    assert (yesterday["again"], yesterday["leaver"]) == ("first_purchase", "first_purchase")
    assert stages(warehouse, "lifecycle_stage_last_month")["returner"] == "churned"


def moves(warehouse: Path, month_end: str, model: str) -> dict[tuple[str, str], int]:
    rows = dbt_support.read(
        warehouse,
        "select * from marts.lifecycle_transitions "
        f"where month_end = '{month_end}' and stage_model = '{model}'",
    )
    return {(row["from_stage"], row["to_stage"]): row["customer_count"] for row in rows}


def test_the_matrix_of_a_month_counts_every_move_and_who_stayed(warehouse: Path) -> None:
    assert moves(warehouse, AS_OF, "lifecycle") == {
        ("not_seen", "first_purchase"): 1, ("not_seen", "repeat"): 1, ("not_seen", "aware"): 4,
        ("first_purchase", "repeat"): 1, ("repeat", "loyal"): 1, ("first_purchase", "churned"): 1,
        ("churned", "repeat"): 1, ("aware", "aware"): 2,
    }  # fmt: skip
    shares = dbt_support.read(warehouse, "select month_end, stage_model, from_stage, "
                              "sum(share_pct) as whole from marts.lifecycle_transitions "
                              "group by all")  # fmt: skip
    assert all(row["whole"] == pytest.approx(100) for row in shares)


def test_the_matrix_goes_back_half_a_year_and_has_every_customer_once(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse,
        "select month_end, stage_model, sum(customer_count) n "
        "from marts.lifecycle_transitions group by all order by all",
    )
    counts = {(row["month_end"], row["stage_model"]): row["n"] for row in rows}
    assert min(counts)[0] == date(2024, 1, 31)
    assert counts[date(2024, 1, 31), "lifecycle"] == counts[date(2024, 1, 31), "aipl"] == 1
    assert counts[date(2024, 6, 30), "lifecycle"] == counts[date(2024, 6, 30), "aipl"] == 12


def test_the_same_day_told_in_the_middle_of_a_month_gives_the_same_stages(
    warehouse: Path, tmp_path: Path
) -> None:
    """A day's own stage does not depend on which day is as_of, but for what was known by then."""
    path = tmp_path / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, deliveries())
    dbt_support.identify_every_account(path)
    dbt_support.build(
        path, tmp_path, *MODELS_ONLY, "--select", "+int_lifecycle_staged", as_of_date="2024-06-29",
    )  # fmt: skip
    earlier = dbt_support.read(path, "select customer_id, lifecycle_stage, aipl_stage from "
                               "intermediate.int_lifecycle_staged where snapshot_date = "
                               "'2024-06-29' and customer_id not like '%-b_'")  # fmt: skip
    later = dbt_support.read(warehouse, "select customer_id, lifecycle_stage, aipl_stage from "
                             "intermediate.int_lifecycle_staged where snapshot_date = "
                             "'2024-06-29' and customer_id <> 'c-both'")  # fmt: skip
    assert len(earlier) == 11
    assert sorted(map(str, earlier)) == sorted(map(str, later))
