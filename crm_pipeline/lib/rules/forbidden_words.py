"""Words no message may hold: ``forbidden_words.csv``.

Add here: what a row may say.
Not here: where they are looked for (``lib/outreach/content``, ``content_library``).
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "forbidden_words.csv"
COLUMNS = ("word", "language", "allowed_in", "note")


def read_forbidden_words(seeds_dir: Path) -> RuleTable:
    """The table of forbidden words with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        table.one_of(row, "language", ("zh", "en"))
        word, allowed = row.cells["word"], row.cells["allowed_in"].split()
        if word != _fold(word):
            what = f"'{word}' has capitals or wide letters; texts are read in small ones"
            table.complain(row.number, "word", what, f"Write {_fold(word)}")
        for phrase in allowed:
            if word not in phrase or phrase == word:
                what = f"'{phrase}' is no longer phrase with the word in it"
                table.complain(row.number, "allowed_in", what, "Write phrases around the word")
    if table.rows:
        table.unique("word")
    return table


def forbidden_words(seeds_dir: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each word with the phrases in which it is allowed; empty when the table cannot be read."""
    table = read_forbidden_words(seeds_dir)
    if table.problems:
        return ()
    return tuple((row.cells["word"], tuple(row.cells["allowed_in"].split())) for row in table.rows)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
