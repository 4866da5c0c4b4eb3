"""A run for the past stays away from the warehouse of today."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.warehouse import open_warehouse
from crm_pipeline.lib.warehouse.plan import plan_build, read_as_of, record_as_of

DAY = dt.date(2011, 12, 9)


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    home = CrmHome(tmp_path).ensure()
    with open_warehouse(home.warehouse) as connection:
        record_as_of(connection, DAY, run_id="r1")
    return home


@pytest.mark.parametrize("days", [0, 1, 30])
def test_today_and_later_build_in_the_warehouse(home: CrmHome, days: int) -> None:
    plan = plan_build(home, DAY + dt.timedelta(days=days), run_id="r2")
    assert plan.path == home.warehouse and not plan.is_backfill


@pytest.mark.requirement("SRV-3")
def test_the_past_builds_in_a_scratch_file_of_its_own_that_goes_again(home: CrmHome) -> None:
    plan = plan_build(home, DAY - dt.timedelta(days=1), run_id="r2")
    assert plan.is_backfill and plan.path.parent.name == "scratch"
    with open_warehouse(plan.path):
        pass
    plan.discard()
    assert list(plan.path.parent.iterdir()) == []
    assert home.warehouse.exists()


def test_discarding_never_removes_the_warehouse(home: CrmHome) -> None:
    plan_build(home, DAY, run_id="r2").discard()
    assert home.warehouse.exists()


def test_a_new_home_builds_in_the_warehouse(tmp_path: Path) -> None:
    home = CrmHome(tmp_path).ensure()
    assert plan_build(home, DAY, run_id="r1").path == home.warehouse


def test_the_published_build_counts_when_the_warehouse_was_deleted(home: CrmHome) -> None:
    build = home.published / "b1"
    build.mkdir()
    (build / "manifest.json").write_text(
        '{"build_id": "b1", "as_of": "2011-12-09", "created_at": "2011-12-10T12:00:00", '
        '"input_file_count": 1, "input_files_sha256": "f", "versions": {}, "build_dir": "x"}'
    )
    (home.published / "current").symlink_to("b1")
    home.warehouse.unlink()
    assert plan_build(home, DAY - dt.timedelta(days=1), run_id="r2").is_backfill
    assert not plan_build(home, DAY, run_id="r2").is_backfill


def test_a_damaged_warehouse_has_no_date_and_is_set_aside(home: CrmHome) -> None:
    home.warehouse.write_bytes(b"x" * 20_000)
    assert read_as_of(home.warehouse) is None
    assert not home.warehouse.exists()


def test_a_file_of_another_program_has_no_date(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "a.duckdb") as connection:
        connection.execute("create table t as select 1 as one")
    assert read_as_of(tmp_path / "a.duckdb") is None
