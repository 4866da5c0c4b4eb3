"""Behaviour, service, receipts, consents and reference data through the real door.

A small world is written in the channels' own formats and taken in by the feeds of the product:
what was planted is found, what was not planted comes back as it happened.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from crm_pipeline.lib.consent import (
    is_opt_out,
    normalise_contact,
    post_consents,
    post_opt_outs,
    tokenise_contact,
)
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import FeedReport, FeedSpec, ingest_feed
from crm_pipeline.lib.ingestion.feeds import load_feeds
from crm_pipeline.lib.ledger import open_ledger, open_vault
from crm_pipeline.lib.ledger.schema import consents, vault
from simulation.delivery import Landed, write_landing
from simulation.delivery.channels import behaviour, desks, receipts, service, wecom
from simulation.delivery.defects import CellDefect, Conflict, Correction, HeldBack, LineDefect
from tests.unit.simulation.conftest import SmallWorld
from tests.unit.simulation.delivery import ends

ROOT = Path(__file__).resolve().parents[4]
WRITERS = {
    writer.feed: writer
    for module in (behaviour, wecom, receipts, service, desks)
    for writer in module.FEEDS
}
HELD_BACK = sorted(
    feed for feed, w in WRITERS.items() if any(isinstance(d, HeldBack) for d in w.defects)
)
KEY = b"a key for tests only"
AFTER = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
TRIALS = "13912345678"  # the number the planted texts give away
# What people and desks spell in their own way, and the rule that brings it back.
SPELLED = {("consent_center", "contact_value"): "phone"}


@dataclass(frozen=True)
class Delivered:
    """A world's files and what the door made of them."""

    clean: Path
    landing: Path
    home: CrmHome
    landed: Landed
    specs: dict[str, FeedSpec]
    reports: dict[str, FeedReport]
    ledger: sa.Engine
    vault: sa.Engine

    def planted(self, feed: str, *outcomes: str) -> list[dict[str, Any]]:
        rows = self.landed.defects.to_pylist()
        return [row for row in rows if row["feed"] == feed and row["outcome"] in outcomes]

    def clean_rows(self, feed: str) -> list[dict[str, Any]]:
        with duckdb.connect() as connection:
            files = f"{self.clean / feed}/*/*.parquet"
            return connection.sql(f"from '{files}'").to_arrow_table().to_pylist()

    def written_rows(self, feed: str) -> list[dict[str, Any]]:
        paths = self.reports[feed].part_paths(self.home)
        return [r for p in paths for r in pq.read_table(p, partitioning=None).to_pylist()]

    def quarantined_rows(self, feed: str) -> list[dict[str, Any]]:
        paths = [file.quarantine_path for file in self.reports[feed].files if file.quarantine_path]
        return [
            row
            for path in paths
            for row in pq.read_table(self.home.root / path, partitioning=None).to_pylist()
        ]

    def key_of(self, feed: str, row: dict[str, Any]) -> tuple[Any, ...]:
        """What makes a record, or one version of it, itself."""
        key = [_spelled_alike(feed, name, row[name]) for name in self.specs[feed].natural_key]
        if WRITERS[feed].is_versioned:
            key.append(row["source_version"] if "source_version" in row else row["updated_at"])
        return tuple(key)


def _spelled_alike(feed: str, column: str, value: Any) -> Any:
    if (feed, column) == ("sms_receipts", "reply_text"):
        return (value is None, is_opt_out(value))
    kind = SPELLED.get((feed, column))
    return (normalise_contact(kind, value)[0] or value) if kind and value else value


@pytest.fixture(scope="module")
def delivered(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    root = tmp_path_factory.mktemp("behaviour")
    landed = write_landing(
        small_world.clean,
        root / "landing",
        small_world.rhythm,
        small_world.parameters.world.seed,
        work_dir=root / "work",
        feeds=list(WRITERS.values()),
    )
    home = CrmHome(root / "home").ensure()
    ledger, vault_engine = open_ledger(home), open_vault(home)
    specs = {spec.feed: spec for spec in load_feeds(ROOT / "crm_pipeline" / "defs" / "channels")}
    reports = {
        feed: ingest_feed(
            home,
            ledger,
            specs[feed],
            root / "landing",
            received_at=AFTER,
            post_consents=partial(_book, ledger, vault_engine),
        )
        for feed in WRITERS
    }
    return Delivered(
        small_world.clean, root / "landing", home, landed, specs, reports, ledger, vault_engine
    )


def _book(ledger: sa.Engine, vault_engine: sa.Engine, table: pa.Table, **said: str) -> None:
    """Consents and receipts reach the ledger as in a deployment."""
    if "receipt_kind" in table.column_names:
        post_opt_outs(ledger, table, key=KEY, **said)
    else:
        post_consents(ledger, vault_engine, table, key=KEY, **said)


# ------------------------------------------------------------------------------ every feed


@pytest.mark.requirement("ING-2")
@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_writer_and_feed_agree_on_channel_entity_folder_and_columns(
    feed: str, delivered: Delivered
) -> None:
    writer, spec = WRITERS[feed], delivered.specs[feed]
    assert (writer.channel, writer.entity) == (spec.channel, spec.entity)
    assert writer.landing_folder == spec.landing_folder
    assert fnmatch.fnmatch(f"a.{writer.format.extension}", spec.files)
    told = [warning for file in delivered.reports[feed].files for warning in file.warnings]
    assert not [warning for warning in told if warning.startswith("unknown columns")]


@pytest.mark.requirement("ING-4")
@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_each_planted_record_is_quarantined_for_its_reason_and_no_other(
    feed: str, delivered: Delivered
) -> None:
    report = delivered.reports[feed]
    sent = sum(file.records for file in delivered.landed.files if file.feed == feed)
    assert report.received == sent == report.written + report.quarantined
    planted: Counter[str] = Counter()
    for row in delivered.planted(feed, "quarantined"):
        if row["reason_code"] != "conflict":  # told apart where records are staged
            planted[row["reason_code"]] += row["count"]
    assert report.describe()["quarantined_by_reason"] == dict(planted)


@pytest.mark.requirement("ING-4")
@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_each_planted_file_is_refused_or_recognised_and_no_other(
    feed: str, delivered: Delivered
) -> None:
    files = delivered.reports[feed].files
    refused = Counter(file.reason_code for file in files if file.outcome == "refused")
    planted: Counter[str | None] = Counter()
    for row in delivered.planted(feed, "refused"):
        planted[row["reason_code"]] += row["count"]
    assert refused == planted
    again = sum(r["count"] for r in delivered.planted(feed, "duplicate") if r["unit"] == "files")
    assert sum(file.outcome == "duplicate" for file in files) == again


@pytest.mark.requirement("ING-1")
@pytest.mark.requirement("ING-3")
@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_what_was_not_damaged_comes_back_as_it_happened(feed: str, delivered: Delivered) -> None:
    writer, spec = WRITERS[feed], delivered.specs[feed]
    happened = {delivered.key_of(feed, row): row for row in delivered.clean_rows(feed)}
    written = delivered.written_rows(feed)
    # An event without a price needs no currency; the feed says one for all.
    skipped = {"currency"} if spec.default_currency else set()
    skipped |= {name for name in writer.contract.column_names if name not in spec.columns}
    if writer.contract.name == "marketing_spend":
        skipped.discard("currency")
    other, unknown = 0, 0
    for row in written:
        clean = happened.get(delivered.key_of(feed, row))
        if clean is None:
            unknown += 1
            continue
        other += any(
            _spelled_alike(feed, name, row[name]) != _spelled_alike(feed, name, clean[name])
            for name in writer.contract.column_names
            if name not in skipped
        )
    counts = Counter({row["kind"]: row["count"] for row in delivered.landed.defects.to_pylist()
                      if row["feed"] == feed})  # fmt: skip
    changed = sum(
        counts[kind] for kind in {d.kind for d in writer.defects if _is_kept_otherwise(d)}
    )
    conflicts = counts["conflict"] // 2  # the record itself counts as one of the two
    assert other == changed + conflicts + counts["restated"]  # told before the change
    assert unknown == counts["corrected_version"]  # an older version that never happened
    lost = set(happened) - {delivered.key_of(feed, row) for row in written}
    damaged = sum(
        counts[kind]
        for kind in {d.kind for d in writer.defects if isinstance(d, CellDefect | LineDefect)
                     and d.outcome == "quarantined"}
    )  # fmt: skip
    assert len(lost) == damaged


def _is_kept_otherwise(defect: Any) -> bool:
    """Whether the record is written, with another value than what happened."""
    if isinstance(defect, Conflict | Correction):
        return False
    return isinstance(defect, CellDefect) and (
        defect.outcome == "accepted" or defect.kind == "null_account"
    )


# ------------------------------------------------------------------- damage that keeps a record


@pytest.mark.requirement("ING-6")
@pytest.mark.bad_input("B58")
@pytest.mark.parametrize("feed", HELD_BACK)
def test_records_held_back_are_known_late_and_no_others(
    feed: str, small_world: SmallWorld, delivered: Delivered
) -> None:
    held = ends.planted(delivered.landed, feed, "accepted")["held_back"]
    parts = delivered.reports[feed].part_paths(delivered.home)
    found = ends.known_late(
        WRITERS[feed], delivered.specs[feed], delivered.clean, parts, small_world.rhythm
    )
    assert found == held > 0


@pytest.mark.requirement("ING-3")
@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_traits_of_files_are_logged_once_per_file(feed: str, delivered: Delivered) -> None:
    logged = ends.planted(delivered.landed, feed, "normalised", "files")
    assert ends.traits(WRITERS[feed], delivered.landed) == logged
    assert not delivered.reports[feed].files or delivered.reports[feed].written


@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_texts_and_spellings_are_kept_or_mended_as_often_as_planted(
    feed: str, delivered: Delivered
) -> None:
    writer = WRITERS[feed]
    texts = ends.planted(delivered.landed, feed, "accepted")
    for kind in ("held_back", "corrected_version", "restated"):  # counted by their own tests
        del texts[kind]
    assert ends.kept_texts(writer, delivered.written_rows(feed)) == texts
    spellings = ends.planted(delivered.landed, feed, "normalised")
    for kind, count in spellings.items():
        assert ends.spelled(writer, delivered.landed, kind) == count, kind
    # The keys themselves come back clean: see what_was_not_damaged_comes_back_as_it_happened.


# ----------------------------------------------------------------------------- single cases


def _first_of(delivered: Delivered, feed: str, kind: str) -> int:
    """How many records of a kind were planted; at least one, else the test says nothing."""
    counts = [r["count"] for r in delivered.landed.defects.to_pylist()
              if (r["feed"], r["kind"]) == (feed, kind)]  # fmt: skip
    assert counts, f"nothing of {kind} was planted in {feed}"
    return sum(counts)


@pytest.mark.bad_input("B83")
@pytest.mark.requirement("PRV-4")
def test_b83_a_phone_number_in_a_post_is_blotted_out_in_quarantine(delivered: Delivered) -> None:
    _first_of(delivered, "community_posts", "phone_misplaced")
    rows = delivered.quarantined_rows("community_posts")
    found = [row for row in rows if row["reason_code"] == "misplaced_personal_data"]
    assert found and all(row["column_name"] == "post_text" for row in found)
    assert all(TRIALS not in row["raw_record"] for row in rows)


@pytest.mark.bad_input("B88")
@pytest.mark.parametrize("feed", ["nps_answers", "product_reviews"])
def test_b88_scores_outside_their_scale_or_in_words_are_quarantined(
    feed: str, delivered: Delivered
) -> None:
    column = {"nps_answers": "score", "product_reviews": "rating"}[feed]
    planted = {
        row["reason_code"]: row["count"]
        for row in delivered.planted(feed, "quarantined")
        if row["case"] == "B88"
    }
    assert {"range", "number"} <= set(planted)
    rows = [row for row in delivered.quarantined_rows(feed) if row["column_name"] == column]
    assert Counter(row["reason_code"] for row in rows) == planted
    low, high = {"nps_answers": (0, 10), "product_reviews": (1, 5)}[feed]
    assert all(low <= row[column] <= high for row in delivered.written_rows(feed))


@pytest.mark.bad_input("B89")
@pytest.mark.parametrize(
    ("feed", "column"), [("service_tickets", "subject_text"), ("service_chats", "message_text")]
)
def test_b89_orders_inside_a_text_are_text(feed: str, column: str, delivered: Delivered) -> None:
    planted = _first_of(delivered, feed, "instructions_in_text")
    texts = [row[column] for row in delivered.written_rows(feed)]
    assert texts.count(service.ORDERS) == planted


@pytest.mark.bad_input("B74")
@pytest.mark.bad_input("B75")
@pytest.mark.bad_input("B76")
@pytest.mark.parametrize("kind", ["script_in_text", "sql_in_text", "jinja_in_text"])
def test_code_in_a_post_is_kept_as_it_is(kind: str, delivered: Delivered) -> None:
    planted = _first_of(delivered, "community_posts", kind)
    (defect,) = (d for d in WRITERS["community_posts"].defects if d.kind == kind)
    texts = [row["post_text"] for row in delivered.written_rows("community_posts")]
    assert texts.count(defect.change(None)) == planted


@pytest.mark.bad_input("B85")
def test_b85_consents_for_no_purpose_or_of_tomorrow_are_quarantined(delivered: Delivered) -> None:
    planted = _first_of(delivered, "consent_center", "unknown_purpose")
    planted += _first_of(delivered, "consent_center", "future_consent")
    rows = delivered.quarantined_rows("consent_center")
    found = [(row["reason_code"], row["column_name"]) for row in rows]
    assert found.count(("enum", "purpose")) + found.count(("future", "occurred_at")) == planted


@pytest.mark.requirement("PRV-1")
def test_every_consent_of_the_centre_stands_in_the_ledger_under_its_own_channel(
    delivered: Delivered,
) -> None:
    written = {
        (row["account_channel"], row["source_customer_id"], row["contact_kind"],
         row["purpose"], row["consent_channel"], row["action"] == "granted", row["occurred_at"])
        for row in delivered.written_rows("consent_center")
    }  # fmt: skip
    columns = ("channel", "source_customer_id", "contact_kind", "purpose", "consent_channel",
               "is_granted", "occurred_at")  # fmt: skip
    with delivered.ledger.connect() as connection:
        said = sa.select(*(consents.c[name] for name in columns))
        rows = connection.execute(said.where(consents.c.feed == "consent_center")).all()
        opt_outs = connection.execute(
            sa.select(consents.c.is_granted).where(consents.c.feed.endswith("_receipts"))
        ).all()
    assert {tuple(row) for row in rows} == written
    assert {row.is_granted for row in opt_outs} == {False}
    assert {row.contact_kind for row in rows} == {"phone", "email", "wecom", "push"}


@pytest.mark.bad_input("B86")
def test_b86_a_withdrawal_typed_another_way_is_of_the_same_contact(delivered: Delivered) -> None:
    typed_otherwise = [
        row
        for row in delivered.written_rows("consent_center")
        if row["contact_kind"] == "phone"
        and row["action"] == "withdrawn"
        and not row["contact_value"].isdigit()
    ]
    assert typed_otherwise
    with delivered.ledger.connect() as connection:
        granted = set(
            connection.execute(
                sa.select(consents.c.contact_token).where(consents.c.is_granted)
            ).scalars()
        )
    for row in typed_otherwise:
        assert tokenise_contact("phone", row["contact_value"], key=KEY).token in granted


@pytest.mark.bad_input("B87")
def test_b87_whoever_answers_with_an_opt_out_word_is_found_among_the_receipts(
    delivered: Delivered, tmp_path: Path
) -> None:
    left = [row for row in delivered.clean_rows("sms_receipts") if row["reply_text"]]
    assert left
    ledger = open_ledger(CrmHome(tmp_path).ensure())
    tables = [
        pq.read_table(path, partitioning=None)
        for path in delivered.reports["sms_receipts"].part_paths(delivered.home)
    ]
    for table in tables:
        # Without the provider's own word, so that only the answer can tell.
        kinds = pa.array(["delivered"] * table.num_rows)
        place = table.column_names.index("receipt_kind")
        post_opt_outs(
            ledger,
            table.set_column(place, "receipt_kind", kinds),
            key=KEY,
            feed="sms_receipts",
            file_sha256="f",
        )
    with ledger.connect() as connection:
        rows = connection.execute(sa.select(consents)).all()
    answers = {row["message_id"] for row in left}
    accounts = {
        (row["account_channel"], row["source_customer_id"])
        for row in delivered.written_rows("sms_receipts")
        if row["message_id"] in answers and row["reply_text"] and row["source_customer_id"]
    }
    assert accounts and {(row.channel, row.source_customer_id) for row in rows} == accounts
    assert not any(row.is_granted for row in rows)


@pytest.mark.requirement("PRV-4")
def test_every_way_of_contact_has_addresses_to_send_to(delivered: Delivered) -> None:
    with delivered.vault.connect() as connection:
        kinds = set(connection.execute(sa.select(vault.c.kind).distinct()).scalars())
    assert kinds == {"phone", "email", "wecom", "push"}


@pytest.mark.requirement("ING-1")
def test_before_login_an_event_knows_its_device_and_no_account(delivered: Delivered) -> None:
    rows = delivered.written_rows("app_events")
    anonymous = [row for row in rows if row["source_customer_id"] is None]
    assert 0 < len(anonymous) < len(rows)
    assert all(row["device_id"] for row in anonymous)


@pytest.mark.requirement("ING-3")
def test_the_formats_are_as_dirty_as_declared(delivered: Delivered) -> None:
    def head(feed: str) -> bytes:
        good = [f for f in delivered.landed.files if f.feed == feed and f.is_good]
        return good[0].path.read_bytes()[:4]

    assert head("product_reviews").startswith(b"\xef\xbb\xbf")
    assert head("ad_spend").startswith(b"\xff\xfe")
    assert head("mini_program_events") == b"PAR1"
    assert head("service_tickets").startswith(b"PK")
    assert head("wecom_tags") == "客户".encode("gb18030")
    assert head("app_events").startswith(b"{")


# ------------------------------------------------------------------------- by hand, one feed


def _by_hand(folder: Path, feed: str, name: str, data: bytes) -> tuple[FeedReport, list[Any]]:
    specs = load_feeds(ROOT / "crm_pipeline" / "defs" / "channels")
    (spec,) = (spec for spec in specs if spec.feed == feed)
    inbox = folder / "landing" / spec.landing_folder
    inbox.mkdir(parents=True)
    (inbox / name).write_bytes(data)
    home = CrmHome(folder / "home").ensure()
    report = ingest_feed(
        home,
        open_ledger(home),
        spec,
        folder / "landing",
        received_at=AFTER,
        post_consents=lambda *_, **__: None,
    )
    parts = [pq.read_table(p, partitioning=None) for p in report.part_paths(home)]
    return report, pa.concat_tables(parts).to_pylist() if parts else []


@pytest.mark.bad_input("B52")
def test_b52_a_warning_may_name_hours_to_come_but_not_be_issued_in_them(tmp_path: Path) -> None:
    lines = (
        "预警编号,城市,预警类型,预警级别,发布时间,生效时间,失效时间",
        "W1,上海,台风,橙色,2026-06-01 18:00:00,2026-06-01 20:00:00,2026-06-03 08:00:00",
        "W2,上海,台风,红色,2026-06-02 06:00:00,2026-06-02 08:00:00,2026-06-03 08:00:00",
    )
    data = "\n".join([*lines, ""]).encode("gb18030")
    report, rows = _by_hand(tmp_path, "weather_alerts", "weather_20260601T235959.csv", data)
    assert report.describe()["quarantined_by_reason"] == {"future": 1}
    (row,) = rows
    assert row["alert_id"] == "W1" and row["known_at"] < row["ends_at"]


@pytest.mark.bad_input("B62")
def test_b62_one_account_number_in_two_channels_is_two_consents(tmp_path: Path) -> None:
    head = "account_channel,account_id,contact_type,contact,purpose,channel,status,op_time"
    said = "13912345678,marketing,sms,agree,2026-06-01T10:00:00+08:00,v3,form"
    lines = [f"{head},notice_ver,proof", f"tmall,7,mobile,{said}", f"jd,7,mobile,{said}", ""]
    data = "\n".join(lines).encode()
    _, rows = _by_hand(tmp_path, "consent_center", "consent_20260601T235959.csv", data)
    assert [row["account_channel"] for row in rows] == ["tmall", "jd"]
    assert len({row["record_id"] for row in rows}) == len(rows)


@pytest.mark.bad_input("B54")
@pytest.mark.parametrize(
    ("count", "reason"),
    [("1767225600", {}), ("1767225600000", {"timestamp": 1}), ("17672", {"range": 1})],
)
def test_b54_a_live_event_counts_in_seconds(tmp_path: Path, count: str, reason: dict) -> None:
    line = f'{{"log_id": "1", "action": "like", "server_time": {count}}}\n'
    report, _ = _by_hand(tmp_path, "douyin_live_events", "x_20260601T235959.jsonl", line.encode())
    assert report.describe()["quarantined_by_reason"] == reason
