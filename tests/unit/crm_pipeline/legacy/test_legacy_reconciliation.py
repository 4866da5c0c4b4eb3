"""The old system's list: what was delivered, taken over and rejected must be the same thing."""

from __future__ import annotations

import csv
import json
import stat
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

import crm_pipeline
from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import FeedSpec, ingest_feed, load_feeds
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.ledger.schema import inbox_parts
from crm_pipeline.lib.legacy import (
    Reconciliation,
    inputs_of,
    last_findings,
    reconcile_feed,
    write_report,
)
from crm_pipeline.lib.legacy.raw_figures import read_number
from crm_pipeline.lib.legacy.report import COLUMNS

CHANNELS = Path(crm_pipeline.__file__).parent / "defs" / "channels"
HEADER = (
    "客户编号,登记日期,姓名,性别,出生日期,电话,电子邮箱,城市,"
    "国家,通信地址,来源,累计订单,累计消费,积分余额,等级,最近消费"
)
NAME = "legacy_customers_20250101T090000.csv"
SPEND, POINTS, ORDERS = "spend_amount", "points_balance", "order_count"


@pytest.fixture(scope="module")
def spec() -> FeedSpec:
    """The feed as the product ships it."""
    return next(feed for feed in load_feeds(CHANNELS) if feed.feed == "legacy_customers")


def line(number: str, *, orders: str = "2", spend: str = '"1,234.50元"', points: str = "10",
         day: str = "2019年02月03日", name: str = "王芳", rest: str = "") -> str:  # fmt: skip
    return (
        f"{number},{day},{name},女,1980.01.02,13800138000,a@b.cn,上海,中国,路1号,门店,"
        f"{orders},{spend},{points},金卡,2024-05-06{rest}"
    )


class Import:
    """A home with one legacy feed."""

    def __init__(self, folder: Path, spec: FeedSpec) -> None:
        self.home = CrmHome(folder / "home").ensure()
        self.ledger = open_ledger(self.home)
        self.landing, self.spec = folder / "landing", spec
        self.inbox = self.landing / spec.landing_folder
        self.inbox.mkdir(parents=True)

    def deliver(self, *lines: str, name: str = NAME, control: Any = None) -> None:
        text = "".join(f"{each}\r\n" for each in (HEADER, *lines))
        (self.inbox / name).write_bytes(text.encode("gbk"))
        if control is not None:
            (self.inbox / f"{name}.control.json").write_text(json.dumps(control), encoding="utf-8")
        now = datetime(2026, 3, 1, tzinfo=UTC)
        ingest_feed(self.home, self.ledger, self.spec, self.landing, received_at=now)

    def reconcile(self) -> Reconciliation:
        return reconcile_feed(self.home, self.ledger, self.spec, self.landing)

    def part(self) -> Path:
        query = sa.select(inbox_parts.c.part_path).where(inbox_parts.c.state == "active")
        with self.ledger.connect() as connection:
            return self.home.root / str(connection.execute(query).scalar_one())


@pytest.fixture
def legacy(tmp_path: Path, spec: FeedSpec) -> Import:
    return Import(tmp_path, spec)


DIRTY = (
    line("K1"),
    line("K2", spend="0.10元", points="0"),
    line("Ｋ３", spend='"２,000.05元"'),  # full-width: the key is K3, the amount is no number
    line("K4", spend="NaN"),
    line("K5", spend="7.005元"),  # more digits than money has
    line("K6", orders="-4", spend="88.00元"),
    line("K7", day="2019年2月30日", spend="5.00元"),
    line("", spend="3.00元"),  # a customer without a number
    line("=cmd|' /C calc'!A0", rest=",one field more"),
    line("K9", spend="1.00元", points="7"),
    line("K9", spend="1.00元", points="7"),  # delivered twice
    line("K10", spend="4.00元"),
    line("K10", spend="4.50元"),  # twice, and not alike
    line("K11", orders="many", spend="6.00元"),
    "合计,,,,,,,,,,,,9999.99,,,",
)


@pytest.mark.requirement("ING-8")
def test_a_dirty_list_agrees_in_records_keys_and_every_cent(legacy: Import) -> None:
    legacy.deliver(*DIRTY)
    found = legacy.reconcile()
    assert found.findings == []
    (file,) = found.files
    records = {name: figures.records for name, figures in file.outcomes.items()}
    assert records == {"accepted": 3, "duplicate": 1, "rejected": 10}
    assert file.source.records == len(DIRTY) - 1 == sum(records.values())
    assert file.total_lines == 1
    keys = {name: figures.keys for name, figures in file.outcomes.items()}
    assert keys == {"accepted": 3, "duplicate": 0, "rejected": 7}
    assert file.source.keys == 10
    assert file.outcomes["accepted"].sums[SPEND] == Decimal("1235.60")
    assert file.outcomes["duplicate"].sums[SPEND] == Decimal("1.00")
    spend = (
        Decimal("1235.60")
        + 1
        + Decimal("2000.05")
        + Decimal("7.005")
        + 88
        + 5
        + 3
        + Decimal("8.5")
        + 6
    )
    assert file.source.sums[SPEND] == spend
    assert file.unreadable[SPEND] == 2, "NaN, and the line that cannot be taken apart"
    assert file.unreadable[ORDERS] == 2
    assert sum(file.reasons.values()) == records["rejected"]
    assert file.reasons["conflict"] == 2


@pytest.mark.requirement("ING-8")
def test_declared_totals_that_agree_are_shown_and_others_turn_it_red(legacy: Import) -> None:
    control = {"records": 3, "distinct_keys": 3,
               "sums": {"累计消费": "1237.60", POINTS: "27", ORDERS: "6"}}  # fmt: skip
    lines = (
        line("K1"),
        line("K2", spend="2.10元", points="10"),
        line("K9", spend="1.00元", points="7"),
    )
    legacy.deliver(*lines, control=control)
    assert legacy.reconcile().matches
    report = write_report(legacy.home, legacy.reconcile()).read_text(encoding="utf-8")
    assert "| spend_amount | 1237.60 | 1237.60 | 1237.60 | 0.00 | 0.00 |" in report
    wrong = {
        "records": (4, "records: 4 declared, 3 in the file"),
        "distinct_keys": (2, "distinct keys: 2 declared, 3 in the file"),
        "sums": ({SPEND: "1237.61"}, "spend_amount: 1237.61 declared, 1237.600000 in the file"),
    }
    for key, (value, words) in wrong.items():
        path = legacy.inbox / f"{NAME}.control.json"
        path.write_text(json.dumps({**control, key: value}), encoding="utf-8")
        found = legacy.reconcile()
        assert not found.matches
        assert [finding.partition(": ")[2] for finding in found.findings] == [words]


@pytest.mark.requirement("ING-8")
def test_money_in_a_record_that_cannot_be_read_is_missed_in_the_declared_sum(
    legacy: Import,
) -> None:
    control = {"records": 2, "sums": {SPEND: "1334.50"}}
    legacy.deliver(line("K1"), line("K4", spend="1OO.00元"), control=control)
    (finding,) = legacy.reconcile().findings
    assert finding.endswith(
        "spend_amount: 1334.50 declared, 1234.500000 in the file (1 values cannot be read)"
    )


@pytest.mark.requirement("ING-8")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("cent", "spend_amount: 1 records have another value than the source"),
        ("points", "points_balance: 1 records have another value than the source"),
        ("lost", "1 records are neither taken over nor rejected"),
        ("key", "1 records have another key than the source"),
    ],
)
def test_a_door_that_lost_or_changed_something_is_found_out(
    legacy: Import, damage: str, words: str
) -> None:
    legacy.deliver(line("K1"), line("K2"), line("K3"))
    path = legacy.part()
    rows = pq.read_table(path, partitioning=None)
    schema, table = rows.schema, rows.to_pylist()
    if damage == "cent":
        table[1][SPEND] += Decimal("0.01")
    elif damage == "points":
        table[1][POINTS] = None
    elif damage == "key":
        table[1]["source_customer_id"] = "K1"
    else:
        del table[1]
    pq.write_table(pa.Table.from_pylist(table, schema=schema), path)
    findings = " ".join(legacy.reconcile().findings)
    assert words in findings
    assert not legacy.reconcile().matches


@pytest.mark.requirement("ING-8")
def test_a_file_refused_as_a_whole_is_no_agreement(legacy: Import) -> None:
    (legacy.inbox / NAME).write_bytes(b"name,age\n1,2\n")
    now = datetime(2026, 3, 1, tzinfo=UTC)
    ingest_feed(legacy.home, legacy.ledger, legacy.spec, legacy.landing, received_at=now)
    found = legacy.reconcile()
    assert "the file was refused as a whole (header)" in found.findings[0]
    write_report(legacy.home, found)
    (row,) = rejects(legacy, found)
    assert row["reason_code"] == "header"


@pytest.mark.requirement("ING-8")
def test_a_list_delivered_twice_counts_once(legacy: Import) -> None:
    legacy.deliver(line("K1"), line("K2"))
    legacy.deliver(line("K1"), line("K2"), line("K3"), name="legacy_customers_20250102T090000.csv")
    found = legacy.reconcile()
    assert found.findings == []
    outcomes = [{k: v.records for k, v in file.outcomes.items()} for file in found.files]
    assert outcomes == [
        {"accepted": 2, "duplicate": 0, "rejected": 0},
        {"accepted": 1, "duplicate": 2, "rejected": 0},
    ]
    assert [file.outcomes["duplicate"].keys for file in found.files] == [0, 2]


@pytest.mark.requirement("ING-8")
@pytest.mark.bad_input("B60")
def test_a_conflict_is_mended_by_a_corrected_export(legacy: Import) -> None:
    legacy.deliver(line("K1"), line("K10", spend="4.00元"), line("K10", spend="4.50元"))
    assert legacy.reconcile().files[0].reasons == {"conflict": 2}
    legacy.deliver(
        line("K1"),
        line("K10", spend="4.50元"),
        name="legacy_customers_20250102T090000.csv",
        control={"records": 2, "distinct_keys": 2, "sums": {SPEND: "1239.00"}},
    )
    found = legacy.reconcile()
    assert found.findings == []
    outcomes = [{k: v.records for k, v in file.outcomes.items()} for file in found.files]
    assert outcomes == [
        {"accepted": 1, "duplicate": 0, "rejected": 2},
        {"accepted": 1, "duplicate": 1, "rejected": 0},
    ]
    assert found.files[1].outcomes["accepted"].sums[SPEND] == Decimal("4.50")
    write_report(legacy.home, found)
    told = {row["what_to_do"] for row in rejects(legacy, found)}
    assert told == {
        "decide which of the records is right, delete the others and export again: "
        "the later delivery counts"
    }


def rejects(legacy: Import, found: Reconciliation) -> list[dict[str, str]]:
    folder = legacy.home.reports / "legacy" / "rejects" / found.feed
    with (folder / f"{found.files[0].file_id}.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.requirement("ING-8")
@pytest.mark.bad_input("B73")
def test_every_reject_stands_in_a_private_file_that_no_spreadsheet_runs(legacy: Import) -> None:
    legacy.deliver(*DIRTY)
    found = legacy.reconcile()
    write_report(legacy.home, found)
    rows = rejects(legacy, found)
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == found.files[0].outcomes["rejected"].records
    assert all(row["reason"] and row["what_to_do"] and row["raw_record"] for row in rows)
    planted = next(row for row in rows if "cmd|" in row["raw_record"])
    assert planted["raw_record"].startswith("'=cmd")
    alike = [row["raw_record"] for row in rows if row["reason_code"] == "conflict"]
    assert [("4.00元" in text, "4.50元" in text) for text in alike] == [
        (True, False),
        (False, True),
    ]
    cells = [cell for row in rows for cell in row.values()]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    folder = legacy.home.reports / "legacy" / "rejects"
    for path in (folder, folder / "legacy_customers"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (file,) = (folder / "legacy_customers").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.requirement("ING-8")
def test_the_report_names_nobody(legacy: Import) -> None:
    legacy.deliver(*DIRTY)
    found = legacy.reconcile()
    text = write_report(legacy.home, found).read_text(encoding="utf-8")
    text += (legacy.home.reports / "legacy" / "legacy_customers.json").read_text(encoding="utf-8")
    text += repr(found)
    for personal in ("K1", "K10", "王芳", "13800138000", "a@b.cn", "cmd"):
        assert personal not in text
    document = json.loads(
        (legacy.home.reports / "legacy" / "legacy_customers.json").read_text(encoding="utf-8")
    )
    assert document["matches"] is True
    assert document["files"][0]["accepted"]["sums"][SPEND] == "1235.60"


@pytest.mark.requirement("ING-8")
def test_a_reject_that_was_mended_leaves_the_reject_file(legacy: Import) -> None:
    legacy.deliver(line("K1"), line("K4", spend="NaN"))
    write_report(legacy.home, legacy.reconcile())
    folder = legacy.home.reports / "legacy" / "rejects" / "legacy_customers"
    assert len(list(folder.iterdir())) == 1
    said = legacy.spec.model_dump(by_alias=True, exclude_unset=True)
    said["columns"][SPEND] |= {"null_values": ["NaN"]}
    mended = FeedSpec.model_validate(said)
    again = Import.__new__(Import)
    again.__dict__.update({**legacy.__dict__, "spec": mended})
    now = datetime(2026, 3, 1, tzinfo=UTC)
    ingest_feed(again.home, again.ledger, mended, again.landing, received_at=now)
    found = again.reconcile()
    assert found.matches
    assert found.files[0].outcomes["accepted"].records == 2
    write_report(again.home, found)
    assert list(folder.iterdir()) == []


@pytest.mark.requirement("ING-8")
@pytest.mark.parametrize(
    "control",
    [
        {"rows": 1},
        {"records": -1},
        {"sums": {"等级": "1"}},
        {"sums": {SPEND: 1.5}},
        [],
        {"sums": 3},
    ],
)
def test_control_totals_that_cannot_be_understood_are_an_error(
    legacy: Import, control: Any
) -> None:
    legacy.deliver(line("K1"), control=control)
    with pytest.raises(ConfigError, match="control totals cannot be understood"):
        legacy.reconcile()


@pytest.mark.requirement("ING-8")
def test_equal_inputs_are_not_counted_again_and_others_are(legacy: Import) -> None:
    def known() -> list[str] | None:
        inputs = inputs_of(legacy.ledger, legacy.spec, legacy.landing)
        return last_findings(legacy.home, legacy.spec.feed, inputs)

    legacy.deliver(line("K1"), control={"records": 2})
    assert known() is None
    write_report(legacy.home, legacy.reconcile())
    (finding,) = known() or []
    assert finding.endswith("records: 2 declared, 1 in the file")
    (legacy.inbox / f"{NAME}.control.json").write_text('{"records": 1}')
    assert known() is None, "the source has corrected what it declares"
    write_report(legacy.home, legacy.reconcile())
    assert known() == []
    legacy.deliver(line("K1"), line("K2"), name="legacy_customers_20250102T090000.csv")
    assert known() is None, "a new file"


@pytest.mark.requirement("ING-8")
def test_the_second_feed_of_the_file_is_held_to_records_and_keys(tmp_path: Path) -> None:
    accounts = next(feed for feed in load_feeds(CHANNELS) if feed.feed == "legacy_accounts")
    legacy = Import(tmp_path, accounts)
    legacy.deliver(line("K1"), line("K2"), control={"records": 3, "sums": {SPEND: "2469.00"}})
    (finding,) = legacy.reconcile().findings
    assert finding.endswith("records: 3 declared, 2 in the file")


@pytest.mark.requirement("ING-8")
def test_no_delivery_is_told_as_such(legacy: Import) -> None:
    report = write_report(legacy.home, legacy.reconcile()).read_text(encoding="utf-8")
    assert "No file has been delivered." in report


@pytest.mark.parametrize(
    ("text", "number", "is_read"),
    [("1,234.50元", "1234.50", True), ("-3", "-3", True), ("1OO", None, False), (None, None, True),
     ("1e5", None, False), ("0.0000001", None, False), ("9" * 40, None, False)],
)  # fmt: skip
def test_numbers_are_read_without_the_doors_help(
    spec: FeedSpec, text: str | None, number: str | None, is_read: bool
) -> None:
    found, is_number = read_number(text, spec.columns[SPEND])
    assert (found, is_number) == (Decimal(number) if number else None, is_read)
