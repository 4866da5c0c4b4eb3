"""Words that tell how a text sounds: ``sentiment_lexicon.csv``.

Add here: what a row of the lexicon may say.
Not here: how a text is read (dbt, ``int_statement_sentiments``).
"""

from __future__ import annotations

import re
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable

FILE = "sentiment_lexicon.csv"
LANGUAGES = ("zh", "en")
POLARITIES = ("1", "-1")
COLUMNS = ("term", "term_language", "polarity", "note")

_ENGLISH = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")


def read_sentiment_lexicon(seeds_dir: Path) -> RuleTable:
    """The lexicon with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "polarity", POLARITIES)
        language = table.one_of(row, "term_language", LANGUAGES)
        if row.cells["term"] and language is not None:
            _check_term(table, row, language)
    if table.rows:
        table.unique("term")
        _check_depth(table)
    return table


def _check_term(table: RuleTable, row: Row, language: str) -> None:
    """A term as texts are read: small letters and digits; nothing else would ever be found."""
    term = row.cells["term"]
    if language == "en" and not _ENGLISH.fullmatch(term):
        remedy = "Write small letters, one blank between words and no apostrophe"
        table.complain(row.number, "term", f"'{term}' is never found as whole words", remedy)
    if language == "zh" and not (term.isalnum() and term == term.lower()):
        remedy = "Write it without blanks and punctuation, Latin letters small"
        table.complain(row.number, "term", f"'{term}' is never found in a text", remedy)
    if language == "zh" and len(term) < 2:
        remedy = "Write the words it stands in, such as 好用 for 好"
        table.complain(row.number, "term", f"'{term}' stands inside too many words", remedy)


def _check_depth(table: RuleTable) -> None:
    """A term counts where no longer one holds it: a third one inside would be taken off twice."""
    needles = [(row, _needle(row)) for row in table.rows if row.cells["term"]]
    inside = {
        row.number: [other for other, needle in needles if needle in long and needle != long]
        for row, long in needles
    }
    for row, _ in needles:
        for middle in inside[row.number]:
            for inner in inside[middle.number]:
                what = (
                    f"'{row.cells['term']}' holds '{middle.cells['term']}', "
                    f"which holds '{inner.cells['term']}'"
                )
                remedy = f"Take out row {row.number}, {middle.number} or {inner.number}"
                table.complain(row.number, "term", what, remedy)


def _needle(row: Row) -> str:
    term = row.cells["term"]
    return f" {term} " if row.cells["term_language"] == "en" else term
