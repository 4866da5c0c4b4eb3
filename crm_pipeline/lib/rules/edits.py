"""Edited rule tables beside the present ones, and which rows differ.

Add here: how a folder of edited tables is taken in and compared.
Not here: what a table may say (its reader), what an edit moves (``preview``).
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from crm_pipeline.lib.errors import RuleError

Cells = Mapping[str, str]


@dataclass(frozen=True)
class RowEdit:
    """One row that is not in both versions of a table as it is.

    Attributes:
        table: file name.
        kind: what happened to the row.
        row_number: as a spreadsheet counts, in the edited table; of a removed row in the present.
        key: what the row is called by: its id, or all of it where no column tells rows apart.
        cells: column, present text, edited text; only columns that differ.
    """

    table: str
    kind: Literal["added", "removed", "changed"]
    row_number: int
    key: str
    cells: tuple[tuple[str, str, str], ...]


def lay_over(edited: Path, seeds_dir: Path) -> list[str]:
    """Copies the edited tables over those in ``seeds_dir``; returns their file names.

    Raises:
        RuleError: the folder is absent or empty, or holds something that is no rule table.
    """
    if not edited.is_dir():
        raise RuleError(
            "there is no folder of edited rule tables",
            where=str(edited),
            remedy="copy the tables to edit from dbt_project/seeds into a folder and name it",
        )
    known = {path.name for path in seeds_dir.glob("*.csv")}
    names = sorted(path.name for path in edited.iterdir() if not path.name.startswith("."))
    for name in names:
        if name not in known:
            raise RuleError(
                f"{name} is no rule table",
                where=str(edited / name),
                remedy=f"take it out, or call it as it is called now: {', '.join(sorted(known))}",
            )
    if not names:
        raise RuleError(
            "the folder holds no rule table",
            where=str(edited),
            remedy=f"put an edited copy of one of these into it: {', '.join(sorted(known))}",
        )
    for name in names:
        shutil.copyfile(edited / name, seeds_dir / name)
    return names


def compare_tables(present: Path, edited: Path) -> list[RowEdit]:
    """Every row that was added, removed or changed between two versions of one table."""
    old, new = _read(present), _read(edited)
    key = _key_column(old, new)
    if key is None:
        return list(_compare_whole_rows(present.name, old, new))
    return list(_compare_by_key(present.name, key, old, new))


def is_same_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bool:
    """Whether a built table holds what the file says, whatever types dbt gave its columns."""
    found = Counter(tuple(map(_plain, row)) for row in rows)
    said = _read(path)
    if said and set(columns) != set(said[0]):
        return False
    return found == Counter(tuple(_plain(row[name]) for name in columns) for row in said)


def _read(path: Path) -> list[Cells]:
    with path.open(encoding="utf-8-sig", newline="") as source:
        rows = csv.DictReader(source, strict=True)
        return [{name: (text or "").strip() for name, text in row.items()} for row in rows]


def _key_column(old: Sequence[Cells], new: Sequence[Cells]) -> str | None:
    """The column that names a row in both versions; ids are asked first."""
    columns = [*(old or new)[0]] if old or new else []
    for column in [*(name for name in columns if name.endswith("_id")), *columns]:
        values = [[row.get(column, "") for row in rows] for rows in (old, new)]
        if all(len(set(texts)) == len(texts) and "" not in texts for texts in values):
            return column
    return None


def _compare_by_key(
    table: str, key: str, old: Sequence[Cells], new: Sequence[Cells]
) -> Iterator[RowEdit]:
    places = {row[key]: number for number, row in enumerate(old, start=2)}
    before = {row[key]: row for row in old}
    for number, row in enumerate(new, start=2):
        was = before.pop(row[key], None)
        if was is None:
            cells = tuple((name, "", text) for name, text in row.items() if text)
            yield RowEdit(table, "added", number, row[key], cells)
        elif was != row:
            names = [*row, *(name for name in was if name not in row)]
            pairs = [(name, was.get(name, ""), row.get(name, "")) for name in names]
            changed = tuple(cell for cell in pairs if cell[1] != cell[2])
            yield RowEdit(table, "changed", number, row[key], changed)
    for name, row in before.items():
        cells = tuple((column, text, "") for column, text in row.items() if text)
        yield RowEdit(table, "removed", places[name], name, cells)


def _compare_whole_rows(
    table: str, old: Sequence[Cells], new: Sequence[Cells]
) -> Iterator[RowEdit]:
    def surplus(rows: Sequence[Cells], others: Sequence[Cells]) -> Iterator[tuple[int, Cells]]:
        left = Counter(tuple(row.values()) for row in others)
        for number, row in enumerate(rows, start=2):
            if left[tuple(row.values())]:
                left[tuple(row.values())] -= 1
            else:
                yield number, row

    for number, row in surplus(new, old):
        cells = tuple((name, "", text) for name, text in row.items() if text)
        yield RowEdit(table, "added", number, ", ".join(row.values()), cells)
    for number, row in surplus(old, new):
        cells = tuple((name, text, "") for name, text in row.items() if text)
        yield RowEdit(table, "removed", number, ", ".join(row.values()), cells)


def _plain(value: object) -> str:
    """A cell without the marks of its type: 5, 5.0 and '5' are one, true and True too."""
    text = "" if value is None else str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text.lower()
    return f"{number.normalize():f}" if number.is_finite() else text.lower()
