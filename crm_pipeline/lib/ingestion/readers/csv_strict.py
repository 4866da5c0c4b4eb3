"""The careful way through CSV: line by line, every oddity named.

Add here: rules for broken lines.
Not here: speed.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from crm_pipeline.lib.ingestion.readers.blocks import not_encoded

FIELD_LIMIT = 1024 * 1024
JOIN_LIMIT = 8 * 1024 * 1024  # bytes looked ahead for a closing quote

csv.field_size_limit(2**31 - 1)  # the limit that counts is FIELD_LIMIT, with a reason of its own


@dataclass(frozen=True)
class Dialect:
    """What the strict reader must know of the format."""

    delimiter: str
    comment: str | None
    skips_blank: bool
    needs_final_newline: bool
    markers: frozenset[str]


@dataclass(frozen=True)
class Broken:
    """A record that is no row."""

    reason_code: str
    raw: str


class Lines:
    """Physical lines, with a way to get more; CR, LF and CRLF all end one."""

    def __init__(self, block: bytes, more: Callable[[], bytes | None]) -> None:
        self._lines = deque(block.splitlines(keepends=True))
        self._more = more

    def pop(self) -> bytes | None:
        return self._lines.popleft() if self._lines else None

    def peek(self, index: int) -> bytes | None:
        """The line ``index`` places ahead, fetching further blocks as needed."""
        while len(self._lines) <= index:
            block = self._more()
            if block is None:
                return None
            self._lines.extend(block.splitlines(keepends=True))
        return self._lines[index]

    def rest(self) -> bytes:
        """What has been fetched and not taken."""
        return b"".join(self._lines)

    def skip(self, count: int) -> None:
        for _ in range(count):
            self._lines.popleft()


def records(lines: Lines, dialect: Dialect, width: int | None) -> Iterator[list[str] | Broken]:
    """Rows of ``width`` fields and broken records, until the lines run out.

    A line with an odd number of quotes is joined with the lines after it until the number is even.
    If that gives a row of the right width, it is a field with line breaks; if not, only the first
    line is broken and reading goes on with the second.
    """
    comment = dialect.comment.encode() if dialect.comment else None
    while (line := lines.pop()) is not None:
        bare = line.rstrip(b"\r\n")
        if not bare and dialect.skips_blank:
            continue
        if comment and line.startswith(comment):
            continue
        if b'"' not in bare:
            yield _plain(line, bare, dialect, width)
        elif bare.count(b'"') % 2 == 0:
            yield _quoted(line, dialect, width, 1)
        else:
            joined, count = _join(line, lines)
            row = _quoted(joined, dialect, width, count) if joined else None
            if isinstance(row, list) or (row and row.reason_code == "field_too_long"):
                lines.skip(count - 1)
                yield row
            else:
                yield Broken("unclosed_quote", _text(line))


def _plain(line: bytes, bare: bytes, dialect: Dialect, width: int | None) -> list[str] | Broken:
    return _judge(line, _text(bare).split(dialect.delimiter), dialect, width)


def _quoted(line: bytes, dialect: Dialect, width: int | None, count: int) -> list[str] | Broken:
    text = _text(line)
    body = text.rstrip("\r\n") if count == 1 else _without_end(text)
    try:
        rows = list(csv.reader([body], delimiter=dialect.delimiter, doublequote=True, strict=True))
    except csv.Error:
        return Broken("quote", text)
    if len(rows) != 1:
        return Broken("quote", text)
    return _judge(line, rows[0], dialect, width)


def _judge(
    line: bytes, fields: list[str], dialect: Dialect, width: int | None
) -> list[str] | Broken:
    if b"\0" in line:
        return Broken("nul", _text(line))
    if dialect.needs_final_newline and not line.endswith((b"\n", b"\r")):
        return Broken("truncated", _text(line))
    if width is not None and len(fields) != width:
        is_total = fields[0].strip() in dialect.markers
        return Broken("not_a_record" if is_total else "columns", _text(line))
    if len(line) > FIELD_LIMIT and max(map(len, fields)) > FIELD_LIMIT:
        return Broken("field_too_long", _text(line))
    return fields


def _join(first: bytes, lines: Lines) -> tuple[bytes | None, int]:
    parts, size, ahead = [first], len(first), 0
    while size <= JOIN_LIMIT:
        line = lines.peek(ahead)
        if line is None:
            return None, 1
        parts.append(line)
        size += len(line)
        ahead += 1
        if line.count(b'"') % 2:
            return b"".join(parts), len(parts)
    return None, 1


def _without_end(text: str) -> str:
    if text.endswith("\r\n"):
        return text[:-2]
    return text[:-1] if text.endswith(("\r", "\n")) else text


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_encoded("utf-8") from error
