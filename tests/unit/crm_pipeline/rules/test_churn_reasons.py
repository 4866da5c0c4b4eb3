"""Words of the churn reasons: every reason of the model has them, and gaps are told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.churn_reasons import CODES, FILE, read_churn_reasons
from ml.churn import CHURN_REASONS

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.requirement("SCO-2")
def test_every_reason_of_the_model_has_words_and_no_other_has() -> None:
    assert CODES == CHURN_REASONS
    table = read_churn_reasons(SEEDS)
    assert table.problems == []
    assert tuple(row.cells["code"] for row in table.rows) == CHURN_REASONS


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("boredom,无聊,Bored,换,Change", "code", "'boredom' is not known"),
        ("refunds,退款,Refunds,问,Ask", "code", "'refunds' is already in row"),
    ],
)
def test_a_bad_reason_is_told_with_row_and_column(
    seeds: Path, row: str, column: str, what: str
) -> None:
    path = seeds / FILE
    path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert (problem.file, problem.row_number, problem.column) == (FILE, len(CODES) + 2, column)
    assert what in problem.what
    assert problem.remedy


def test_a_reason_without_words_and_a_missing_reason_are_told(seeds: Path) -> None:
    path = seeds / FILE
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([cells[0], "", *cells[2:]])
    path.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    told = [(problem.column, problem.what) for problem in validate_rules(seeds)]
    assert ("label_zh", "it is empty") in told
    assert any("unread_messages has no row" in what for _, what in told)
