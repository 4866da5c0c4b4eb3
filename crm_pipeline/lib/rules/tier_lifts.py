"""Which behaviour lifts a customer into a higher tier: ``tier_lifts.csv``.

Add here: what a lift may say.
Not here: who gets the tag (``tag_rules``), who is lifted (dbt, ``int_customers_lifted``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crm_pipeline.lib.rules import tag_rules
from crm_pipeline.lib.rules.table import Row, RuleTable
from crm_pipeline.lib.rules.tier_labels import labelled_tiers

FILE = "tier_lifts.csv"
COLUMNS = ("ladder", "lift_id", "from_tier", "tag", "to_tier", "note")
# Known only for a purpose the customer agreed to, and a tier is shown to everybody.
SENSITIVE_KIND = "life_stage"


def read_tier_lifts(seeds_dir: Path) -> RuleTable:
    """The table of lifts with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    tiers = labelled_tiers(seeds_dir)
    tags = RuleTable(seeds_dir / tag_rules.FILE, tag_rules.COLUMNS)
    kinds = {row.cells["tag"]: row.cells["tag_kind"] for row in tags.rows}
    for row in table.rows:
        if tiers:  # else the table of tiers has problems of its own
            _check_tiers(table, row, tiers)
        tag = table.one_of(row, "tag", sorted(kinds)) if kinds else None
        if tag is not None and kinds[tag] == SENSITIVE_KIND:
            what = f"'{tag}' is sensitive and would show in the tier"
            table.complain(row.number, "tag", what, "Lift by another tag")
        if not row.cells["note"]:
            table.complain(row.number, "note", "it is empty", "Say why the behaviour lifts")
    if table.rows:
        table.unique("lift_id")
    table.unique_together("ladder", "from_tier", "tag")
    return table


def _check_tiers(table: RuleTable, row: Row, tiers: Mapping[str, tuple[str, ...]]) -> None:
    ladder = table.one_of(row, "ladder", tuple(tiers))
    if ladder is None:
        return
    lower, upper = (table.one_of(row, name, tiers[ladder]) for name in ("from_tier", "to_tier"))
    if lower is None or upper is None:
        return
    if tiers[ladder].index(upper) >= tiers[ladder].index(lower):
        what = f"{upper} is not above {lower}"
        table.complain(row.number, "to_tier", what, "Write a tier of a smaller rank")
