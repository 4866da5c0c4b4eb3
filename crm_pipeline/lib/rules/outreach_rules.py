"""How decisions about messages are told: ``outreach_rules.csv``.

Add here: what a row may say, which inputs it may name.
Not here: the rules (``lib/outreach``), the story of a customer (``lib/outreach/explain``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.outreach.template import TemplateError, parse_template
from crm_pipeline.lib.rules.table import Row, RuleTable, refuse_problems

FILE = "outreach_rules.csv"
COLUMNS = ("rule_id", "outcome", "text_zh", "text_en")
OUTCOMES = (
    "send", "held", "capped", "no_consent", "holdout", "lost_to_higher_priority", "stock_gone",
    "open_complaint", "duplicate", "expired",
)  # fmt: skip
RESULTS = (
    "none", "claimed", "refused", "uncertain", "sent", "failed", "delivered", "opened", "clicked",
)  # fmt: skip
# Inputs of decisions and moments of messages; `rest` is what the * of a rule stands for.
INPUTS = frozenset(
    {
        "rest", "journey", "step", "occurrence", "consent_channel", "contact_mask", "sku",
        "content_id", "triggered_at", "planned_send_at", "valid_until", "due_at", "rfm_tier",
        "consent_at", "notice_version", "withdrawn_at", "open_complaint_since",
        "available_quantity", "offered_price_amount", "price_amount", "holdout_pct", "counted",
        "allowed", "state_reason", "sent_at", "failed_at", "delivered_at", "opened_at",
        "clicked_at",
    }
)  # fmt: skip

_RULE = re.compile(r"[a-z]+\.([a-z0-9_]+|\*)")


@dataclass(frozen=True)
class RuleWords:
    """How one rule, or several that begin alike, are told."""

    rule_id: str
    outcome: str
    text_zh: str
    text_en: str

    def text(self, language: str) -> str:
        """The words in a language."""
        return self.text_zh if language == "zh-CN" else self.text_en


def read_outreach_rules(seeds_dir: Path) -> RuleTable:
    """The table of words with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "outcome", OUTCOMES)
        if not _RULE.fullmatch(row.cells["rule_id"]):
            table.complain(row.number, "rule_id", f"'{row.cells['rule_id']}' is no rule",
                           "Write group.name, or group.* for all of a group")  # fmt: skip
        for column in ("text_zh", "text_en"):
            _check_text(table, row, column)
    if table.rows:
        table.unique("rule_id")
        _check_named(table)
    return table


def load_rule_words(seeds_dir: Path) -> tuple[RuleWords, ...]:
    """The words of all rules.

    Raises:
        RuleError: the table is refused.
    """
    table = read_outreach_rules(seeds_dir)
    refuse_problems(table.problems, "the words of rules", seeds_dir)
    return tuple(RuleWords(**row.cells) for row in table.rows)


def find_words(words: tuple[RuleWords, ...], rule_id: str) -> tuple[RuleWords, str] | None:
    """The words of a rule, else those of its group and what the * stands for."""
    by_id = {known.rule_id: known for known in words}
    group, _, rest = rule_id.partition(".")
    if rule_id in by_id:
        return by_id[rule_id], ""
    shared = by_id.get(f"{group}.*")
    return (shared, rest) if shared else None


def _check_text(table: RuleTable, row: Row, column: str) -> None:
    if not row.cells[column]:
        table.complain(row.number, column, "it is empty", "Write what people will read")
        return
    try:
        unknown = parse_template(row.cells[column]).variables - INPUTS
    except TemplateError as error:
        table.complain(row.number, column, error.what, error.remedy or "")
        return
    for name in sorted(unknown):
        remedy = f"Write one of {', '.join(sorted(INPUTS))}"
        table.complain(row.number, column, f"{{{name}}} is no input of a decision", remedy)


def _check_named(table: RuleTable) -> None:
    named = {row.cells["rule_id"] for row in table.rows}
    wanted = [f"outcome.{name}" for name in OUTCOMES] + [f"result.{name}" for name in RESULTS]
    for name in wanted:
        if name not in named:
            table.complain(len(table.rows) + 1, "rule_id", f"{name} has no words", "Add a row")
