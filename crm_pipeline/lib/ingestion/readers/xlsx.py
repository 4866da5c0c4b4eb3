"""Excel workbooks: values only.

Add here: what a workbook may be, and which of its rows are records.
Not here: the XML inside and the text of a cell (``xlsx_book``); conversion of text.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

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

Row = list[str | None]


class XlsxReader:
    """One sheet of a workbook."""

    def __init__(self, spec: FeedSpec, data: bytes) -> None:
        check_package(data)
        self._rows = _sheet_rows(spec, data)
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
        rows: list[Row] = []
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


def _batch(width: int, rows: list[Row], numbers: list[int], rejects: list[Reject]) -> Batch:
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


def _sheet_rows(spec: FeedSpec, data: bytes) -> Iterator[Row]:
    """The rows of the wanted sheet below its title."""
    from crm_pipeline.lib.ingestion.readers import xlsx_book  # openpyxl is slow to import

    try:
        book = xlsx_book.open_book(data)
        sheets = {s.title: s for s in book.worksheets}
        visible = [s for s in book.worksheets if s.sheet_state == "visible"]
        wanted = spec.format.sheet
        sheet = sheets.get(wanted) if wanted else (visible or book.worksheets)[0]
        for other in book.worksheets:
            if other is not sheet:
                other.check()
    except Exception as error:
        raise _unreadable() from error
    if sheet is None:
        raise LandingError(
            f"there is no sheet {wanted!r}",
            reason_code="header",
            remedy=f"sheets here: {', '.join(sheets)}",
        )
    return _below_title(sheet.texts(), spec.format.title_rows)


def _below_title(rows: Iterator[tuple[int, Row]], title_rows: int) -> Iterator[Row]:
    try:
        for number, row in rows:
            if number > title_rows:
                yield row
    except Exception as error:
        raise _unreadable() from error


def _unreadable() -> LandingError:
    return LandingError(
        "this is no readable workbook",
        reason_code="unreadable",
        remedy="open and save it again, or deliver CSV",
    )
