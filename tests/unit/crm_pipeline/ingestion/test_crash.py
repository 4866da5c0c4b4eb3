"""Killed anywhere, run twice at once, out of space.

The next run ends as if nothing had happened.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .door import GOOD, OTHER, Door, csv

PROJECT = Path(__file__).resolve().parents[4]
FILES = {"1.csv": csv(GOOD, "bad"), "2.csv": csv(OTHER, OTHER)}
POINTS = [
    "raw_copy_before",
    "raw_copy_during",
    "raw_copy_after",
    "part_before",
    "part_during",
    "part_after",
    "quarantine_after",
    "inbox_row_before",
    "inbox_row_during",
    "inbox_row_after",
]
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from ingestion.door import NOW, feed
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import ingest_feed
from crm_pipeline.lib.ledger import open_ledger
home = CrmHome(Path(sys.argv[1]) / "home")
landing = Path(sys.argv[1]) / "landing"
report = ingest_feed(home, open_ledger(home), feed(), landing, received_at=NOW)
assert report.is_balanced
print(report.received, report.written, report.quarantined)
"""


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(Path(__file__).parents[1])],
        env={**os.environ, "PYTHONPATH": str(PROJECT), **environment},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def undisturbed(tmp_path: Path) -> list[tuple[object, ...]]:
    door = filled(tmp_path / "undisturbed")
    door.ingest()
    return door.result()


def filled(folder: Path) -> Door:
    door = Door(folder)
    for name, data in FILES.items():
        door.deliver(data, name)
    return door


@pytest.mark.parametrize("point", POINTS)
def test_f01_f02_killed_anywhere_the_next_run_ends_the_same(
    tmp_path: Path, undisturbed: list[tuple[object, ...]], point: str
) -> None:
    door = filled(tmp_path / "killed")
    killed = start(tmp_path / "killed", CRM_FAIL=f"{point}:kill")
    _, errors = killed.communicate(timeout=60)
    assert killed.returncode == -9, errors
    half = [p for p in door.home.raw.rglob("*.zst") if not p.name.startswith(".tmp-")]
    for path in half:  # whatever stands under its hash is whole
        from crm_pipeline.lib.ingestion import raw_store

        with raw_store.open_raw(door.home, path.stem) as source:
            assert source.read()
    door.ingest()
    assert door.result() == undisturbed
    assert door.inbox_rows() == 2
    assert len(door.quarantine()) == 1
    assert door.ingest().files == (), "a third run finds nothing to do"


@pytest.mark.parametrize("point", ["raw_copy_during", "part_during", "inbox_row_during"])
def test_f06_a_full_disk_is_a_clear_error_and_no_refusal(
    tmp_path: Path,
    undisturbed: list[tuple[object, ...]],
    point: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from crm_pipeline.lib import failpoints

    door = filled(tmp_path / "full")
    failpoints._passes.clear()
    monkeypatch.setenv("CRM_FAIL", f"{point}:enospc")
    with pytest.raises(OSError, match="No space left"):
        door.ingest()
    assert door.leftovers() == []
    assert all(state != "refused" for _, state, _ in door.states())
    monkeypatch.delenv("CRM_FAIL")
    door.ingest()
    assert door.result() == undisturbed


@pytest.mark.requirement("ING-5")
def test_f13_two_ingests_at_once_both_end_well(
    tmp_path: Path, undisturbed: list[tuple[object, ...]]
) -> None:
    door = filled(tmp_path / "two")
    # Both wait before their first inbox row, so that each has done all the work of the other.
    both = [
        start(tmp_path / "two", CRM_FAIL="inbox_row_before:sleep", CRM_FAIL_SECONDS="2")
        for _ in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
    assert door.result() == undisturbed
    assert door.inbox_rows() == 2
    assert len(door.active()) == 2
    assert door.ingest().files == ()


@pytest.mark.parametrize("folder", ["raw", "conformed"])
def test_f07_a_folder_that_cannot_be_written_is_an_error_that_names_it(
    tmp_path: Path, folder: str
) -> None:
    door = filled(tmp_path / "closed")
    target = getattr(door.home, folder)
    target.rmdir()
    target.write_text("in the way")
    with pytest.raises(OSError, match=folder):
        door.ingest()
    assert door.active() == []
