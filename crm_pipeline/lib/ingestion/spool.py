"""Rows between conversion and part.

Add here: how they wait, and how equal lines are counted.
Not here: their columns (``conform``), the part (``parts``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.lib.home import CrmHome

IN_MEMORY_BYTES = 128 * 1024 * 1024


class Spool:
    """Tables in the order they were added; beyond a limit they wait on disk, not in memory."""

    def __init__(self, home: CrmHome, *, limit: int = IN_MEMORY_BYTES) -> None:
        self._path = home.conformed / f".tmp-{os.getpid()}-{os.urandom(6).hex()}.arrows"
        self._limit = limit
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer:
            self._writer.close()
        self._path.unlink(missing_ok=True)

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._held_bytes += rows.nbytes
        if self._held_bytes > self._limit:
            self._write_down()

    def _write_down(self) -> None:
        if self._writer is None:
            sink = pa.OSFile(str(self._path), "wb")
            self._writer = pa.ipc.new_stream(sink, self._held[0].schema)
        for rows in self._held:
            self._writer.write_table(rows)
        self._held, self._held_bytes = [], 0

    def tables(self) -> Iterator[pa.Table]:
        """Everything that was added, in order."""
        if self._writer:
            self._write_down()
            self._writer.close()
            with pa.OSFile(str(self._path), "rb") as source, pa.ipc.open_stream(source) as stream:
                for batch in stream:
                    yield pa.table(batch)
        yield from self._held


class LineCounter:
    """Numbers equal lines of one file, 1 for the first; most lines stand once.

    ``hashes`` (64 bit) only tell which lines may be equal; equality is by content hash and batch.
    """

    def __init__(self, hashes: Sequence[np.ndarray]) -> None:
        ordered = np.sort(np.concatenate(hashes)) if hashes else np.array([], np.uint64)
        self._repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        self._counts: Counter[tuple[str, ...]] = Counter()

    def number(self, rows: pa.Table) -> pa.Array:
        """The occurrence number of each row, in the order of the file."""
        numbers = np.ones(rows.num_rows, np.int64)
        hashes = rows["line_hash"].to_numpy()
        places = np.searchsorted(self._repeated, hashes)
        places[places == len(self._repeated)] = 0
        if len(self._repeated):
            repeated = np.flatnonzero(self._repeated[places] == hashes)
            names = [name for name in ("content_hash", "batch") if name in rows.column_names]
            lines = [pc.cast(rows[name].take(repeated), pa.string()).to_pylist() for name in names]
            for place, line in zip(repeated, zip(*lines, strict=True), strict=True):
                self._counts[line] += 1
                numbers[place] = self._counts[line]
        return pa.array(numbers)
