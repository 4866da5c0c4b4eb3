"""Cadences and lives: the shipped ones pass, every mistake is told with its row and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules import category_cadences, replenishment_lives
from crm_pipeline.lib.rules.category_cadences import read_category_cadences
from crm_pipeline.lib.rules.replenishment_lives import read_replenishment_lives
from crm_pipeline.lib.rules.table import RuleTable

pytestmark = pytest.mark.requirement("SCO-4")

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
OTHER = "*,30,why"
FILTER = "10,water_filter,consumable,product_name,滤芯|water filter,90,true,净水滤芯,filter,why"


def cadences(folder: Path, *rows: str) -> RuleTable:
    text = "\n".join([",".join(category_cadences.COLUMNS), *rows]) + "\n"
    (folder / category_cadences.FILE).write_text(text, encoding="utf-8")
    return read_category_cadences(folder)


def lives(folder: Path, *rows: str) -> RuleTable:
    text = "\n".join([",".join(replenishment_lives.COLUMNS), *rows]) + "\n"
    (folder / replenishment_lives.FILE).write_text(text, encoding="utf-8")
    return read_replenishment_lives(folder)


def told(table: RuleTable) -> list[tuple[int, str, str]]:
    assert all(problem.remedy for problem in table.problems)
    return [(problem.row_number, problem.column, problem.what) for problem in table.problems]


def test_the_shipped_cadences_are_a_month_and_45_days_for_beauty() -> None:
    table = read_category_cadences(SEEDS)
    assert table.problems == []
    days = {row.cells["category_name"]: row.cells["cadence_days"] for row in table.rows}
    assert days["*"] == "30"
    assert {days[name] for name in ("护肤", "彩妆", "beauty")} == {"45"}


def test_the_shipped_lives_have_no_problem() -> None:
    assert read_replenishment_lives(SEEDS).problems == []


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("tea,,why", (3, "cadence_days", "it is empty")),
        ("tea,0,why", (3, "cadence_days", "0 is out of range")),
        ("tea,monthly,why", (3, "cadence_days", "'monthly' is no whole number")),
        ("Tea,30,why", (3, "category_name", "'Tea' has capitals, and names are compared in "
                                            "small letters")),
        ("tea,30,", (3, "note", "it is empty")),
        ("*,40,why", (3, "category_name", "'*' is already in row 2")),
    ],
)  # fmt: skip
def test_a_wrong_cadence_is_told(tmp_path: Path, row: str, problem: tuple[int, str, str]) -> None:
    assert told(cadences(tmp_path, OTHER, row)) == [problem]


def test_a_table_without_a_row_for_every_other_category_is_told(tmp_path: Path) -> None:
    [(row, column, what)] = told(cadences(tmp_path, "tea,30,why"))
    assert (row, column) == (2, "category_name")
    assert "a new category would have no cadence" in what


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("x,a,consumable,product_name,w,9,true,甲,a,why",
         (3, "priority", "'x' is no whole number")),
        ("10,a,consumable,product_name,w,9,true,甲,a,why",
         (3, "priority", "'10' is already in row 2")),
        ("20,A b,consumable,product_name,w,9,true,甲,a,why",
         (3, "use_group", "'A b' is no name of a group")),
        ("20,a,reusable,product_name,w,,,甲,a,why", (3, "kind", "'reusable' is not known")),
        ("20,a,consumable,sku,w,9,true,甲,a,why", (3, "match_on", "'sku' is not known")),
        ("20,a,consumable,product_name,,9,true,甲,a,why",
         (3, "words", "'' is no word to look for")),
        ("20,a,consumable,product_name,w|,9,true,甲,a,why",
         (3, "words", "'' is no word to look for")),
        ("20,a,consumable,product_name,w.*,9,true,甲,a,why",
         (3, "words", "'w.*' is no word to look for")),
        ("20,a,consumable,product_name,Water,9,true,甲,a,why",
         (3, "words", "'Water' has capitals, and names are compared in small letters")),
        ("20,a,consumable,product_name,w,,true,甲,a,why", (3, "life_days", "it is empty")),
        ("20,a,consumable,product_name,w,0,true,甲,a,why", (3, "life_days", "0 is out of range")),
        ("20,a,consumable,product_name,w,9,maybe,甲,a,why",
         (3, "is_per_unit", "'maybe' is not known")),
        ("20,water_filter,durable,product_name,w,9,,甲,a,why",
         (3, "life_days", "'9' belongs to what is used up")),
        ("20,a,durable,product_name,w,,,甲,a,why", (3, "use_group", "nothing of 'a' is used up")),
        ("20,a,consumable,product_name,w,9,true,,a,why", (3, "name_zh", "it is empty")),
        ("20,a,consumable,product_name,w,9,true,甲,a,", (3, "note", "it is empty")),
    ],
)  # fmt: skip
def test_a_wrong_life_is_told(tmp_path: Path, row: str, problem: tuple[int, str, str]) -> None:
    assert told(lives(tmp_path, FILTER, row)) == [problem]
