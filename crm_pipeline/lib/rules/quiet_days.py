"""Days without marketing: ``quiet_days.csv``.

Add here: what a quiet day may say.
Not here: how it holds a message back (``lib/outreach/rules``).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from crm_pipeline.lib.rules.localities import is_zone
from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "quiet_days.csv"
COLUMNS = ("quiet_date", "timezone", "name_zh", "name_en", "reason")


def read_quiet_days(seeds_dir: Path) -> RuleTable:
    """The table of quiet days with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        _check_row(table, row)
    table.unique_together("quiet_date", "timezone")
    return table


def _check_row(table: RuleTable, row: Row) -> None:
    text = row.cells["quiet_date"]
    try:
        is_date = dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        is_date = False
    if not is_date:
        what = f"'{text}' is no day"
        table.complain(row.number, "quiet_date", what, "Write one such as 2026-04-05")
    zone = row.cells["timezone"]
    if zone != "all" and not is_zone(zone):
        what = f"'{zone}' is no zone"
        table.complain(row.number, "timezone", what, "Write one such as Asia/Shanghai, or all")
    for column in ("name_zh", "name_en"):
        if not row.cells[column]:
            table.complain(row.number, column, "it is empty", "Name the day")
