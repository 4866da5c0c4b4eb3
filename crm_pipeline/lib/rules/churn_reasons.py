"""What the reasons of a churn score are called: ``churn_reasons.csv``.

Add here: what a row of the table may say.
Not here: which inputs belong to a reason (``ml.churn.reasons``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "churn_reasons.csv"
COLUMNS = ("code", "label_zh", "label_en", "advice_zh", "advice_en")
# As ml.churn.CHURN_REASONS has them; written here, so that a rule table needs no model library.
CODES = (
    "long_silence",
    "few_recent_orders",
    "single_purchase",
    "rare_purchases",
    "low_spend",
    "falling_spend",
    "refunds",
    "narrow_range",
    "fewer_visits",
    "fading_interest",
    "complaints",
    "low_ratings",
    "late_parcels",
    "discount_dependence",
    "off_season",
    "unread_messages",
)


def read_churn_reasons(seeds_dir: Path) -> RuleTable:
    """The table of reasons with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "code", CODES)
        for column in COLUMNS[1:]:
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write what people will read")
    if table.rows:
        table.unique("code")
        _check_all_codes_have_a_row(table)
    return table


def _check_all_codes_have_a_row(table: RuleTable) -> None:
    told = {row.cells["code"] for row in table.rows}
    for code in CODES:
        if code not in told:
            what = f"{code} has no row, so its customers would have a reason without words"
            table.complain(table.rows[-1].number, "code", what, f"Add a row for {code}")
