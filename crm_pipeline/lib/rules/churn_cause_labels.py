"""What the causes of a silence are called: ``churn_cause_labels.csv``.

Add here: a cause, after dbt finds its facts.
Not here: which facts a customer has met (dbt, ``int_churn_events``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "churn_cause_labels.csv"
COLUMNS = ("cause", "name_zh", "name_en", "evidence_zh", "evidence_en", "note")
CAUSES = ("late_delivery", "complaint", "stock_out", "price", "low_rating", "refund")
PLACE = "{number}"


def read_churn_cause_labels(seeds_dir: Path) -> RuleTable:
    """The table of causes with every problem in it: each cause has words with its number in."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "cause", CAUSES)
        for column in COLUMNS[1:]:
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write the words people read")
        for column in ("evidence_zh", "evidence_en"):
            text = row.cells[column]
            if text and (text.count(PLACE) != 1 or text.count("{") != 1):
                what = f"'{text}' has not one place for the number"
                table.complain(row.number, column, what, f"Write {PLACE} once, and no other brace")
    if table.rows:
        table.unique("cause")
        told = {row.cells["cause"] for row in table.rows}
        for cause in CAUSES:
            if cause not in told:
                remedy = f"Add a row for {cause}"
                table.complain(table.rows[-1].number, "cause", f"{cause} has no words", remedy)
    return table
