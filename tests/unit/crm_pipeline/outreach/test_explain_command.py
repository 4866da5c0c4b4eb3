"""``crm explain`` on homes that cannot answer: a clear error, never a traceback."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from explain_support import TABLES

from crm_pipeline.cli import main
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.publish.manifest import DATABASE, MANIFEST, Manifest

pytestmark = pytest.mark.requirement("OUT-3")


def explain(home: Path, *arguments: str, exit_code: int = 1) -> str:
    done = CliRunner().invoke(
        main, ["explain", "--home", str(home), *arguments], env={"CRM_CURRENCY": "CNY"}
    )
    assert done.exit_code == exit_code, done.output
    assert "Traceback" not in done.output
    return done.output


def publish(home: Path, *statements: str) -> None:
    """A published build that holds what the statements make."""
    open_ledger(CrmHome(home)).dispose()
    folder = CrmHome(home).published / "build"
    folder.mkdir(parents=True)
    moment = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
    made = Manifest("build", moment.date(), moment, 0, "", {}, folder)
    (folder / MANIFEST).write_text(made.to_json(), encoding="utf-8")
    (folder.parent / "current").symlink_to("build")
    with duckdb.connect(str(folder / DATABASE)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_without_a_published_build_it_says_what_to_do(tmp_path: Path) -> None:
    said = explain(tmp_path, "c1")
    assert "nothing is published yet" in said and "crm run" in said


def test_a_build_of_an_older_version_says_what_to_do(tmp_path: Path) -> None:
    publish(tmp_path, *(part for part in TABLES.split(";") if "outreach_results" not in part))
    said = explain(tmp_path, "new")
    assert "made by an older version" in said and "crm run" in said


def test_a_stranger_is_told_so_and_a_customer_is_explained_in_the_language_asked_for(
    tmp_path: Path,
) -> None:
    publish(tmp_path, TABLES)
    assert "nobody is known by that name" in explain(tmp_path, "stranger")
    said = explain(tmp_path, "app:a1", "--language", "zh-CN", exit_code=0)
    assert "客户 new，数据截至 2026-06-30" in said
    assert "dormant_wake_up" in said
    both = explain(tmp_path, "old", exit_code=0)
    assert "Customer new" in both and "Customer other" in both
