"""From cells to the bytes of a file.

Add here: a file format.
Not here: which cells a channel writes (``channels/``), which of them are wrong (``damage``).

Text formats put a record together as one line in SQL; a line goes to the file as it stands. The
same query makes the lines of the few records that were changed, so there is one way to write.
"""

from __future__ import annotations

import codecs
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

from simulation.delivery.feed_writer import Csv, FeedWriter, Field, Jsonl, Parquet, Xlsx
from simulation.delivery.sql import literal

GROUP_ROWS = 100_000
FIXED_DATE = (2020, 1, 1, 0, 0, 0)


class Sink(Protocol):
    """An open file that takes lines (text formats) or rows (Parquet)."""

    def add(self, rows: pa.Table) -> None:
        """Adds rows: their column ``line``, or all columns but ``rn``."""

    def close(self) -> None:
        """Finishes the file."""


def open_sink(writer: FeedWriter, path: Path, schema: pa.Schema) -> Sink:
    """A new file at ``path`` with everything that stands above its first record."""
    kind = writer.format
    if isinstance(kind, Parquet):
        return ParquetSink(path, schema)
    if isinstance(kind, Xlsx):
        return XlsxSink(path, writer.fields, kind)
    return TextSink(path, *_head(writer))


def _head(writer: FeedWriter) -> tuple[str, bytes, str]:
    """Encoding, mark and first lines of a text file."""
    kind = writer.format
    if isinstance(kind, Jsonl):
        return "utf-8", b"", ""
    assert isinstance(kind, Csv)
    head = "" if kind.title is None else kind.title + kind.newline
    head += kind.delimiter.join(field.header for field in writer.fields) + kind.newline
    if kind.encoding == "utf-16":
        return "utf-16-le", codecs.BOM_UTF16_LE, head
    return kind.encoding, codecs.BOM_UTF8 if kind.bom else b"", head


class TextSink:
    """Lines in any encoding."""

    def __init__(self, path: Path, encoding: str, mark: bytes, head: str) -> None:
        self._encoding = encoding
        self._file: IO[bytes] = path.open("wb")
        self._file.write(mark)
        self._file.write(head.encode(encoding))

    def add(self, rows: pa.Table) -> None:
        for data in line_bytes(rows["line"]):
            if self._encoding == "utf-8":
                self._file.write(data)
            else:
                self._file.write(str(data, "utf-8").encode(self._encoding))

    def close(self) -> None:
        self._file.close()


def line_bytes(lines: pa.ChunkedArray) -> Iterator[memoryview]:
    """The texts of a column one after the other, without a copy."""
    for chunk in lines.chunks:
        if len(chunk) == 0:
            continue
        _, offsets, data = chunk.buffers()
        places = memoryview(offsets).cast("i")
        start, end = places[chunk.offset], places[chunk.offset + len(chunk)]
        if end > start:
            yield memoryview(data)[start:end]


class ParquetSink:
    """Typed rows, in groups of one size however they come."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="snappy", store_schema=False)
        self._waiting: list[pa.Table] = []
        self._count = 0

    def add(self, rows: pa.Table) -> None:
        self._waiting.append(rows.drop_columns(["rn"]))
        self._count += rows.num_rows
        while self._count >= GROUP_ROWS:
            whole = pa.concat_tables(self._waiting)
            self._write(whole.slice(0, GROUP_ROWS))
            self._waiting = [whole.slice(GROUP_ROWS)]
            self._count -= GROUP_ROWS

    def _write(self, rows: pa.Table) -> None:
        self._writer.write_table(rows.combine_chunks(), row_group_size=GROUP_ROWS)

    def close(self) -> None:
        if self._count:
            self._write(pa.concat_tables(self._waiting))
        self._writer.close()


class XlsxSink:
    """A workbook with one sheet, written as a stream; nothing in it depends on the clock."""

    def __init__(self, path: Path, fields: Sequence[Field], kind: Xlsx) -> None:
        self._package = zipfile.ZipFile(path, "w")
        for name, content in _parts(kind.sheet).items():
            self._package.writestr(_entry(name), content)
        self._sheet = self._package.open(_entry("xl/worksheets/sheet1.xml"), "w")
        self._sheet.write(_SHEET_HEAD.encode())
        rows = [[kind.title]] if kind.title is not None else []
        rows.append([field.header for field in fields])
        for row in rows:
            cells = "".join(_TEXT_CELL.format(escape(cell)) for cell in row)
            self._sheet.write(f"<row>{cells}</row>".encode())

    def add(self, rows: pa.Table) -> None:
        for data in line_bytes(rows["line"]):
            self._sheet.write(data)

    def close(self) -> None:
        self._sheet.write(_SHEET_TAIL.encode())
        self._sheet.close()
        self._package.close()


_TEXT_CELL = '<c t="inlineStr"><is><t xml:space="preserve">{}</t></is></c>'
_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OFFICE = "http://schemas.openxmlformats.org"
_MAIN = f"{_OFFICE}/spreadsheetml/2006/main"
_SHEET_HEAD = f'{_XML}<worksheet xmlns="{_MAIN}"><sheetData>'
_SHEET_TAIL = "</sheetData></worksheet>"


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry._compresslevel = 3  # type: ignore[attr-defined]
    return entry


def _parts(sheet: str) -> dict[str, str]:
    relations = f'{_XML}<Relationships xmlns="{_OFFICE}/package/2006/relationships">'
    documents = f"{_OFFICE}/officeDocument/2006/relationships"
    office = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    package = "application/vnd.openxmlformats-package"
    made = "2020-01-01T00:00:00Z"
    return {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_OFFICE}/package/2006/content-types">'
        f'<Default Extension="rels" ContentType="{package}.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/docProps/core.xml" ContentType="{package}.core-properties+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{office}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{office}.worksheet+xml"/>'
        "</Types>",
        "_rels/.rels": f'{relations}<Relationship Id="rId1" Type="{documents}/officeDocument" '
        'Target="xl/workbook.xml"/><Relationship Id="rId2" '
        f'Type="{_OFFICE}/package/2006/relationships/metadata/core-properties" '
        'Target="docProps/core.xml"/></Relationships>',
        "docProps/core.xml": f"{_XML}<cp:coreProperties "
        f'xmlns:cp="{_OFFICE}/package/2006/metadata/core-properties" '
        'xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{made}</dcterms:created>'
        f'<dcterms:modified xsi:type="dcterms:W3CDTF">{made}</dcterms:modified>'
        "</cp:coreProperties>",
        "xl/workbook.xml": f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{documents}"><sheets>'
        f'<sheet name="{escape(sheet)}" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{relations}<Relationship Id="rId1" '
        f'Type="{documents}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
    }


# -------------------------------------------------------------------------------- lines in SQL


def line_sql(writer: FeedWriter) -> str:
    """SQL of a record's line over its cells ``c0`` … ``cn``."""
    kind = writer.format
    if isinstance(kind, Jsonl) and kind.leaves_out:
        return f"concat({_sparse_object(writer.fields)}, chr(10))"
    if isinstance(kind, Jsonl):
        return f"concat({json_object(writer.fields)}, chr(10))"
    if isinstance(kind, Xlsx):
        cells = ", ".join(_xlsx_cell(field, f"c{n}") for n, field in enumerate(writer.fields))
        return f"concat('<row>', {cells}, '</row>')"
    assert isinstance(kind, Csv)
    between = f", {literal(kind.delimiter)}, "
    cells = between.join(
        _csv_cell(field, f"c{n}", kind.delimiter) for n, field in enumerate(writer.fields)
    )
    end = ", ".join(f"chr({ord(character)})" for character in kind.newline)
    return f"concat({cells}, {end})"


def _csv_cell(field: Field, cell: str, delimiter: str) -> str:
    if field.kind != "free":
        return cell
    risky = " or ".join(
        f"contains({cell}, {sign})" for sign in (literal(delimiter), "'\"'", "chr(10)", "chr(13)")
    )
    quoted = f"""'"' || replace({cell}, '"', '""') || '"'"""
    return f"case when {risky} then {quoted} else {cell} end"


def _xlsx_cell(field: Field, cell: str) -> str:
    if field.kind == "number":
        filled = f"'<c><v>' || {cell} || '</v></c>'"
    else:
        shown = cell
        if field.kind == "free":
            shown = f"replace(replace(replace({cell}, '&', '&amp;'), '<', '&lt;'), '>', '&gt;')"
        before, after = (literal(part) for part in _TEXT_CELL.split("{}"))
        filled = f"{before} || {shown} || {after}"
    return f"coalesce({filled}, '<c/>')"


def json_object(fields: Sequence[Field], cell: str = "c") -> str:
    """SQL of a JSON object; headers with dots stand in objects of their own."""
    return ", ".join(_json_pieces(_tree(fields, cell)))


def _tree(fields: Sequence[Field], cell: str) -> dict[str, object]:
    """The fields by the objects they stand in."""
    tree: dict[str, object] = {}
    for n, field in enumerate(fields):
        *folders, name = field.header.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})  # type: ignore[assignment]
        place[name] = (field, f"{cell}{n}")
    return tree


def _sparse_object(fields: Sequence[Field]) -> str:
    """SQL of a JSON object without the keys that have no value: ``concat_ws`` leaves out nulls."""
    return _sparse_pieces(_tree(fields, "c"))


def _sparse_pieces(tree: dict[str, object]) -> str:
    pieces = []
    for name, inner in tree.items():
        key = literal(f'"{name}": ')
        if isinstance(inner, dict):
            pieces.append(f"{key} || {_sparse_pieces(inner)}")
        else:
            pieces.append(f"{key} || {_filled_cell(*inner)}")  # type: ignore[misc]
    return f"'{{' || concat_ws(', ', {', '.join(pieces)}) || '}}'"


def _json_pieces(tree: dict[str, object]) -> list[str]:
    pieces: list[str] = []
    for number, (name, inner) in enumerate(tree.items()):
        pieces.append(literal(f'{", " if number else "{"}"{name}": '))
        if isinstance(inner, dict):
            pieces += _json_pieces(inner)
        else:
            pieces.append(_json_cell(*inner))  # type: ignore[misc]
    return [*pieces, literal("}")]


def _json_cell(field: Field, cell: str) -> str:
    return f"coalesce({_filled_cell(field, cell)}, 'null')"


def _filled_cell(field: Field, cell: str) -> str:
    """SQL of a JSON value; null where there is none."""
    if field.kind in ("number", "raw"):
        return cell
    if field.kind == "text":
        return f"""'"' || {cell} || '"'"""
    return f"cast(to_json({cell}) as varchar)"
