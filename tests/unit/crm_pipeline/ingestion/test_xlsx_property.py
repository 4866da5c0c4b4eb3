"""The cells of a sheet are exactly those openpyxl reads, also of odd and of damaged sheets."""

# ruff: noqa: DTZ001 - workbooks know no time zones

from __future__ import annotations

import datetime as dt
import io
import tracemalloc
import warnings
import zipfile
from functools import cache
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import openpyxl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from openpyxl.xml.constants import SHARED_STRINGS

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion.readers.xlsx import XlsxReader
from crm_pipeline.lib.ingestion.readers.xlsx_book import cell_text, open_book

from .door import feed

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
FORMATS = ["General", "yyyy-mm-dd", "h:mm:ss", "[h]:mm:ss", "0.00", '"day" 0', "yyyy-mm-dd hh:mm"]


def read_plainly(data: bytes) -> list[list[str | None]] | str:
    """All texts of the first sheet by openpyxl alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheet: Any = book.worksheets[0]
            sheet.reset_dimensions()
            rows = [[cell_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    except Exception:  # noqa: BLE001 - the reader refuses whatever is raised
        return "refused"
    return rows


def read_fast(data: bytes) -> list[list[str | None]] | str:
    rows: list[list[str | None]] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, row in open_book(data).worksheets[0].texts():
                rows += [[]] * (number - 1 - len(rows)) + [row]
    except Exception:  # noqa: BLE001
        return "refused"
    return rows


# ------------------------------------------------------------------- workbooks openpyxl writes

moments = st.datetimes(dt.datetime(1900, 3, 1), dt.datetime(2199, 1, 1))
texts = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=12)
written = (
    st.none()
    | texts
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-(10**9), 10**9, places=4)
    | moments
    | moments.map(dt.datetime.date)
    | moments.map(dt.datetime.time)
    | st.timedeltas(dt.timedelta(0), dt.timedelta(days=40))
    | st.sampled_from(["#N/A", "#DIV/0!", "=1+1", "x005F_", "_x000D_", " a ", "1.23457E+18"])
    | st.sampled_from([1.23457e18, 1234567890123456789, 123456789012345, 0.1 + 0.2])
)


@pytest.mark.requirement("ING-3")
@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(written, max_size=6), max_size=5), st.booleans())
def test_what_openpyxl_writes_is_read_as_it_reads_it(rows: list[list[Any]], mac: bool) -> None:
    book = openpyxl.Workbook()
    if mac:
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    for row in rows:
        book.active.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    plain = read_plainly(buffer.getvalue())
    assert plain != "refused"
    assert read_fast(buffer.getvalue()) == plain


# ------------------------------------------------------------------------ sheets as XML

NUMBERS = [
    *("0", "1", "-1", "007", "12.50", "1.23457E+18", "1e3", "1E-7", "123456789012345", "0.1"),
    *("1234567890123456789", "59", "60", "61", "1.5", "45000", "45000.123456", "0.9999999999"),
    *("2958466", "-5", "1_0", "٣", "1e999", "", " 1 ", "1<!-- no -->2", "<![CDATA[7]]>8"),
    *("<q/>9", "1<q/>9"),
]
MOMENTS = ["2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05.123Z", "03:04", "PT1H2M"]
WORDS = ["true", "²", "NaN", "#N/A", "abc", "&lt;x&gt;&amp;", "a&#10;b", " ", "&nobody;"]
VALUES = {
    "n": NUMBERS,
    "b": ["0", "1", "2"],
    "d": MOMENTS,
    "s": ["0", "1", "-1"],
    "e": ["#N/A", "#REF!"],
}
runs = st.sampled_from(
    [
        "<t>a</t>",
        '<t xml:space="preserve"> b </t>',
        "<t/>",
        "<t>x005F_</t>",
        "<r><rPr><b/></rPr><t>run</t></r>",
        "<r><t>one</t></r>",
        '<rPh sb="0" eb="1"><t>sound</t></rPh>',
        "<rPh><t>no place</t></rPh>",
        '<phoneticPr fontId="1"/>',
        '<o:t xmlns:o="other">other</o:t>',
        "<t>a<!-- c -->b</t>",
        "<t>a<q/>b</t>",
        "<unknown/>",
        "<r/>",
        " blank ",
    ]
)
strings = st.lists(runs, max_size=3).map("".join)
KINDS = [None, None, "n", "str", "b", "e", "d", "s", "inlineStr", "inlineStr"]
ODD = ["", "<v/>", "<f>A1</f>", "<q><v>1</v></q>", "<is/>", '<is a="1"><t>x</t></is>']


def attributes(**said: str | None) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in said.items() if value)


@st.composite
def cells(draw: st.DrawFn) -> str:
    """A cell; one of thirty is damaged."""
    is_damaged = draw(st.integers(0, 29)) == 17
    kind = draw(st.sampled_from(KINDS))
    good = VALUES.get(kind or "n", [*NUMBERS, *MOMENTS, *WORDS[:-1]])
    value = draw(st.sampled_from([*NUMBERS, *MOMENTS, *WORDS] if is_damaged else good))
    text = draw(strings if is_damaged else strings.filter(lambda s: "no place" not in s))
    inside = [
        f"<v>{value}</v>",
        f"<f>1+1</f><v>{value}</v>",
        f"<is>{text}</is>",
        f"<is>{text}</is><v>{value}</v><v>5</v>",
        f'<is xml:space="preserve">{text}</is><is><t>second</t></is>',
        *(ODD if is_damaged else ODD[:-1]),
    ]
    places = [None] * 8 + ["A1", "B1", "C2", "AB7", "d4", "XFD1"]
    styles = [None, *map(str, range(len(FORMATS)))]
    said = attributes(
        r=draw(st.sampled_from([*places, "7", "A", "$A$1"] if is_damaged else places)),
        s=draw(st.sampled_from([*styles, "99", "x"] if is_damaged else styles)),
        t=kind,
    )
    return f"<c{said}>{draw(st.sampled_from(inside))}</c>"


@st.composite
def rows_of_xml(draw: st.DrawFn) -> str:
    numbers = [None] * 9 + ["1", "2", "3", "5", "9", "2.0", "0"]
    number = draw(st.sampled_from(numbers * 3 + ["2.5", "x"]))
    found = draw(
        st.lists(
            cells() | cells() | cells() | st.sampled_from(["<c/>", "<extLst/>"]),
            min_size=1,
            max_size=5,
        )
    )
    return f"<row{attributes(r=number)}>{''.join(found)}</row>"


heads = st.sampled_from(
    [
        *[""] * 20,
        '<dimension ref="A1:B2"/>',
        '<dimension ref="nonsense!"/>',
        '<sheetViews><sheetView workbookViewId="0"/></sheetViews>',
        '<cols><col min="1" max="2" width="9"/></cols>',
        '<cols><col min="a"/></cols>',
    ]
)
tails = st.sampled_from(
    [
        *[""] * 30,
        '<mergeCells count="1"><mergeCell ref="A1:B2"/></mergeCells>',
        '<mergeCells><mergeCell ref="?"/></mergeCells>',
        '<pageMargins left="1" right="1" top="1" bottom="1" header="1" footer="1"/>',
        '<pageMargins left="wide"/>',
        '<dimension ref="nonsense!"/>',
        "<unclosed>",
    ]
)
DOCTYPE = '<!DOCTYPE worksheet [<!ENTITY nobody "somebody">]>'
ELSEWHERE = '<!DOCTYPE worksheet SYSTEM "elsewhere.dtd">'


@cache
def around(mac: bool) -> dict[str, bytes]:
    """The parts of a workbook with a style for each format and a table of strings."""
    book = openpyxl.Workbook()
    if mac:
        book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    for place, code in enumerate(FORMATS[1:], 2):
        book.active.cell(1, place, 1).number_format = code
    made = io.BytesIO()
    book.save(made)
    with zipfile.ZipFile(made) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    types = "[Content_Types].xml"  # openpyxl writes texts into the cells, others into a table
    table = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{SHARED_STRINGS}"/>'
    parts[types] = parts[types].replace(b"</Types>", f"{table}</Types>".encode())
    return parts


def package(sheet: str | bytes, shared: list[str], mac: bool = False) -> bytes:
    """A workbook around the XML of its sheet."""
    items = "".join(f"<si>{text}</si>" for text in shared)
    table = f'<sst xmlns="{MAIN}">{items}</sst>'
    changes = {"xl/worksheets/sheet1.xml": sheet, "xl/sharedStrings.xml": table}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        for name, content in {**around(mac), **changes}.items():
            target.writestr(name, content)
    return made.getvalue()


def sheet_of(*rows: str, head: str = "", tail: str = "", before: str = "") -> str:
    data = f"<sheetData>{''.join(rows)}</sheetData>"
    return f'{before}<worksheet xmlns="{MAIN}">{head}{data}{tail}</worksheet>'


@pytest.mark.requirement("ING-3")
@settings(max_examples=300, deadline=None)
@given(
    st.lists(rows_of_xml(), min_size=1, max_size=4),
    st.lists(strings.filter(lambda s: "no place" not in s), min_size=2, max_size=3),
    st.sampled_from([""] * 5 + [DOCTYPE]),
    heads,
    tails,
    st.booleans(),
)
@example(['<row><c s="1"><v>45000.5</v></c></row>'], [], "", "", "", True)
@example(["<row><c><v>&nobody;</v></c></row>"], [], DOCTYPE, "", "", False)
@example(["<row><c><v>&nobody;</v></c></row>"], [], "", "", "", False)
@example(
    ['<row><c t="s"><v>0</v></c></row>'], ["<r><t>a</t></r><r><t>b</t></r>"], "", "", "", False
)
@example(['<row><c t="s"><v>0</v></c></row>'], ["<t>x005F_</t>", "<t/>"], "", "", "", False)
@example(['<row><c r="A1"><v>1</v></c><c r="A"><v>2</v></c></row>'], [], "", "", "", False)
@example(["<row><c><v>007</v></c></row>"], [], "", "", "", False)
@example(['<row><c t="inlineStr"><is><t>a<q/>b</t></is></c></row>'], [], "", "", "", False)
@example(["<row><c><v>1&nobody;</v></c></row>"], [], ELSEWHERE, "", "", False)
def test_any_sheet_is_read_or_refused_as_openpyxl_does(
    rows: list[str], shared: list[str], before: str, head: str, tail: str, mac: bool
) -> None:
    data = package(sheet_of(*rows, head=head, tail=tail, before=before), shared, mac)
    assert read_fast(data) == read_plainly(data)


@pytest.mark.parametrize("kind", ["n", "str", "b", "e", "d", "s", "inlineStr", None])
@pytest.mark.parametrize("style", range(len(FORMATS)))
def test_every_kind_of_cell_in_every_format(kind: str | None, style: int) -> None:
    for value in ["0", "1", "0.25", "59", "60", "45000.75", "1.23457E+18", "2026-01-02", "-1"]:
        cell = f"<c{attributes(s=str(style), t=kind)}><f>1</f><v>{value}</v></c>"
        data = package(sheet_of(f"<row>{cell}</row>"), ["zero", "one"])
        assert read_fast(data) == read_plainly(data)


@pytest.mark.parametrize("encoding", ["utf-16", "gb18030", "latin-1"])
def test_a_sheet_may_stand_in_another_encoding(encoding: str) -> None:
    sheet = sheet_of('<row><c t="str"><v>é</v></c></row>')
    declared = f'<?xml version="1.0" encoding="{encoding}"?>{sheet}'.encode(encoding)
    data = package(declared, [])
    assert read_fast(data) == read_plainly(data)


# ------------------------------------------------------------------------------- the reader

SPEC = feed({"format": {"kind": "xlsx"}})
HEAD = "".join(f'<c t="str"><v>{n}</v></c>' for n in ["No", "Buyer", "At", "Amount", "Remark"])


def test_a_title_is_counted_by_lines_of_the_sheet() -> None:
    spec = feed({"format": {"kind": "xlsx", "title_rows": 3}})
    title, head = '<row r="2"><c t="str"><v>June</v></c></row>', f'<row r="4">{HEAD}</row>'
    record = f'<row r="9999999"><c t="str"><v>{escape("A1")}</v></c></row>'
    reader = XlsxReader(spec, package(sheet_of(title, head, record), []))
    assert list(reader.names) == ["No", "Buyer", "At", "Amount", "Remark"]
    (batch,) = reader.batches()
    assert batch.cells["record_number"].to_pylist() == [1]
    assert batch.cells["s0"].to_pylist() == ["A1"]


def test_a_sheet_damaged_at_its_end_is_refused() -> None:
    sheet = sheet_of(f"<row>{HEAD}</row>", *["<row><c><v>1</v></c></row>"] * 20_000)
    reader = XlsxReader(SPEC, package(sheet[:-20], []))
    with pytest.raises(LandingError, match="no readable workbook"):
        list(reader.batches())


def test_a_damaged_sheet_nobody_reads_refuses_the_workbook() -> None:
    book = openpyxl.Workbook()
    book.active.append(["No", "Buyer", "At", "Amount", "Remark"])
    book.create_sheet("other")
    made, damaged = io.BytesIO(), io.BytesIO()
    book.save(made)
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            content = b"<worksheet><broken" if name.endswith("sheet2.xml") else source.read(name)
            target.writestr(name, content)
    assert "No" in XlsxReader(SPEC, made.getvalue()).names
    with pytest.raises(LandingError, match="no readable workbook"):
        XlsxReader(SPEC, damaged.getvalue())


def test_memory_does_not_grow_with_the_sheet() -> None:
    row = "<row>" + '<c t="inlineStr"><is><t>text of a cell</t></is></c>' * 20 + "</row>"
    data = package(sheet_of(*[row] * 5_000), [])
    book = open_book(data)
    tracemalloc.start()
    count = sum(1 for _ in book.worksheets[0].texts())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 2_000_000  # the XML of the sheet alone is 5 MB
