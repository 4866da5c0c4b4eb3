"""What `make run` promises on the shipped example, seen from outside."""

from __future__ import annotations

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from crm_pipeline.lib.reporting.figures import Build
from tests.integration.pipeline_support import PROJECT, crm, manifest, query, result_hash, run
from tests.report_support import reconcile

EXPECTED = json.loads(
    (PROJECT / "examples" / "online_retail" / "expected_totals.json").read_text(encoding="utf-8")
)
DBT_CALLS = 4


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The home of one example run, and what the run printed."""
    home = tmp_path_factory.mktemp("example") / "home"
    return home, run(home, "--example", "online_retail")


@pytest.mark.requirement("ING-4")
def test_every_record_is_accepted_quarantined_or_duplicate(ran: tuple[Path, str]) -> None:
    balance = query(
        ran[0],
        "select received_count, accepted_count + quarantined_count + duplicate_count "
        "from ops.feed_balance",
    )
    assert balance
    assert all(received == told for received, told in balance)
    received = sum(file["received"] for file in EXPECTED["files"].values())
    assert sum(row[0] for row in balance) == received


def test_planted_bad_lines_are_quarantined_and_told(ran: tuple[Path, str]) -> None:
    planted = EXPECTED["files"]["online_retail/zz_planted_bad_lines.csv"]["quarantined"]
    (told,) = query(ran[0], "select sum(quarantined_count) from ops.feed_balance")[0]
    assert told == planted
    assert "quarantined because:" in ran[1]


def test_money_of_known_customers_equals_the_source_before_the_last_rounding(
    ran: tuple[Path, str],
) -> None:
    gross, refunds, net = query(
        ran[0],
        "select sum(gross_exact_amount), sum(refund_exact_amount), sum(net_exact_amount) "
        "from marts.fct_order_lines where source_customer_id is not null",
    )[0]
    known = EXPECTED["lines"]
    assert gross == Decimal(known["known_sales"]["gross_amount"])
    assert refunds == Decimal(known["known_refund_amount"])
    assert net == Decimal(known["known_net_amount"])


def test_every_customer_has_exactly_one_tier_and_one_row(ran: tuple[Path, str]) -> None:
    ((customers, rows, tiers, nulls),) = query(
        ran[0],
        "select (select count(*) from marts.dim_customers), count(*), "
        "count(distinct customer_id), count(*) filter (rfm_tier is null) from marts.rfm_tiers",
    )
    assert customers == rows == tiers
    assert nulls == 0


def test_the_summary_tells_records_tiers_scores_batch_and_where_to_look(
    ran: tuple[Path, str],
) -> None:
    for told in ("received", "accepted", "duplicate", "high_value_loyal", "auc", "spearman"):
        assert told in ran[1]
    assert re.search(r"win_back: .*send \d", ran[1])
    assert re.search(r"win_back: planned \d+ messages, read them with crm batch preview", ran[1])
    assert str(ran[0] / "published" / "current" / "crm.duckdb") in ran[1]


def test_dbt_is_started_four_times_and_every_data_test_has_run(ran: tuple[Path, str]) -> None:
    results = sorted((ran[0] / "dagster" / "dbt").glob("*/run_results.json"))
    assert len(results) == DBT_CALLS
    seen = [
        node["unique_id"]
        for path in results
        for node in json.loads(path.read_text(encoding="utf-8"))["results"]
        if not node["unique_id"].startswith("operation.")  # what every call does at its start
    ]
    assert len(seen) == len(set(seen)), "a node was built twice in one night"
    manifest_path = PROJECT / "dbt_project" / "target" / "manifest.json"
    nodes = json.loads(manifest_path.read_text(encoding="utf-8"))["nodes"]
    assert {name for name in nodes if not name.startswith(("unit_test.", "operation."))} == set(
        seen
    )


@pytest.mark.requirement("SRV-1")
def test_the_published_build_is_whole_and_names_itself(ran: tuple[Path, str]) -> None:
    told = manifest(ran[0])
    counts = told["row_counts"]
    assert isinstance(counts, dict)
    for table, rows in counts.items():
        schema, name = table.split(".")
        assert query(ran[0], f'select count(*) from "{schema}"."{name}"') == [(rows,)], table
    assert (ran[0] / "published" / "current" / "customer_360.parquet").exists()
    assert re.fullmatch("[0-9a-f]{64}", result_hash(ran[0]))


@pytest.mark.requirement("PRV-4")
def test_no_clear_address_leaves_the_vault_by_a_night(ran: tuple[Path, str]) -> None:
    """The example's addresses all read customer-<number>@example.org; masks keep one letter."""
    allowed = {"raw", "conformed", "quarantine", "ledger"}
    clear = re.compile(rb"customer-\d{4,6}@example\.org")
    found = [
        str(path.relative_to(ran[0]))
        for path in ran[0].rglob("*")
        if path.is_file()
        and path.relative_to(ran[0]).parts[0] not in allowed
        and clear.search(path.read_bytes())
    ]
    assert found == []
    plans = list((ran[0] / "outbox").rglob("plan.parquet"))
    assert plans, "the night plans at least one batch"
    for plan in plans:  # compressed, so its texts are read as such
        text = "".join(str(row) for row in pq.read_table(plan).to_pylist())
        assert "***@example.org" in text
        assert not clear.search(text.encode())


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_warehouse_itself_holds_no_clear_address(ran: tuple[Path, str]) -> None:
    assert b"@example.org" not in (ran[0] / "warehouse" / "crm.duckdb").read_bytes().replace(
        b"***@example.org", b""
    )


@pytest.mark.requirement("ING-5")
def test_a_second_run_says_that_nothing_is_new_and_changes_nothing(ran: tuple[Path, str]) -> None:
    before = manifest(ran[0])
    batches = _files(ran[0] / "outbox")
    printed = run(ran[0], "--example", "online_retail")
    assert "Nothing new since the build of 2011-12-09" in printed
    assert manifest(ran[0]) == before
    assert batches
    assert _files(ran[0] / "outbox") == batches


@pytest.mark.requirement("CUS-3")
def test_a_run_for_the_past_publishes_and_sends_nothing(ran: tuple[Path, str]) -> None:
    before = manifest(ran[0])
    outbox = sorted((ran[0] / "outbox").rglob("*"))
    printed = run(ran[0], "--example", "online_retail", "--as-of", "2011-10-31", "--keep")
    assert manifest(ran[0]) == before
    assert sorted((ran[0] / "outbox").rglob("*")) == outbox
    assert not list((ran[0] / "history" / "outreach_decisions").glob("as_of=2011-10-31"))
    assert not list((ran[0] / "warehouse").glob("scratch/*.duckdb"))
    kept = ran[0] / "past" / "2011-10-31" / "crm.duckdb"
    assert f"kept for reading: {kept}" in printed
    with duckdb.connect(str(kept), read_only=True) as connection:
        newest = "select max(business_date), any_value(as_of_date) from marts.fct_orders, ops.build"
        assert connection.execute(newest).fetchone() == (date(2011, 10, 31), date(2011, 10, 31))
        customers = "select count(*) from marts.customer_360"
        (then,) = connection.execute(customers).fetchone() or (0,)
    assert 0 < then < query(ran[0], customers)[0][0]  # type: ignore[operator]
    assert [path.name for path in (ran[0] / "past").iterdir()] == ["2011-10-31"]


@pytest.mark.requirement("CUS-7")
def test_the_monthly_job_makes_tiers_official(ran: tuple[Path, str]) -> None:
    assert query(ran[0], "select count(official_rfm_tier) from marts.rfm_tiers") == [(0,)]
    before = manifest(ran[0])
    run(ran[0], "--example", "online_retail", "--job", "monthly", "--as-of", "2011-11-30")
    assert manifest(ran[0]) == before, "a run for the past must not publish"
    printed = run(ran[0], "--example", "online_retail")
    assert "Nothing new" not in printed, "tiers made official since are news for the next build"
    ((official, history),) = query(
        ran[0],
        "select count(official_rfm_tier), (select count(*) from marts.tier_history) "
        "from marts.rfm_tiers",
    )
    assert official == history > 0
    assert query(ran[0], "select distinct valid_from from marts.tier_history") == [
        (date(2011, 11, 30),)
    ]


@pytest.mark.requirement("MEA-4")
def test_the_report_says_what_the_published_marts_say(ran: tuple[Path, str]) -> None:
    done = crm(ran[0], "report")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [Path(line) for line in done.stdout.splitlines()]
    assert [path.name for path in pages] == ["customer_tiers.zh-CN.html", "customer_tiers.en.html"]
    as_of = date.fromisoformat(str(manifest(ran[0])["as_of"]))
    days = {name: str(day) for name, day in Build(as_of, "", "", 0).parameters.items()}
    database = ran[0] / "published" / "current" / "crm.duckdb"
    ids = [str(one) for (one,) in query(ran[0], "select customer_id from marts.dim_customers")]
    for path in pages:
        page = path.read_text(encoding="utf-8")
        assert reconcile(page, database, days) > 100
        assert not [one for one in ids if one in page]
