"""The page of customer_360 leaves no column out and says what a shared text says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crm_pipeline.lib.docs import customer_page

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.requirement("CUS-1")
def test_every_column_has_one_row_with_unit_meaning_and_source() -> None:
    page = customer_page.render(ROOT)
    [model] = yaml.safe_load((ROOT / customer_page.CONTRACT).read_text("utf-8"))["models"]
    told = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [cells[0].strip("| `") for cells in told] == [
        column["name"] for column in model["columns"]
    ]
    assert all(cell.strip(" |") for cells in told for cell in cells)
    assert "doc(" not in page


@pytest.mark.requirement("CUS-1")
def test_a_column_that_waits_says_for_which_models() -> None:
    page = customer_page.render(ROOT)
    assert "Null until the models of points fill it." in page
