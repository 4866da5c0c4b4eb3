"""The inside of a workbook: its sheets, and the texts of a sheet's cells.

Add here: what the XML of a workbook says.
Not here: which sheet is wanted, limits of a package (``xlsx``); conversion of text.

openpyxl opens the workbook: sheets, shared strings, date formats. The cells it reads one object
each, and most time goes into those; here they come from the XML parser straight into lists, and
whatever is not a plain cell is handed to openpyxl's own classes. Both give the same texts.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Sequence
from typing import IO, Any
from xml.etree import ElementTree
from xml.parsers import expat

from openpyxl.cell.text import Text
from openpyxl.packaging.relationship import get_dependents, get_rels_path
from openpyxl.reader.excel import ExcelReader
from openpyxl.utils import column_index_from_string
from openpyxl.utils.datetime import from_excel, from_ISO8601
from openpyxl.worksheet._read_only import ReadOnlyWorksheet
from openpyxl.worksheet._reader import WorkSheetParser
from openpyxl.worksheet.dimensions import SheetDimension
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS

EXACT_DIGITS = 15  # what a spreadsheet keeps of a number
PIECE = 64 * 1024
DIGITS = "0123456789"

# Names as the parser writes them: namespace, brace, name.
MAIN = f"{SHEET_MAIN_NS}}}"
SHEET_DATA, DIMENSION = f"{MAIN}sheetData", f"{MAIN}dimension"
ROW, VALUE, INLINE, TEXT = f"{MAIN}row", f"{MAIN}v", f"{MAIN}is", f"{MAIN}t"
PART_LEVEL, ROW_LEVEL, CELL_LEVEL, VALUE_LEVEL, TEXT_LEVEL = 2, 3, 4, 5, 6

Row = list[str | None]


def open_book(data: bytes) -> Any:
    """The workbook: values only, no links to others."""
    reader = _BookReader(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
    reader.read()
    return reader.wb


class Sheet(ReadOnlyWorksheet):
    """A sheet that is not run through for its size when the workbook is opened."""

    def _get_size(self) -> None:
        """Leaves the size open: what the file says of it is often wrong."""

    def check(self) -> None:
        """Runs through the sheet as far as its size needs; for sheets nobody reads."""
        super()._get_size()

    def texts(self) -> Iterator[tuple[int, Row]]:
        """Rows in the order of the sheet, each with its number; rows left out are left out."""
        with self._get_source() as source:
            yield from _SheetParser(self._shared_strings, self.parent).rows(source)


class _BookReader(ExcelReader):
    """openpyxl's reader of workbooks, spared what costs most and serves nobody here."""

    def read_strings(self) -> None:
        part = self.package.find(SHARED_STRINGS)
        if part is not None:
            with self.archive.open(part.PartName[1:]) as source:
                self.shared_strings = _shared_strings(source)

    def read_worksheets(self) -> None:
        for sheet, relation in self.parser.find_sheets():
            if relation.target not in self.valid_files:
                continue
            if "chartsheet" in relation.Type:
                self.read_chartsheet(sheet, relation)
                continue
            relations = get_rels_path(relation.target)
            if relations in self.valid_files:
                get_dependents(self.archive, relations)  # refuses damaged ones
            found = Sheet(self.wb, sheet.name, relation.target, self.shared_strings)
            found.sheet_state = sheet.state
            self.wb._sheets.append(found)


def _shared_strings(source: IO[bytes]) -> list[str]:
    strings: list[str] = []
    item, plain = f"{{{MAIN}si", f"{{{TEXT}"
    for _, node in ElementTree.iterparse(source):
        if node.tag != item:
            continue
        if len(node) == 1 and node[0].tag == plain and not node.attrib:
            text = node[0].text or ""
        else:
            text = Text.from_tree(node).content
        strings.append(text.replace("x005F_", ""))
        node.clear()
    return strings


class _SheetParser:
    """Follows the XML of one sheet and collects its rows.

    What it does with odd cells is what openpyxl does: the last cell of a row says how wide the
    row is, rows that go backwards are left out, a cell without a place stands after the last one.
    """

    def __init__(self, strings: Sequence[str], book: Any) -> None:
        self._strings = strings
        self._epoch = book.epoch
        self._dates = book._date_formats
        self._durations = book._timedelta_formats
        self._columns: dict[str, int] = {}
        self._done: list[tuple[int, Row]] = []
        self._next_row = 1
        self._level = 0
        self._texts: list[str] = []
        # the row and the cell that are open
        self._in_row = False
        self._number = 0
        self._row: Row = []
        self._column = 0
        self._cell: dict[str, str] = {}
        self._value: str | None = None
        self._inline: str | None = None
        self._has_value = self._in_value = False
        self._has_inline = self._in_inline = self._has_text = self._in_text = False
        # an element that is built whole, for openpyxl
        self._tree: ElementTree.TreeBuilder | None = None
        self._tree_level = 0
        self._before_data = True
        self._parser = parser = expat.ParserCreate(namespace_separator="}")
        parser.buffer_text = True
        parser.buffer_size = PIECE
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._texts.append
        parser.SkippedEntityHandler = _refuse_entity

    def rows(self, source: IO[bytes]) -> Iterator[tuple[int, Row]]:
        """All rows; holds one piece of the XML at a time."""
        while piece := source.read(PIECE):
            self._parser.Parse(piece, False)
            yield from self._done
            self._done.clear()
        self._parser.Parse(b"", True)
        yield from self._done

    # ------------------------------------------------------------------------- events

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        level = self._level = self._level + 1
        if self._tree is not None:
            self._tree.start(_tag(name), {_tag(k): v for k, v in attributes.items()})
        elif level == CELL_LEVEL:
            self._cell = attributes
            self._value = self._inline = None
            self._has_value = self._has_inline = False
        elif level == VALUE_LEVEL:
            if not self._in_row:
                return
            if name == VALUE and not self._has_value:
                self._has_value = self._in_value = True
                self._texts.clear()
            elif name == INLINE and not self._has_inline and self._cell.get("t") == "inlineStr":
                self._has_inline = self._in_inline = True
                self._has_text = False
                if attributes:
                    self._build(name, attributes, level)
        elif level == TEXT_LEVEL:
            if self._in_inline:
                if name == TEXT and not self._has_text:
                    self._has_text = self._in_text = True
                    self._texts.clear()
                else:
                    self._build_inline(name, attributes)
            elif self._in_value:  # the text of a value ends where an element begins
                self._value = "".join(self._texts)
                self._in_value = False
        elif level == ROW_LEVEL:
            self._in_row = name == ROW
            if self._in_row:
                self._open_row(attributes.get("r"))
        elif level == PART_LEVEL:
            if name == SHEET_DATA:
                self._before_data = False
            elif name.startswith(MAIN):
                self._build(name, attributes, level)
        elif self._in_text:
            self._build_inline(name, attributes)

    def _end(self, name: str) -> None:
        level = self._level
        self._level = level - 1
        if self._tree is not None:
            self._tree.end(_tag(name))
            if level == self._tree_level:
                self._take_tree(name)
        elif level == CELL_LEVEL:
            if self._in_row:
                self._close_cell()
        elif level == VALUE_LEVEL:
            if self._in_value:
                self._value = "".join(self._texts)
                self._in_value = False
            self._in_inline = False
        elif level == TEXT_LEVEL:
            if self._in_text:
                self._inline = "".join(self._texts)
                self._in_text = False
        elif level == ROW_LEVEL:
            self._texts.clear()
            if self._in_row:
                self._close_row()

    def _build(self, name: str, attributes: dict[str, str], level: int) -> None:
        self._tree = ElementTree.TreeBuilder()
        self._tree_level = level
        self._tree.start(_tag(name), {_tag(k): v for k, v in attributes.items()})
        self._parser.CharacterDataHandler = self._tree.data

    def _build_inline(self, name: str, attributes: dict[str, str]) -> None:
        """An inline text has more than one plain part: all of it goes into a tree."""
        self._build(INLINE, {}, VALUE_LEVEL)
        assert self._tree is not None
        if self._has_text:
            self._tree.start(_tag(TEXT), {})
            self._tree.data("".join(self._texts) if self._in_text else self._inline or "")
            if not self._in_text:
                self._tree.end(_tag(TEXT))
        self._in_text = False
        self._tree.start(_tag(name), {_tag(k): v for k, v in attributes.items()})

    def _take_tree(self, name: str) -> None:
        assert self._tree is not None
        element = self._tree.close()
        self._tree = None
        self._parser.CharacterDataHandler = self._texts.append
        if self._tree_level == VALUE_LEVEL:
            self._inline = Text.from_tree(element).content
            self._in_inline = False
        elif name == DIMENSION:
            if self._before_data:
                _ = SheetDimension.from_tree(element).boundaries  # raises when it makes no sense
        else:
            part = b"<part>" + ElementTree.tostring(element) + b"</part>"
            for _ in WorkSheetParser(io.BytesIO(part), [], data_only=True).parse():
                pass

    # -------------------------------------------------------------------- rows and cells

    def _open_row(self, number: str | None) -> None:
        if number is None:
            self._number += 1
        else:
            try:
                self._number = int(number)
            except ValueError:
                as_float = float(number)
                if not as_float.is_integer():
                    raise
                self._number = int(as_float)
        self._row = []
        self._column = 0

    def _close_row(self) -> None:
        if self._number >= self._next_row:
            self._next_row = self._number + 1
            del self._row[self._column :]
            self._done.append((self._number, self._row))

    def _close_cell(self) -> None:
        cell, row = self._cell, self._row
        place = cell.get("r")
        if place:
            letters = place.rstrip(DIGITS)
            if letters == place:
                raise ValueError("a cell's place without a row")
            column = self._columns.get(letters) or self._place(letters)
        else:
            column = self._column + 1
        self._column = column
        width = len(row)
        text = self._cell_text(cell)
        if column == width + 1:
            row.append(text)
        elif column <= width:
            row[column - 1] = text
        else:
            row.extend([None] * (column - width - 1))
            row.append(text)

    def _place(self, letters: str) -> int:
        column = self._columns[letters] = int(column_index_from_string(letters))
        return column

    def _cell_text(self, cell: dict[str, str]) -> str | None:
        style: int | str = cell.get("s", 0)
        if style:
            style = int(style)
        kind, value = cell.get("t", "n"), self._value
        if kind == "inlineStr":
            return self._inline or None
        if not value:
            return None
        if kind == "n":
            if style in self._dates:
                return self._moment(value, style)
            if value.isdigit() and value.isascii() and value[0] != "0" and len(value) <= 15:
                return value
            return cell_text(_number(value))
        if kind == "s":
            return self._strings[int(value)] or None
        if kind == "b":
            return cell_text(bool(int(value)))
        return cell_text(from_ISO8601(value)) if kind == "d" else value

    def _moment(self, value: str, style: int | str) -> str | None:
        serial = _number(value)
        try:
            moment = from_excel(serial, self._epoch, timedelta=style in self._durations)
        except (OverflowError, ValueError):
            return "#VALUE!"
        return cell_text(moment)


def _number(value: str) -> int | float:
    return float(value) if "." in value or "E" in value or "e" in value else int(value)


def _tag(name: str) -> str:
    """A name as trees write it."""
    return "{" + name if "}" in name else name


def _refuse_entity(name: str, is_parameter: bool) -> None:
    raise ValueError("an entity nobody defined")


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
