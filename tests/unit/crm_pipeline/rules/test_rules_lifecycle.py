"""Tables of stages: what is refused, with its row and a remedy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules.lifecycle import (
    LABEL_COLUMNS,
    RULE_COLUMNS,
    read_lifecycle_labels,
    read_lifecycle_rules,
)

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
REST = ("lifecycle,90,aware,rest,,,,,,", "aipl,90,aware,aipl_rest,,,,,,")


def write(folder: Path, *rows: str) -> None:
    text = "\n".join([",".join(RULE_COLUMNS), *rows]) + "\n"
    (folder / "lifecycle_rules.csv").write_text(text, encoding="utf-8")


def test_the_shipped_stages_have_no_problem() -> None:
    assert read_lifecycle_rules(SEEDS).problems == []
    assert read_lifecycle_labels(SEEDS).problems == []


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("rfm,10,aware,r1,1,,,,,", "stage_model", "'rfm' is not known"),
        ("lifecycle,10,interest,r1,1,,,,,", "stage", "'interest' is not known"),
        ("lifecycle,,loyal,r1,11,,,,,", "priority", "it is empty"),
        ("lifecycle,10,loyal,r1,ten,,,,,", "min_order_count", "'ten' is no whole number"),
        ("lifecycle,10,loyal,r1,,,0,,,", "min_days_since_last_order", "out of range"),
        ("lifecycle,10,loyal,rest,11,,,,,", "rule_id", "'rest' is already in row"),
        ("lifecycle,90,loyal,r1,11,,,,,", "priority", "90 is already in row 2"),
        ("lifecycle,95,loyal,r1,11,,,,,", "priority", "row 2 comes first"),
    ],
)
def test_a_bad_rule_of_a_stage_is_told_with_row_and_column(
    tmp_path: Path, row: str, column: str, what: str
) -> None:
    write(tmp_path, *REST, row)
    problems = read_lifecycle_rules(tmp_path).problems
    found = [
        problem for problem in problems if problem.column == column and problem.row_number == 4
    ]
    assert any(what in problem.what for problem in found), problems
    assert all(problem.remedy for problem in problems)


def test_a_model_whose_last_rule_leaves_somebody_out_is_told(tmp_path: Path) -> None:
    write(tmp_path, "lifecycle,10,loyal,r1,11,,,,,", "aipl,90,aware,r2,,,,,,")
    [problem] = read_lifecycle_rules(tmp_path).problems
    assert (problem.row_number, problem.column) == (2, "priority")
    assert "some customers get no stage" in problem.what


def test_a_model_without_any_rule_is_told(tmp_path: Path) -> None:
    write(tmp_path, REST[0])
    [problem] = read_lifecycle_rules(tmp_path).problems
    assert problem.what == "aipl has no rule"


def test_a_rule_behind_one_that_asks_no_more_is_told_as_dead(tmp_path: Path) -> None:
    write(tmp_path, "lifecycle,10,repeat,r1,2,,,,,", "lifecycle,20,loyal,r2,11,,90,,,", *REST)
    [problem] = read_lifecycle_rules(tmp_path).problems
    assert (problem.row_number, problem.what) == (
        3,
        "row 2 comes first and takes everyone this rule would take",
    )


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (("aipl,interest,2,兴趣 I,Interest\n", ""), "interest of aipl has no name"),
        (("忠诚,Loyal", ",Loyal"), "it is empty"),
        (("lifecycle,repeat,3", "lifecycle,loyal,3"), "loyal of lifecycle already has row 4"),
    ],
)
def test_a_stage_without_a_name_of_its_own_is_told(
    tmp_path: Path, spoil: tuple[str, str], what: str
) -> None:
    shutil.copy(SEEDS / "lifecycle_labels.csv", tmp_path)
    path = tmp_path / "lifecycle_labels.csv"
    text = path.read_text("utf-8")
    assert text.startswith(",".join(LABEL_COLUMNS)) and spoil[0] in text
    path.write_text(text.replace(*spoil), "utf-8")
    assert what in [problem.what for problem in read_lifecycle_labels(tmp_path).problems]
