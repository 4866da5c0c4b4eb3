"""When a way of contact is no longer tried: ``reach_rules.csv``.

Add here: what a row may say.
Not here: how failures and opens are counted (dbt, ``outreach_contacts``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "reach_rules.csv"
CHANNELS = ("email", "sms", "wecom", "push")
COLUMNS = (
    "consent_channel", "max_failures", "max_unopened", "unopened_days", "best_hour_min_opens",
    "best_hour_min_same", "best_hour_from", "best_hour_until", "note",
)  # fmt: skip


def read_reach_rules(seeds_dir: Path) -> RuleTable:
    """The table of reach rules with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "consent_channel", CHANNELS)
        for column in COLUMNS[1:6]:
            table.whole_number(row, column, least=1, most=1000)
        hours = [table.whole_number(row, column, most=23) for column in COLUMNS[6:8]]
        if None not in hours and hours != sorted(hours, key=lambda hour: hour or 0):
            what = "best_hour_until is before best_hour_from"
            table.complain(row.number, "best_hour_until", what, "Write a later hour")
        _check_filled(table, row)
    if table.rows:
        table.unique("consent_channel")
        named = {row.cells["consent_channel"] for row in table.rows}
        for channel in CHANNELS:
            if channel not in named:
                what = f"{channel} has no row"
                table.complain(len(table.rows) + 1, "consent_channel", what, "Add one")
    return table


def _check_filled(table: RuleTable, row: Row) -> None:
    for column in ("max_failures", *COLUMNS[4:8]):
        if not row.cells[column]:
            table.complain(row.number, column, "it is empty", "Write a whole number")
    if bool(row.cells["max_unopened"]) != bool(row.cells["unopened_days"]):
        what = "one of max_unopened and unopened_days is empty"
        table.complain(row.number, "unopened_days", what, "Write both, or neither")
