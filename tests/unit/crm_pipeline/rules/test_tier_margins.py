"""Margins of official tiers: shipped ones fit their ladders, and every mistake is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.tier_labels import labelled_tiers
from crm_pipeline.lib.rules.tier_margins import COLUMNS, FILE, read_tier_margins

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.requirement("CUS-7")
def test_every_tier_but_the_lowest_of_each_ladder_has_a_margin() -> None:
    """Nobody falls out of the lowest tier; nobody is in a tier of behaviour by a rule."""
    table = read_tier_margins(SEEDS)
    assert table.problems == []
    held = {(row.cells["ladder"], row.cells["tier"]) for row in table.rows}
    for ladder, tiers in labelled_tiers(SEEDS).items():
        missing = {tier for tier in tiers if (ladder, tier) not in held}
        assert missing == {tiers[-1]} | ({"core_potential"} if ladder == "playbook" else set())


@pytest.mark.requirement("CUS-7")
@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("mine,core,3,5,1,why", "ladder", "'mine' is not known"),
        ("playbook,gold,3,5,1,why", "tier", "'gold' is not known"),
        ("playbook,new,,5,1,why", "extra_days", "it is empty"),
        ("playbook,new,3,101,1,why", "spend_pct_points", "101 is out of range"),
        ("playbook,new,3,5,few,why", "order_count_slack", "'few' is no whole number"),
        ("playbook,new,0,0,0,why", "extra_days", "no margin at all"),
        ("playbook,new,3,5,1,", "note", "it is empty"),
        ("playbook,core,3,5,1,why", "tier", "'playbook core' is already in row 2"),
    ],
)
def test_a_bad_margin_is_told_with_row_and_column(
    seeds: Path, row: str, column: str, what: str
) -> None:
    text = "\n".join([",".join(COLUMNS), "playbook,core,3,5,1,why", row]) + "\n"
    (seeds / FILE).write_text(text, encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert (problem.file, problem.row_number, problem.column) == (FILE, 3, column)
    assert what in problem.what
    assert problem.remedy
