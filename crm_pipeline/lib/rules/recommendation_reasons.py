"""Why a product is recommended, in words: ``recommendation_reasons.csv``.

Add here: what a reason may say.
Not here: when a product is recommended (the dbt macro ``recommendations_at``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "recommendation_reasons.csv"
COLUMNS = ("reason_code", "reason_zh", "reason_en")
CODES = ("bought_together", "bought_again", "follows", "popular")


def read_recommendation_reasons(seeds_dir: Path) -> RuleTable:
    """The table with every problem in it: each reason the models give has its words, once."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        code = row.cells["reason_code"]
        if code not in CODES:
            what = f"'{code}' is a reason no recommendation has"
            table.complain(row.number, "reason_code", what, f"Write one of {', '.join(CODES)}")
        for column in ("reason_zh", "reason_en"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write what people will read")
    table.unique_together("reason_code")
    told = {row.cells["reason_code"] for row in table.rows}
    for code in CODES:
        if table.rows and code not in told:
            last = table.rows[-1].number
            table.complain(last, "reason_code", f"'{code}' has no row", "Add a row with its words")
    return table
