"""Which account is believed about a customer: ``survivorship.csv``.

Add here: what a row of the golden record may say, a field accounts can tell.
Not here: how a value survives (dbt, ``customer_attributes``).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "survivorship.csv"
FIELDS = (
    "gender",
    "birth_year",
    "city_name",
    "country_name",
    "guide_id",
    "store_id",
    "source_name",
)
WRITTEN_FIELDS = ("city_name", "country_name", "source_name")
RULES = ("most_recent", "first_known", "most_frequent", "longest")
COLUMNS = ("field_name", "rule", "channels", "note")

_CHANNEL = re.compile(r"[a-z][a-z0-9_]*")


def read_survivorship(seeds_dir: Path) -> RuleTable:
    """The table of the golden record with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "field_name", FIELDS)
        _check_rule(table, row)
        _check_channels(table, row)
    if table.rows:
        table.unique("field_name")
        _check_all_fields_have_a_row(table)
    return table


def named_channels(table: RuleTable) -> list[tuple[Row, str]]:
    """Every well written channel that is preferred somewhere, with the row that says so."""
    return [
        (row, name)
        for row in table.rows
        for name in row.cells["channels"].split()
        if _CHANNEL.fullmatch(name)
    ]


def _check_rule(table: RuleTable, row: Row) -> None:
    rule, field = table.one_of(row, "rule", RULES), row.cells["field_name"]
    if rule == "longest" and field in FIELDS and field not in WRITTEN_FIELDS:
        what = f"longest says nothing about {field}: it is no text people write"
        others = ", ".join(name for name in RULES if name != rule)
        table.complain(row.number, "rule", what, f"Write one of {others}")


def _check_channels(table: RuleTable, row: Row) -> None:
    names = row.cells["channels"].split()
    if " ".join(names) != row.cells["channels"]:
        what = "the names are apart by more than a blank"
        table.complain(row.number, "channels", what, f"Write {' '.join(names)}")
    for name in names:
        if not _CHANNEL.fullmatch(name):
            remedy = "Write names of channels with blanks between them, the most trusted one first"
            table.complain(row.number, "channels", f"'{name}' is no name of a channel", remedy)
    for name in sorted({name for name in names if names.count(name) > 1}):
        what = f"'{name}' stands there more than once"
        table.complain(row.number, "channels", what, "Keep its first place")


def _check_all_fields_have_a_row(table: RuleTable) -> None:
    told = {row.cells["field_name"] for row in table.rows}
    for field in FIELDS:
        if field not in told:
            what = f"{field} has no row, so no account would be believed about it"
            remedy = f"Add a row for {field} with one of {', '.join(RULES)}"
            table.complain(table.rows[-1].number, "field_name", what, remedy)
