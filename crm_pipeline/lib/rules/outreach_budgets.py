"""Budgets of outreach: ``outreach_budgets.csv``.

Add here: what a budget may say.
Not here: how a budget is applied (``lib/outreach/limits``).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules import channel_policies
from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "outreach_budgets.csv"
COLUMNS = ("budget_id", "scope", "scope_name", "window_days", "amount", "currency", "note")
SCOPES = ("all", "channel", "journey")


def read_outreach_budgets(seeds_dir: Path) -> RuleTable:
    """The table of budgets with every problem in it; one without any row limits nothing."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    table.problems = [p for p in table.problems if p.what != "the table has no row"]
    costs = channel_policies.read_channel_policies(seeds_dir)
    currencies = sorted({row.cells["currency"] for row in costs.rows})
    for row in table.rows:
        _check_scope(table, row)
        table.whole_number(row, "window_days", least=1, most=366)
        if not row.cells["window_days"]:
            table.complain(row.number, "window_days", "it is empty", "Write a whole number")
        channel_policies.amount_of(table, row, "amount")
        if row.cells["currency"] not in currencies:
            what = f"messages cost {' or '.join(currencies)}, not '{row.cells['currency']}'"
            remedy = "Write the currency of channel_policies.csv"
            table.complain(row.number, "currency", what, remedy)
    if table.rows:
        table.unique("budget_id")
        table.unique_together("scope", "scope_name", "window_days")
    return table


def _check_scope(table: RuleTable, row: Row) -> None:
    scope, name = table.one_of(row, "scope", SCOPES), row.cells["scope_name"]
    if scope == "all" and name:
        table.complain(row.number, "scope_name", "a budget for all has no name", "Leave it empty")
    if scope == "channel":
        table.one_of(row, "scope_name", channel_policies.CHANNELS)
    if scope == "journey" and not re.fullmatch("[a-z][a-z0-9_]*", name):
        what = f"'{name}' is no name of a journey"
        table.complain(row.number, "scope_name", what, "Write it as in the journey's YAML")
