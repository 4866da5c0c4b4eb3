"""Parquet, by type contract.

Add here: which Parquet types may carry which kind of column.
Not here: conversion of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.feed_spec import ColumnMapping, FeedSpec
from crm_pipeline.lib.ingestion.readers.batch import Batch, Notes, cells_table
from crm_pipeline.lib.ingestion.readers.header import match_header

ROWS = 65_536
_UNREADABLE = (pa.ArrowException, OSError, ValueError)


class ParquetReader:
    """One Parquet file. Only the wanted columns are read; every value goes on as text."""

    def __init__(self, spec: FeedSpec, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path)
            schema = self._file.schema_arrow
        except _UNREADABLE as error:
            raise _unreadable() from error
        header = match_header(spec, schema.names)
        self._check_types(spec, header.positions, schema)
        self.names = [header.names[place] for place in header.positions.values()]
        self.positions = {source: n for n, source in enumerate(header.positions)}
        self.notes = Notes(list(header.warnings))

    def batches(self) -> Iterator[Batch]:
        """All records in the order of the file."""
        first = 1
        try:
            for batch in self._file.iter_batches(batch_size=ROWS, columns=self.names):
                columns = [_as_text(batch.column(name)) for name in self.names]
                cells = cells_table(len(self.names), first, columns)
                first += batch.num_rows
                yield Batch(cells)
        except _UNREADABLE as error:
            raise _unreadable() from error

    def _check_types(self, spec: FeedSpec, positions: dict[str, int], schema: pa.Schema) -> None:
        wrong = []
        for column in spec.contract.columns:
            mapping = spec.columns.get(column.name)
            if mapping is None or mapping.source is None or mapping.source not in positions:
                continue
            found = schema.field(positions[mapping.source]).type
            if not _fits(column, mapping, found):
                wrong.append(f"{mapping.source} is {found}, {_WANTED[_group(column)]}")
        nested = [field.name for field in schema if pa.types.is_nested(field.type)]
        wanted = {schema.names[place] for place in positions.values()}
        wrong += [f"{name} is a list or struct" for name in nested if name in wanted]
        if wrong:
            raise LandingError(
                f"columns of the wrong type: {'; '.join(dict.fromkeys(wrong))}",
                reason_code="type_contract",
                remedy="export with these types, or declare allow: [float] or [naive] on purpose",
            )


def _unreadable() -> LandingError:
    return LandingError(
        "this is no readable Parquet file",
        reason_code="unreadable",
        remedy="deliver it again; it may have been cut off on the way",
    )


_WANTED = {
    "text": "text is wanted",
    "number": "decimal, integer or text is wanted",
    "time": "a timestamp with zone, or text with a declared format, is wanted",
    "boolean": "boolean is wanted",
}


def _group(column: Column) -> str:
    if column.kind in entities.NUMBERS:
        return "number"
    if column.kind in ("timestamp", "date"):
        return "time"
    return "boolean" if column.kind == "boolean" else "text"


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view()


def _fits(column: Column, mapping: ColumnMapping, found: pa.DataType) -> bool:
    if _is_text(found) or pa.types.is_null(found):
        return True
    fits: dict[str, Callable[[pa.DataType], bool]] = {
        "text": pa.types.is_integer,
        "number": lambda kind: (
            pa.types.is_decimal(kind)
            or pa.types.is_integer(kind)
            or (pa.types.is_floating(kind) and "float" in mapping.allow)
        ),
        "time": lambda kind: _is_time(column, mapping, kind),
        "boolean": pa.types.is_boolean,
    }
    return fits[_group(column)](found)


def _is_time(column: Column, mapping: ColumnMapping, found: pa.DataType) -> bool:
    if column.kind == "date":
        return bool(pa.types.is_date(found))
    if pa.types.is_timestamp(found):
        return found.tz is not None or "naive" in mapping.allow
    return bool(pa.types.is_integer(found) and mapping.epoch)


def _as_text(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = pc.cast(column, pa.timestamp("us", "UTC"), safe=False)
    elif pa.types.is_timestamp(kind):
        column = pc.cast(column, pa.timestamp("us"), safe=False)
    elif pa.types.is_date64(kind):
        column = pc.cast(column, pa.date32())
    elif pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    return pc.cast(column, pa.string())
