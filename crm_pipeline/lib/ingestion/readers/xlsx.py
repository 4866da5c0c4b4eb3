"""Excel workbooks: values only.

Add here: what may stand in a workbook, and the text of a cell.
Not here: conversion of text.
"""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.readers.batch import Batch, Notes, Reject, cells_table, shorten
from crm_pipeline.lib.ingestion.readers.header import match_header

FILE_LIMIT = 200 * 1024 * 1024
UNPACKED_LIMIT = 1024 * 1024 * 1024
RATIO_LIMIT = 200  # sheets of repeated text pack 50:1; bombs 1000:1
SMALL = 10 * 1024 * 1024  # below this the ratio proves nothing
ROWS = 20_000
EXACT_DIGITS = 15  # what a spreadsheet keeps of a number


class XlsxReader:
    """One sheet of a workbook."""

    def __init__(self, spec: FeedSpec, data: bytes) -> None:
        check_package(data)
        self._rows = _sheet_rows(spec, data)
        for _ in range(spec.format.title_rows):
            next(self._rows, None)
        first = next((row for row in self._rows if any(row)), [])
        while first and first[-1] is None:
            first = first[:-1]
        header = match_header(spec, [cell or "" for cell in first])
        self.names = header.names
        self.positions = header.positions
        self.notes = Notes(list(header.warnings))

    def batches(self) -> Iterator[Batch]:
        """All records in the order of the sheet; rows without any value do not exist in it."""
        width, number = len(self.names), 0
        rows: list[list[str | None]] = []
        numbers: list[int] = []
        rejects: list[Reject] = []
        for row in self._rows:
            if not any(cell is not None for cell in row):
                continue
            number += 1
            if any(cell is not None for cell in row[width:]):
                text = "\t".join(cell or "" for cell in row)
                rejects.append(Reject(number, "columns", shorten(text)))
            else:
                rows.append((row + [None] * width)[:width])
                numbers.append(number)
            if len(rows) + len(rejects) >= ROWS:
                yield _batch(width, rows, numbers, rejects)
                rows, numbers, rejects = [], [], []
        if rows or rejects:
            yield _batch(width, rows, numbers, rejects)


def _batch(
    width: int, rows: list[list[str | None]], numbers: list[int], rejects: list[Reject]
) -> Batch:
    by_column = list(zip(*rows, strict=True)) if rows else [()] * width
    columns = [pa.array(column, pa.string()) for column in by_column]
    return Batch(cells_table(width, 0, columns, pa.array(numbers, pa.int64())), rejects)


def check_package(data: bytes) -> None:
    """Looks at the package's table of contents before anything is unpacked.

    Raises:
        LandingError: locked, with macros, damaged, hostile entry names, or a bomb.
    """
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise LandingError(
            "the workbook is locked by a password, or of the old .xls kind",
            reason_code="encrypted",
            remedy="save it as .xlsx without a password",
        )
    try:
        entries = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise _unreadable() from error
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(1, sum(entry.compress_size for entry in entries))
    if unpacked > UNPACKED_LIMIT or (unpacked > SMALL and unpacked / packed > RATIO_LIMIT):
        raise LandingError(
            f"the workbook would unpack to {unpacked} bytes",
            reason_code="archive_limits",
            remedy="deliver it as CSV",
        )
    for entry in entries:
        if entry.filename.startswith(("/", "\\")) or ".." in entry.filename.split("/"):
            raise LandingError(
                "the workbook holds paths that lead out of it",
                reason_code="archive_limits",
                remedy="ask the source for a clean file",
            )
        if entry.filename.lower().endswith("vbaproject.bin"):
            raise LandingError(
                "the workbook holds macros", reason_code="macros", remedy="save it as .xlsx"
            )


def _sheet_rows(spec: FeedSpec, data: bytes) -> Iterator[list[str | None]]:
    import openpyxl  # slow to import, and few feeds need it

    try:
        book = openpyxl.load_workbook(
            io.BytesIO(data), read_only=True, data_only=True, keep_links=False
        )
        sheets = {s.title: s for s in book.worksheets}
        visible = [s for s in book.worksheets if s.sheet_state == "visible"]
    except Exception as error:
        raise _unreadable() from error
    if spec.format.sheet and spec.format.sheet not in sheets:
        raise LandingError(
            f"there is no sheet {spec.format.sheet!r}",
            reason_code="header",
            remedy=f"sheets here: {', '.join(sheets)}",
        )
    sheet = sheets[spec.format.sheet] if spec.format.sheet else (visible or book.worksheets)[0]
    sheet.reset_dimensions()  # what the file says of its size is often wrong
    return _texts(sheet)


def _texts(sheet: Any) -> Iterator[list[str | None]]:
    try:
        for row in sheet.iter_rows(values_only=True):
            yield [cell_text(value) for value in row]
    except Exception as error:
        raise _unreadable() from error


def cell_text(value: Any) -> str | None:
    """The text of a cell's value.

    A number longer than a spreadsheet keeps shows that it is rounded.
    """
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if isinstance(value, int) and len(str(abs(value))) <= EXACT_DIGITS:
            return str(value)
        text = format(float(value), f".{EXACT_DIGITS}g")
        is_rounded = abs(float(value)) >= 10**EXACT_DIGITS
        return format(float(value), ".5E") if is_rounded else text
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _unreadable() -> LandingError:
    return LandingError(
        "this is no readable workbook",
        reason_code="unreadable",
        remedy="open and save it again, or deliver CSV",
    )
