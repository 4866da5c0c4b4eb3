"""Change a rule and see who moves: the real models on a small shop, in a home of its own."""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.lib.errors import RuleError, WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.rules.preview import RulePreview, TierMove, preview_rules
from crm_pipeline.lib.rules.preview_page import render_page
from crm_pipeline.lib.rules.preview_text import tell_preview
from crm_pipeline.lib.warehouse.plan import record_as_of
from tests import dbt_support
from tests.dbt_support import Delivery, order_line

SEEDS = dbt_support.PROJECT / "seeds"
CHANNELS = {
    feed.channel
    for feed in load_feeds(dbt_support.PROJECT.parent / "crm_pipeline" / "defs" / "channels")
}
JUNE = date(2024, 6, 30)
TOLD = {
    "CRM_DBT_BUSINESS_TIMEZONE": "Asia/Shanghai",
    "CRM_DBT_UTC_OFFSET_MINUTES": "",
    "CRM_DBT_REPORTING_CURRENCY": "CNY",
}


def buys(account: str, orders: int, price: str, last: str = "2024-06-28") -> list[dict[str, str]]:
    days = [f"2024-0{month}-01" for month in range(1, orders)] + [last]
    return [
        order_line(f"{account}-{day}", day, source_customer_id=account, unit_price_amount=price)
        for day in days
    ]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> CrmHome:
    """Twenty small buyers; three, four and five orders this week; and two who miss one limit."""
    home = CrmHome(tmp_path_factory.mktemp("preview") / "home").ensure()
    lines = [line for number in range(20) for line in buys(f"small{number}", 1, "10")]
    for account, orders, price, last in (
        ("three", 3, "100", "2024-06-28"),
        ("four", 4, "100", "2024-06-28"),
        ("five", 5, "100", "2024-06-28"),
        ("late", 3, "100", "2024-06-10"),
        ("poor", 4, "1", "2024-06-28"),
    ):
        lines += buys(account, orders, price, last)
    dbt_support.create_sources(home.warehouse)
    tea = {"sku": "TEA", "product_name": "Green tea", "is_premium": "true"}
    dbt_support.deliver(
        home.warehouse,
        [
            Delivery("shop", "shop", "order_lines", lines),
            Delivery("catalogue", "shop", "products", [tea]),
        ],
    )
    dbt_support.identify_every_account(home.warehouse)
    chosen = ("--select", "+rfm_tiers", "+customer_tags")
    chosen += ("--exclude-resource-type", "test", "unit_test")
    dbt_support.build(home.warehouse, home.root.parent, *chosen)
    with duckdb.connect(str(home.warehouse)) as connection:
        record_as_of(connection, JUNE, run_id="test")
    return home


def edit(folder: Path, before: str, after: str) -> Path:
    text = (SEEDS / "rfm_ladders.csv").read_text(encoding="utf-8")
    assert before in text
    (folder / "rfm_ladders.csv").write_text(text.replace(before, after), encoding="utf-8")
    return folder


def preview(home: CrmHome, edited: Path, limit: int = 50) -> RulePreview:
    return preview_rules(home, edited, project=dbt_support.PROJECT, channels=CHANNELS,
                         told=TOLD, currency="CNY", limit=limit)  # fmt: skip


def digests(home: CrmHome) -> dict[str, str]:
    return {
        str(path.relative_to(home.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(home.root.rglob("*"))
        if path.is_file() and path.name != "lease.lock"
    }


def test_a_lower_limit_moves_exactly_who_meets_it_now_and_leaves_the_home_as_it_was(
    home: CrmHome, tmp_path: Path
) -> None:
    before = digests(home)
    found = preview(home, edit(tmp_path, "playbook,10,core,0,7,5,", "playbook,10,core,0,7,3,"))
    assert digests(home) == before

    assert [str(row.cells) for row in found.edits] == ["(('min_order_count', '5', '3'),)"]
    assert (found.edits[0].row_number, found.edits[0].key) == (2, "playbook_core")
    assert [customer.customer_id for customer in found.customers] == ["c-shop-four", "c-shop-three"]
    four = found.customers[0]
    assert (four.days_since_last_order, four.order_count) == (2, 4)
    assert (four.from_tier, four.to_tier) == ("high_value_loyal", "core")
    assert four.to_rule == "playbook_core"
    assert (found.customer_count, found.moved_count) == (25, 2)
    moved = [move for move in found.matrix if move.from_tier != move.to_tier]
    assert moved == [TierMove("high_value_loyal", "core", 2, Decimal("700.00"))]
    assert sum(move.customer_count for move in found.matrix) == 25
    assert {"rfm_ladders", "int_customers_tiered", "rfm_tiers"} <= set(found.models)
    assert not any(name.startswith(("stg_", "fct_")) for name in found.models)

    told = tell_preview(found)
    assert "rfm_ladders.csv, row 2, playbook_core: changed (min_order_count 5 -> 3)" in told
    assert "high_value_loyal -> core          2" in told
    page = render_page(found)
    assert "c-shop-four" in page and "c-shop-five" not in page
    assert not re.search(r"https?:|<script|src=|@import|url\(", page)


def test_a_broken_table_is_refused_with_row_and_column_before_anything_is_built(
    home: CrmHome, tmp_path: Path
) -> None:
    edit(tmp_path, "playbook,10,core,0,7,5,", "playbook,10,core,0,7,five,")
    with pytest.raises(RuleError, match="row 2, column min_order_count: 'five' is no whole number"):
        preview(home, tmp_path)
    (tmp_path / "rfm_ladder.csv").write_text("ladder\n")
    with pytest.raises(RuleError, match=r"rfm_ladder\.csv is no rule table[\s\S]*rfm_ladders\.csv"):
        preview(home, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RuleError, match="holds no rule table"):
        preview(home, tmp_path / "empty")
    with pytest.raises(RuleError, match="no folder of edited rule tables"):
        preview(home, tmp_path / "nowhere")


def test_equal_tables_move_nobody_and_nothing_is_built(home: CrmHome, tmp_path: Path) -> None:
    shutil.copy(SEEDS / "rfm_ladders.csv", tmp_path)
    found = preview(home, tmp_path)
    assert (found.edits, found.models, found.moved_count) == ((), (), 0)
    assert tell_preview(found).startswith("No row differs")


def test_a_warehouse_built_with_other_rules_is_not_compared_with(
    home: CrmHome, tmp_path: Path
) -> None:
    edit(tmp_path, "playbook,10,core,0,7,5,", "playbook,10,core,0,7,3,")
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("update rules.rfm_ladders set min_order_count = 6 where tier = 'core'")
        connection.execute("checkpoint")
    try:
        with pytest.raises(WarehouseError, match=r"another rfm_ladders\.csv[\s\S]*crm run"):
            preview(home, tmp_path)
    finally:
        with duckdb.connect(str(home.warehouse)) as connection:
            connection.execute(
                "update rules.rfm_ladders set min_order_count = 5 where tier = 'core'"
            )


def test_a_stricter_rule_takes_the_tag_from_those_who_no_longer_meet_it(
    home: CrmHome, tmp_path: Path
) -> None:
    """Who bought of the premium line on two days is its buyer; on four days only some did."""
    text = (SEEDS / "tag_rules.csv").read_text(encoding="utf-8")
    head, *rows = csv.reader(text.splitlines())
    [row] = [row for row in rows if row[0] == "premium_bought_twice"]
    row[head.index("min_count")] = "4"
    with (tmp_path / "tag_rules.csv").open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows([head, *rows])
    found = preview(home, tmp_path, limit=1)
    assert [(edit.kind, edit.key) for edit in found.edits] == [("changed", "premium_bought_twice")]
    assert [(tag.tag, tag.gained_count, tag.lost_count) for tag in found.tags] == [
        ("premium_line_buyer", 0, 2)
    ]
    assert (found.has_tags, found.moved_count, found.retagged_count) == (True, 0, 2)
    [first] = found.customers
    assert (first.customer_id, first.lost_tags) == ("c-shop-late", "premium_line_buyer")
    assert "-premium_line_buyer" in tell_preview(found)
    assert {"tag_rules", "customer_tags"} <= set(found.models)
