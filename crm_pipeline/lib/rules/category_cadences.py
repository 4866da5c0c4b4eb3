"""When a customer of a category is expected again: ``category_cadences.csv``.

Add here: what a row of the cadences may say.
Not here: how a cadence is measured (dbt, ``int_repurchase_lives``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "category_cadences.csv"
COLUMNS = ("category_name", "cadence_days", "note")
EVERY_OTHER = "*"
LONGEST_DAYS = 730  # beyond two years nobody waits for the next order


def read_category_cadences(seeds_dir: Path) -> RuleTable:
    """The table of cadences with every problem in it: one row is for every other category."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        name = row.cells["category_name"]
        if name != name.lower():
            what = f"'{name}' has capitals, and names are compared in small letters"
            table.complain(row.number, "category_name", what, f"Write {name.lower()}")
        if not row.cells["cadence_days"]:
            remedy = f"Write a whole number from 1 to {LONGEST_DAYS}"
            table.complain(row.number, "cadence_days", "it is empty", remedy)
        table.whole_number(row, "cadence_days", least=1, most=LONGEST_DAYS)
        if not row.cells["note"]:
            table.complain(row.number, "note", "it is empty", "Write why it is this many days")
    if table.rows:
        table.unique("category_name")
        if all(row.cells["category_name"] != EVERY_OTHER for row in table.rows):
            what = f"no row is for {EVERY_OTHER}, so a new category would have no cadence"
            remedy = f"Add a row for {EVERY_OTHER}, every other category"
            table.complain(table.rows[-1].number, "category_name", what, remedy)
    return table
