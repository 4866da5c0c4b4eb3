"""SQL that turns one text cell into one typed value or a reason why not.

Add here: a kind's conversion.
Not here: which column feeds which.

Nothing is cast before its text has been matched whole: DuckDB's casts round and guess.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.feed_spec import ColumnMapping

_DIGITS = {"money": 12, "quantity": 15, "integer": 18}
_EPOCH = {"s": (1_000_000, 11), "ms": (1_000, 14), "us": (1, 17)}  # microseconds, digits

LAST_YEAR = 2060  # rules of clocks repeat every year; a generation is enough to see them

_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"


def quote(text: object) -> str:
    """``text`` as an SQL literal."""
    return "'" + str(text).replace("'", "''") + "'"


class Conversion(NamedTuple):
    """``value`` reads the cleaned cell ``c_<column>``; ``problem`` may also read ``v_<column>``."""

    value: str
    problem: str  # null, or a reason code


def number_text(cell: str, mapping: ColumnMapping) -> str:
    """A number's text without the symbols and separators that were declared."""
    text = cell
    if mapping.symbols:
        signs = "(?:" + "|".join(re.escape(s) for s in mapping.symbols) + ")"
        text = f"regexp_replace({text}, {quote('^(-?)' + signs + chr(92) + 's*')}, '\\1')"
        text = f"regexp_replace({text}, {quote(chr(92) + 's*' + signs + '$')}, '')"
    point = re.escape(mapping.decimal)
    if mapping.thousands:
        grouped = f"-?[0-9]{{1,3}}({re.escape(mapping.thousands)}[0-9]{{3}})+({point}[0-9]+)?"
        text = (
            f"case when regexp_full_match({text}, {quote(grouped)}) "
            f"then replace({text}, {quote(mapping.thousands)}, '') else {text} end"
        )
    if mapping.decimal == ",":
        text = (
            f"case when contains({text}, '.') then {text} || '?' else replace({text}, ',', '.') end"
        )
    return text


def number(column: Column, mapping: ColumnMapping) -> Conversion:
    """Decimals and integers: the shape first, then the cast, then sign and range."""
    c, v = cell_name(column), value_name(column)
    scale = mapping.scale or 0
    coins = mapping.minor_units or 0
    digits = _DIGITS[column.kind] + coins
    tail = rf"(\.[0-9]{{1,{scale}}}0*)?" if scale else r"(\.0+)?"
    shape = quote(rf"-?[0-9]{{1,{digits}}}{tail}")
    long_shape = quote(rf"-?0*[0-9]{{1,{digits}}}(\.[0-9]+)?")
    kind = "decimal(18,0)" if column.kind == "integer" else column.sql_type
    checks = [
        f"when not regexp_full_match({c}, {shape}) then case "
        rf"when not regexp_full_match({c}, '-?[0-9]+(\.[0-9]+)?') then 'number' "
        f"when regexp_full_match({c}, {long_shape}) then 'decimals' else 'range' end",
        f"when {v} is null then 'range'",
        *_sign_and_range(column, mapping),
    ]
    if coins:  # a product of decimals is exact, a quotient is not
        value = f"try_cast(try_cast({c} as decimal(18,0)) * {Decimal(1).scaleb(-coins)} as {kind})"
    else:
        value = f"try_cast({c} as {kind})" + ("::bigint" if column.kind == "integer" else "")
    return Conversion(value, f"case {' '.join(checks)} end")


def _sign_and_range(column: Column, mapping: ColumnMapping) -> list[str]:
    c, v = cell_name(column), value_name(column)
    zero_fits = column.accepts_zero or "zero" in mapping.allow
    negative_fits = column.accepts_negative or "negative" in mapping.allow
    otherwise = "null" if zero_fits else "'zero'"
    checks = [
        f"when {v} = 0 then case when starts_with({c}, '-') then 'number' else {otherwise} end"
    ]
    if not negative_fits:
        checks.append(f"when {v} < 0 then 'negative'")
    high = mapping.high if mapping.high is not None else column.high
    low = mapping.low if mapping.low is not None else column.low
    if high is not None:
        checks.append(f"when {v} > {high} then 'range'")
        if low is None:
            checks.append(f"when {v} < -{high} then 'range'")
    if low is not None:
        checks.append(f"when {v} < {low} then 'range'")
    return checks


def local_time(mapping_formats: list[str] | None, cell: str) -> str | None:
    """Naive local timestamp of ``cell`` by the first format that fits.

    ``None`` when no format is naive.
    """
    found = [_naive(pattern, cell) for pattern in mapping_formats or [] if not _is_zoned(pattern)]
    return _coalesce(found)


def absolute_time(mapping_formats: list[str] | None, epoch: str | None, cell: str) -> str | None:
    """UTC timestamp of ``cell`` where its text itself names zone or epoch."""
    if epoch:
        factor, digits = _EPOCH[epoch]
        return (
            f"case when regexp_full_match({cell}, '[0-9]{{1,{digits}}}') "
            f"then make_timestamp(try_cast({cell} as bigint) * {factor}) end"
        )
    found = []
    for pattern in mapping_formats or []:
        if pattern == "iso8601":
            zoned = rf"{_DAY}[T ]{_TIME}(Z|[+-][0-9]{{2}}:?[0-9]{{2}})"
            whole = f"regexp_replace({cell}, '([+-][0-9]{{2}})([0-9]{{2}})$', '\\1:\\2')"
            found.append(
                f"case when regexp_full_match({cell}, {quote(zoned)}) "
                f"then make_timestamp(epoch_us(try_cast({whole} as timestamptz))) end"
            )
        elif _is_zoned(pattern):
            found.append(f"make_timestamp(epoch_us(try_strptime({cell}, {quote(pattern)})))")
    return _coalesce(found)


def _naive(pattern: str, cell: str) -> str:
    if pattern == "excel_serial":
        return (
            f"case when regexp_full_match({cell}, '[0-9]{{1,7}}(\\.[0-9]{{1,12}})?') then "
            f"timestamp '1899-12-30' "
            f"+ to_seconds(cast(round(try_cast({cell} as decimal(24,12)) * 86400) as bigint)) end"
        )
    if pattern == "iso8601":
        shape = quote(f"{_DAY}([T ]{_TIME})?")
        return (
            f"case when regexp_full_match({cell}, {shape}) then try_cast({cell} as timestamp) end"
        )
    return f"try_strptime({cell}, {quote(pattern)})"


def _is_zoned(pattern: str) -> bool:
    return "%z" in pattern or "%Z" in pattern


def _coalesce(found: list[str]) -> str | None:
    if not found:
        return None
    return found[0] if len(found) == 1 else f"coalesce({', '.join(found)})"


def instant(
    column: Column, formats: list[str], epoch: str | None, zone: str, latest: str | None
) -> Conversion:
    """Instants and days; nothing can have happened after ``latest``, if that is known."""
    c, v = cell_name(column), value_name(column)
    latest = None if column.is_planned else latest
    if column.kind == "date":
        days = _coalesce([_naive(pattern, c) for pattern in formats])
        checks = [f"when {v} is null then 'date'"]
        if latest:
            checks.append(f"when {v} > cast({latest} as date) then 'future'")
        if column.low:
            checks.append(f"when {v} < date {quote(column.low)} then 'range'")
        return Conversion(f"cast({days} as date)", f"case {' '.join(checks)} end")
    local = local_time(formats, c)
    checks = [f"when {v} is null then 'timestamp'"]
    offset = steady_offset(zone, column.low) if column.low else None
    if local and offset is None:
        checks.append(f"when {skipped(local, zone)} then 'dst_gap'")
    if latest:
        checks.append(f"when {v} > {latest} then 'future'")
    if column.low:
        checks.append(f"when {v} < timestamp {quote(column.low)} then 'range'")
    checks.append(f"when {v} >= timestamp '9000-01-01' then 'range'")
    value = utc_time(formats, epoch, zone, c, offset=offset)
    return Conversion(value, f"case {' '.join(checks)} end")


@cache
def steady_offset(zone: str, since: str) -> int | None:
    """Seconds a zone is ahead of UTC, if its clock was never changed after ``since``.

    The engine's calendar costs half a millisecond per mention and file; subtracting costs nothing.
    What lies before ``since`` is refused as out of range either way.
    """
    day = datetime.fromisoformat(since).replace(tzinfo=ZoneInfo(zone)) - timedelta(days=2)
    first = day.utcoffset()
    while first is not None and day.year < LAST_YEAR:
        day += timedelta(days=1)
        if day.utcoffset() != first:
            return None
    return int(first.total_seconds()) if first is not None else None


def utc_time(
    formats: list[str] | None,
    epoch: str | None,
    zone: str,
    cell: str,
    *,
    plus: str | None = None,
    offset: int | None = None,
) -> str:
    """Naive UTC timestamp of ``cell``: by its own zone or epoch, else as local time of ``zone``.

    ``offset`` replaces the zone's calendar where its clock is steady.
    """
    local = local_time(formats, cell)
    if local and plus:
        local = f"({local} + interval {quote(plus)})"
    shifted = None
    if local:
        steady = f"({local} - interval '{offset} seconds')"
        shifted = to_utc(local, zone) if offset is None else steady
    parts = [absolute_time(formats, epoch, cell), shifted]
    return _coalesce([part for part in parts if part]) or "cast(null as timestamp)"


def to_utc(local: str, zone: str) -> str:
    """Naive local time to naive UTC."""
    return f"make_timestamp(epoch_us(timezone({quote(zone)}, {local})))"


def skipped(local: str, zone: str) -> str:
    """True for a local time that the clock jumped over: it does not come back unchanged."""
    return f"timezone({quote(zone)}, timezone({quote(zone)}, {local})) <> {local}"


def cell_name(column: Column) -> str:
    """Name of the cleaned text of ``column`` inside the query."""
    return f"c_{column.name}"


def value_name(column: Column) -> str:
    """Name of the typed value of ``column`` inside the query."""
    return f"v_{column.name}"
