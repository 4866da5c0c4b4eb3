"""Any table of person records in a file, by a declaration."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.identity.record_table import resolve_record_table

TABLE = """nr,name,mail,who
1,Ann Lee,ann@box.example.com,a
2,ANN LEE,Ann@Box.example.com,a
3,Bob Wu,bob@box.example.com,b
"""
DECLARATION = """id: nr
columns:
  name: {kind: name}
  mail: {kind: email}
deterministic:
  exact_keys: [mail]
  rules:
    - {name: mailbox, equal: [mail]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "people.yaml").write_text(DECLARATION, encoding="utf-8")
    return tmp_path


def told(folder: Path, engine: str = "deterministic", truth: str | None = None) -> str:
    return resolve_record_table(
        folder / "people.csv", folder / "people.yaml", engine, folder / "out", truth
    )


@pytest.mark.requirement("IDN-7")
def test_a_table_that_is_not_ours_is_resolved_and_judged(folder: Path) -> None:
    said = told(folder, truth="who")
    assert said.startswith("3 records, 2 persons, 1 links (deterministic)")
    assert "pairwise_f1 1.0000" in said
    clusters = pd.read_parquet(folder / "out" / "clusters.parquet")
    assert clusters["cluster_id"].tolist() == ["1", "1", "3"]
    assert len(pd.read_parquet(folder / "out" / "links.parquet")) == 1


def test_equal_texts_are_the_baseline(folder: Path) -> None:
    assert told(folder, "exact_keys").startswith("3 records, 3 persons, 0 links")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "people.yaml").write_text("id: nr\n"), "people.yaml"),
        (lambda f: (f / "people.csv").write_text("nr,name\n1,a\n"), "mail"),
        (lambda f: (f / "people.csv").write_text('nr,name,mail,who\n1,"a'), "cannot be read"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    change(folder)
    with pytest.raises(ConfigError, match=message):
        told(folder)


def test_a_truth_column_the_table_lacks_and_another_format_are_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no column 'owner'"):
        told(folder, truth="owner")
    (folder / "people.csv").rename(folder / "people.txt")
    with pytest.raises(ConfigError, match=r"ends in \.csv or \.parquet"):
        resolve_record_table(
            folder / "people.txt", folder / "people.yaml", "deterministic", folder / "out", None
        )
