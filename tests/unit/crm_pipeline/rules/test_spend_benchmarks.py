"""Benchmarks of spend: examples by default, and every mistake told with its row."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.spend_benchmarks import COLUMNS, FILE, read_spend_benchmarks

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
FIRST = "shoes,,40,100.00,CNY,study 2024"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.requirement("CUS-4")
def test_the_shipped_benchmarks_say_that_they_are_invented() -> None:
    table = read_spend_benchmarks(SEEDS)
    assert table.problems == []
    for row in table.rows:
        assert row.cells["industry"].startswith("example_")
        assert row.cells["source"].startswith("EXAMPLE: invented")


@pytest.mark.requirement("CUS-4")
@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("Shoes!,,60,1,CNY,s", "industry", "'Shoes!' cannot be read"),
        ("shoes,,60,1.234,CNY,s", "amount", "'1.234' cannot be read"),
        ("shoes,,60,-1,CNY,s", "amount", "'-1' cannot be read"),
        ("shoes,,60,1,yuan,s", "currency", "'yuan' cannot be read"),
        ("shoes,,60,1,CNY,", "source", "'' cannot be read"),
        ("shoes,,101,1,CNY,s", "spend_pct", "101 is out of range"),
        ("shoes,,,1,CNY,s", "spend_pct", "it is empty"),
        ("shoes,,40,1,CNY,s", "spend_pct", "'shoes  40' is already in row 2"),
        ("shoes,,60,99.99,CNY,s", "amount", "it is below P40 in row 2"),
        ("shoes,,60,120,USD,s", "currency", "the base is in CNY in row 2"),
    ],
)
def test_a_bad_benchmark_is_told_with_row_and_column(
    seeds: Path, row: str, column: str, what: str
) -> None:
    text = "\n".join([",".join(COLUMNS), FIRST, row]) + "\n"
    (seeds / FILE).write_text(text, encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert (problem.file, problem.row_number, problem.column) == (FILE, 3, column)
    assert what in problem.what
    assert problem.remedy
