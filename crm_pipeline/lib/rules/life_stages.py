"""Stages a child grows through, and what a purchase says of its age.

Add here: what a cell of ``life_stages.csv`` or ``life_stage_evidence.csv`` may say.
Not here: how a child ages (dbt, ``customer_life_stages``).
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

STAGES_FILE = "life_stages.csv"
STAGES_COLUMNS = ("life_stage", "months_from", "months_to", "name_zh", "name_en", "note")
EVIDENCE_FILE = "life_stage_evidence.csv"
EVIDENCE_COLUMNS = (
    "evidence_id", "category_name", "product_words", "months_from", "months_to", "note",
)  # fmt: skip

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_GROWN_UP = 216  # months: no child of the shop is older


def read_life_stages(seeds_dir: Path) -> RuleTable:
    """The stages with every problem in them; an age in two stages or in none between is one."""
    table = RuleTable(seeds_dir / STAGES_FILE, STAGES_COLUMNS)
    spans = []
    for row in table.rows:
        span = _check_span(table, row, "life_stage")
        if span:
            spans.append((*span, row))
        for column in ("name_zh", "name_en"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write how people call it")
    if table.rows:
        table.unique("life_stage")
    ordered = sorted(spans, key=lambda span: (span[0], span[2].number))
    for (_, end, before), (begin, _, row) in pairwise(ordered):
        if begin != end:
            overlap = "overlap" if begin < end else "leave a gap"
            what = (
                f"the stages {before.cells['life_stage']} and {row.cells['life_stage']} {overlap}"
            )
            table.complain(row.number, "months_from", what, f"Write {end}")
    return table


def read_life_stage_evidence(seeds_dir: Path) -> RuleTable:
    """The evidence with every problem in it."""
    table = RuleTable(seeds_dir / EVIDENCE_FILE, EVIDENCE_COLUMNS)
    for row in table.rows:
        _check_span(table, row, "evidence_id")
        words = row.cells["product_words"]
        if not words:
            table.complain(row.number, "product_words", "it is empty",
                           "Write words of the product's name")  # fmt: skip
        elif re.search(r"[^\w| -]", words) or any(not word.strip() for word in words.split("|")):
            table.complain(row.number, "product_words", "it is no list of words",
                           "Write words with one | between them")  # fmt: skip
    if table.rows:
        table.unique("evidence_id")
    return table


def _check_span(table: RuleTable, row: Row, name: str) -> tuple[int, int] | None:
    if row.cells[name] and not _NAME.fullmatch(row.cells[name]):
        table.complain(row.number, name, f"'{row.cells[name]}' is no name",
                       "Write small letters, digits and _")  # fmt: skip
    months = []
    for column in ("months_from", "months_to"):
        months.append(table.whole_number(row, column, most=_GROWN_UP))
        if not row.cells[column]:
            table.complain(row.number, column, "it is empty", "Write an age in months")
    begin, end = months
    if begin is None or end is None:
        return None
    if begin >= end:
        table.complain(row.number, "months_to", f"{end} is not above months_from {begin}",
                       "Write the age below which it holds")  # fmt: skip
        return None
    return begin, end
