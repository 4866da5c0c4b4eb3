"""What is used up, and what uses it up: ``replenishment_lives.csv``.

Add here: what a row of the lives may say.
Not here: how a life is measured (dbt, ``int_repurchase_lives``).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "replenishment_lives.csv"
COLUMNS = (
    "priority",
    "use_group",
    "kind",
    "match_on",
    "words",
    "life_days",
    "is_per_unit",
    "name_zh",
    "name_en",
    "note",
)
KINDS = ("consumable", "durable")
MATCHES = ("product_name", "category_name")
LONGEST_DAYS = 1095  # filters of three years are sold, nothing longer is reminded of

_GROUP = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[\w][\w\- ]*")  # nothing a regular expression would read as a sign of its own


def read_replenishment_lives(seeds_dir: Path) -> RuleTable:
    """The table of lives with every problem in it; each durable has a consumable to use up."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        _check_names(table, row)
        _check_words(table, row)
        table.whole_number(row, "priority", least=1)
        table.one_of(row, "match_on", MATCHES)
        _check_life(table, row, table.one_of(row, "kind", KINDS))
    if table.rows:
        table.unique("priority")
        _check_every_group_is_used_up(table)
    return table


def _check_names(table: RuleTable, row: Row) -> None:
    group = row.cells["use_group"]
    if not _GROUP.fullmatch(group):
        what = f"'{group}' is no name of a group"
        table.complain(row.number, "use_group", what, "Write small letters, digits and _")
    for column in ("name_zh", "name_en", "note"):
        if not row.cells[column]:
            remedy = "Write why it is so" if column == "note" else "Write the name people read"
            table.complain(row.number, column, "it is empty", remedy)


def _check_words(table: RuleTable, row: Row) -> None:
    for word in row.cells["words"].split("|"):
        if not _WORD.fullmatch(word) or word != word.strip():
            what = f"'{word}' is no word to look for"
            remedy = "Write letters, digits, hyphens and blanks inside, with | between the words"
            table.complain(row.number, "words", what, remedy)
        elif word != word.lower():
            what = f"'{word}' has capitals, and names are compared in small letters"
            table.complain(row.number, "words", what, f"Write {word.lower()}")


def _check_life(table: RuleTable, row: Row, kind: str | None) -> None:
    """A consumable says how long it lasts; what lasts itself has nothing to say there."""
    table.whole_number(row, "life_days", least=1, most=LONGEST_DAYS)
    if kind == "consumable":
        if not row.cells["life_days"]:
            remedy = f"Write a whole number from 1 to {LONGEST_DAYS}"
            table.complain(row.number, "life_days", "it is empty", remedy)
        table.one_of(row, "is_per_unit", ("true", "false"))
    elif kind == "durable":
        for column in ("life_days", "is_per_unit"):
            if row.cells[column]:
                what = f"'{row.cells[column]}' belongs to what is used up"
                remedy = "Leave it empty here and write it on the consumable of the use_group"
                table.complain(row.number, column, what, remedy)


def _check_every_group_is_used_up(table: RuleTable) -> None:
    used_up = {row.cells["use_group"] for row in table.rows if row.cells["kind"] == "consumable"}
    for row in table.rows:
        group = row.cells["use_group"]
        if row.cells["kind"] == "durable" and group not in used_up:
            what = f"nothing of '{group}' is used up"
            remedy = f"Add a row of the kind consumable for {group}"
            table.complain(row.number, "use_group", what, remedy)
