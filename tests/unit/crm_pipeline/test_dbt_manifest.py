"""A new home starts from what the last one parsed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from crm_pipeline.lib.dbt_manifest import (
    MANIFEST,
    PARSED,
    STAMP,
    digest_project,
    read_project_with,
)

SHOW = """
from crm_pipeline.dbt_launcher import read_alike
from dbt.adapters.duckdb.credentials import DuckDBCredentials
read_alike()
for path in ("/a/crm.duckdb", "/b/crm.duckdb", "/b/other.duckdb"):
    told = {"schema": "main", "path": path, "threads": 1, "type": "duckdb"}
    print(dict(DuckDBCredentials.from_dict(told).connection_info()))
"""


def project(folder: Path) -> Path:
    """A dbt project as far as its files are looked at."""
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "one.sql").write_text("select 1")
    return folder


def parse_into(scratch: Path) -> str:
    """What would be parsed from: the content found in the scratch folder."""
    known = scratch / PARSED
    found = known.read_text() if known.exists() else "nothing"
    known.write_text("parsed")
    (scratch / MANIFEST).write_text("{}")
    return found


def test_a_new_home_starts_from_what_the_project_has_parsed_last(tmp_path: Path) -> None:
    at, home, other = project(tmp_path / "project"), tmp_path / "home", tmp_path / "other"
    assert read_project_with(parse_into, at, home) == "nothing"
    assert read_project_with(parse_into, at, other) == "parsed"
    assert (at / "target" / STAMP).read_text() == digest_project(at)


def test_a_home_keeps_its_own_while_the_projects_is_stale(tmp_path: Path) -> None:
    at, home = project(tmp_path / "project"), tmp_path / "home"
    read_project_with(parse_into, at, home)
    (home / PARSED).write_text("the home's")
    (at / "models" / "one.sql").write_text("select 2")
    assert read_project_with(parse_into, at, home) == "the home's"


def test_warehouses_of_one_name_share_what_was_parsed_and_others_do_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=os.environ, capture_output=True, text=True, check=True
    )
    here, there, other = done.stdout.splitlines()
    assert here == there
    assert "crm" in here
    assert other != here
