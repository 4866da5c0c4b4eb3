"""Words of churn causes: the shipped ones pass, every mistake is told with its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules.churn_cause_labels import (
    CAUSES,
    COLUMNS,
    FILE,
    read_churn_cause_labels,
)

pytestmark = pytest.mark.requirement("SCO-8")

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


def test_the_shipped_words_have_no_problem() -> None:
    assert read_churn_cause_labels(SEEDS).problems == []


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("weather,天,a,有{number},had {number},why", "cause", "'weather' is not known"),
        ("refund,,a,有{number},had {number},why", "name_zh", "it is empty"),
        ("refund,退,a,有,had {number},why", "evidence_zh", "'有' has not one place"),
        ("refund,退,a,有{number},had {days},why", "evidence_en", "'had {days}' has not one place"),
        ("price,退,a,有{number},had {number},why", "cause", "'price' is already in row"),
    ],
)
def test_a_wrong_row_is_told(tmp_path: Path, row: str, column: str, what: str) -> None:
    others = [f"{cause},名,name,有{{number}},had {{number}},why" for cause in CAUSES[:-1]]
    (tmp_path / FILE).write_text("\n".join([",".join(COLUMNS), *others, row]) + "\n", "utf-8")
    problems = read_churn_cause_labels(tmp_path).problems
    first = problems[0]
    assert (first.row_number, first.column) == (len(CAUSES) + 1, column)
    assert what in first.what
    assert first.remedy


def test_a_cause_without_words_is_told(tmp_path: Path) -> None:
    rows = [f"{cause},名,name,有{{number}},had {{number}},why" for cause in CAUSES[1:]]
    (tmp_path / FILE).write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", "utf-8")
    [problem] = read_churn_cause_labels(tmp_path).problems
    assert problem.what == "late_delivery has no words"
