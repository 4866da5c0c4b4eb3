"""Lifts by behaviour: the shipped one, and every mistake told with its row."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import tag_rules, validate_rules
from crm_pipeline.lib.rules.tier_lifts import COLUMNS, FILE, read_tier_lifts

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.requirement("CUS-8")
def test_browsing_the_premium_line_lifts_potential_to_core_potential() -> None:
    table = read_tier_lifts(SEEDS)
    assert table.problems == []
    lifts = [(row.cells["from_tier"], row.cells["tag"], row.cells["to_tier"]) for row in table.rows]
    assert lifts == [("potential", "premium_line_browser", "core_potential")]


@pytest.mark.requirement("CUS-8")
@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("mine,l2,potential,fitness_fan,core,why", "ladder", "'mine' is not known"),
        ("playbook,l2,gold,fitness_fan,core,why", "from_tier", "'gold' is not known"),
        ("playbook,l2,potential,fitness_fan,gold,why", "to_tier", "'gold' is not known"),
        ("playbook,l2,potential,no_tag,core,why", "tag", "'no_tag' is not known"),
        ("playbook,l2,potential,fitness_fan,new,why", "to_tier", "new is not above potential"),
        ("playbook,l2,core,fitness_fan,core,why", "to_tier", "core is not above core"),
        ("playbook,l2,potential,fitness_fan,core,", "note", "it is empty"),
        ("playbook,l1,potential,fitness_fan,core,why", "lift_id", "'l1' is already in row 2"),
        ("playbook,l2,new,fitness_fan,core,why", "tag", "'playbook new fitness_fan' is already"),
    ],
)
def test_a_bad_lift_is_told_with_row_and_column(
    seeds: Path, row: str, column: str, what: str
) -> None:
    text = "\n".join([",".join(COLUMNS), "playbook,l1,new,fitness_fan,core,why", row]) + "\n"
    (seeds / FILE).write_text(text, encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert (problem.file, problem.row_number, problem.column) == (FILE, 3, column)
    assert what in problem.what
    assert problem.remedy


@pytest.mark.requirement("CUS-10")
def test_a_sensitive_tag_lifts_nobody(seeds: Path) -> None:
    path = seeds / tag_rules.FILE
    old = "premium_line_3_days,premium_line_browser,behaviour,"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, old.replace("behaviour", "life_stage")), encoding="utf-8")
    [problem] = read_tier_lifts(seeds).problems
    assert (problem.row_number, problem.column) == (2, "tag")
    assert "'premium_line_browser' is sensitive" in problem.what
