"""Which list goes to people who keep looking at a category: ``browse_lists.csv``.

Add here: what a row of the lists may say.
Not here: how often a category must be looked at (``journey_windows``), the message (contents).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "browse_lists.csv"
COLUMNS = ("list_id", "category_names", "list_zh", "list_en", "note")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def read_browse_lists(seeds_dir: Path) -> RuleTable:
    """The table of lists with every problem in it; a category begins one list."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    first_rows: dict[str, int] = {}
    for row in table.rows:
        if not _NAME.fullmatch(row.cells["list_id"]):
            what = f"'{row.cells['list_id']}' is no name"
            table.complain(row.number, "list_id", what, "Write small letters, digits and _")
        for column in ("list_zh", "list_en", "note"):
            if not row.cells[column]:
                remedy = "Say why" if column == "note" else "Write what is on the list"
                table.complain(row.number, column, "it is empty", remedy)
        _check_categories(table, row, first_rows)
    if table.rows:
        table.unique("list_id")
    return table


def _check_categories(table: RuleTable, row: Row, first_rows: dict[str, int]) -> None:
    column = "category_names"
    for name in row.cells[column].split("|"):
        if not name or name != name.strip():
            what = f"'{name}' is no category"
            table.complain(row.number, column, what, "Write names with | between them, no blanks")
        elif name != name.lower():
            what = f"'{name}' has capitals, and names are compared in small letters"
            table.complain(row.number, column, what, f"Write {name.lower()}")
        elif name in first_rows:
            what = f"'{name}' already begins the list in row {first_rows[name]}"
            table.complain(row.number, column, what, "Keep one of the two")
        first_rows.setdefault(name, row.number)
