"""A reader sees one whole build, whatever happens to the writer."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from publish_support import AS_OF, INPUTS, NOON, build_warehouse, publish

from crm_pipeline.lib.errors import PublishError, WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish import current_manifest, hash_published
from crm_pipeline.lib.publish.publish import prune_builds, sweep_unfinished

HERE = Path(__file__).parent
POINTS = [
    "publish_started",
    "publish_tables",
    "publish_written",
    "publish_durable",
    "publish_renamed",
    "publish_linked",
    "publish_switched",
    "publish_pruned",
]


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    home = CrmHome(tmp_path).ensure()
    build_warehouse(home.warehouse)
    return home


def read_current(home: CrmHome, query: str) -> list[tuple]:
    path = home.published / "current" / "crm.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.requirement("SRV-1")
def test_a_build_holds_marts_metrics_and_ops_and_nothing_else(home: CrmHome) -> None:
    manifest = publish(home, "b1")
    tables = {
        ".".join(row)
        for row in read_current(
            home, "select table_schema, table_name from information_schema.tables"
        )
    }
    assert {table.split(".")[0] for table in tables} == {"marts", "metrics", "ops"}
    assert tables - {"ops.build_tables"} == set(manifest.row_counts)
    assert read_current(home, "from metrics.daily") == [(dt.date(2011, 12, 9), 200)]
    facts = read_current(home, "select build_id, as_of_date, reporting_currency from ops.build")
    assert facts == [("b1", AS_OF, "GBP")]


@pytest.mark.requirement("SRV-1")
def test_parquet_files_hold_the_same_rows_as_the_tables(home: CrmHome) -> None:
    manifest = publish(home, "b1")
    for address, name in manifest.parquet_files.items():
        assert pq.read_metadata(manifest.build_dir / name).num_rows == manifest.row_counts[address]
    assert manifest.parquet_files["marts.customer_360"] == "customer_360.parquet"
    assert manifest.parquet_files["ops.feed_balance"] == "ops/feed_balance.parquet"


@pytest.mark.requirement("SRV-1")
def test_the_manifest_says_what_the_build_is(home: CrmHome) -> None:
    made = publish(home, "b1", versions={"code": "1.2.3"})
    text = json.loads((home.published / "current" / "manifest.json").read_text())
    assert text["build_id"] == "b1"
    assert text["as_of"] == "2011-12-09"
    assert text["row_counts"]["marts.fct_order_lines"] == 200
    assert text["input_file_count"] == INPUTS.count
    assert text["versions"]["code"] == "1.2.3"
    assert Path(text["build_dir"]) == home.published / "b1"
    assert current_manifest(home) == made


def test_before_the_first_build_there_is_no_manifest(tmp_path: Path) -> None:
    assert current_manifest(CrmHome(tmp_path)) is None


def test_schema_and_result_hash_do_not_depend_on_the_build(home: CrmHome) -> None:
    first, second = (publish(home, name, with_result_hash=True) for name in ("b1", "b2"))
    assert first.schema_hash == second.schema_hash
    assert first.result_hash == second.result_hash != ""
    assert hash_published(home.published / "b2" / "crm.duckdb").total == second.result_hash
    assert publish(home, "b3").result_hash == ""


def test_publishing_the_current_build_again_is_a_no_op(home: CrmHome) -> None:
    first = publish(home, "b1")
    before = (home.published / "b1" / "crm.duckdb").stat()
    assert publish(home, "b1", created_at=NOON + dt.timedelta(hours=1)) == first
    after = (home.published / "b1" / "crm.duckdb").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_current_never_moves_back_in_time(home: CrmHome) -> None:
    publish(home, "b1")
    with pytest.raises(PublishError, match="may not replace"):
        publish(home, "b0", as_of=AS_OF - dt.timedelta(days=1))
    assert current_manifest(home).build_id == "b1"


def test_a_warehouse_without_marts_is_not_published(tmp_path: Path) -> None:
    home = CrmHome(tmp_path).ensure()
    with duckdb.connect(str(home.warehouse)) as connection:
        connection.execute("create table main.something as select 1 as one")
    with pytest.raises(PublishError, match="no marts"):
        publish(home, "b1")


@pytest.mark.parametrize("name", ["", "current", "..", "a/b", ".hidden", "a b"])
def test_a_build_id_that_is_no_folder_name_is_refused(home: CrmHome, name: str) -> None:
    with pytest.raises(PublishError, match="no build id"):
        publish(home, name)


HOLD = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_a_warehouse_held_by_another_program_is_named(home: CrmHome) -> None:
    command = [sys.executable, "-c", HOLD, str(home.warehouse)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(WarehouseError, match=f"process {other.pid}"):
            publish(home, "b1", wait_seconds=0.2)
    finally:
        other.kill()
        other.wait()
    assert sweep_unfinished(home) == []


PUBLISH = """
import sys
from pathlib import Path
from publish_support import publish
from crm_pipeline.lib.home import CrmHome
publish(CrmHome(Path(sys.argv[1])), sys.argv[2])
"""


def publish_in_a_process(home: CrmHome, build_id: str, fail: str = "") -> int:
    paths = os.pathsep.join([str(Path.cwd()), str(HERE)])
    env = {**os.environ, "CRM_FAIL": fail, "PYTHONPATH": paths}
    command = [sys.executable, "-c", PUBLISH, str(home.root), build_id]
    return subprocess.run(command, env=env, capture_output=True).returncode


@pytest.mark.requirement("SRV-1")
@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", POINTS)
def test_kill_9_while_publishing_leaves_a_whole_build_and_the_next_run_succeeds(
    home: CrmHome, point: str
) -> None:
    publish(home, "b1")
    assert publish_in_a_process(home, "b2", f"{point}:kill") == -9
    seen = current_manifest(home).build_id
    expected = "b2" if point in ("publish_switched", "publish_pruned") else "b1"
    assert seen == expected
    assert read_current(home, "select build_id from ops.build") == [(seen,)]
    for build_id in ("b2", "b3"):
        publish(home, build_id)
        assert read_current(home, "select build_id from ops.build") == [(build_id,)]
    sweep_unfinished(home)
    assert {path.name for path in home.published.iterdir()} == {"b1", "b2", "b3", "current"}


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", POINTS[:5])
def test_a_full_disk_leaves_the_last_good_build_and_says_what_to_do(
    home: CrmHome, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(home, "b1")
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:enospc")
    with pytest.raises((PublishError, OSError)):
        publish(home, "b2")
    monkeypatch.delenv("CRM_FAIL")
    assert current_manifest(home).build_id == "b1"
    publish(home, "b2")
    assert current_manifest(home).build_id == "b2"


def test_builds_are_kept_for_a_day_and_for_three_builds(home: CrmHome) -> None:
    for number in range(6):
        publish(home, f"b{number}", created_at=NOON + dt.timedelta(hours=number))
    assert prune_builds(home, now=NOON + dt.timedelta(hours=24)) == []
    # b0 was replaced at 13:00 and b1 at 14:00; b2 is one of the three before the current one.
    assert prune_builds(home, now=NOON + dt.timedelta(hours=25, minutes=30)) == ["b0"]
    assert prune_builds(home, now=NOON + dt.timedelta(days=9)) == ["b1"]
    assert current_manifest(home).build_id == "b5"


def test_the_current_build_is_kept_however_old_it_is(home: CrmHome) -> None:
    for number in range(6):
        publish(home, f"b{number}", created_at=NOON + dt.timedelta(hours=number))
    link = home.published / "current"
    link.unlink()
    link.symlink_to("b0")
    prune_builds(home, now=NOON + dt.timedelta(days=9))
    assert current_manifest(home).build_id == "b0"
