"""What an identifier of each kind may prove about who somebody is.

Add here: a property every kind of identifier has.
Not here: how a value is spelled (``normalise``), what follows for accounts (``graph``).

The rows come from a rule table that people edit, so all problems are told at once, each with its
row and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import duckdb

from ml.errors import InvalidDataError

__all__ = [
    "KIND_COLUMNS",
    "OVERRIDE_KIND",
    "IdentifierKind",
    "KindProblem",
    "Semantics",
    "check_kinds",
    "read_kinds",
]

OVERRIDE_KIND = "override"  # the name edges made by people carry
MAX_STRENGTH = 1000
MAX_KINDS = 200
MAX_DAYS = 36_500

_REQUIRED = ("name", "semantics", "strength")
_OPTIONAL = ("account_limit", "valid_days", "exclude_patterns", "note")
KIND_COLUMNS = (*_REQUIRED, *_OPTIONAL)
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Semantics(StrEnum):
    """What equal values of a kind mean."""

    UNIQUE = "unique"  # a person has one at most: two values are two people
    SHARED = "shared"  # a household or a colleague may use it too
    EQUALITY_ONLY = "equality_only"  # hashed or opaque: it can be compared and nothing else
    EXPIRING = "expiring"  # lent for a time, then somebody else's
    MASKED = "masked"  # partly blotted out: never compared
    RECEIVER = "receiver"  # of whom the parcel goes to, not of the buyer: never compared


NEVER_LINKING = frozenset({Semantics.MASKED, Semantics.RECEIVER})


@dataclass(frozen=True)
class IdentifierKind:
    """One kind of identifier: phone, e-mail, member number, …

    Attributes:
        name: How sightings call the kind.
        semantics: What equal values mean.
        strength: Where evidence contradicts, the weaker goes. 1 to 1000; 0 for kinds that never
            link.
        account_limit: A value held by more accounts than this is junk and links nobody.
        valid_days: How long a sighting speaks for its account before and after: accounts that saw
            one value further apart are not linked. ``None``: for ever.
        exclude_patterns: Regular expressions (RE2) of whole values that are nobody's: test numbers,
            a shop's own phone.
    """

    name: str
    semantics: Semantics
    strength: int
    account_limit: int | None = None
    valid_days: int | None = None
    exclude_patterns: tuple[str, ...] = ()

    @property
    def links(self) -> bool:
        """Whether equal values can make two accounts one customer."""
        return self.semantics not in NEVER_LINKING

    @property
    def is_unique(self) -> bool:
        """Whether two different values are two different people."""
        return self.semantics is Semantics.UNIQUE


class KindProblem(NamedTuple):
    """One thing wrong in the table; the header counts as row 1."""

    row_number: int
    column: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"row {self.row_number}, column {self.column}: {self.what}. {self.remedy}"


def read_kinds(rows: Iterable[Mapping[str, object]]) -> tuple[IdentifierKind, ...]:
    """Kinds from the rows of a table with ``KIND_COLUMNS``, in their order.

    Cells are text or already typed; empty text and ``None`` are the same. Several patterns in one
    cell are separated by blanks. ``note`` is for people.

    Raises:
        InvalidDataError: Lists every problem with its row; the header counts as row 1.
    """
    kinds, problems = check_kinds(rows)
    if problems:
        raise InvalidDataError(
            "identifier kinds:\n  " + "\n  ".join(str(problem) for problem in problems),
            remedy="correct these cells of the table and run again",
        )
    return kinds


def check_kinds(
    rows: Iterable[Mapping[str, object]],
) -> tuple[tuple[IdentifierKind, ...], tuple[KindProblem, ...]]:
    """The kinds that can be read, and everything that is wrong with the table."""
    reader = _Reader()
    kinds = [kind for number, row in enumerate(rows, start=2) if (kind := reader.read(number, row))]
    if not kinds and not reader.problems:
        reader.complain(2, "name", "the table has no row", "Write at least one kind")
    if len(kinds) > MAX_KINDS:
        reader.complain(
            MAX_KINDS + 2, "name", f"more than {MAX_KINDS} kinds", "Join kinds that mean the same"
        )
    return tuple(kinds), tuple(reader.problems)


class _Reader:
    """Reads rows and keeps on reading after a problem."""

    def __init__(self) -> None:
        self.problems: list[KindProblem] = []
        self._row_of_name: dict[str, int] = {}

    def complain(self, number: int, column: str, what: str, remedy: str) -> None:
        self.problems.append(KindProblem(number, column, what, remedy))

    def read(self, number: int, row: Mapping[str, object]) -> IdentifierKind | None:
        before = len(self.problems)
        cells = self._cells(number, row)
        name, semantics = self._name(number, cells), self._semantics(number, cells)
        links = semantics not in NEVER_LINKING
        strength = self._whole(number, cells, "strength", least=1, most=MAX_STRENGTH)
        if links and not cells.get("strength"):
            remedy = f"Write a whole number from 1 to {MAX_STRENGTH}; higher is stronger"
            self.complain(number, "strength", "it is empty", remedy)
        limit = self._whole(number, cells, "account_limit", least=2)
        days = self._whole(number, cells, "valid_days", least=0, most=MAX_DAYS)
        if semantics is Semantics.EXPIRING and not cells.get("valid_days"):
            remedy = "Write for how many days a sighting counts; 0 links overlapping ones only"
            self.complain(number, "valid_days", "an expiring kind has none", remedy)
        patterns = self._patterns(number, cells)
        if len(self.problems) > before or semantics is None:
            return None
        return IdentifierKind(name, semantics, strength or 0, limit, days, patterns)

    def _cells(self, number: int, row: Mapping[str, object]) -> dict[str, str]:
        for column in row:
            if column not in KIND_COLUMNS:
                remedy = f"Use {', '.join(KIND_COLUMNS)}"
                self.complain(number, column, "this column is not known", remedy)
        for column in _REQUIRED:
            if column not in row:
                self.complain(number, column, "the column is missing", "Add it to the table")
        return {c: "" if v is None else str(v).strip() for c, v in row.items()}

    def _name(self, number: int, cells: Mapping[str, str]) -> str:
        name = cells.get("name", "")
        if not _NAME.fullmatch(name):
            remedy = "Write lower-case letters, digits and underscores, a letter first"
            self.complain(number, "name", f"'{name}' is no name", remedy)
        elif name == OVERRIDE_KIND:
            remedy = "Choose another name"
            self.complain(number, "name", f"'{name}' is kept for links people make", remedy)
        elif name in self._row_of_name:
            what = f"'{name}' is already in row {self._row_of_name[name]}"
            self.complain(number, "name", what, "Keep one of the two rows")
        self._row_of_name.setdefault(name, number)
        return name

    def _semantics(self, number: int, cells: Mapping[str, str]) -> Semantics | None:
        text = cells.get("semantics", "")
        if text in set(Semantics):
            return Semantics(text)
        what = f"'{text}' is not known" if text else "it is empty"
        self.complain(number, "semantics", what, f"Write one of {', '.join(Semantics)}")
        return None

    def _whole(
        self,
        number: int,
        cells: Mapping[str, str],
        column: str,
        *,
        least: int,
        most: int | None = None,
    ) -> int | None:
        text = cells.get(column, "")
        if not text:
            return None
        span = f"of {least} or more" if most is None else f"from {least} to {most}"
        is_number = text.isascii() and text.isdigit()
        if not is_number or int(text) < least or (most is not None and int(text) > most):
            self.complain(number, column, f"'{text}' does not fit", f"Write a whole number {span}")
            return None
        return int(text)

    def _patterns(self, number: int, cells: Mapping[str, str]) -> tuple[str, ...]:
        patterns = tuple(cells.get("exclude_patterns", "").split())
        for pattern in patterns:
            if problem := _pattern_problem(pattern):
                what = f"'{pattern}' is no regular expression ({problem})"
                remedy = "Correct it; a dot or plus sign that is meant as such needs a backslash"
                self.complain(number, "exclude_patterns", what, remedy)
        return patterns


def _pattern_problem(pattern: str) -> str | None:
    """Judged by the engine that will match it."""
    try:
        duckdb.execute("select regexp_full_match('', ?)", [pattern]).fetchall()
    except duckdb.Error as error:
        return str(error).splitlines()[0]
    return None
