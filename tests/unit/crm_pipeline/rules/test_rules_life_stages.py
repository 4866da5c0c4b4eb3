"""Life stages and their evidence: the shipped ones pass, mistakes are told with row and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules.life_stages import (
    EVIDENCE_COLUMNS,
    STAGES_COLUMNS,
    read_life_stage_evidence,
    read_life_stages,
)

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


def test_the_shipped_stages_and_their_evidence_have_no_problem() -> None:
    assert read_life_stages(SEEDS).problems == []
    assert read_life_stage_evidence(SEEDS).problems == []


@pytest.mark.requirement("CUS-10")
@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("infant,5,12,婴儿,Infant,", "months_from", "overlap"),
        ("infant,7,12,婴儿,Infant,", "months_from", "leave a gap"),
        ("infant,12,6,婴儿,Infant,", "months_to", "not above"),
        ("infant,six,12,婴儿,Infant,", "months_from", "no whole number"),
        ("infant,6,,婴儿,Infant,", "months_to", "it is empty"),
        ("infant,6,999,婴儿,Infant,", "months_to", "out of range"),
        ("infant,6,12,,Infant,", "name_zh", "it is empty"),
        ("newborn,6,12,婴儿,Infant,", "life_stage", "already in row 2"),
        ("In fant,6,12,婴儿,Infant,", "life_stage", "is no name"),
    ],
)
def test_a_bad_stage_is_told(tmp_path: Path, row: str, column: str, what: str) -> None:
    text = f"{','.join(STAGES_COLUMNS)}\nnewborn,0,6,新生儿,Newborn,\n{row}\n"
    (tmp_path / "life_stages.csv").write_text(text, encoding="utf-8")
    [problem] = read_life_stages(tmp_path).problems
    assert (problem.row_number, problem.column) == (3, column)
    assert what in problem.what and problem.remedy


@pytest.mark.requirement("CUS-10")
@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("e2,奶粉,,0,6,", "product_words", "it is empty"),
        ("e2,奶粉,一段|,0,6,", "product_words", "no list of words"),
        ("e2,奶粉,一.*,0,6,", "product_words", "no list of words"),
        ("e2,奶粉,一段,6,6,", "months_to", "not above"),
        ("e1,奶粉,一段,0,6,", "evidence_id", "already in row 2"),
    ],
)
def test_bad_evidence_is_told(tmp_path: Path, row: str, column: str, what: str) -> None:
    text = f"{','.join(EVIDENCE_COLUMNS)}\ne1,奶粉,二段,6,12,\n{row}\n"
    (tmp_path / "life_stage_evidence.csv").write_text(text, encoding="utf-8")
    [problem] = read_life_stage_evidence(tmp_path).problems
    assert (problem.row_number, problem.column) == (3, column)
    assert what in problem.what and problem.remedy
