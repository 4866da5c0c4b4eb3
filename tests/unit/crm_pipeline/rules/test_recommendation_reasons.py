"""The words of recommendation reasons: each reason has them once, and nothing else has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.recommendation_reasons import FILE

pytestmark = pytest.mark.requirement("SCO-6")

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "what"),
    [
        ("popular,热销商品,", "liked,热销商品,", 5, "reason_code", "'liked' is a reason no"),
        ("热销商品", "", 5, "reason_zh", "it is empty"),
        ("Best seller", "", 5, "reason_en", "it is empty"),
    ],
)
def test_a_bad_reason_is_told_with_row_and_column(
    seeds: Path, old: str, new: str, row: int, column: str, what: str
) -> None:
    path = seeds / FILE
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    problem = validate_rules(seeds)[0]
    assert (problem.file, problem.row_number, problem.column) == (FILE, row, column)
    assert what in problem.what and problem.remedy


def test_a_reason_without_words_and_one_told_twice_are_refused(seeds: Path) -> None:
    path = seeds / FILE
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("popular,", "follows,"), encoding="utf-8")
    assert {problem.what for problem in validate_rules(seeds)} >= {"'popular' has no row"}
    assert any("already in row" in problem.what for problem in validate_rules(seeds))
