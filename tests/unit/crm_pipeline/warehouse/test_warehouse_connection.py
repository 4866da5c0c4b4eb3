"""Opening the warehouse file: settings, damage and other people's locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.warehouse.connection import is_damage, open_warehouse

HOLD = """
import sys, duckdb, time
con = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def fill(path: Path) -> None:
    with open_warehouse(path) as connection:
        connection.execute("create table numbers as select range as number from range(100000)")


def test_sessions_are_in_utc_whatever_the_host_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    with open_warehouse(tmp_path / "crm.duckdb") as connection:
        assert connection.sql("select current_setting('TimeZone')").fetchall() == [("UTC",)]


@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("damage", ["not a database", "cut", "flipped header", "empty"])
def test_a_damaged_warehouse_is_set_aside_and_a_new_one_started(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "crm.duckdb"
    fill(path)
    content = bytearray(path.read_bytes())
    if damage == "not a database":
        content = bytearray(b"x" * 20_000)
    elif damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "flipped header":
        content[4100] ^= 0xFF
        content[8200] ^= 0xFF
    else:
        content.clear()
    path.write_bytes(content)
    with open_warehouse(path) as connection:
        assert connection.sql("show tables").fetchall() == []
    kept = list(tmp_path.glob("crm.duckdb.damaged-*"))
    assert damage == "empty" or [file.read_bytes() for file in kept] == [bytes(content)]


def test_a_damaged_file_opened_to_read_is_reported_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    path.write_bytes(b"x" * 20_000)
    with pytest.raises(WarehouseError, match="cannot be opened"), open_warehouse(path, True):
        pass
    assert path.read_bytes() == b"x" * 20_000


def test_damage_found_while_reading_is_recognised_by_its_message(tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    fill(path)
    content = bytearray(path.read_bytes())
    content[-3000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(duckdb.Error) as caught, open_warehouse(path, True) as connection:
        connection.sql("select sum(number) from numbers").fetchall()
    assert is_damage(str(caught.value))


def test_a_held_file_is_refused_with_the_process_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    fill(path)
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == "held"
        with (
            pytest.raises(WarehouseError, match=f"process {other.pid}"),
            open_warehouse(path, wait_seconds=0.3),
        ):
            pass
    finally:
        other.kill()
        other.wait()


def test_a_memory_limit_that_is_no_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_MEMORY_LIMIT", "lots")
    with (
        pytest.raises(WarehouseError, match="CRM_MEMORY_LIMIT=lots is no size"),
        open_warehouse(tmp_path / "crm.duckdb"),
    ):
        pass
