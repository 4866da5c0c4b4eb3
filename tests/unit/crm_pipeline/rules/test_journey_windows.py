"""Numbers of audiences: read strictly, and the models and the table name the same ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_pipeline.lib.rules.journey_windows import COLUMNS, FILE, read_journey_windows

PROJECT = Path(__file__).parents[4] / "dbt_project"
GOOD = "cart_rescue,kept_days,7,because"
CALL = re.compile(r"journey_window\(\s*'(\w+)',\s*'(\w+)'\s*\)")
KEPT = re.compile(r"is_still_kept\([^{}]*?,\s*'(\w+)'\s*\)")


def problems(folder: Path, *rows: str) -> list[str]:
    (folder / FILE).write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return [str(problem) for problem in read_journey_windows(folder).problems]


@pytest.mark.requirement("OUT-1")
def test_every_number_the_audiences_ask_for_is_there_and_every_one_there_is_asked_for() -> None:
    shipped = read_journey_windows(PROJECT / "seeds")
    assert shipped.problems == []
    named = {(row.cells["journey"], row.cells["setting"]) for row in shipped.rows}
    texts = [path.read_text(encoding="utf-8") for path in (PROJECT / "models").rglob("*.sql")]
    asked = {pair for text in texts for pair in CALL.findall(text)}
    kept = {(journey, "kept_days") for text in texts for journey in KEPT.findall(text)}
    assert asked | kept == named


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("Cart rescue,kept_days,7,because", "'Cart rescue' is no name"),
        ("cart_rescue,,7,because", "'' is no name"),
        ("cart_rescue,kept_days,,because", "it is empty"),
        ("cart_rescue,kept_days,-1,because", "'-1' is no whole number"),
        ("cart_rescue,kept_days,1.5,because", "'1.5' is no whole number"),
        ("cart_rescue,kept_days,100001,because", "100001 is out of range"),
        ("cart_rescue,kept_days,7,", "it is empty"),
    ],
)
def test_a_number_that_cannot_be_is_named_with_its_row(tmp_path: Path, row: str, told: str) -> None:
    found = problems(tmp_path, GOOD.replace("cart_rescue", "browse_list"), row)
    assert len(found) == 1 and "row 3" in found[0] and told in found[0]


def test_a_journey_has_one_number_of_a_name(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD, GOOD)
    assert "row 3" in found and "already in row 2" in found
