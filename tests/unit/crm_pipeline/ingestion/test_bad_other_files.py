"""JSON lines, Parquet, workbooks and archives: every bad file has one right outcome."""

# ruff: noqa: DTZ001 - parts hold naive UTC

from __future__ import annotations

import datetime as dt
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .door import GOOD, Door, csv

MakeDoor = Callable[..., Door]
JSONL = {"format": {"kind": "jsonl"}}
XLSX = {"format": {"kind": "xlsx"}}
PARQUET = {"format": {"kind": "parquet"}, "columns": {"ordered_at": "At"}}

RECORD = {"No": "A1", "Buyer": "c1", "At": "2026-01-02 10:00:00", "Amount": 12.5, "Remark": "card"}


def line(**changes: Any) -> str:
    return json.dumps({**RECORD, **changes}) + "\n"


def workbook(*rows: list[Any], change: Callable[[Any], None] | None = None) -> bytes:
    book = openpyxl.Workbook()
    for row in (["No", "Buyer", "At", "Amount", "Remark"], *rows):
        book.active.append(row)
    if change:
        change(book)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


ROW: list[Any] = ["A1", "c1", dt.datetime(2026, 1, 2, 10), 12.5, "card"]


def parquet(path: Path, **changes: pa.Array) -> bytes:
    columns = {
        "No": pa.array(["A1"]),
        "Buyer": pa.array(["c1"]),
        "At": pa.array([dt.datetime(2026, 1, 2, 2)], pa.timestamp("us", "UTC")),
        "Amount": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
        "Remark": pa.array(["card"]),
    }
    pq.write_table(pa.table({**columns, **changes}), path)
    return path.read_bytes()


# ------------------------------------------------------------------------------ archives


@pytest.mark.bad_input("B31")
@pytest.mark.bad_input("B32")
@pytest.mark.parametrize("kind", ["zip", "gzip", "traversal"])
def test_b31_b32_archives_are_refused_and_never_unpacked(door: Door, kind: str) -> None:
    if kind == "gzip":
        data = gzip.compress(csv(GOOD))
    else:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            name = "../../evil.csv" if kind == "traversal" else "orders.csv"
            archive.writestr(name, csv(GOOD))
        data = buffer.getvalue()
    assert door.take(data).reason_code == "archive"
    assert not list(door.home.root.parent.rglob("evil*"))


@pytest.mark.bad_input("B31")
def test_b31_a_workbook_that_is_a_bomb_is_refused_before_unpacking(make_door: MakeDoor) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 60_000_000)
    assert make_door(XLSX).take(buffer.getvalue()).reason_code == "archive_limits"


@pytest.mark.bad_input("B32")
def test_b32_a_workbook_with_a_path_out_of_it_is_refused(make_door: MakeDoor) -> None:
    buffer = io.BytesIO(workbook(ROW))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("../../evil.xml", b"x")
    assert make_door(XLSX).take(buffer.getvalue()).reason_code == "archive_limits"


# ----------------------------------------------------------------------------- workbooks


@pytest.mark.requirement("ING-3")
def test_a_workbook_is_read_with_its_types(make_door: MakeDoor) -> None:
    door = make_door(XLSX)
    assert door.take(workbook(ROW, ["A2", None, "2026-01-02 11:00:00", "7.00", None])).written == 2
    first, second = door.parts()
    assert first["ordered_at"] == dt.datetime(2026, 1, 2, 2)
    assert first["paid_amount"] == Decimal("12.500000")
    assert second["source_customer_id"] is None


@pytest.mark.bad_input("B35")
def test_b35_locked_and_macro_workbooks_are_refused(make_door: MakeDoor) -> None:
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
    assert make_door(XLSX, name="locked").take(locked).reason_code == "encrypted"
    buffer = io.BytesIO(workbook(ROW))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("xl/vbaProject.bin", b"x")
    assert make_door(XLSX, name="macros").take(buffer.getvalue()).reason_code == "macros"
    assert make_door(XLSX, name="broken").take(b"PK\x03\x04 broken").reason_code == "unreadable"


@pytest.mark.bad_input("B35")
def test_b35_only_values_of_the_visible_sheet_are_read(make_door: MakeDoor) -> None:
    def change(book: Any) -> None:
        hidden = book.create_sheet("secret", 0)
        hidden.sheet_state = "hidden"
        hidden.append(["nothing", "here"])
        book["Sheet"].merge_cells("E2:E3")

    door = make_door(XLSX)
    formula = ["A3", "c3", "2026-01-02 11:00:00", "=1+1", "x"]
    report = door.take(
        workbook(ROW, ["A2", "c2", "2026-01-02 11:00:00", 1, None], formula, change=change)
    )
    # A formula nobody ever calculated has no value; it is never evaluated here.
    assert (report.received, report.written) == (3, 3)
    assert [r["paid_amount"] for r in door.parts()] == [Decimal("12.5"), Decimal("1"), None]
    assert [r["payment_method"] for r in door.parts()] == ["card", None, "x"]


@pytest.mark.bad_input("B36")
def test_b36_an_id_a_spreadsheet_rounded_is_quarantined(make_door: MakeDoor) -> None:
    door = make_door(XLSX, name="xlsx")
    rounded = [1234567890123456789, *ROW[1:]]
    exact = [123456789012345, *ROW[1:]]
    door.take(workbook(rounded, exact))
    assert door.reasons() == [(1, "precision", "order_id")]
    assert door.parts()[0]["order_id"] == "123456789012345"
    text = make_door(name="csv")
    text.take(csv(GOOD.replace("A1", "1.23457E+18"), GOOD))
    assert text.reasons() == [(1, "precision", "order_id")]


@pytest.mark.bad_input("B35")
def test_b35_a_row_wider_than_the_header_is_quarantined(make_door: MakeDoor) -> None:
    door = make_door(XLSX)
    door.take(workbook([*ROW, "extra"], ROW))
    assert door.reasons() == [(1, "columns", None)]


# ------------------------------------------------------------------------------- Parquet


@pytest.mark.requirement("ING-3")
def test_parquet_is_read_by_its_types(make_door: MakeDoor, tmp_path: Path) -> None:
    door = make_door(PARQUET)
    assert door.take(parquet(tmp_path / "f.parquet")).written == 1
    (record,) = door.parts()
    assert record["ordered_at"] == dt.datetime(2026, 1, 2, 2)
    assert record["paid_amount"] == Decimal("12.500000")


@pytest.mark.bad_input("B38")
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_b38_a_damaged_parquet_file_is_refused(
    make_door: MakeDoor, tmp_path: Path, damage: str
) -> None:
    data = parquet(tmp_path / "f.parquet")
    data = {
        "cut": data[:-20],
        "flipped": data[:-12] + bytes(b ^ 0xFF for b in data[-12:]),
        "empty": b"",
        "text": csv(GOOD),
    }[damage]
    report = make_door(PARQUET).take(data)
    assert (report.outcome, report.reason_code) == ("refused", "unreadable")


@pytest.mark.bad_input("B39")
@pytest.mark.parametrize(
    "wrong",
    [
        {"Amount": pa.array([12.5])},
        {"At": pa.array([dt.datetime(2026, 1, 2)], pa.timestamp("us"))},
        {"No": pa.array([["A1"]])},
        {"No": pa.array([1.0])},
    ],
)
def test_b39_a_parquet_column_of_another_type_is_refused(
    make_door: MakeDoor, tmp_path: Path, wrong: dict[str, pa.Array]
) -> None:
    report = make_door(PARQUET).take(parquet(tmp_path / "f.parquet", **wrong))
    assert report.reason_code == "type_contract"
    assert next(iter(wrong)) in str(report.message)


@pytest.mark.bad_input("B39")
def test_b39_floats_and_naive_times_can_be_declared(make_door: MakeDoor, tmp_path: Path) -> None:
    columns = {
        "ordered_at": {"from": "At", "allow": ["naive"]},
        "paid_amount": {"from": "Amount", "scale": 2, "allow": ["float"]},
    }
    door = make_door({"format": {"kind": "parquet"}, "columns": columns})
    naive = pa.array([dt.datetime(2026, 1, 2, 10)] * 3, pa.timestamp("us"))
    three = {
        name: pa.array([value] * 3)
        for name, value in (("No", "A"), ("Buyer", "c"), ("Remark", "x"))
    }
    amounts = pa.array([12.5, 0.1 + 0.2, float("nan")])
    door.take(parquet(tmp_path / "f.parquet", At=naive, Amount=amounts, **three))
    assert door.parts()[0]["ordered_at"] == dt.datetime(2026, 1, 2, 2)
    assert [code for _, code, _ in door.reasons()] == ["decimals", "number"]


# ---------------------------------------------------------------------------- JSON lines


@pytest.mark.requirement("ING-3")
@pytest.mark.bad_input("B40")
def test_b40_one_bad_line_costs_one_record(make_door: MakeDoor) -> None:
    door = make_door(JSONL)
    data = (
        "\ufeff"
        + line()
        + "{broken\n"
        + line(No="A2")
        + line().strip() * 2
        + "\n[1]\n"
        + line(No="A3").strip()
    )
    report = door.take(data)
    assert (report.received, report.written) == (6, 3)
    assert door.reasons() == [(2, "json", None), (4, "json", None), (5, "json", None)]
    assert door.quarantine()[0]["raw_record"] == "{broken"


@pytest.mark.bad_input("B40")
@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_b40_ten_thousand_levels_are_one_bad_line(make_door: MakeDoor, opening: str) -> None:
    closing = "}" if opening.startswith("{") else "]"
    deep = opening * 10_000 + "1" + closing * 10_000
    door = make_door(JSONL)
    door.take(line() + deep + "\n")
    assert door.reasons() == [(2, "json", None)]


@pytest.mark.bad_input("B40")
def test_b40_a_line_of_a_hundred_megabytes_is_refused(make_door: MakeDoor) -> None:
    data = line().encode() + b'{"No":"' + b"x" * 100_000_000 + b'"}\n'
    assert make_door(JSONL).take(data).reason_code == "line_too_long"


@pytest.mark.bad_input("B41")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (line().replace('"Amount"', '"No": "A9", "Amount"'), "json"),
        (line().replace("12.5", "NaN"), "json"),
        (line().replace("12.5", "-Infinity"), "json"),
        (line().replace("12.5", "1e400"), "number"),
        (line().replace("12.5", "1E2"), "number"),
        (line(Amount={"value": 1}), "json"),
        (line(Buyer="a\u0000b"), "nul"),
    ],
)
def test_b41_what_only_lenient_parsers_accept_is_quarantined(
    make_door: MakeDoor, text: str, code: str
) -> None:
    door = make_door(JSONL)
    door.take(line() + text)
    assert [found for _, found, _ in door.reasons()] == [code]


@pytest.mark.bad_input("B41")
def test_b41_numbers_keep_the_digits_they_were_written_with(make_door: MakeDoor) -> None:
    door = make_door(JSONL)
    door.take(line(No=1234567890123456789) + line(Amount=0.1).replace("0.1", "0.10"))
    assert door.parts()[0]["order_id"] == "1234567890123456789"
    assert door.parts()[1]["paid_amount"] == Decimal("0.10")


@pytest.mark.bad_input("B16")
def test_b16_a_key_no_json_record_has_refuses_the_file(make_door: MakeDoor) -> None:
    renamed = line().replace('"Amount"', '"Sum"')
    assert make_door(JSONL).take(renamed).reason_code == "header"


@pytest.mark.bad_input("B17")
def test_b17_unknown_json_keys_are_reported_or_refused(make_door: MakeDoor) -> None:
    report = make_door(JSONL, name="harmless").take(line(Colour="blue"))
    assert "Colour" in report.warnings[0]
    assert make_door(JSONL, name="personal").take(line(mobile="x")).reason_code == "personal_column"


def test_nested_json_keys_are_reached_by_dots(make_door: MakeDoor) -> None:
    door = make_door({**JSONL, "columns": {"source_customer_id": "Buyer.id"}})
    door.take(line(Buyer={"id": "c7"}) + line(Buyer=None))
    assert [r["source_customer_id"] for r in door.parts()] == ["c7", None]


@pytest.mark.bad_input("B40")
def test_b40_one_json_document_is_not_json_lines(make_door: MakeDoor) -> None:
    assert make_door(JSONL, name="array").take("[\n" + line() + "]\n").reason_code == "unreadable"
    pretty = json.dumps(RECORD, indent=1) + "\n"
    assert make_door(JSONL, name="pretty").take(pretty).reason_code == "unreadable"
