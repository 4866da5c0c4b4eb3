"""CSV and TSV.

Add here: how blocks, header and the two ways of parsing fit together.
Not here: the ways themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.readers import csv_fast, csv_strict
from crm_pipeline.lib.ingestion.readers.batch import Batch, Notes, Reject, cells_table, shorten
from crm_pipeline.lib.ingestion.readers.blocks import BLOCK_BYTES, line_blocks
from crm_pipeline.lib.ingestion.readers.csv_strict import Broken, Dialect, Lines
from crm_pipeline.lib.ingestion.readers.header import match_header, no_table

STRICT_BATCH = 100_000
HEAD_BYTES = 65_536


class CsvReader:
    """One CSV or TSV file. Clean blocks go through Arrow, all others line by line.

    Both give the same records.
    """

    def __init__(
        self,
        spec: FeedSpec,
        source: IO[bytes],
        *,
        is_proven_whole: bool = False,
        block_bytes: int = BLOCK_BYTES,
        use_fast: bool = True,
    ) -> None:
        self._format = spec.format
        self._dialect = Dialect(
            delimiter=spec.format.separator,
            comment=spec.format.comment,
            skips_blank=spec.format.blank_lines == "skip",
            needs_final_newline=spec.format.final_newline == "required" and not is_proven_whole,
            markers=frozenset(spec.format.total_row_marker),
        )
        self._use_fast = use_fast
        self._blocks = line_blocks(source, spec.format.encoding, block_bytes=block_bytes)
        self._next_record = 1
        self._pending: bytes = next(self._blocks, b"")
        header = match_header(spec, self._read_header())
        self.names = header.names
        self.positions = header.positions
        self.notes = Notes(list(header.warnings))

    def batches(self) -> Iterator[Batch]:
        """All records in the order of the file."""
        block: bytes | None = self._pending
        while block is not None:
            if block:
                yield from self._read(block)
            block = self._more()

    def _more(self) -> bytes | None:
        return next(self._blocks, None)

    def _read_header(self) -> list[str]:
        cut = self._pending.find(b"\n", HEAD_BYTES) + 1 or len(self._pending)
        rest = [self._pending[cut:]]  # the header is at the top; the rest need not be split
        lines = Lines(self._pending[:cut], lambda: rest.pop() if rest else self._more())
        for _ in range(self._format.title_rows):
            lines.peek(0)
            lines.pop()
        lines.peek(0)
        loose = Dialect(self._dialect.delimiter, self._dialect.comment, True, False, frozenset())
        first = next(csv_strict.records(lines, loose, None), None)
        if not isinstance(first, list):
            raise no_table(first.raw if first else "", "there is no readable header line")
        self._pending = lines.rest() + b"".join(rest)
        return first

    def _read(self, block: bytes) -> Iterator[Batch]:
        if self._use_fast and csv_fast.is_clean(
            block,
            self._dialect.delimiter,
            comment=self._dialect.comment,
            field_limit=csv_strict.FIELD_LIMIT,
        ):
            columns = csv_fast.parse(block, self._dialect.delimiter, len(self.names))
            if columns is not None:
                yield self._batch(columns)
                return
        yield from self._read_strictly(block)

    def _batch(self, columns: list[pa.ChunkedArray]) -> Batch:
        cells = cells_table(len(self.names), self._next_record, columns)
        self._next_record += cells.num_rows
        return Batch(cells)

    def _read_strictly(self, block: bytes) -> Iterator[Batch]:
        found = csv_strict.records(Lines(block, self._more), self._dialect, len(self.names))
        rows: list[list[str]] = []
        numbers: list[int] = []
        rejects: list[Reject] = []
        for record in found:
            if isinstance(record, Broken):
                rejects.append(Reject(self._next_record, record.reason_code, shorten(record.raw)))
            else:
                rows.append(record)
                numbers.append(self._next_record)
            self._next_record += 1
            if len(rows) + len(rejects) >= STRICT_BATCH:
                yield self._rows_batch(rows, numbers, rejects)
                rows, numbers, rejects = [], [], []
        if rows or rejects:
            yield self._rows_batch(rows, numbers, rejects)

    def _rows_batch(
        self, rows: list[list[str]], numbers: list[int], rejects: list[Reject]
    ) -> Batch:
        width = len(self.names)
        by_column = list(zip(*rows, strict=True)) if rows else [()] * width
        columns = [pa.array(column, pa.string()) for column in by_column]
        return Batch(cells_table(width, 0, columns, pa.array(numbers, pa.int64())), rejects)
