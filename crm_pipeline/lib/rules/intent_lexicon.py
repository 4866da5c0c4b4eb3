"""What people write when they mean something: ``intent_lexicon.csv``.

Add here: what a pattern may say.
Not here: which texts are read (dbt, ``int_text_intents``), what an intent gives (``tag_rules``).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "intent_lexicon.csv"
COLUMNS = ("pattern_id", "intent", "pattern", "is_negation", "language", "note")

_NAME = re.compile(r"[a-z][a-z0-9_]*")
# What one of the engines cannot do (RE2 looks neither ahead nor back), or means something else by.
_NOT_EVERYWHERE = re.compile(r"\(\?|\\[1-9]|[*+?}]\+")


def read_intent_lexicon(seeds_dir: Path) -> RuleTable:
    """The lexicon with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "is_negation", ("true", "false"))
        table.one_of(row, "language", ("zh", "en"))
        for column in ("pattern_id", "intent"):
            if row.cells[column] and not _NAME.fullmatch(row.cells[column]):
                table.complain(row.number, column, f"'{row.cells[column]}' is no name",
                               "Write small letters, digits and _")  # fmt: skip
        if not row.cells["intent"]:
            table.complain(row.number, "intent", "it is empty", "Name what is meant")
        _check_pattern(table, row)
    if table.rows:
        table.unique("pattern_id")
        _check_intents_can_be_found(table)
    return table


def _check_pattern(table: RuleTable, row: Row) -> None:
    pattern = row.cells["pattern"]
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        table.complain(row.number, "pattern", f"it is no regular expression: {error}",
                       "Mend it; every ( needs its )")  # fmt: skip
        return
    if not pattern or compiled.search(""):
        table.complain(row.number, "pattern", "it is found in every text, even in an empty one",
                       "Write words that have to be there")  # fmt: skip
    elif _NOT_EVERYWHERE.search(pattern):
        table.complain(row.number, "pattern", "it uses what not every database knows",
                       "Write it without (?…), back-references and ++")  # fmt: skip
    elif pattern != pattern.lower():
        table.complain(row.number, "pattern", "it has capitals; texts are read in small ones",
                       f"Write {pattern.lower()}")  # fmt: skip


def _check_intents_can_be_found(table: RuleTable) -> None:
    wanted = {row.cells["intent"] for row in table.rows if row.cells["is_negation"] == "false"}
    for row in table.rows:
        if row.cells["intent"] not in wanted:
            what = f"no pattern tells {row.cells['intent']}, there are only negations"
            table.complain(row.number, "intent", what, "Add a pattern with is_negation false")
