"""Stages of a customer: ``lifecycle_rules.csv`` and ``lifecycle_labels.csv``.

Add here: what a row of a stage or of its name may say.
Not here: who is in a stage (dbt, ``int_lifecycle_staged``).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

RULES_FILE = "lifecycle_rules.csv"
LABELS_FILE = "lifecycle_labels.csv"
STAGES = {
    "lifecycle": ("aware", "first_purchase", "repeat", "loyal", "churned"),
    "aipl": ("aware", "interest", "purchase", "loyalty"),
}
LIMITS = (
    "min_order_count",
    "min_order_count_in_year",
    "min_days_since_last_order",
    "min_interest_count",
    "min_product_view_count",
)
RULE_COLUMNS = ("stage_model", "priority", "stage", "rule_id", *LIMITS, "note")
LABEL_COLUMNS = ("stage_model", "stage", "stage_rank", "name_zh", "name_en")


def read_lifecycle_rules(seeds_dir: Path) -> RuleTable:
    """The table of stages with every problem in it."""
    table = RuleTable(seeds_dir / RULES_FILE, RULE_COLUMNS)
    for row in table.rows:
        _check_stage(table, row)
        _needed_number(table, row, "priority")
        for limit in LIMITS:
            table.whole_number(row, limit, least=1)
    if table.rows:
        table.unique("rule_id")
    if not table.problems:
        for model in STAGES:
            rules = [row for row in table.rows if row.cells["stage_model"] == model]
            _check_order(
                table,
                model,
                sorted(rules, key=lambda row: (int(row.cells["priority"]), row.number)),
            )
    return table


def read_lifecycle_labels(seeds_dir: Path) -> RuleTable:
    """The names of the stages with every problem in it."""
    table = RuleTable(seeds_dir / LABELS_FILE, LABEL_COLUMNS)
    first_rows: dict[tuple[str, str], int] = {}
    for row in table.rows:
        stage = _check_stage(table, row)
        _needed_number(table, row, "stage_rank")
        for column in ("name_zh", "name_en"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write what people call it")
        if stage is None:
            continue
        if stage in first_rows:
            what = f"{stage[1]} of {stage[0]} already has row {first_rows[stage]}"
            table.complain(row.number, "stage", what, "Keep one of the two")
        first_rows.setdefault(stage, row.number)
    if not table.problems:
        for model, stages in STAGES.items():
            for stage_name in stages:
                if (model, stage_name) not in first_rows:
                    what = f"{stage_name} of {model} has no name"
                    remedy = f"Add a row for {model}, {stage_name}"
                    table.complain(table.rows[-1].number, "stage", what, remedy)
    return table


def _check_stage(table: RuleTable, row: Row) -> tuple[str, str] | None:
    model = table.one_of(row, "stage_model", tuple(STAGES))
    if model is None:
        return None
    stage = table.one_of(row, "stage", STAGES[model])
    return None if stage is None else (model, stage)


def _needed_number(table: RuleTable, row: Row, column: str) -> None:
    if not row.cells[column]:
        table.complain(row.number, column, "it is empty", "Write a whole number")
    table.whole_number(row, column, least=1)


def _check_order(table: RuleTable, model: str, rules: list[Row]) -> None:
    """Limits are all lower ends: a rule is dead as soon as one before it asks for no more."""
    if not rules:
        remedy = f"Add a row of {model} without limits"
        table.complain(table.rows[-1].number, "stage_model", f"{model} has no rule", remedy)
        return
    for earlier, later in pairwise(rules):
        if earlier.cells["priority"] == later.cells["priority"]:
            what = f"{later.cells['priority']} is already in row {earlier.number} of {model}"
            table.complain(later.number, "priority", what, "Give each rule a priority of its own")
    for place, row in enumerate(rules):
        wider = next((before for before in rules[:place] if _asks_no_more(before, row)), None)
        if wider is not None:
            what = f"row {wider.number} comes first and takes everyone this rule would take"
            table.complain(row.number, "priority", what, "Put it before that row, or mend a limit")
    if any(rules[-1].cells[limit] for limit in LIMITS):
        what = f"the last rule of {model} has a limit, so some customers get no stage"
        remedy = "Empty its limits, or add a row after it without any"
        table.complain(rules[-1].number, "priority", what, remedy)


def _asks_no_more(earlier: Row, later: Row) -> bool:
    return all(int(earlier.cells[name] or 0) <= int(later.cells[name] or 0) for name in LIMITS)
