"""A rule table read strictly: every row keeps its place in the file, nothing is guessed.

Add here: reading and cells, whatever the table.
Not here: what a column of a certain table may say (``ladders``, ``caps``).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.errors import RuleError


@dataclass(frozen=True)
class RuleProblem:
    """One thing wrong in a rule table, for the person who edits it."""

    file: str
    row_number: int  # as a spreadsheet counts: the header is row 1
    column: str
    what: str
    remedy: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}, row {self.row_number}{column}: {self.what}. {self.remedy}"


@dataclass(frozen=True)
class Row:
    """A data row with its place."""

    number: int
    cells: dict[str, str]


def refuse_problems(problems: Sequence[RuleProblem], what: str, where: Path) -> None:
    """Refuses rules with any problem.

    Raises:
        RuleError: Lists all problems with file, row, column and what to write instead.
    """
    if problems:
        raise RuleError(
            f"{what} are refused:\n" + "\n".join(f"  {problem}" for problem in problems),
            where=str(where),
            remedy="mend the rows named above; `make check` reads them again",
        )


class RuleTable:
    """Rows of one CSV and the problems found in it so far."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.name = path.name
        self.problems: list[RuleProblem] = []
        self.rows = self._read(path, columns)

    def complain(self, row_number: int, column: str, what: str, remedy: str) -> None:
        """Adds a problem; reading goes on, so that all of them are told at once."""
        self.problems.append(RuleProblem(self.name, row_number, column, what, remedy))

    def whole_number(
        self, row: Row, column: str, *, least: int = 0, most: int | None = None
    ) -> int | None:
        """The cell as a whole number; an empty cell is None, anything else is a problem."""
        text = row.cells[column]
        if not text:
            return None
        span = f"from {least} to {most}" if most is not None else f"of {least} or more"
        if not (text.isascii() and text.isdigit()):
            remedy = f"Write a whole number {span}, or leave it empty for no limit"
            self.complain(row.number, column, f"'{text}' is no whole number", remedy)
            return None
        number = int(text)
        if number < least or (most is not None and number > most):
            self.complain(row.number, column, f"{number} is out of range", f"Write one {span}")
            return None
        return number

    def one_of(self, row: Row, column: str, allowed: Sequence[str]) -> str | None:
        """The cell if it is one of the allowed words."""
        text = row.cells[column]
        if text in allowed:
            return text
        what = f"'{text}' is not known" if text else "it is empty"
        self.complain(row.number, column, what, f"Write one of {', '.join(allowed)}")
        return None

    def unique(self, column: str) -> None:
        """Complains about the second and later rows with the same, or with an empty value."""
        first_rows: dict[str, int] = {}
        for row in self.rows:
            text = row.cells[column]
            if not text:
                self.complain(row.number, column, "it is empty", "Give the row a name of its own")
            elif text in first_rows:
                what = f"'{text}' is already in row {first_rows[text]}"
                self.complain(row.number, column, what, "Give each row a name of its own")
            else:
                first_rows[text] = row.number

    def all_of(self, column: str, wanted: Sequence[str], consequence: str) -> None:
        """Complains about each wanted value that no row has."""
        told = {row.cells[column] for row in self.rows}
        for value in wanted:
            if value not in told:
                what = f"no row is for {value}, so {consequence}"
                self.complain(self.rows[-1].number, column, what, f"Add a row for {value}")

    def unique_together(self, *columns: str) -> None:
        """Complains about the second and later rows with the same values in all these columns."""
        first_rows: dict[tuple[str, ...], int] = {}
        for row in self.rows:
            values = tuple(row.cells[column] for column in columns)
            if values in first_rows:
                what = f"'{' '.join(values)}' is already in row {first_rows[values]}"
                self.complain(row.number, columns[-1], what, "Keep one of the two")
            first_rows.setdefault(values, row.number)

    def _read(self, path: Path, columns: Sequence[str]) -> list[Row]:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            remedy = f"Create it with the header {','.join(columns)}"
            self.complain(1, "", "the file is missing", remedy)
            return []
        except UnicodeDecodeError as error:
            row_number = path.read_bytes()[: error.start].count(b"\n") + 1
            self.complain(row_number, "", "the text is not UTF-8", "Save the file as CSV UTF-8")
            return []
        lines = list(csv.reader(text.splitlines()))
        header = lines[0] if lines else []
        if header != list(columns):
            self._complain_header(header, columns)
            return []
        return self._rows(lines[1:], columns)

    def _complain_header(self, header: Sequence[str], columns: Sequence[str]) -> None:
        missing = [column for column in columns if column not in header]
        unknown = [column for column in header if column not in columns]
        what = "; ".join(
            f"{label} {', '.join(names)}"
            for label, names in (("missing", missing), ("unknown", unknown))
            if names
        )
        remedy = f"Write the header {','.join(columns)}"
        self.complain(1, "", f"the header is wrong ({what or 'order or repetition'})", remedy)

    def _rows(self, lines: Sequence[Sequence[str]], columns: Sequence[str]) -> list[Row]:
        rows = []
        for number, cells in enumerate(lines, start=2):
            if len(cells) == len(columns):
                stripped = [cell.strip() for cell in cells]
                rows.append(Row(number, dict(zip(columns, stripped, strict=True))))
            else:
                what = f"it has {len(cells)} cells instead of {len(columns)}"
                remedy = "Write one cell per column; put a text with a comma in double quotes"
                self.complain(number, "", what, remedy)
        if not lines:
            self.complain(2, "", "the table has no row", "Write at least one rule")
        return rows
