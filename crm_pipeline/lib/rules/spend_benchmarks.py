"""What customers of an industry spend: ``spend_benchmarks.csv``.

Add here: what a benchmark row may say.
Not here: who is compared with it (dbt, ``int_customers_tiered``).
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "spend_benchmarks.csv"
COLUMNS = ("industry", "category_name", "spend_pct", "amount", "currency", "source")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_AMOUNT = re.compile(r"[0-9]{1,16}(\.[0-9]{1,2})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_FORMS = (
    ("industry", _NAME, "small letters, digits and underscores"),
    ("amount", _AMOUNT, "an amount like 1280.00"),
    ("currency", _CURRENCY, "a currency code like CNY"),
    ("source", re.compile(r".+"), "where the figure comes from"),
)


def read_spend_benchmarks(seeds_dir: Path) -> RuleTable:
    """The benchmark table with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        for column, form, remedy in _FORMS:
            if not form.fullmatch(row.cells[column]):
                what = f"'{row.cells[column]}' cannot be read"
                table.complain(row.number, column, what, f"Write {remedy}")
        if table.whole_number(row, "spend_pct", most=100) is None and not row.cells["spend_pct"]:
            table.complain(row.number, "spend_pct", "it is empty", "Write a percentile")
    table.unique_together("industry", "category_name", "spend_pct")
    if not table.problems:
        _check_bases(table)
    return table


def _check_bases(table: RuleTable) -> None:
    """Inside one base there is one currency, and a higher percentile spends no less."""
    ordered = sorted(
        table.rows,
        key=lambda row: (
            row.cells["industry"],
            row.cells["category_name"],
            int(row.cells["spend_pct"]),
        ),
    )
    for before, row in pairwise(ordered):
        if any(before.cells[name] != row.cells[name] for name in ("industry", "category_name")):
            continue
        if before.cells["currency"] != row.cells["currency"]:
            what = f"the base is in {before.cells['currency']} in row {before.number}"
            table.complain(row.number, "currency", what, "Write one currency for all of a base")
        elif Decimal(before.cells["amount"]) > Decimal(row.cells["amount"]):
            what = f"it is below P{before.cells['spend_pct']} in row {before.number}"
            remedy = "Mend one of the two: more of the customers spend no less"
            table.complain(row.number, "amount", what, remedy)
