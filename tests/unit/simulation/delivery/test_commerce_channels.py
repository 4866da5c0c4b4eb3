"""Shops, tills, ERP, logistics, membership desk and the old customer list through the real door.

Their files are written from a small world and taken in by the feeds of the product. What was
planted is found and nothing else; what was not planted comes back as it happened.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import hashlib
import json
import zipfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import FeedReport, FeedSpec, ingest_feed
from crm_pipeline.lib.ingestion.feeds import load_feeds
from crm_pipeline.lib.ledger import open_ledger
from simulation.delivery import FeedWriter, Landed, write_landing
from simulation.delivery.channels import douyin, jd, loyalty, own_shops, pos, supply, tmall
from simulation.delivery.defects import (
    Correction,
    ExtraLine,
    FileDefect,
    HeldBack,
    NestedDefect,
)
from simulation.delivery.plan import deliveries
from tests.unit.simulation.conftest import SmallWorld
from tests.unit.simulation.delivery import ends

ROOT = Path(__file__).resolve().parents[4]
MODULES = (tmall, jd, douyin, own_shops, pos, supply, loyalty)
WRITERS: dict[str, FeedWriter] = {w.feed: w for module in MODULES for w in module.FEEDS}
# Feeds that read the files of another one.
SIBLINGS = {feed: writer for writer in WRITERS.values() for feed in writer.siblings}
FEEDS = sorted([*WRITERS, *SIBLINGS])
CORRECTED = sorted(
    feed for feed, w in WRITERS.items() if any(isinstance(d, Correction) for d in w.defects)
)
# Feeds whose records change in the world after they were told.
RESTATES = {feed: writer for feed, writer in WRITERS.items() if writer.restated_at}
HELD_BACK = sorted(
    feed
    for w in WRITERS.values()
    if any(isinstance(d, HeldBack) for d in w.defects)
    for feed in (w.feed, *w.siblings)
)
AFTER = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
# What the channel itself hides or respells; the exact value never leaves it.
HIDDEN = {
    "tmall": {"receiver_name", "receiver_phone"},
    "jd": {"receiver_phone"},
    "douyin": {"receiver_name", "receiver_phone"},
    "legacy": {"registered_at", "last_ordered_at"},
    "erp": {"listed_at"},
}


@dataclass(frozen=True)
class Taken:
    """The files of a world and what the door made of them."""

    clean: Path
    home: CrmHome
    landed: Landed
    specs: dict[str, FeedSpec]
    reports: dict[str, FeedReport]

    def count(self, feed: str, *kinds: str, unit: str = "records") -> int:
        rows = self.landed.defects.to_pylist()
        return sum(
            row["count"]
            for row in rows
            if row["feed"] == feed and row["unit"] == unit and (row["kind"] in kinds)
        )

    def planted(self, feed: str, outcome: str, unit: str) -> Counter[str | None]:
        found: Counter[str | None] = Counter()
        for row in self.landed.defects.to_pylist():
            if (row["feed"], row["outcome"], row["unit"]) == (feed, outcome, unit):
                found[row["reason_code"]] += row["count"]
        return found

    def relations(self, feed: str) -> duckdb.DuckDBPyConnection:
        """``clean`` and ``written``, the records before and behind."""
        connection = duckdb.connect()
        files = [str(path) for path in sorted((self.clean / feed).glob("*/*.parquet"))]
        connection.execute(f"create view clean as from read_parquet({files})")
        paths = [str(path) for path in self.reports[feed].part_paths(self.home)]
        connection.execute(f"create view written as from read_parquet({paths})")
        return connection


@pytest.fixture(scope="module")
def taken(small_world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> Taken:
    root = tmp_path_factory.mktemp("commerce")
    landed = write_landing(
        small_world.clean,
        root / "landing",
        small_world.rhythm,
        small_world.parameters.world.seed,
        work_dir=root / "work",
        feeds=list(WRITERS.values()),
    )
    home = CrmHome(root / "home").ensure()
    ledger = open_ledger(home)
    specs = {spec.feed: spec for spec in load_feeds(ROOT / "crm_pipeline" / "defs" / "channels")}
    reports = {
        feed: ingest_feed(home, ledger, specs[feed], root / "landing", received_at=AFTER)
        for feed in FEEDS
    }
    return Taken(small_world.clean, home, landed, specs, reports)


# ------------------------------------------------------------------------------ every feed


@pytest.mark.requirement("ING-2")
@pytest.mark.parametrize("feed", FEEDS)
def test_writer_and_feed_agree_on_channel_folder_and_columns(feed: str, taken: Taken) -> None:
    writer, spec = WRITERS.get(feed) or SIBLINGS[feed], taken.specs[feed]
    assert writer.channel == spec.channel
    assert writer.landing_folder == spec.landing_folder
    assert fnmatch.fnmatch(f"a.{writer.format.extension}", spec.files)
    told = [warning for file in taken.reports[feed].files for warning in file.warnings]
    assert not [warning for warning in told if warning.startswith("unknown columns")]


@pytest.mark.requirement("ING-4")
@pytest.mark.parametrize("feed", FEEDS)
def test_each_planted_record_is_quarantined_for_its_reason_and_no_other(
    feed: str, taken: Taken
) -> None:
    report = taken.reports[feed]
    assert report.received == report.written + report.quarantined > 0
    if feed in WRITERS:
        good = [file for file in taken.landed.files if file.feed == feed and file.is_good]
        ends = taken.count(feed, "total_row", "truncated_line")
        assert report.received == sum(file.records for file in good)
        assert ends <= report.quarantined
    planted = taken.planted(feed, "quarantined", "records")
    del planted["conflict"]  # told apart where records are staged
    assert report.describe()["quarantined_by_reason"] == dict(planted)


@pytest.mark.requirement("ING-4")
@pytest.mark.parametrize("feed", FEEDS)
def test_each_planted_file_is_refused_or_recognised_and_no_other(feed: str, taken: Taken) -> None:
    files = taken.reports[feed].files
    refused = Counter(file.reason_code for file in files if file.outcome == "refused")
    assert refused == taken.planted(feed, "refused", "files")
    again = taken.planted(feed, "duplicate", "files").total()
    assert sum(file.outcome == "duplicate" for file in files) == again


@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_every_kind_of_damage_occurs_where_there_are_records_to_spare(
    feed: str, taken: Taken
) -> None:
    writer = WRITERS[feed]
    rows = taken.landed.defects.to_pylist()
    found = {row["kind"] for row in rows if row["feed"] in (feed, *writer.siblings)}
    sure = {d.kind for d in writer.defects if isinstance(d, ExtraLine | FileDefect)}
    query = "select count(*) from clean where not coalesce(is_protected, false)"
    (spare,) = taken.relations(feed).execute(query).fetchone() or (0,)
    if spare > 40 * len(writer.defects):
        sure = {defect.kind for defect in writer.defects}
    assert sure <= found


def test_most_feeds_have_records_to_spare_for_every_kind(taken: Taken) -> None:
    """Else the test above says little."""
    logged = {(row["feed"], row["kind"]) for row in taken.landed.defects.to_pylist()}
    wanted = {
        (writer.siblings[0] if isinstance(defect, NestedDefect) else feed, defect.kind)
        for feed, writer in WRITERS.items()
        for defect in writer.defects
        if not getattr(defect, "is_beside", False)
    }
    assert len(wanted & logged) > 0.9 * len(wanted)


@pytest.mark.requirement("ING-1")
@pytest.mark.requirement("ING-3")
@pytest.mark.parametrize("feed", FEEDS)
def test_what_was_not_damaged_comes_back_as_it_happened(feed: str, taken: Taken) -> None:
    spec = taken.specs[feed]
    names = [
        column.name
        for column in spec.contract.columns
        if column.name in spec.columns or (column.name == "currency" and spec.currency)
    ]
    names = [name for name in names if name not in HIDDEN.get(spec.channel, ())]
    # Constants of the YAML are no answer of the channel.
    names = [n for n in names if n not in spec.columns or spec.columns[n].value is None]
    connection = taken.relations(feed)
    on, versioned = _same_record(connection, spec)
    differs = " or ".join(f"clean.{name} is distinct from written.{name}" for name in names)
    newest = "written"
    if spec.version and spec.version.by:  # the world tells what was so in the end
        newest = (
            "(select * from written qualify source_version = max(source_version) "
            "over (partition by record_id)) as written"
        )
    other, unknown = connection.execute(
        f"select count(*) filter ({differs}), count(*) filter (clean.{spec.natural_key[0]} is null)"
        f" from {newest} left join clean on {on}"
    ).fetchone() or (0, 0)
    conflicts = taken.count(feed, "conflict") // 2  # the record itself is one of the two
    corrected = taken.count(feed, "corrected_version")
    if feed not in WRITERS:
        corrected = 0  # the version differs, not the record
    if versioned:
        assert (other - corrected, unknown) == (conflicts, corrected)
    else:
        assert (other, unknown) == (conflicts + corrected, 0)
    lost = connection.execute(f"select count(*) from clean anti join written on {on}").fetchone()
    assert lost is not None and lost[0] == _lost_records(taken, feed, connection)


def _same_record(connection: duckdb.DuckDBPyConnection, spec: FeedSpec) -> tuple[str, bool]:
    """How a written record finds what happened; whether the world itself knows versions."""
    versioned = "updated_at" in connection.sql("from clean limit 0").columns
    pairs = [f"clean.{name} = written.{name}" for name in spec.natural_key]
    pairs += ["clean.updated_at = written.source_version"] if versioned else []
    return " and ".join(pairs), versioned


def _lost_records(taken: Taken, feed: str, connection: duckdb.DuckDBPyConnection) -> int:
    """Records that were planted to be lost at the door."""
    lost = taken.planted(feed, "quarantined", "records")
    del lost["conflict"]
    kinds = [d.kind for d in (WRITERS.get(feed) or SIBLINGS[feed]).defects if _is_extra(d)]
    own = lost.total() - taken.count(feed, *kinds)
    nesting = SIBLINGS.get(feed)
    if nesting is None or nesting.nested is None:
        return own
    # A line that cannot be read is one record, and loses every line of its order.
    broken = taken.count(feed, "bad_json", "key_twice")
    heads = ", ".join(f"'{path}'" for path in taken.reports[nesting.feed].part_paths(taken.home))
    gone = connection.execute(
        f"select count(*) from clean anti join read_parquet([{heads}]) as heads using (order_id)"
        " anti join written using (order_id)"
    ).fetchone()
    assert gone is not None
    spilt = sum(taken.count(feed, d.kind) for d in nesting.defects if getattr(d, "spills", False))
    return own - broken + (gone[0] - spilt)


def _is_extra(defect: Any) -> bool:
    return isinstance(defect, ExtraLine)


@pytest.mark.requirement("ING-5")
@pytest.mark.bad_input("B59")
@pytest.mark.bad_input("B60")
@pytest.mark.parametrize("feed", FEEDS)
def test_what_came_twice_is_as_often_a_duplicate_or_a_conflict_as_planted(
    feed: str, taken: Taken
) -> None:
    duplicates, conflicts, restated = _repeats(taken, feed)
    assert duplicates == taken.planted(feed, "duplicate", "records").total()
    assert conflicts == taken.count(feed, "conflict")
    if RESTATES.get(feed):
        assert restated == taken.count(feed, "restated")


def _repeats(taken: Taken, feed: str) -> tuple[int, int, int]:
    """Duplicates, contenders of conflicts and later versions among the records of one id."""
    version = taken.specs[feed].version
    rows = taken.relations(feed).execute(
        """
        select record_id, list(content_hash) from written
        where record_id in (select record_id from written group by all having count(*) > 1)
        group by record_id, source_version order by record_id, source_version nulls first
        """
    )
    duplicates = conflicts = restated = 0
    known: dict[str, str] = {}
    for record_id, contents in rows.fetchall():
        if len(set(contents)) > 1:
            conflicts += len(contents)
            continue
        is_again = record_id in known and known[record_id] == contents[0]
        is_version = not (is_again and version and version.by)
        duplicates += len(contents) - is_version
        restated += is_version and record_id in known
        known[record_id] = contents[0]
    return duplicates, conflicts, restated


def test_some_accounts_change_and_come_again(taken: Taken) -> None:
    """Else the tests above say little of them."""
    assert sum(bool(taken.count(feed, "restated")) for feed in RESTATES) > 1


@pytest.mark.requirement("ING-5")
@pytest.mark.parametrize("feed", CORRECTED)
def test_a_corrected_record_ends_as_it_happened(feed: str, taken: Taken) -> None:
    planted = taken.count(feed, "corrected_version")
    assert planted
    key = ", ".join(taken.specs[feed].natural_key)
    older = (
        taken.relations(feed)
        .execute(
            f"""
        with ranked as (
            select *, row_number() over (partition by {key} order by source_version desc) as place
            from written
        )
        select count(*) from ranked as old inner join ranked as new using ({key})
        where new.place = old.place - 1
            and old.source_version = new.source_version - interval 1 second
            and old.content_hash <> new.content_hash and old.known_at <= new.known_at
        """
        )
        .fetchone()
    )
    assert older == (planted,)


@pytest.mark.requirement("ING-5")
@pytest.mark.parametrize("feed", ["app_order_lines", "douyin_order_lines"])
def test_the_lines_of_a_corrected_order_come_with_both_versions(feed: str, taken: Taken) -> None:
    older = taken.relations(feed).execute(
        """
        select count(*) from written as old inner join written as new
            using (order_id, line_number)
        where old.source_version = new.source_version - interval 1 second
        """
    )
    assert older.fetchone() == (taken.count(feed, "corrected_version"),)
    assert taken.count(feed, "corrected_version") > 0


@pytest.mark.requirement("SRV-5")
@pytest.mark.parametrize("feed", FEEDS)
def test_accounts_with_a_sound_record_are_those_the_door_and_staging_let_in(
    feed: str, taken: Taken
) -> None:
    spec = taken.specs[feed]
    if "source_customer_id" not in spec.contract.column_names:
        assert feed not in taken.landed.account_files
        return
    channel = f"'{spec.channel}'"
    if "account_channel" in spec.contract.column_names:
        channel = f"coalesce(account_channel, {channel})"
    connection = taken.relations(feed)
    let_in = connection.execute(
        f"""
        with judged as (
            select *, count(distinct content_hash) over (
                partition by record_id, source_version
            ) as contents
            from written
        )
        select distinct {channel}, source_customer_id from judged
        where contents = 1 and source_customer_id is not null
        """
    ).fetchall()
    told = connection.execute(f"from '{taken.landed.account_files[feed]}'").fetchall()
    assert len(told) == len(set(told))
    assert set(told) == set(let_in)


@pytest.mark.requirement("ING-6")
@pytest.mark.bad_input("B58")
def test_late_records_come_with_a_late_file_and_are_known_then(
    small_world: SmallWorld, taken: Taken
) -> None:
    rhythm, late = small_world.rhythm, 0
    for feed in set(small_world.parameters.late.feeds) & set(WRITERS):
        writer, connection = WRITERS[feed], taken.relations(feed)
        key, versioned = _same_record(connection, taken.specs[feed])
        happened = "clean.updated_at" if versioned else f"clean.{writer.event_time}"
        rows = connection.execute(
            f"select {happened}, max(known_at) from written inner join clean on {key} "
            "where deliver_at is not null group by all"
        ).fetchall()
        plan = deliveries(rhythm, writer.cadence)
        late_files = {d.utc(rhythm.zone) for d in plan if d.is_late}
        for moment, known_at in rows:
            usual = next(d for d in plan if not d.is_late and d.utc(rhythm.zone) >= moment)
            assert known_at > usual.utc(rhythm.zone), feed
            assert known_at.replace(tzinfo=None) in late_files, feed
        late += len(rows)
    stamped = [file for file in taken.landed.files if "T030000" in file.path.name]
    assert late > 20 and stamped


@pytest.mark.bad_input("B46")
def test_b46_some_refunds_are_known_before_their_order(taken: Taken) -> None:
    early = 0
    for channel in ("tmall", "jd", "douyin", "mini_program", "app"):
        orders = [str(p) for p in taken.reports[f"{channel}_orders"].part_paths(taken.home)]
        found = taken.relations(f"{channel}_refunds").execute(
            f"""
            select count(*) from written inner join (
                select order_id, min(known_at) as told_at from read_parquet({orders}) group by 1
            ) using (order_id)
            where known_at < told_at
            """
        )
        early += (found.fetchone() or (0,))[0]
    assert early


# ------------------------------------------------------------------- damage that keeps a record


@pytest.mark.requirement("ING-6")
@pytest.mark.bad_input("B58")
@pytest.mark.parametrize("feed", HELD_BACK)
def test_records_held_back_are_known_late_and_no_others(
    feed: str, small_world: SmallWorld, taken: Taken
) -> None:
    held = ends.planted(taken.landed, feed, "accepted")["held_back"]
    parts = taken.reports[feed].part_paths(taken.home)
    writer, spec = WRITERS.get(feed) or SIBLINGS[feed], taken.specs[feed]
    found = ends.known_late(writer, spec, taken.clean, parts, small_world.rhythm)
    assert found == held > 0


@pytest.mark.requirement("ING-3")
@pytest.mark.parametrize("feed", sorted(WRITERS))
def test_traits_of_files_are_logged_once_per_file(feed: str, taken: Taken) -> None:
    logged = ends.planted(taken.landed, feed, "normalised", "files")
    assert ends.traits(WRITERS[feed], taken.landed) == logged
    assert not taken.reports[feed].files or taken.reports[feed].written


# ----------------------------------------------------------------------------- whole files


def _digests(landed: Landed, root: Path) -> dict[str, str]:
    return {
        file.path.relative_to(root).as_posix(): hashlib.sha256(file.path.read_bytes()).hexdigest()
        for file in landed.files
    }


@pytest.mark.requirement("SRV-5")
def test_the_same_seed_gives_the_same_bytes_on_any_number_of_cores(
    small_world: SmallWorld, tmp_path: Path
) -> None:
    kinds = ["tmall_orders", "jd_refunds", "douyin_orders", "mini_program_accounts", "pos_members"]
    found = []
    for name, seed, threads in (("a", 1, 2), ("b", 1, 1), ("c", 2, 2)):
        landed = write_landing(
            small_world.clean,
            tmp_path / name,
            replace(small_world.rhythm, threads=threads),
            seed,
            work_dir=tmp_path / f"work-{name}",
            feeds=[WRITERS[feed] for feed in kinds],
        )
        assert len({file.path for file in landed.files}) == len(landed.files)
        found.append(_digests(landed, tmp_path / name))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_without_damage_everything_is_taken(small_world: SmallWorld, tmp_path: Path) -> None:
    landed = write_landing(
        small_world.clean,
        tmp_path / "landing",
        replace(small_world.rhythm, defect_rate=0.0),
        1,
        work_dir=tmp_path / "work",
        feeds=[WRITERS["app_orders"], WRITERS["jd_refunds"]],
    )
    assert {row["outcome"] for row in landed.defects.to_pylist()} <= {"normalised"}
    home = CrmHome(tmp_path / "home").ensure()
    ledger = open_ledger(home)
    specs = {spec.feed: spec for spec in load_feeds(ROOT / "crm_pipeline" / "defs" / "channels")}
    for feed in ("app_orders", "app_order_lines", "jd_refunds"):
        report = ingest_feed(home, ledger, specs[feed], tmp_path / "landing", received_at=AFTER)
        assert report.quarantined == 0 and not report.refused
        clean = duckdb.execute(f"select count(*) from '{small_world.clean / feed}/*/*.parquet'")
        assert clean.fetchone() == (report.written,)


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B02")
def test_the_formats_are_as_dirty_as_declared(taken: Taken) -> None:
    def first(feed: str) -> Path:
        return next(f.path for f in taken.landed.files if f.feed == feed and f.is_good)

    orders = first("tmall_orders").read_bytes().decode("gb18030")
    header, record, *_ = orders.split("\r\n")
    assert header.startswith("订单编号,买家会员名") and record.split(",")[0].endswith("\t")
    assert record.split(",")[1].endswith("  ") and "****" in orders
    till = first("pos_orders").read_text(encoding="utf-8").splitlines()
    assert till[1].split("\t")[2][4] == "/" and any(row.split("\t")[3] == "-" for row in till)
    order = json.loads(first("douyin_orders").read_text(encoding="utf-8").splitlines()[0])
    assert isinstance(order["create_time"], int) and isinstance(order["pay_amount"], int)
    assert {line["out_sku_id"] for line in order["sku_order_list"]}
    assert "addr" not in order and "detail" in order["post_addr"]
    assert first("mini_program_orders").read_bytes()[:4] == b"PAR1"
    with zipfile.ZipFile(first("jd_orders")) as package:
        assert {entry.date_time for entry in package.infolist()} == {(2020, 1, 1, 0, 0, 0)}
        assert "京东商家后台" in package.read("xl/worksheets/sheet1.xml").decode()[:400]
    assert first("crm_points").read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.bad_input("B47")
def test_dollars_stay_dollars(taken: Taken) -> None:
    found = taken.relations("jd_orders").execute("select distinct currency from written").fetchall()
    assert ("CNY",) in found and len(found) > 1
    mixed = taken.relations("jd_order_lines").execute(
        "select count(*) from (select order_id from written group by 1 "
        "having count(distinct currency) > 1)"
    )
    assert mixed.fetchone() == (0,)
