"""Tier ladders: ``rfm_ladders.csv``.

Add here: what a ladder row may say.
Not here: what follows from its limits (``ladder_compiler``), how a ladder is applied (dbt,
``int_customers_tiered``).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from crm_pipeline.lib.rules.ladder_compiler import (
    Ladder,
    LadderRule,
    Limits,
    spread,
    tell_shadow,
)
from crm_pipeline.lib.rules.table import Row, RuleTable, refuse_problems
from crm_pipeline.lib.rules.tier_labels import labelled_tiers

FILE = "rfm_ladders.csv"
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
    tiers = labelled_tiers(seeds_dir)
    for row in table.rows:
        if tiers:  # else the table of tiers has problems of its own
            ladder = table.one_of(row, "ladder", tuple(tiers))
            if ladder is not None:
                table.one_of(row, "tier", tiers[ladder])
        _check_limits(table, row)
    if table.rows:
        table.unique("rule_id")
        _check_priorities(table)
        if not table.problems:
            _check_proofs(table)
    return table


def load_ladders(path: Path) -> tuple[Ladder, ...]:
    """The ladders of any file with these columns; names of ladders and tiers are free.

    Raises:
        RuleError: Lists every problem a row has by itself. What does not hold of a whole ladder is
            left to its reader.
    """
    table = RuleTable(path, COLUMNS)
    for row in table.rows:
        _check_limits(table, row)
        table.whole_number(row, "priority", least=1)
    if table.rows:
        table.unique("rule_id")
    for ladder in () if table.problems else _ladders(table):
        unplaced = [rule for rule in ladder.rules if rule.priority is None]
        if unplaced and not ladder.is_literal:
            what = f"it is empty, but other rules of ladder '{ladder.name}' have one"
            remedy = "Give every rule of a ladder a priority, or none of them"
            table.complain(unplaced[0].place, "priority", what, remedy)
    refuse_problems(table.problems, "the ladders", path)
    return _ladders(table)


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


def _check_priorities(table: RuleTable) -> None:
    """Every rule has its own place among the rules of its ladder."""
    first_rows: dict[tuple[str, int], int] = {}
    for row in table.rows:
        priority = table.whole_number(row, "priority", least=1)
        if priority is None:
            if not row.cells["priority"]:
                table.complain(row.number, "priority", "it is empty", "Write a whole number")
            continue
        rule = row.cells["ladder"], priority
        if rule in first_rows:
            what = f"{priority} is already in row {first_rows[rule]} of this ladder"
            table.complain(row.number, "priority", what, "Give each rule a priority of its own")
        first_rows.setdefault(rule, row.number)


def _check_proofs(table: RuleTable) -> None:
    """Whole ladders: everyone gets a tier, and no rule is without effect."""
    for ladder in _ladders(table):
        last = max(ladder.rules, key=lambda rule: rule.priority or 0)
        if not ladder.is_total:
            customers = "; ".join(str(customer) for customer in spread(ladder.gaps, 2))
            what = (
                f"ladder '{ladder.name}' gives no tier in {len(ladder.gaps)} of "
                f"{ladder.cell_count} cells, for example: {customers}"
            )
            remedy = "Widen a limit, or add a last rule with spend_basis none and no limit"
            table.complain(last.place, "priority", what, remedy)
        for rule, earlier in ladder.dead_rules:
            remedy = "Give it a smaller priority, or narrow the rules before it"
            what = f"the rule is never reached: {tell_shadow(earlier)}"
            table.complain(rule.place, "priority", what, remedy)


def _ladders(table: RuleTable) -> tuple[Ladder, ...]:
    rules: dict[str, list[LadderRule]] = defaultdict(list)
    for row in table.rows:
        rules[row.cells["ladder"]].append(_rule(row))
    return tuple(Ladder(name, tuple(found)) for name, found in rules.items())


def _rule(row: Row) -> LadderRule:
    """A row whose cells have been checked."""
    days, orders, spend = (
        Limits(_number(row.cells[f"min_{limit}"]), _number(row.cells[f"max_{limit}"]))
        for limit in LIMITS
    )
    return LadderRule(
        rule_id=row.cells["rule_id"],
        tier=row.cells["tier"],
        priority=_number(row.cells["priority"]),
        days=days,
        orders=orders,
        spend_basis=row.cells["spend_basis"],
        spend=spend,
        place=row.number,
    )


def _number(text: str) -> int | None:
    return int(text) if text else None
