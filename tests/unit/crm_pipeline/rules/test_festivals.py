"""Festivals: the shipped ones are the calendar's, every mistake is told with its row."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules import festivals
from crm_pipeline.lib.rules.festivals import read_festivals
from crm_pipeline.lib.rules.table import RuleTable

pytestmark = pytest.mark.requirement("OUT-1")

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
QIXI = "qixi,2026-08-19,2026-08-19,4,七夕节,Qixi Festival,彩妆"


def read(folder: Path, *rows: str) -> RuleTable:
    text = "\n".join([",".join(festivals.COLUMNS), QIXI, *rows]) + "\n"
    (folder / festivals.FILE).write_text(text, encoding="utf-8")
    return read_festivals(folder)


def told(table: RuleTable) -> list[tuple[int, str, str]]:
    assert all(problem.remedy for problem in table.problems)
    return [(problem.row_number, problem.column, problem.what) for problem in table.problems]


def test_the_shipped_festivals_have_no_problem_and_the_lunar_ones_their_true_days() -> None:
    table = read_festivals(SEEDS)
    assert table.problems == []
    days = {(row.cells["festival_id"], row.cells["starts_on"]) for row in table.rows}
    # Two new moons a few minutes before midnight in Beijing, which simple calendars put a day late.
    assert {("spring_festival", "2027-02-06"), ("qixi", "2012-08-23")} <= days
    assert {("mid_autumn", "2025-10-06"), ("dragon_boat", "2026-06-19")} <= days


def test_no_day_of_mourning_is_advertised() -> None:
    names = {row.cells["festival_id"] for row in read_festivals(SEEDS).rows}
    assert not any("qingming" in name or "ghost" in name for name in names)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("Xmas,2026-12-25,2026-12-25,4,圣诞,Xmas,", (3, "festival_id", "'Xmas' is no name of a "
                                                                       "festival")),
        ("xmas,2026-12-32,2026-12-25,4,圣诞,Xmas,", (3, "starts_on", "'2026-12-32' is no day")),
        ("xmas,20261225,2026-12-25,4,圣诞,Xmas,", (3, "starts_on", "'20261225' is no day")),
        ("xmas,2026-12-25,,4,圣诞,Xmas,", (3, "ends_on", "it is empty")),
        ("xmas,2026-12-25,2026-12-24,4,圣诞,Xmas,", (3, "ends_on", "2026-12-24 is before starts_on "
                                                                   "2026-12-25")),
        ("xmas,2026-11-25,2026-12-26,4,圣诞,Xmas,", (3, "ends_on", "the festival lasts 32 days")),
        ("xmas,2026-12-25,2026-12-25,,圣诞,Xmas,", (3, "lead_days", "it is empty")),
        ("xmas,2026-12-25,2026-12-25,0,圣诞,Xmas,", (3, "lead_days", "0 is out of range")),
        ("xmas,2026-12-25,2026-12-25,4,,Xmas,", (3, "name_zh", "it is empty")),
        ("xmas,2026-12-25,2026-12-25,4,圣诞,,", (3, "name_en", "it is empty")),
        ("xmas,2026-12-25,2026-12-25,4,节,Xmas,Tea", (3, "category_names", "'Tea' is no name of a "
                                                                            "category")),
        ("xmas,2026-12-25,2026-12-25,4,节,Xmas,a||b", (3, "category_names", "'' is no name of a "
                                                                             "category")),
        ("xmas,2026-12-25,2026-12-25,4,节,Xmas,a|a", (3, "category_names", "'a' stands there more "
                                                                            "than once")),
        ("qixi,2026-08-20,2026-08-20,4,七夕,Qixi,", (3, "starts_on", "'qixi' is in 2026 already by "
                                                                    "row 2")),
        (QIXI, (3, "starts_on", "'qixi 2026-08-19' is already in row 2")),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_row_and_a_remedy(
    tmp_path: Path, row: str, problem: tuple[int, str, str]
) -> None:
    assert told(read(tmp_path, row)) == [problem]


def test_the_same_festival_may_come_every_year(tmp_path: Path) -> None:
    assert read(tmp_path, "qixi,2027-08-08,2027-08-08,4,七夕,Qixi,").problems == []
