"""Days a shop greets its customers for: ``festivals.csv``.

Add here: what a row of the festivals may say.
Not here: who is greeted (dbt, ``festival_care_audience``).
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "festivals.csv"
COLUMNS = (
    "festival_id",
    "starts_on",
    "ends_on",
    "lead_days",
    "name_zh",
    "name_en",
    "category_names",
)
LONGEST_LEAD_DAYS = 30  # earlier than a month before nobody thinks of a festival
LONGEST_DAYS = 31  # what lasts longer is a season, no festival

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def read_festivals(seeds_dir: Path) -> RuleTable:
    """The table of festivals with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        if not _NAME.fullmatch(row.cells["festival_id"]):
            what = f"'{row.cells['festival_id']}' is no name of a festival"
            table.complain(row.number, "festival_id", what, "Write small letters, digits and _")
        _check_days(table, row)
        _check_lead(table, row)
        for column in ("name_zh", "name_en"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write the name people read")
        _check_categories(table, row)
    table.unique_together("festival_id", "starts_on")
    _check_once_a_year(table)
    return table


def _check_days(table: RuleTable, row: Row) -> None:
    first, last = _day(table, row, "starts_on"), _day(table, row, "ends_on")
    if first is None or last is None:
        return
    if last < first:
        what = f"{last} is before starts_on {first}"
        table.complain(row.number, "ends_on", what, "Write the last day of the festival")
    elif (last - first).days >= LONGEST_DAYS:
        what = f"the festival lasts {(last - first).days + 1} days"
        table.complain(row.number, "ends_on", what, f"Write at most {LONGEST_DAYS} days")


def _check_lead(table: RuleTable, row: Row) -> None:
    if not row.cells["lead_days"]:
        remedy = f"Write a whole number from 1 to {LONGEST_LEAD_DAYS}"
        table.complain(row.number, "lead_days", "it is empty", remedy)
    table.whole_number(row, "lead_days", least=1, most=LONGEST_LEAD_DAYS)


def _check_categories(table: RuleTable, row: Row) -> None:
    text = row.cells["category_names"]
    names = text.split("|") if text else []
    for name in names:
        if not name or name != name.strip().lower():
            what = f"'{name}' is no name of a category"
            remedy = "Write names in small letters with | between them, or nothing"
            table.complain(row.number, "category_names", what, remedy)
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        what = f"'{name}' stands there more than once"
        table.complain(row.number, "category_names", what, "Keep its first place")


def _check_once_a_year(table: RuleTable) -> None:
    """A festival's occurrence is its name and year, so a year has it once."""
    first_rows: dict[tuple[str, str], Row] = {}
    for row in table.rows:
        year = (row.cells["festival_id"], row.cells["starts_on"][:4])
        first = first_rows.setdefault(year, row)
        if first.cells["starts_on"] != row.cells["starts_on"]:
            what = f"'{year[0]}' is in {year[1]} already by row {first.number}"
            table.complain(row.number, "starts_on", what, "Give the second one a name of its own")


def _day(table: RuleTable, row: Row, column: str) -> dt.date | None:
    text = row.cells[column]
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        what = f"'{text}' is no day" if text else "it is empty"
        table.complain(row.number, column, what, "Write a day as YYYY-MM-DD")
        return None
    return day
