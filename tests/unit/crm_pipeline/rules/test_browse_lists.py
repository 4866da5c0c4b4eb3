"""Lists for people who keep looking, read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules.browse_lists import COLUMNS, FILE, read_browse_lists

SEEDS = Path(__file__).parents[4] / "dbt_project" / "seeds"
GOOD = "newborn,cots|nursery,床品,bedding,because"


def problems(folder: Path, *rows: str) -> list[str]:
    (folder / FILE).write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return [str(problem) for problem in read_browse_lists(folder).problems]


@pytest.mark.requirement("OUT-1")
def test_who_looks_at_cots_gets_the_list_of_the_newborn() -> None:
    shipped = read_browse_lists(SEEDS)
    assert shipped.problems == []
    newborn = {row.cells["list_id"]: row.cells["category_names"] for row in shipped.rows}["newborn"]
    assert {"婴儿家具床品", "nursery"} <= set(newborn.split("|"))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("New born,gym,垫,mat,because", "'New born' is no name"),
        ("gym,,垫,mat,because", "'' is no category"),
        ("gym,fitness| mats,垫,mat,because", "' mats' is no category"),
        ("gym,Fitness,垫,mat,because", "'Fitness' has capitals"),
        ("gym,nursery,垫,mat,because", "'nursery' already begins the list in row 2"),
        ("gym,fitness,,mat,because", "it is empty"),
        ("gym,fitness,垫,,because", "it is empty"),
        ("gym,fitness,垫,mat,", "it is empty"),
        ("newborn,fitness,垫,mat,because", "'newborn' is already in row 2"),
    ],
)
def test_a_list_that_cannot_be_is_named_with_its_row(tmp_path: Path, row: str, told: str) -> None:
    (found,) = problems(tmp_path, GOOD, row)
    assert "row 3" in found and told in found
