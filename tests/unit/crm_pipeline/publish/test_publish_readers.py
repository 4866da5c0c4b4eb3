"""Readers during publishing, and readers of older versions."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from publish_support import NOON, build_warehouse, publish

from crm_pipeline.lib.home import CrmHome

ROUNDS = 30
# Opens the published file over and over; every open must find one whole build.
READ = """
import sys, time, duckdb, pathlib
path, stop, reads, builds = sys.argv[1], pathlib.Path(sys.argv[2]), 0, set()
while not stop.exists() or reads < 5:
    with duckdb.connect(path, read_only=True) as con:
        build = con.execute("select build_id from ops.build").fetchall()[0][0]
        rows = con.execute("select table_name, row_count, build_id from ops.build_tables "
                           "where schema_name = 'marts'").fetchall()
        number = int(build.removeprefix("b"))
        for name, count, written_by in rows:
            found = con.execute(f"select count(*) from marts.{name}").fetchall()[0][0]
            assert (found, written_by) == (count, build), (name, found, count, written_by, build)
        found = con.execute("select count(*) from marts.fct_order_lines").fetchall()[0][0]
        assert found == 200 + 4 * number, (build, found)
    reads += 1
    builds.add(build)
    time.sleep(0.02)
print(reads, len(builds))
"""


@pytest.mark.requirement("SRV-1")
def test_a_reader_in_a_loop_sees_whole_builds_during_thirty_publishes(tmp_path: Path) -> None:
    home = CrmHome(tmp_path / "home").ensure()
    stop = tmp_path / "stop"
    build_warehouse(home.warehouse)
    publish(home, "b0")
    path = home.published / "current" / "crm.duckdb"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READ, str(path), str(stop)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        for number in range(1, ROUNDS + 1):
            with duckdb.connect(str(home.warehouse)) as connection:
                connection.execute(
                    "insert into marts.fct_order_lines select 1000 + i, 'x', '100', 1 "
                    "from range(4) as t(i)"
                )
            moment = NOON + dt.timedelta(hours=9 * number)
            publish(home, f"b{number}", created_at=moment)
    finally:
        stop.touch()
    for reader in readers:
        output, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors
        reads, builds = map(int, output.split())
        assert reads >= 5 and builds >= 2
    kept = [folder for folder in home.published.iterdir() if not folder.is_symlink()]
    assert len(kept) == 4  # the current build and three before it; a day is 2.7 builds here


@pytest.mark.requirement("SRV-1")
def test_clients_of_the_oldest_supported_version_open_the_published_file(tmp_path: Path) -> None:
    """Needs a folder with DuckDB 1.1 (``pip install --target <folder> duckdb==1.1.3``)."""
    folder = os.environ.get("OLD_DUCKDB")
    if not folder:
        pytest.skip("OLD_DUCKDB names no folder with an old DuckDB")
    home = CrmHome(tmp_path).ensure()
    build_warehouse(home.warehouse)
    manifest = publish(home, "b1")
    script = (
        "import sys, duckdb; con = duckdb.connect(sys.argv[1], read_only=True); "
        "assert duckdb.__version__.startswith('1.1.'); "
        "names = con.execute(\"select table_schema || '.' || table_name from "
        'information_schema.tables").fetchall(); '
        "print(sum(con.execute(f'select count(*) from {n}').fetchone()[0] for (n,) in names))"
    )
    path = str(home.published / "current" / "crm.duckdb")
    result = subprocess.run(
        [sys.executable, "-c", script, path],
        env={**os.environ, "PYTHONPATH": folder}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = sum(manifest.row_counts.values()) + len(manifest.row_counts)
    assert int(result.stdout) == expected
