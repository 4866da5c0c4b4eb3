"""A past day is computed from what was known then, and from nothing else.

Random records of every kind are delivered before and after a day, some of them late, corrected or
contradicted later. One warehouse holds all of them, another only what was there by the end of that
day; both are built as of it by the same models. Not one row of one mart may differ.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crm_pipeline.lib.ingestion.entities import ENTITIES
from tests import dbt_support
from tests.dbt_support import SHOWN, Delivery, ParsedDbt, order_line
from tests.integration.stepped_support import FIRST_DAY, KINDS, files_of

pytestmark = pytest.mark.requirement("CUS-3")

AS_OF = FIRST_DAY + dt.timedelta(days=4)
END_AT = dt.datetime.combine(AS_OF, dt.time(16))  # midnight in Shanghai, as UTC
SCHEMAS = ("marts", "metrics", "activation")
# Made by Python steps or of later issues' records: nothing of the random shop gets there.
MADE_ELSEWHERE = {
    "marts.customer_id_history", "marts.identity_quality", "marts.loose_links",
    "marts.outreach_decisions",
}  # fmt: skip


@st.composite
def shops(draw: st.DrawFn) -> list[Delivery]:
    """Files of every kind; about half of what they say happens or becomes known after the day."""
    files: list[Delivery] = []
    for kind in KINDS:
        files += draw(files_of(kind, 2))
    return draw(st.permutations(files))


def told_stories() -> list[Delivery]:
    """A product that changes its category after the day, and somebody who had fallen silent."""
    before, after = str(FIRST_DAY), str(END_AT + dt.timedelta(hours=1))

    def said(category: str, moment: str) -> dict[str, Any]:
        return {"sku": "TEA", "product_name": "Tea", "category_name": category,
                "source_version": moment, "known_at": moment}  # fmt: skip

    def bought(order_id: str, moment: str, price: str, sku: str = "TEA") -> dict[str, Any]:
        return order_line(order_id, moment, unit_price_amount=price, sku=sku)

    milk = {"sku": "MILK", "product_name": "一段奶粉", "category_name": "婴幼儿奶粉",
            "source_version": before, "known_at": before}  # fmt: skip
    return [
        Delivery("erp", "shop", "products", [said("Drinks", before), said("Gifts", after)]),
        Delivery("erp_desk", "desk", "products", [milk]),
        # To be had on the day, and sold out after it.
        Delivery("stock_desk", "desk", "stock_levels", [
            {"sku": "MILK", "location_id": "w", "counted_at": moment, "known_at": moment,
             "quantity_on_hand": pieces} for moment, pieces in ((before, "5"), (after, "0"))
        ]),
        Delivery("till", "desk", "order_lines", [
            bought("w0", "2024-01-05 11:00", "100", "MILK"),
            bought("w1", "2023-12-20 10:00", "90"), bought("w2", "2024-01-05 10:00", "900"),
            bought("w3", after, "9000"),
            order_line("w4", "2023-10-01 10:00", source_customer_id="a9"),
        ]),
        # Somebody complained, should have come again in November, and complained again later.
        Delivery("desk_service", "desk", "tickets", [
            {"ticket_id": number, "source_customer_id": "a9", "order_id": "w4",
             "ticket_kind": "complaint", "ticket_status": "open", "opened_at": moment,
             "source_version": moment, "known_at": moment}
            for number, moment in (("t1", "2023-10-03 10:00"), ("t2", after))]),
        Delivery("till_refunds", "desk", "refunds", [
            {"refund_id": "r1", "order_id": "w2", "refunded_at": after, "refund_amount": "900",
             "currency": "CNY", "known_at": after}]),
    ]  # fmt: skip


def of_the_ledger(warehouse: Path, until: dt.datetime | None) -> None:
    """Consents, messages, official tiers and scores, of before and after the day."""
    moments = [dt.datetime.combine(FIRST_DAY, dt.time(8)), END_AT + dt.timedelta(hours=1)]
    known = [moment for moment in moments if until is None or moment < until]
    days = [FIRST_DAY, AS_OF] if until else [FIRST_DAY, AS_OF, AS_OF + dt.timedelta(days=1)]
    dbt_support.insert(warehouse, "ledger.consents", [
        {"event_id": f"{moment} {account} {purpose}", "channel": "desk",
         "source_customer_id": account, "contact_kind": "email",
         "contact_token": f"token-{account}", "contact_mask": "a***",
         "purpose": purpose, "consent_channel": "email", "is_granted": moment < END_AT,
         "occurred_at": moment, "known_at": moment, "feed": "consents", "file_sha256": "f"}
        for moment in known for account in ("a1", "a2") for purpose in ("marketing", "profiling")
    ])  # fmt: skip
    dbt_support.insert(warehouse, "ledger.claims", [
        {"claim_id": f"m{number}", "decision_id": f"d{number}", "person_id": "c-desk-a1",
         "journey": "dormant_wake_up", "step": "wake_up", "consent_channel": "email",
         "state": "sent", "sent_at": dt.datetime.combine(day, dt.time(2)) + dt.timedelta(days=1),
         "as_of_date": day} for number, day in enumerate(days, 1)
    ])  # fmt: skip
    dbt_support.insert(warehouse, "history.official_rfm_tiers", [
        {"as_of_date": day, "customer_id": "c-shop-a1", "rfm_tier": tier, "ladder": "playbook",
         "reason": "r"} for day, tier in zip(days, ("new", "core", "dormant"), strict=False)
    ])  # fmt: skip
    dbt_support.insert(warehouse, "scores.churn_scores", [
        {"customer_id": "c-shop-a1", "as_of_date": day, "churn_probability": 0.5,
         "model_version": "1", "scored_at": str(day)} for day in days
    ])  # fmt: skip
    dbt_support.insert(warehouse, "scores.clv_scores", [
        {"customer_id": "c-shop-a1", "as_of_date": day, "predicted_clv": 50.0,
         "model_version": "1", "scored_at": str(day)} for day in days
    ])  # fmt: skip
    dbt_support.insert(warehouse, "scores.sales_forecast", [
        {"series": "total", "as_of_date": day, "forecast_date": day + dt.timedelta(days=1),
         "expected_amount": number, "method": "mean", "backtest_origin_count": 0, "note": "",
         "model_version": "1", "scored_at": str(day)} for number, day in enumerate(days, 1)
    ])  # fmt: skip
    dbt_support.insert(warehouse, "scores.customer_clusters", [
        {"customer_id": "c-desk-a1", "as_of_date": day, "cluster_number": number,
         "cluster_name": f"group {number}", "distance": 0.5, "model_version": "1",
         "fitted_as_of_date": day, "scored_at": str(day)} for number, day in enumerate(days, 1)
    ])  # fmt: skip
    dbt_support.insert(warehouse, "scores.sequence_rules", [
        {"first_category": "Drinks", "then_category": "婴幼儿奶粉", "within_days": within,
         "as_of_date": day, "status": "active", "is_leading": True, "reason": "confirmed",
         "confidence": 0.4, "base_rate": 0.2, "lift": 2.0, "decided_as_of_date": day,
         "scored_at": str(day)} for within, day in zip((7, 14, 30), days, strict=False)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> ParsedDbt:
    return ParsedDbt(tmp_path_factory.mktemp("as_of"))


@pytest.fixture(scope="module")
def seeded(dbt: ParsedDbt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty warehouse with the rule tables."""
    path = tmp_path_factory.mktemp("seeded") / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt.seed(path)
    return path


def warehouse_of(
    dbt: ParsedDbt, seeded: Path, folder: Path, files: Sequence[Delivery], until: dt.datetime | None
) -> Path:
    """All marts as of the day, from all records or from those there were by an instant."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / "crm.duckdb"
    shutil.copy(seeded, path)
    dbt_support.deliver(path, list({file.file_sha256: file for file in files}.values()))
    of_the_ledger(path, until)
    dbt_support.identify_every_account(path)
    if until is not None:
        forget_after(path, until)
    dbt.run(path, as_of=str(AS_OF))
    return path


def forget_after(warehouse: Path, until: dt.datetime) -> None:
    """Takes out every record that had not happened or was not known by then."""
    with duckdb.connect(str(warehouse)) as connection:
        for name in SHOWN:
            happened = ENTITIES[name].event_time
            later = f" or {happened} >= $until" if happened else ""
            connection.execute(
                f"delete from conformed.{name} where known_at >= $until{later}", {"until": until}
            )


def tables_of(warehouse: Path) -> dict[str, int]:
    listed = ", ".join(f"'{schema}'" for schema in SCHEMAS)
    tables = dbt_support.read(
        warehouse,
        "select table_schema || '.' || table_name as name from information_schema.tables "
        f"where table_schema in ({listed}) order by 1",
    )
    counts = (f"select '{row['name']}' as name, count(*) as n from {row['name']}" for row in tables)
    return {
        row["name"]: row["n"] for row in dbt_support.read(warehouse, " union all ".join(counts))
    }


def leaks(whole: Path, then: Path) -> list[tuple[Any, ...]]:
    """Rows only one of the two warehouses has."""
    found: list[tuple[Any, ...]] = []
    with duckdb.connect() as connection:
        connection.execute(f"attach '{whole}' as whole (read_only)")
        connection.execute(f"attach '{then}' as then_known (read_only)")
        for name in tables_of(whole):
            for one, other in (("whole", "then_known"), ("then_known", "whole")):
                rows = connection.execute(
                    f"select * from {one}.{name} except all select * from {other}.{name}"
                ).fetchall()
                found += [(name, f"only {one}", *row) for row in rows]
    return found


def build_both(dbt: ParsedDbt, seeded: Path, folder: Path, most: int) -> None:
    rows: Counter[str] = Counter()
    forgotten = 0

    @settings(max_examples=most, deadline=None, derandomize=False, print_blob=True,
              phases=(Phase.generate,), suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(files=shops())
    def equal(files: list[Delivery]) -> None:
        nonlocal forgotten
        files = [*files, *told_stories()]
        whole = warehouse_of(dbt, seeded, folder / "whole", files, None)
        then = warehouse_of(dbt, seeded, folder / "then", files, END_AT)
        rows.update(tables_of(whole))
        forgotten += sum(len(file.records) for file in files) - sum(
            row["n"]
            for name in SHOWN
            for row in dbt_support.read(then, f"select count(*) as n from conformed.{name}")
        )
        assert leaks(whole, then) == []

    equal()
    # Few people of a random shop are in an audience; test_dbt_audiences_* walk people through each.
    empty = {
        name for name, count in rows.items() if not count and not name.startswith("activation.")
    }
    assert empty <= MADE_ELSEWHERE, "a mart without a row has shown nothing"
    assert forgotten > 0, "nothing came after the day"


@pytest.mark.slow
def test_nothing_after_the_day_leaks_into_any_mart(
    dbt: ParsedDbt,
    seeded: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRM_DBT_BUSINESS_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_DBT_REPORTING_CURRENCY", "CNY")
    build_both(dbt, seeded, tmp_path, most=2)


@pytest.mark.soak
def test_nothing_after_the_day_leaks_into_any_mart_long(
    dbt: ParsedDbt, seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_DBT_BUSINESS_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_DBT_REPORTING_CURRENCY", "CNY")
    build_both(dbt, seeded, tmp_path, most=40)
