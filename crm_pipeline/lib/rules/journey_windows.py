"""Numbers that decide who is in an audience: ``journey_windows.csv``.

Add here: what a row of the numbers may say.
Not here: what a number does (the journey's audience in dbt), steps and delays (its YAML).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "journey_windows.csv"
COLUMNS = ("journey", "setting", "number", "reason")
LARGEST = 100_000  # days, counts and per cents end far below; above it stands a slip of the key

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def read_journey_windows(seeds_dir: Path) -> RuleTable:
    """The table of numbers with every problem in it; a journey has one of each name."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        for column in ("journey", "setting"):
            if not _NAME.fullmatch(row.cells[column]):
                what = f"'{row.cells[column]}' is no name"
                table.complain(row.number, column, what, "Write small letters, digits and _")
        if not row.cells["number"]:
            table.complain(row.number, "number", "it is empty", "Write a whole number")
        table.whole_number(row, "number", most=LARGEST)
        if not row.cells["reason"]:
            table.complain(row.number, "reason", "it is empty", "Say why it is this number")
    table.unique_together("journey", "setting")
    return table
