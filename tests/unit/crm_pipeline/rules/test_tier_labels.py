"""The tiers of each ladder: order and names, told with row and remedy where they are wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.ladders import load_ladders
from crm_pipeline.lib.rules.tier_labels import COLUMNS, FILE, labelled_tiers

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    """A copy of the shipped rule tables that a test may spoil."""
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


@pytest.mark.requirement("CUS-5")
def test_three_presets_are_shipped_with_ordered_tiers() -> None:
    tiers = labelled_tiers(SEEDS)
    assert tiers["playbook"][0] == "core"
    assert tiers["playbook"][-1] == "churn_risk"
    assert tiers["diamond_gold_silver"][:3] == ("diamond", "gold", "silver")
    assert len(tiers["classic_8"]) == 8
    given = {ladder.name: {rule.tier for rule in ladder.rules} for ladder in load_ladders(
        SEEDS / "rfm_ladders.csv")}  # fmt: skip
    assert given.keys() == tiers.keys()
    unreached = {name: set(tiers[name]) - given[name] for name in tiers}
    assert unreached == {
        "playbook": {"core_potential"},  # behaviour lifts into it
        "diamond_gold_silver": set(),
        "classic_8": set(),
    }


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("playbook,Gold,99,金,Gold", "tier", "'Gold' is no name"),
        ("play book,gold,99,金,Gold", "ladder", "'play book' is no name"),
        ("playbook,gold,,金,Gold", "rank", "it is empty"),
        ("playbook,gold,0,金,Gold", "rank", "0 is out of range"),
        ("playbook,gold,first,金,Gold", "rank", "'first' is no whole number"),
        ("playbook,gold,1,金,Gold", "rank", "1 is already in row 2 of this ladder"),
        ("playbook,gold,99,,Gold", "name_zh", "it is empty"),
        ("playbook,gold,99,金,", "name_en", "it is empty"),
        ("playbook,core,99,金,Gold", "tier", "'playbook core' is already in row 2"),
    ],
)
def test_a_bad_label_is_told_with_row_and_column(
    seeds: Path, row: str, column: str, what: str
) -> None:
    path = seeds / FILE
    count = len(path.read_text(encoding="utf-8").splitlines())
    path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert (problem.file, problem.row_number, problem.column) == (FILE, count + 1, column)
    assert what in problem.what
    assert problem.remedy


def test_a_rule_for_a_tier_its_ladder_does_not_name_is_refused(seeds: Path) -> None:
    path = seeds / FILE
    text = path.read_text(encoding="utf-8").replace("classic_8,ordinary_win_back", "classic_8,rest")
    path.write_text(text, encoding="utf-8")
    [problem] = validate_rules(seeds)
    assert (problem.file, problem.column) == ("rfm_ladders.csv", "tier")
    assert "'ordinary_win_back' is not known" in problem.what
    path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    assert [problem.what for problem in validate_rules(seeds)] == ["the table has no row"]
