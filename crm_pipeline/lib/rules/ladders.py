"""Tier ladders: ``rfm_ladders.csv``.

Add here: what a ladder row may say.
Not here: how a ladder is applied (dbt, ``int_customers_tiered``).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "rfm_ladders.csv"
LADDERS = ("playbook",)
TIERS = (
    "core",
    "core_potential",
    "potential",
    "new",
    "dormant",
    "high_value_loyal",
    "high_potential_growth",
    "general_value",
    "churn_risk",
)
BASES = ("percentile", "mean", "none")
LIMITS = ("days_since_last_order", "order_count", "spend_pct")
COLUMNS = (
    "ladder",
    "priority",
    "tier",
    "min_days_since_last_order",
    "max_days_since_last_order",
    "min_order_count",
    "max_order_count",
    "spend_basis",
    "min_spend_pct",
    "max_spend_pct",
    "rule_id",
    "note",
)


def read_ladders(seeds_dir: Path) -> RuleTable:
    """The ladder table with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "ladder", LADDERS)
        table.one_of(row, "tier", TIERS)
        _check_limits(table, row)
    if table.rows:
        table.unique("rule_id")
        _check_ladders(table)
    return table


def _check_limits(table: RuleTable, row: Row) -> None:
    basis = table.one_of(row, "spend_basis", BASES)
    most = {"spend_pct": 100} if basis == "percentile" else {}
    for limit in LIMITS:
        low = table.whole_number(row, f"min_{limit}", most=most.get(limit))
        high = table.whole_number(row, f"max_{limit}", most=most.get(limit))
        if low is not None and high is not None and low > high:
            what = f"the least ({low}) is above the most ({high}), so nobody can meet it"
            table.complain(row.number, f"min_{limit}", what, "Swap them or mend one")
    given = [row.cells["min_spend_pct"], row.cells["max_spend_pct"]]
    if basis == "none" and any(given):
        remedy = "Empty it, or write percentile or mean as spend_basis"
        table.complain(row.number, "min_spend_pct", "spend_basis none takes no spend limit", remedy)
    if basis in ("percentile", "mean") and not any(given):
        remedy = "Write one, or none as spend_basis"
        table.complain(row.number, "min_spend_pct", f"{basis} needs a spend limit", remedy)


def _check_ladders(table: RuleTable) -> None:
    """Whole ladders: priorities are unambiguous and the last rule takes everyone who is left."""
    ladders: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in table.rows:
        priority = table.whole_number(row, "priority", least=1)
        if priority is None:
            if not row.cells["priority"]:
                table.complain(row.number, "priority", "it is empty", "Write a whole number")
            continue
        rules = ladders[row.cells["ladder"]]
        if priority in rules:
            what = f"{priority} is already in row {rules[priority].number} of this ladder"
            table.complain(row.number, "priority", what, "Give each rule a priority of its own")
            continue
        rules[priority] = row
    for ladder in LADDERS:
        rules = ladders[ladder]
        if rules:
            _check_catch_all(table, ladder, [rules[priority] for priority in sorted(rules)])


def _check_catch_all(table: RuleTable, ladder: str, rules: list[Row]) -> None:
    takes_all = [row for row in rules if _takes_everyone(row)]
    if not takes_all:
        what = f"ladder '{ladder}' has no last rule for everyone else, so some get no tier"
        remedy = "Add a row with the highest priority, spend_basis none and no limit"
        table.complain(rules[-1].number, "priority", what, remedy)
    elif takes_all[0] is not rules[-1]:
        what = "this rule takes everyone, so the rules after it never apply"
        remedy = "Give it the highest priority of the ladder, or a limit"
        table.complain(takes_all[0].number, "priority", what, remedy)


def _takes_everyone(row: Row) -> bool:
    limits = [row.cells[f"{side}_{limit}"] for side in ("min", "max") for limit in LIMITS]
    return row.cells["spend_basis"] == "none" and not any(limits)
