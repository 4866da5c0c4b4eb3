"""How old data may be: ``outreach_gates.csv``.

Add here: what a gate may say.
Not here: how it holds outreach back (``lib/outreach/rules``), limits of scores (``score_gates``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "outreach_gates.csv"
COLUMNS = ("gate_id", "max_age_hours", "reason")
GATES = ("consent", "stock")


def read_outreach_gates(seeds_dir: Path) -> RuleTable:
    """The table of gates with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "gate_id", GATES)
        table.whole_number(row, "max_age_hours", least=1)
        if not row.cells["max_age_hours"]:
            table.complain(row.number, "max_age_hours", "it is empty", "Write a number of hours")
        if not row.cells["reason"]:
            table.complain(row.number, "reason", "it is empty", "Say why the limit is there")
    missing = [name for name in GATES if name not in {r.cells["gate_id"] for r in table.rows}]
    if table.rows and missing:
        what = f"{' and '.join(missing)} has no row: data of any age would do"
        table.complain(table.rows[-1].number, "gate_id", what, "Add a row for it")
    if table.rows:
        table.unique("gate_id")
    return table
