"""Where clean records go: Parquet files by feed, month and chunk, or memory.

Add here: another place.
Not here: what the records say.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from simulation.feeds import clean_schema

__all__ = ["MemorySink", "ParquetSink", "Sink", "months_of", "write_parquet"]


_SMALL_DICTIONARY = 400  # words; the products of a catalogue fit


class Sink(Protocol):
    """Takes the clean records of one feed and chunk."""

    def write(self, feed: str, chunk: str, periods: NDArray[np.int32], table: pa.Table) -> None:
        """Takes rows; ``periods`` is the local month YYYYMM of each."""


class MemorySink:
    """Keeps the records, for tests and closed loops."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Table]] = defaultdict(list)

    def write(self, feed: str, chunk: str, periods: NDArray[np.int32], table: pa.Table) -> None:
        self._parts[feed].append(table)

    def table(self, feed: str) -> pa.Table:
        """All records of ``feed``."""
        parts = self._parts.get(feed)
        if not parts:
            return clean_schema(feed).empty_table()
        return pa.concat_tables([_plain(part) for part in parts])


class ParquetSink:
    """Writes ``<folder>/<feed>/period=<YYYYMM>/<chunk>.parquet``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.row_counts: Counter[str] = Counter()
        self._made: set[Path] = set()

    def write(self, feed: str, chunk: str, periods: NDArray[np.int32], table: pa.Table) -> None:
        if not table.num_rows:
            return
        self.row_counts[feed] += table.num_rows
        if (np.diff(periods) < 0).any():
            order = np.argsort(periods, kind="stable")
            periods, table = periods[order], table.take(pa.array(order))
        edges = np.flatnonzero(np.diff(periods)) + 1
        starts, ends = np.append(0, edges), np.append(edges, len(periods))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            folder = self.folder / feed / f"period={periods[start]}"
            if folder not in self._made:
                folder.mkdir(parents=True, exist_ok=True)
                self._made.add(folder)
            part = compact(table.slice(start, end - start))
            write_parquet(part, folder / f"{chunk}.parquet")


def write_parquet(table: pa.Table, path: Path) -> None:
    """One file: dictionaries for repeated words, differences for numbers and instants."""
    dictionary, encodings = [], {}
    for field in table.schema:
        if pa.types.is_dictionary(field.type):
            dictionary.append(field.name)
        elif pa.types.is_integer(field.type) or pa.types.is_timestamp(field.type):
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_string(field.type):
            encodings[field.name] = "DELTA_BYTE_ARRAY"
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionary,
        column_encoding=encodings,
        store_schema=False,
        write_statistics=False,
        store_decimal_as_integer=True,
    )


def compact(table: pa.Table) -> pa.Table:
    """The table with only the words it uses in its dictionaries: a file would hold them all."""
    columns = [
        _compact(column.combine_chunks()) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def _compact(values: pa.DictionaryArray) -> pa.Array:
    size = len(values.dictionary)
    if size <= _SMALL_DICTIONARY:
        return _without_twins(values)
    indices = values.indices
    index = indices.fill_null(0).to_numpy(zero_copy_only=False)
    is_used = np.zeros(size, bool)
    is_used[index] = True
    used = np.flatnonzero(is_used)
    if 2 * len(used) > len(index):  # hardly a word twice: a dictionary would only cost
        return values.cast(values.type.value_type)
    place = np.cumsum(is_used, dtype=np.int32) - 1
    mask = indices.is_null().to_numpy(zero_copy_only=False) if indices.null_count else None
    return _without_twins(
        pa.DictionaryArray.from_arrays(
            pa.array(place[index], mask=mask), values.dictionary.take(pa.array(used))
        )
    )


def _without_twins(values: pa.DictionaryArray) -> pa.Array:
    """Texts instead of a dictionary that names a word twice: its file would not always be equal."""
    if len(pc.unique(values.dictionary)) == len(values.dictionary):
        return values
    return values.cast(values.type.value_type)


def months_of(local_seconds: NDArray[np.int64]) -> NDArray[np.int32]:
    """The month YYYYMM of each local instant."""
    months = local_seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return ((1970 + months // 12) * 100 + months % 12 + 1).astype(np.int32)


def _plain(table: pa.Table) -> pa.Table:
    columns: list[Any] = []
    for column in table.columns:
        is_coded = pa.types.is_dictionary(column.type)
        columns.append(column.cast(column.type.value_type) if is_coded else column)
    return pa.table(columns, names=table.column_names)


def as_table(feed: str, columns: Mapping[str, pa.Array], count: int) -> pa.Table:
    """The columns of ``feed`` in order; those not given are null.

    Raises:
        KeyError: a column the feed does not have.
    """
    schema = clean_schema(feed)
    unknown = set(columns) - set(schema.names)
    if unknown:
        raise KeyError(f"{feed} has no column {sorted(unknown)}")
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.table(arrays, names=schema.names)
