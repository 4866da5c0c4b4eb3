"""What every reader hands on.

Add here: the common shape.
Not here: a format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

RAW_LIMIT = 20_000  # characters kept of a record in quarantine; the raw file has it all


@dataclass(frozen=True)
class Reject:
    """A record that could not be taken apart, with as much of it as fits."""

    record_number: int
    reason_code: str
    raw_record: str
    column_name: str | None = None


@dataclass(frozen=True)
class Batch:
    """Some records.

    ``cells`` has ``record_number``, one text column ``s<n>`` per column of the header, and ``raw``
    where cells alone would lose what stood there.
    """

    cells: pa.Table
    rejects: Sequence[Reject] = ()

    @property
    def record_count(self) -> int:
        return int(self.cells.num_rows) + len(self.rejects)


@dataclass
class Notes:
    """What a reader found odd and read nevertheless; complete once its batches are exhausted."""

    warnings: list[str] = field(default_factory=list)


class Reader(Protocol):
    """One opened file."""

    @property
    def names(self) -> Sequence[str]:
        """The header in file order: s0, s1 …"""

    @property
    def positions(self) -> Mapping[str, int]:
        """Wanted source column to its place."""

    @property
    def notes(self) -> Notes:
        """What was odd."""

    def batches(self) -> Iterator[Batch]:
        """All records in the order of the file."""
        ...


def cells_table(
    names_count: int,
    first_record: int,
    columns: Sequence[pa.Array],
    numbers: pa.Array | None = None,
    raw: pa.Array | None = None,
) -> pa.Table:
    """The Arrow table of a batch from its text columns."""
    count = len(columns[0]) if columns else 0
    if numbers is None:
        numbers = pa.array(range(first_record, first_record + count), pa.int64())
    arrays = [numbers, *columns]
    names = ["record_number", *(f"s{n}" for n in range(names_count))]
    if raw is not None:
        arrays.append(raw)
        names.append("raw")
    return pa.table(arrays, names=names)


def shorten(raw: str) -> str:
    """``raw`` as it is kept in quarantine."""
    return raw if len(raw) <= RAW_LIMIT else raw[:RAW_LIMIT] + f"… ({len(raw)} characters)"
