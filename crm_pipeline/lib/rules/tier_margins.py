"""How far an official tier may be left and is still kept: ``tier_margins.csv``.

Add here: what a margin may say.
Not here: who keeps a tier (dbt, ``int_official_tiers_proposed``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable
from crm_pipeline.lib.rules.tier_labels import labelled_tiers

FILE = "tier_margins.csv"
MOST = {"extra_days": 366, "spend_pct_points": 100, "order_count_slack": 1000}
COLUMNS = ("ladder", "tier", *MOST, "note")


def read_tier_margins(seeds_dir: Path) -> RuleTable:
    """The table of margins with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    tiers = labelled_tiers(seeds_dir)
    for row in table.rows:
        if tiers:  # else the table of tiers has problems of its own
            ladder = table.one_of(row, "ladder", tuple(tiers))
            if ladder is not None:
                table.one_of(row, "tier", tiers[ladder])
        margins = [table.whole_number(row, name, most=most) for name, most in MOST.items()]
        for name in MOST:
            if not row.cells[name]:
                table.complain(row.number, name, "it is empty", "Write 0 for no margin")
        if margins == [0] * len(MOST):
            what = "the row gives no margin at all"
            table.complain(row.number, "extra_days", what, "Take it out, or write a margin")
        if not row.cells["note"]:
            table.complain(row.number, "note", "it is empty", "Say why the margin is as wide")
    table.unique_together("ladder", "tier")
    return table
