"""Whether a feed makes sense.

Add here: a check of one feed's attributes, with what to write instead.
Not here: the attributes (``feed_spec``), rules between feeds (``feeds``).
"""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.text import header_key
from crm_pipeline.lib.strict_yaml import Problem, did_you_mean

if TYPE_CHECKING:
    from crm_pipeline.lib.ingestion.feed_spec import ColumnMapping, Condition, FeedSpec

SECRET = re.compile(
    r"-----BEGIN |AKIA[0-9A-Z]{16}|\bsk-[A-Za-z0-9]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|xox[baprs]-|"
    r"(?i:password|passwd|secret|token|api_?key)\s*[=:]\s*\S+|://[^/\s:@]+:[^/\s@]+@|"
    r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
)


def check_feed(spec: FeedSpec) -> Iterator[Problem]:
    """Everything about ``spec`` that cannot be, each at its own key."""
    if spec.entity not in entities.ENTITIES:
        known = list(entities.ENTITIES)
        hint = did_you_mean(spec.entity, known)
        yield Problem(
            ("entity",),
            f"no entity is called {spec.entity!r}",
            f"{hint} write one of: {', '.join(known)}".strip(),
        )
        return
    yield from _check_places(spec)
    yield from _check_secrets(spec)
    yield from _check_zone(("timezone",), spec.timezone)
    yield from _check_targets(spec)
    for name, mapping in spec.columns.items():
        if name in spec.contract.column_names:
            yield from _check_mapping(spec, spec.contract.column(name), mapping)
    yield from _check_currency(spec)
    yield from _check_known_at(spec)
    yield from _check_key(spec)
    yield from _check_sources(spec)
    yield from _check_explode(spec)


def _check_places(spec: FeedSpec) -> Iterator[Problem]:
    for key, text in (("folder", spec.folder), ("files", spec.files)):
        if not is_inside(text):
            yield Problem(
                (key,),
                f"{text!r} leads outside the landing folder",
                "write a relative path without '..', drive, '~' or '://'",
            )
    if "/" in spec.files or "**" in spec.files:
        yield Problem(
            ("files",), "files is a name pattern, not a path", 'put the folder into "folder:"'
        )
    if spec.format.kind in ("csv", "tsv") and (
        spec.format.separator in ('"', "\n", "\r", "\0") or not spec.format.separator.isascii()
    ):
        yield Problem(
            ("format", "delimiter"),
            "only one ASCII character can separate fields",
            'write for example ","',
        )
    if spec.format.kind in ("parquet", "xlsx") and spec.format.encoding != "utf-8":
        yield Problem(
            ("format", "encoding"), f"{spec.format.kind} has no text encoding", "remove the key"
        )


def is_inside(text: str) -> bool:
    """True for a relative path that cannot leave its folder."""
    parts = PurePosixPath(text).parts
    return not (
        text.startswith(("/", "~", "\\"))
        or ".." in parts
        or "\\" in text
        or ":" in text
        or "\0" in text
        or "\n" in text
    )


def _check_secrets(spec: FeedSpec) -> Iterator[Problem]:
    for at, text in _walk_texts(spec.model_dump(by_alias=True), ()):
        if SECRET.search(text):
            yield Problem(
                at,
                "this looks like a secret",
                "keep it in the environment and write env:NAME where a key takes one",
            )


def _walk_texts(
    value: Any, at: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk_texts(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk_texts(inner, (*at, index))


def _check_zone(at: tuple[str | int, ...], zone: str | None) -> Iterator[Problem]:
    if zone is not None and zone not in _zones():
        close = difflib.get_close_matches(zone, sorted(_zones()), n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}? " if close else ""
        yield Problem(
            at,
            f"no time zone is called {zone!r}",
            f"{hint}write an IANA name, for example Asia/Shanghai",
        )


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _check_targets(spec: FeedSpec) -> Iterator[Problem]:
    contract = spec.contract
    names = [c.name for c in contract.columns if c.name != "currency"]
    for target in spec.columns:
        if target == "currency":
            yield Problem(
                ("columns", "currency"),
                "the currency is not mapped here",
                'write "currency:" at the feed\'s level',
            )
        elif target not in names:
            hint = did_you_mean(target, names)
            yield Problem(
                ("columns", target),
                f"{spec.entity} has no column {target!r}",
                f"{hint} columns: {', '.join(names)}".strip(),
            )
    for column in contract.columns:
        if column.required and column.name not in spec.columns and column.name != "currency":
            yield Problem(
                ("columns",),
                f"the required column {column.name!r} of {spec.entity} is not mapped",
                f'write "{column.name}: <column of the file>" ({column.meaning})',
            )


_ONLY_FOR: dict[str, tuple[entities.Kind, ...]] = {
    "scale": entities.NUMBERS,
    "minor_units": ("money",),
    "thousands": entities.NUMBERS,
    "symbols": entities.NUMBERS,
    "full_width": entities.NUMBERS,
    "low": entities.NUMBERS,
    "high": entities.NUMBERS,
    "format": ("timestamp", "date"),
    "epoch": ("timestamp",),
    "timezone": ("timestamp",),
    "case": entities.TEXTS,
    "strip_prefix": entities.TEXTS,
    "max_length": ("id", "text"),
    "within": ("id",),
}


def _check_mapping(spec: FeedSpec, column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name)
    said = mapping.model_fields_set
    for option, kinds in _ONLY_FOR.items():
        if option in said and column.kind not in kinds:
            yield Problem(
                (*at, option),
                f"{option!r} means nothing for {column.name} ({column.kind})",
                "remove it",
            )
    yield from _check_zone((*at, "timezone"), mapping.timezone)
    yield from _check_numbers(column, mapping)
    yield from _check_times(spec, column, mapping)
    yield from _check_values(column, mapping)
    yield from _check_rules(spec, column, mapping)
    yield from _check_within(spec, column, mapping)


def _check_within(spec: FeedSpec, column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    scope = mapping.within
    if scope is None:
        return
    mapped = [name for name in spec.columns if name != column.name]
    if mapping.source is None or scope not in mapped or spec.columns[scope].within:
        yield Problem(
            ("columns", column.name, "within"),
            f"{scope!r} is no mapped column beside it",
            f"{did_you_mean(scope, mapped)} use one of: {', '.join(mapped)}".strip(),
        )


def _check_numbers(column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name)
    if mapping.minor_units is not None and mapping.scale is not None:
        yield Problem(
            (*at, "minor_units"), "smallest coins have nothing behind the point", "remove scale"
        )
    is_undeclared = mapping.scale is None and mapping.minor_units is None
    if column.kind in ("money", "quantity") and mapping.source and is_undeclared:
        yield Problem(
            at,
            f"{column.name} needs the number of digits behind the point",
            f"write {{from: {mapping.source}, scale: 2}}",
        )
    if mapping.sign is not None:
        yield from _check_sign(column, mapping)
    limit = entities.MAX_SCALE.get(column.kind)
    if limit is not None and (mapping.scale or 0) > limit:
        yield Problem(
            (*at, "scale"),
            f"{column.name} holds at most {limit} digits behind the point",
            f"write at most {limit}",
        )
    for word in mapping.allow:
        if (
            word in ("zero", "negative")
            and column.kind in entities.NUMBERS
            and word not in column.may_allow
        ):
            yield Problem(
                (*at, "allow"),
                f"{column.name} may never be {word}",
                "remove it: such records are quarantined",
            )
        elif word in ("zero", "negative") and column.kind not in entities.NUMBERS:
            yield Problem(
                (*at, "allow"),
                f"{word!r} means nothing for {column.name} ({column.kind})",
                "remove it",
            )
    if mapping.thousands is not None and mapping.thousands == mapping.decimal:
        yield Problem(
            (*at, "thousands"),
            "thousands and decimal sign are the same",
            'write decimal: "," or another separator',
        )
    if mapping.low is not None and mapping.high is not None and mapping.low > mapping.high:
        yield Problem((*at, "low"), "low is above high", "exchange them")


def _check_sign(column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name, "sign")
    if column.signed_by is None or mapping.source is None:
        yield Problem(at, f"no kind decides the sign of {column.name}", "remove it")
    elif "negative" in mapping.allow:
        yield Problem(
            at,
            "a source that writes every number above zero has none below",
            "remove negative from allow, or sign",
        )


def _check_times(spec: FeedSpec, column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name)
    if column.kind not in ("timestamp", "date") or not mapping.source:
        return
    typed_source = spec.format.kind == "parquet"
    if not mapping.format and not mapping.epoch and not typed_source:
        yield Problem(
            at,
            f"{column.name} needs its date format; nothing is guessed",
            f'write {{from: {mapping.source}, format: "%Y-%m-%d %H:%M:%S"}}',
        )
    if mapping.format and mapping.epoch:
        yield Problem((*at, "epoch"), "format and epoch exclude each other", "keep one")
    yield from _check_formats((*at, "format"), mapping.format or [])


def _check_formats(at: tuple[str | int, ...], formats: list[str]) -> Iterator[Problem]:
    for pattern in formats:
        if pattern not in ("iso8601", "excel_serial") and not re.search(r"%[YyjsmdD]", pattern):
            yield Problem(
                at,
                f"{pattern!r} is no date format",
                'write for example "%Y-%m-%d %H:%M:%S", iso8601 or excel_serial',
            )


def _check_values(column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name)
    produced: list[tuple[tuple[str | int, ...], object]] = []
    if mapping.map:
        produced += [((*at, "map", key), value) for key, value in mapping.map.items()]
    if mapping.first_match:
        produced += [((*at, "first_match", n), b.value) for n, b in enumerate(mapping.first_match)]
    if mapping.value is not None:
        produced.append(((*at, "value"), mapping.value))
    for where, value in produced:
        if column.values and value not in column.values:
            hint = did_you_mean(value, column.values)
            yield Problem(
                where,
                f"{value!r} is no {column.name}",
                f"{hint} write one of: {', '.join(column.values)}".strip(),
            )
        elif column.kind in entities.NUMBERS and not _is_number(value):
            yield Problem(where, f"{value!r} is no number", "write a number")
    if mapping.map and column.kind in entities.NUMBERS:
        yield Problem((*at, "map"), "numbers are not mapped", "remove the map")


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool) and Decimal(str(value)).is_finite()
    except InvalidOperation:
        return False


def _check_rules(spec: FeedSpec, column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name, "first_match")
    if mapping.first_match and column.kind not in entities.TEXTS:
        yield Problem(at, f"{column.name} ({column.kind}) cannot be derived", "map it with from:")
    for number, branch in enumerate(mapping.first_match or []):
        if branch.otherwise is not None and number != len(mapping.first_match or []) - 1:
            yield Problem(
                (*at, number), "nothing below 'otherwise' can ever match", "move it to the end"
            )
        for target, condition in (branch.when or {}).items():
            yield from _check_condition(spec, (*at, number, "when", target), target, condition)


def _check_condition(
    spec: FeedSpec, at: tuple[str | int, ...], target: str, condition: Condition
) -> Iterator[Problem]:
    named = spec.columns.get(target)
    if target not in spec.contract.column_names or named is None or named.first_match:
        mapped = [name for name, mapping in spec.columns.items() if not mapping.first_match]
        yield Problem(
            at,
            f"{target!r} is no mapped column",
            f"{did_you_mean(target, mapped)} use one of: {', '.join(mapped)}".strip(),
        )
        return
    kind = spec.contract.column(target).kind
    is_number = kind in entities.NUMBERS
    numeric = condition.below is not None or condition.above is not None
    textual = condition.starts_with is not None or condition.is_in is not None
    if (numeric and not is_number) or (textual and kind not in entities.TEXTS):
        yield Problem(
            at,
            f"this condition does not fit {target} ({kind})",
            "numbers: below, above, equals; texts: starts_with, in, equals",
        )
    if condition.equals is not None and isinstance(condition.equals, str) == is_number:
        yield Problem(
            at,
            f"{condition.equals!r} does not fit {target} ({kind})",
            "quote texts, do not quote numbers",
        )


def _check_currency(spec: FeedSpec) -> Iterator[Problem]:
    contract = spec.contract
    has = "currency" in contract.column_names
    amounts = [c.name for c in contract.columns if c.kind == "money" and c.name in spec.columns]
    if spec.currency is None:
        if has and (contract.column("currency").required or amounts):
            yield Problem(
                (),
                "the key 'currency' is missing",
                "write currency: CNY, or currency: {from: <column of the file>}",
            )
        return
    if not has:
        yield Problem(("currency",), f"{spec.entity} has no amounts", "remove it")
    if (spec.currency.value is None) == (spec.currency.source is None):
        yield Problem(
            ("currency",),
            "one code or one column",
            "write currency: CNY, or currency: {from: <column>}",
        )
    for code in [spec.currency.value, *(spec.currency.map or {}).values()]:
        if code is not None and code not in entities.CURRENCIES:
            hint = did_you_mean(code, sorted(entities.CURRENCIES))
            yield Problem(
                ("currency",), f"{code!r} is no ISO 4217 code", f"{hint} for example CNY".strip()
            )


def _check_known_at(spec: FeedSpec) -> Iterator[Problem]:
    known = spec.known_at
    if sum(v is not None for v in (known.event, known.source, known.file_name)) != 1:
        yield Problem(
            ("known_at",),
            "exactly one of event, from, file_name",
            "write for example {event: ordered_at, lag_days: 0}",
        )
        return
    if known.event is not None:
        instants = [c.name for c in spec.contract.columns if c.kind == "timestamp" and c.required]
        if known.event not in instants:
            remedy = f"use one of: {', '.join(instants)}" if instants else "use from: or file_name:"
            yield Problem(
                ("known_at", "event"), f"{known.event!r} is not an instant every record has", remedy
            )
        if spec.version and spec.version.by:
            yield Problem(
                ("version",),
                "no delivery is named: known_at follows the event",
                "write known_at with file_name: or from:, or the column of the version",
            )
        return
    if known.format is None:
        yield Problem(("known_at",), "the format is missing", "write for example format: '%Y%m%d'")
    else:
        yield from _check_formats(("known_at", "format"), [known.format])
    if known.file_name is not None:
        yield from _check_pattern(known.file_name)


def _check_pattern(pattern: str) -> Iterator[Problem]:
    at = ("known_at", "file_name")
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        yield Problem(at, f"this is no regular expression: {error}", r"write for example '(\d{8})'")
        return
    if groups != 1:
        yield Problem(
            at, f"the expression has {groups} groups; one is needed", r"write for example '(\d{8})'"
        )


def _check_key(spec: FeedSpec) -> Iterator[Problem]:
    contract, key = spec.contract, spec.key
    if key is None or key.columns is not None:
        if key is not None and (key.document or key.lines):
            yield Problem(("key",), "columns and document exclude each other", "keep one")
        yield from _check_key_columns(spec)
        return
    if contract.document is None:
        yield Problem(
            ("key",),
            f"records of {spec.entity} do not stand in documents",
            "write key: {columns: […]}",
        )
        return
    if key.document != contract.document or key.lines != "numbered":
        yield Problem(
            ("key",),
            "incomplete key",
            f"write {{document: {contract.document}, lines: numbered, documents_are_whole: true}}"
            " or {columns: […]}",
        )
    elif key.documents_are_whole == (key.batch is not None):
        yield Problem(
            ("key",),
            "equal lines can be counted only where a file holds whole documents, or names its "
            "batch",
            "write documents_are_whole: true if no file ever holds a part of a document; "
            "otherwise map the line "
            "number (key: {columns: [order_id, line_number]}) or name the batch column (batch: …)",
        )


def _check_key_columns(spec: FeedSpec) -> Iterator[Problem]:
    contract = spec.contract
    for name in spec.natural_key:
        if name not in contract.column_names:
            hint = did_you_mean(name, contract.column_names)
            yield Problem(
                ("key", "columns"),
                f"{spec.entity} has no column {name!r}",
                hint or "use mapped columns",
            )
        elif name not in spec.columns and not contract.column(name).required:
            remedy = f"map {name!r}"
            if contract.document and name == "line_number":
                remedy += (
                    f", or write key: {{document: {contract.document}, lines: numbered, "
                    "documents_are_whole: true} "
                    "if lines have no number and no file ever holds a part of a document"
                )
            yield Problem(("key",), f"the key needs {name!r}, which is not mapped", remedy)
    if contract.document and contract.document not in spec.natural_key:
        yield Problem(
            ("key", "columns"), f"the key lacks {contract.document!r}", f"add {contract.document!r}"
        )


def _check_sources(spec: FeedSpec) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name in spec.source_columns:
        key = header_key(name)
        if key in seen and seen[key] != name:
            yield Problem(
                ("columns",), f"{seen[key]!r} and {name!r} name the same column", "spell it one way"
            )
        seen[key] = name
    for number, name in enumerate(spec.ignore):
        if header_key(name) in seen:
            yield Problem(("ignore", number), f"{name!r} is also mapped", "remove it here or there")


def _check_explode(spec: FeedSpec) -> Iterator[Problem]:
    """A list is taken apart only where something of it is wanted."""
    at, field = ("format", "explode"), spec.format.explode
    if field is None:
        return
    if spec.format.kind != "jsonl":
        yield Problem(at, f"{spec.format.kind} has no lists", "remove the key")
    elif not any(name.startswith(f"{field}.") for name in spec.source_columns):
        yield Problem(
            at,
            f"no column comes from {field!r}",
            f"write the fields of its objects as {field}.<field>, or remove the key",
        )
