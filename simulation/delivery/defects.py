"""What is broken on purpose, and where it must end.

Add here: a kind of damage any format can have.
Not here: which feed has it (``channels/``), how it gets into a file (``files``).

Every kind says its case of the bad-input table, the outcome, and the reason code the door or the
staging layer gives. How often a kind is planted, of a feed's unprotected records or of its files,
is declared by its name in ``world.yaml`` (``delivery.damaged_records`` and ``damaged_files``);
``times`` multiplies that for one feed. Each kind is planted at least once where the feed has
records to spare, even at 0 times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

USUAL = "usual"  # stands for every kind that is not declared by its name

Outcome = Literal["quarantined", "duplicate", "accepted", "refused", "normalised"]
Cells = dict[str, Any]


@dataclass(frozen=True)
class Defect:
    """One kind of damage.

    ``only`` says in SQL over the clean columns which records it can hit; default: any.
    """

    kind: str
    case: str
    outcome: Outcome
    reason_code: str | None = None
    times: float = 1.0
    only: str = field(default="", kw_only=True)

    def once(self) -> Defect:
        """The same, but planted no oftener than it must be."""
        return replace(self, times=0.0)

    def rate(self, declared: Mapping[str, float]) -> float:
        """How often it is planted, of records or files."""
        return self.times * declared.get(self.kind, declared[USUAL])

    @property
    def is_damage(self) -> bool:
        """Whether the record it hits no longer counts as one without a defect."""
        return self.outcome == "quarantined"


@dataclass(frozen=True)
class CellDefect(Defect):
    """One cell of a record is wrong.

    ``change`` maps the old cell to the new one. ``spills``: feeds that read the same file lose
    their records of this line too. ``is_beside``: only the feed that stands beside loses its one.
    """

    header: str = ""
    change: Callable[[Any], Any] = str
    spills: bool = False
    is_beside: bool = False


@dataclass(frozen=True)
class NestedDefect(Defect):
    """One cell of the first object in the nested list is wrong; only that object is lost."""

    header: str = ""
    change: Callable[[Any], Any] = str


@dataclass(frozen=True)
class LineDefect(Defect):
    """The finished line of a record is damaged (text formats). Every reader loses one record."""

    change: Callable[[str], str] = str


@dataclass(frozen=True)
class Duplicate(Defect):
    """The record comes a second time, in the same file or in a later one."""

    is_later: bool = False


@dataclass(frozen=True)
class HeldBack(Defect):
    """The record comes with a later delivery than its own.

    ``refunds`` names the feed of refunds whose orders are held back first, so that some of them
    are refunded before they come.
    """

    refunds: str = ""


@dataclass(frozen=True)
class Conflict(Defect):
    """A second record with the same key and version and other content: both are out."""

    header: str = ""
    change: Callable[[Any], Any] = str


@dataclass(frozen=True)
class Correction(Defect):
    """The record comes wrong with an older version first; the right one comes later and counts."""

    header: str = ""
    change: Callable[[Any], Any] = str


# The record changed in the world after its delivery and came again; nothing is wrong with it.
RESTATED = Defect("restated", "B60", "accepted", None, 0)


@dataclass(frozen=True)
class ExtraLine(Defect):
    """A line that belongs to no record, at the end of some files. ``make`` gets the header."""

    make: Callable[[tuple[str, ...]], Cells | str] = lambda headers: ""


@dataclass(frozen=True)
class FileDefect(Defect):
    """A whole bad file, before or beside the good one.

    ``spoil`` makes the bad bytes from the beginning of a good file; ``None`` delivers the good file
    once more under another name.
    """

    spoil: Callable[[bytes, str], bytes] | None = None


# ------------------------------------------------------------------------------------ cells


def always(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def bad_day(header: str, text: str = "2026-02-30 10:00:00", **more: Any) -> CellDefect:
    """A day that does not exist."""
    said: dict[str, Any] = {"header": header, "change": always(text)} | more
    return CellDefect("bad_day", "B51", "quarantined", "timestamp", **said)


def future_time(header: str, value: Any = "2031-05-01 09:00:00", **more: Any) -> CellDefect:
    """Something that has not happened yet."""
    said: dict[str, Any] = {"header": header, "change": always(value)} | more
    return CellDefect("future_time", "B52", "quarantined", "future", **said)


def rounded_id(header: str, **more: Any) -> CellDefect:
    """A spreadsheet has turned the number into 1.23457E+18."""
    said: dict[str, Any] = {"header": header, "change": _rounded} | more
    return CellDefect("rounded_id", "B36", "quarantined", "precision", **said)


def _rounded(cell: Any) -> str:
    digits = re.sub("[^0-9]", "", str(cell)) or "123457"
    return f"{digits[0]}.{digits[1:6]:0<5}E+{max(len(digits) - 1, 15)}"


def null_key(header: str, text: str = "NULL", **more: Any) -> CellDefect:
    """The key of the record is a word for nothing."""
    said: dict[str, Any] = {"header": header, "change": always(text)} | more
    return CellDefect("null_key", "B63", "quarantined", "key", **said)


def missing(header: str, **more: Any) -> CellDefect:
    """A value every record needs is absent."""
    said: dict[str, Any] = {"header": header, "change": always(None)} | more
    return CellDefect("missing_value", "B63", "quarantined", "required", **said)


def nan_amount(header: str, **more: Any) -> CellDefect:
    said: dict[str, Any] = {"header": header, "change": always("NaN")} | more
    return CellDefect("nan_amount", "B43", "quarantined", "number", **said)


def long_decimals(header: str, **more: Any) -> CellDefect:
    """More digits behind the point than the source declares."""
    said: dict[str, Any] = {"header": header, "change": _with_decimals} | more
    return CellDefect("long_decimals", "B44", "quarantined", "decimals", **said)


def _with_decimals(cell: Any) -> str:
    return f"{re.sub('[^0-9]', '', str(cell).split('.')[0])[:7] or '12'}.34567891"


def huge_amount(header: str, value: Any = "1000000000000000000", **more: Any) -> CellDefect:
    said: dict[str, Any] = {"header": header, "change": always(value)} | more
    return CellDefect("huge_amount", "B44", "quarantined", "range", **said)


def negative(header: str, value: Any = None, **more: Any) -> CellDefect:
    """Below zero where the feed declares nothing of the kind."""
    change = always(value) if value is not None else lambda cell: f"-{cell or 1}"
    said: dict[str, Any] = {"header": header, "change": change} | more
    return CellDefect("negative_number", "B45", "quarantined", "negative", **said)


def wrong_sign(header: str, kind: str) -> CellDefect:
    """A return counted like a sale, or a sale like a return."""
    return CellDefect(
        f"{kind}_with_wrong_sign",
        "B45",
        "quarantined",
        "sign",
        only=f"line_kind = '{kind}'",
        header=header,
        change=lambda cell: cell.removeprefix("-") if cell.startswith("-") else f"-{cell}",
    )


def unknown_currency(header: str, text: str = "RMBX", **more: Any) -> CellDefect:
    said: dict[str, Any] = {"header": header, "change": always(text)} | more
    return CellDefect("unknown_currency", "B47", "quarantined", "currency", **said)


def unknown_word(header: str, text: str, **more: Any) -> CellDefect:
    """A state nobody has mapped."""
    said: dict[str, Any] = {"header": header, "change": always(text)} | more
    return CellDefect("unknown_word", "B50", "quarantined", "enum", **said)


def unknown_channel(header: str, text: str = "tmal", **more: Any) -> CellDefect:
    """A channel nobody has, by a typing error."""
    said: dict[str, Any] = {"header": header, "change": always(text)} | more
    return CellDefect("unknown_channel", "B50", "quarantined", "channel", **said)


def phone_in(header: str, text: str = "13912345678", **more: Any) -> CellDefect:
    """Somebody typed a phone number into the wrong column."""
    said: dict[str, Any] = {"header": header, "change": always(text)} | more
    return CellDefect("phone_misplaced", "B83", "quarantined", "misplaced_personal_data", **said)


def mojibake(header: str, **more: Any) -> CellDefect:
    """Characters were lost in an earlier conversion."""
    said: dict[str, Any] = {"header": header, "change": always("婴儿\ufffd\ufffd礼盒")} | more
    return CellDefect("mojibake", "B05", "quarantined", "encoding", **said)


def lost_characters(header: str, **more: Any) -> CellDefect:
    """The same in an encoding without the replacement character: UTF-8 read as GBK and saved."""
    said: dict[str, Any] = {"header": header, "change": always("锟斤拷锟斤拷")} | more
    return CellDefect("mojibake", "B05", "quarantined", "encoding", **said)


# ------------------------------------------------------------------------------------ lines


def short_row(delimiter: str = ",") -> LineDefect:
    def change(line: str) -> str:
        return delimiter.join(line.rstrip("\r\n").split(delimiter)[:-2]) + "\n"

    return LineDefect("short_row", "B21", "quarantined", "columns", change=change)


def long_row(delimiter: str = ",") -> LineDefect:
    def change(line: str) -> str:
        return line.rstrip("\r\n") + f"{delimiter}0{delimiter}0\n"

    return LineDefect("long_row", "B22", "quarantined", "columns", change=change)


def unclosed_quote(delimiter: str = ",") -> LineDefect:
    """A quote opens in the last field and nothing in the file closes it."""

    def change(line: str) -> str:
        cells = line.replace('"', "").rstrip("\r\n").split(delimiter)
        cells[-1] = '"' + cells[-1].strip()
        return delimiter.join(cells) + "\n"

    return LineDefect("unclosed_quote", "B09", "quarantined", "unclosed_quote", change=change)


def bad_json() -> LineDefect:
    """A line that only a lenient parser takes."""
    return LineDefect(
        "bad_json", "B40", "quarantined", "json", change=lambda line: line.rstrip("\n")[:-9] + "\n"
    )


def key_twice() -> LineDefect:
    def change(line: str) -> str:
        name = json.dumps(next(iter(json.loads(line))), ensure_ascii=False)
        return line.rstrip("\n")[:-1] + f", {name}: null}}\n"

    return LineDefect("key_twice", "B41", "quarantined", "json", change=change)


# ---------------------------------------------------------------------------------- records


def duplicate(*, is_later: bool = False, times: float = 1.0) -> Duplicate:
    kind = "duplicate_later" if is_later else "duplicate"
    return Duplicate(kind, "B59", "duplicate", None, times, is_later)


def held_back(refunds: str = "") -> HeldBack:
    return HeldBack("held_back", "B58", "accepted", None, refunds=refunds)


def conflict(header: str, change: Callable[[Any], Any]) -> Conflict:
    return Conflict("conflict", "B60", "quarantined", "conflict", header=header, change=change)


def correction(header: str, change: Callable[[Any], Any]) -> Correction:
    return Correction("corrected_version", "B60", "accepted", header=header, change=change)


def total_row(amount_header: str = "", mark: str = "合计") -> ExtraLine:
    """A sum below the records."""

    def make(headers: tuple[str, ...]) -> Cells:
        cells: Cells = dict.fromkeys(headers)
        cells[headers[0]] = mark
        if amount_header:
            cells[amount_header] = "998877.00"
        return cells

    return ExtraLine("total_row", "B23", "quarantined", "not_a_record", make=make)


def cut_off_line(start: str = "2026") -> ExtraLine:
    """The last line was cut while the file was copied."""
    return ExtraLine(
        "truncated_line", "B25", "quarantined", "truncated", make=lambda headers: start
    )


# ------------------------------------------------------------------------------------ files


def empty_file() -> FileDefect:
    # Two empty files are the same bytes, so there is one at most.
    return FileDefect(
        "empty_file", "B11", "refused", "empty", times=0.0, spoil=lambda good, name: b""
    )


def web_page() -> FileDefect:
    """The export server answered with an error page."""

    def spoil(good: bytes, name: str) -> bytes:
        page = "<html><head><title>502 Bad Gateway</title></head><body>{}</body></html>\n"
        return page.format(name).encode()

    return FileDefect("web_page", "B13", "refused", "header", spoil=spoil)


def error_message() -> FileDefect:
    """The interface answered with an error."""

    def spoil(good: bytes, name: str) -> bytes:
        said = {"errcode": 40001, "errmsg": f"invalid credential, hint: {name}"}
        return json.dumps(said).encode() + b"\n"

    return FileDefect("error_message", "B14", "refused", "error_body", spoil=spoil)


def damaged_file(reason_code: str = "unreadable") -> FileDefect:
    """A package that was cut off on the way."""
    return FileDefect(
        "damaged_file", "B38", "refused", reason_code, spoil=lambda good, name: good[:-40]
    )


def file_again() -> FileDefect:
    """The same bytes under another name."""
    return FileDefect("file_again", "B28", "duplicate")


def other_encoding(encoding: str = "utf-8") -> FileDefect:
    """Exported with another encoding than agreed."""

    def spoil(good: bytes, name: str) -> bytes:
        for known in ("gb18030", "utf-16"):
            try:
                return good.decode(known).encode(encoding)
            except UnicodeError:
                continue
        return good

    return FileDefect("other_encoding", "B02", "refused", "encoding", spoil=spoil)
