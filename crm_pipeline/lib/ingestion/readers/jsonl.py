"""JSON lines, by the strict grammar.

Add here: what a line must be.
Not here: what its values mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.readers.batch import Batch, Notes, Reject, cells_table, shorten
from crm_pipeline.lib.ingestion.readers.blocks import BLOCK_BYTES, line_blocks, not_encoded
from crm_pipeline.lib.ingestion.readers.header import refuse_personal
from crm_pipeline.lib.ingestion.text import header_key, printable

RECORD_LIMIT = 1024 * 1024
DEPTH_LIMIT = 32
KEYS_LIMIT = 1000
ELEMENTS_LIMIT = 1000  # of one line
# Bytes of lines in one batch, a line counted once per element: each brings all fields beside the
# list once more.
WEIGHT_LIMIT = 4 * BLOCK_BYTES
_PLAIN = frozenset({str, type(None)})
ERROR_KEYS = {"errcode", "errmsg", "error", "error_code", "error_msg", "code", "message", "msg"}


class NotStrictError(ValueError):
    """The line is JSON only to lenient parsers, or not at all."""


class _Found:
    """Records of a batch as they are found."""

    def __init__(self) -> None:
        self.weight = 0
        self._rows: list[list[str | None]] = []
        self._numbers: list[int] = []
        self._raws: dict[str, int] = {}
        self._places: list[int] = []
        self._rejects: list[Reject] = []

    def add(self, number: int, row: list[str | None] | Reject, line: bytes, text: str) -> None:
        self.weight += len(line)
        if isinstance(row, Reject):
            self._rejects.append(row)
            return
        self._rows.append(row)
        self._numbers.append(number)
        self._places.append(self._raws.setdefault(shorten(text), len(self._raws)))

    def batch(self, width: int) -> Batch:
        by_column = list(zip(*self._rows, strict=True)) if self._rows else [()] * width
        # The records of one line have one raw text.
        raws = pa.DictionaryArray.from_arrays(
            pa.array(self._places, pa.int32()), pa.array(list(self._raws), pa.string())
        )
        cells = cells_table(
            width,
            0,
            [pa.array(column, pa.string()) for column in by_column],
            pa.array(self._numbers, pa.int64()),
            raws,
        )
        return Batch(cells, self._rejects)


class JsonlReader:
    """One file of JSON objects, a line each. Numbers keep the digits they were written with.

    With ``explode`` every object of the list is a record. A line that cannot be read is one record
    in quarantine, and so is an element that is no object; a line without the list has no record.
    """

    def __init__(
        self,
        spec: FeedSpec,
        source: IO[bytes],
        *,
        is_proven_whole: bool = False,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        del is_proven_whole  # a cut-off object never parses, so no line end is needed as proof
        self._spec = spec
        self._skips_blank = spec.format.blank_lines == "skip"
        self.names: Sequence[str] = spec.source_columns
        self.positions = {name: n for n, name in enumerate(self.names)}
        self.notes = Notes()
        self._paths = [tuple(name.split(".")) for name in self.names]
        self._firsts = [path[0] for path in self._paths]
        self._deeper = [(n, path[1:]) for n, path in enumerate(self._paths) if len(path) > 1]
        self._list = tuple(spec.format.explode.split(".")) if spec.format.explode else ()
        self._known = {header_key(path[0]) for path in self._paths}
        self._known |= {header_key(self._key(path)) for path in self._paths}
        self._known |= {header_key(name) for name in spec.ignore}
        self._extras: dict[str, None] = {}
        self._found: set[str] = set()
        self._next_record = 1
        self._blocks = line_blocks(source, spec.format.encoding, block_bytes=block_bytes)

    def batches(self) -> Iterator[Batch]:
        """All records in the order of the file."""
        for block in self._blocks:
            lines = block.splitlines()
            if self._next_record == 1 and lines:
                self._look_at_first(lines[0])
            yield from self._batches(lines)
        self._close()

    def _batches(self, lines: Sequence[bytes]) -> Iterator[Batch]:
        found = _Found()
        for line in lines:
            if not line.strip() and self._skips_blank:
                continue
            text = _text(line)
            for row in self._rows(line, text) if self._list else (self._one(line, text),):
                found.add(self._next_record, row, line, text)
                self._next_record += 1
                if found.weight > WEIGHT_LIMIT:
                    yield found.batch(len(self.names))
                    found = _Found()
        yield found.batch(len(self.names))

    def _one(self, line: bytes, text: str) -> list[str | None] | Reject:
        """The one record of a line of a feed without ``explode``."""
        try:
            return self._row(self._record(line, text))
        except (NotStrictError, RecursionError) as error:
            return self._reject(line, text, error)

    def _rows(self, line: bytes, text: str) -> Iterator[list[str | None] | Reject]:
        """The records of a line, each taken apart or rejected."""
        try:
            elements = self._elements(self._record(line, text))
        except (NotStrictError, RecursionError) as error:
            yield self._reject(line, text, error)
            return
        for element in elements:
            try:
                if element is None:
                    raise _misplaced(self._list)
                yield self._row(element)
            except NotStrictError as error:
                yield self._reject(line, text, error)

    def _row(self, record: dict[str, Any]) -> list[str | None]:
        row = list(map(record.get, self._firsts))
        for n, path in self._deeper:
            row[n] = _below(row[n], path)
        if _PLAIN.issuperset(map(type, row)):
            return row
        return [_cell(value, path) for value, path in zip(row, self._paths, strict=True)]

    def _reject(self, line: bytes, text: str, error: Exception) -> Reject:
        code = "field_too_long" if len(line) > RECORD_LIMIT else "json"
        column = getattr(error, "column", None)
        return Reject(self._next_record, code, shorten(text), column)

    def _record(self, line: bytes, text: str) -> dict[str, Any]:
        record = parse_strictly(line, text)
        if not record.keys() <= self._found:
            for key in record:
                if key not in self._found:
                    self._meet(key)
        return record

    def _elements(self, record: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        """The line once per element, which stands in the list's place; ``None``: no object."""
        *folders, name = self._list
        place: Any = record
        for key in folders:
            place = place.get(key) if isinstance(place, dict) else None
        found = place.get(name) if isinstance(place, dict) else None
        if found is not None and not isinstance(found, list):
            raise _misplaced(self._list)
        if found and len(found) > ELEMENTS_LIMIT:
            raise NotStrictError("too many elements")
        return self._each(place, name, found or [], record)

    def _each(
        self, place: dict[str, Any], name: str, found: list[Any], record: dict[str, Any]
    ) -> Iterator[dict[str, Any] | None]:
        for element in found:
            if not isinstance(element, dict):
                yield None
                continue
            for key in element:
                full = ".".join((*self._list, key))
                if full not in self._found:
                    self._meet(full)
            place[name] = element
            yield record

    def _key(self, path: tuple[str, ...]) -> str:
        """What tells that a column is there: its first key, inside the list the one below it."""
        depth = len(self._list)
        return ".".join(path[: depth + 1] if depth and path[:depth] == self._list else path[:1])

    def _meet(self, key: str) -> None:
        self._found.add(key)
        if len(self._found) > KEYS_LIMIT:
            raise LandingError(
                f"more than {KEYS_LIMIT} different keys",
                reason_code="too_many_columns",
                remedy="keys must be names, not values",
            )
        if header_key(key) not in self._known:
            refuse_personal([key])
            self._extras[printable(key, 40)] = None

    def _look_at_first(self, line: bytes) -> None:
        start = line.lstrip()[:1]
        if start == b"<":
            raise LandingError(
                "this is a web page, not data", reason_code="header", remedy="deliver it again"
            )
        if start == b"[" or line.strip() == b"{":
            raise LandingError(
                "this is one JSON document, not one object per line",
                reason_code="unreadable",
                remedy="export as JSON lines",
            )
        try:
            keys = set(parse_strictly(line, _text(line)))
        except (NotStrictError, RecursionError):
            return
        if not any(path[0] in keys for path in self._paths) and keys & ERROR_KEYS:
            raise LandingError(
                "this is an error message, not data",
                reason_code="error_body",
                remedy="ask the source again; the message is in the raw file",
            )

    def _close(self) -> None:
        """A key that no record has is a renamed or removed column."""
        needed = {name for name, is_needed in self._spec.wanted_columns() if is_needed}
        has_records = self._next_record > 1
        if self._list and not has_records:  # empty lists are no news, a missing list is
            has_records, needed = bool(self._found), {self._list[0]}
        missing = sorted(n for n in needed if self._key(tuple(n.split("."))) not in self._found)
        if has_records and self._found and missing:
            raise LandingError(
                f"no record has {', '.join(map(repr, missing[:8]))}",
                reason_code="header",
                remedy="check the feed's columns, or mark them optional: true",
            )
        if self._extras:
            shown = ", ".join(list(self._extras)[:8])
            self.notes.warnings.append(f"unknown columns were not read: {shown}")


def parse_strictly(line: bytes, text: str) -> dict[str, Any]:
    """The object of one line.

    Raises:
        NotStrictError: no object, a repeated key, NaN or infinity, nested too deep, or too long.
    """
    if len(line) > RECORD_LIMIT:
        raise NotStrictError("too long")
    if line.count(b"{") + line.count(b"[") > DEPTH_LIMIT and _depth(text) > DEPTH_LIMIT:
        raise NotStrictError("nested too deep")
    bare = text.strip(BLANKS)
    try:
        found, end = _DECODER.raw_decode(bare)
    except json.JSONDecodeError as error:
        raise NotStrictError("no JSON") from error
    if end != len(bare):
        raise NotStrictError("no JSON")
    if not isinstance(found, dict):
        raise NotStrictError("no object")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrictError("a key stands twice")
    return found


def _refuse(word: str) -> None:
    raise NotStrictError(word)


# json.loads would make a decoder for every line.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=_refuse
)
BLANKS = " \t\n\r"  # what JSON lets stand around a value


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _below(value: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _cell(value: Any, path: tuple[str, ...]) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _misplaced(path)


def _misplaced(path: tuple[str, ...]) -> NotStrictError:
    error = NotStrictError("an object or list where a value belongs")
    error.column = ".".join(path)  # type: ignore[attr-defined]
    return error


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_encoded("utf-8") from error
