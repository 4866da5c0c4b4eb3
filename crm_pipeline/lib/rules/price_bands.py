"""Bands of prices within a category: ``price_bands.csv``.

Add here: what a row of the bands may say.
Not here: how a product or a customer gets its band (dbt, ``int_products_priced``).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "price_bands.csv"
COLUMNS = ("price_band", "from_percentile", "to_percentile", "name_zh", "name_en", "note")

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def read_price_bands(seeds_dir: Path) -> RuleTable:
    """The table of bands with every problem in it: they cover 0 to 100 without gap or overlap."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    limits = [(row, _limits(table, row)) for row in table.rows]
    for row in table.rows:
        if row.cells["price_band"] and not _NAME.fullmatch(row.cells["price_band"]):
            what = f"'{row.cells['price_band']}' is no name of a band"
            table.complain(row.number, "price_band", what, "Write small letters, digits and _")
        for column in ("name_zh", "name_en"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write the name people read")
    if table.rows:
        table.unique("price_band")
        _check_cover(table, [(row, span) for row, span in limits if span is not None])
    return table


def _limits(table: RuleTable, row: Row) -> tuple[int, int] | None:
    """Both limits of a row, the lower one first."""
    numbers = []
    for column in ("from_percentile", "to_percentile"):
        number = table.whole_number(row, column, most=100)
        if not row.cells[column]:
            table.complain(row.number, column, "it is empty", "Write a whole number from 0 to 100")
        numbers.append(number)
    lower, upper = numbers
    if lower is None or upper is None:
        return None
    if lower >= upper:
        what = f"{upper} is not above from_percentile {lower}"
        table.complain(row.number, "to_percentile", what, "Write the lower limit first")
        return None
    return lower, upper


def _check_cover(table: RuleTable, spans: list[tuple[Row, tuple[int, int]]]) -> None:
    """Every place from 0 to 100 has one band, in the order of the rows."""
    if len(spans) < len(table.rows):
        return  # the limits themselves are wrong, and told
    reached = 0
    for row, (lower, upper) in spans:
        if lower != reached:
            what = f"the band begins at {lower}, but the row above it reaches {reached}"
            if row is spans[0][0]:
                what = f"the first band begins at {lower}: the cheapest products have none"
            remedy = f"Write {reached}, the bands in the order of their prices"
            table.complain(row.number, "from_percentile", what, remedy)
        reached = upper
    if reached != 100:
        what = f"the last band ends at {reached}: the dearest products have none"
        table.complain(spans[-1][0].number, "to_percentile", what, "Write 100")
