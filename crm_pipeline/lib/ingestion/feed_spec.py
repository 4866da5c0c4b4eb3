"""One feed: what its YAML may say.

Add here: an attribute of a feed and the check that it makes sense.
Not here: reading files.

Everything a feed declares ends in its contract hash, so a changed declaration re-reads the kept raw files.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import zoneinfo
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ingestion.entities import Column, Entity
from crm_pipeline.lib.ingestion.text import header_key
from crm_pipeline.lib.strict_yaml import Problem, did_you_mean, problems_error

# Raise it when reader or conversion would give another result for the same bytes: every file is read again.
PARSER_VERSION = 1

NAME = r"^[a-z][a-z0-9_]{0,62}$"
SECRET = re.compile(
    r"-----BEGIN |AKIA[0-9A-Z]{16}|\bsk-[A-Za-z0-9]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|xox[baprs]-|"
    r"(?i:password|passwd|secret|token|api_?key)\s*[=:]\s*\S+|://[^/\s:@]+:[^/\s@]+@|"
    r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
)
ENCODINGS = ("utf-8", "utf-16", "gb18030", "gbk", "big5", "latin-1", "cp1252")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, strict=True)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Texts = Annotated[list[str], BeforeValidator(_as_list)]


class FormatSpec(_Strict):
    """How the bytes of a file become records. Nothing is guessed."""

    kind: Literal["csv", "tsv", "jsonl", "parquet", "xlsx"] = Field(description="kind of file")
    encoding: Literal["utf-8", "utf-16", "gb18030", "gbk", "big5", "latin-1", "cp1252"] = Field(
        default="utf-8", description="encoding of the text; a byte order mark is dropped"
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="one character between fields"
    )
    sheet: str | None = Field(
        default=None, description="xlsx: name of the sheet; default: the first visible one"
    )
    title_rows: int = Field(default=0, ge=0, le=100, description="lines above the header")
    comment: str | None = Field(
        default=None, min_length=1, max_length=5, description="lines beginning so are no records"
    )
    blank_lines: Literal["quarantine", "skip"] = Field(
        default="quarantine", description="what an empty line means"
    )
    final_newline: Literal["required", "optional"] = Field(
        default="required", description="whether a last line without line end counts as cut off"
    )
    total_row_marker: Texts = Field(
        default=["合计", "总计", "小计"],
        description="first cells that mark a total line, which is no record",
    )
    min_records: int = Field(default=0, ge=0, description="refuse a file with fewer records")

    @property
    def separator(self) -> str:
        return "\t" if self.kind == "tsv" else self.delimiter


class Condition(_Strict):
    """A test of one column's value. Exactly one key."""

    starts_with: str | None = Field(default=None, description="the text begins so", examples=["C"])
    is_in: list[str] | None = Field(
        default=None, alias="in", description="the text is one of these"
    )
    equals: str | int | float | None = Field(default=None, description="the value is this")
    below: int | float | None = Field(default=None, description="the number is below this")
    above: int | float | None = Field(default=None, description="the number is above this")
    is_null: bool | None = Field(
        default=None, description="the value is absent (true) or present (false)"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Condition:
        if len(self.model_fields_set) != 1:
            raise ValueError(
                "a condition has exactly one of starts_with, in, equals, below, above, is_null"
            )
        return self


class Branch(_Strict):
    """One line of ``first_match``: a condition with its result, or the ``otherwise``."""

    when: dict[str, Condition] | None = Field(
        default=None, min_length=1, description="all must hold", examples=["{quantity: {below: 0}}"]
    )
    result: str | None = Field(
        default=None, alias="is", description="value when the conditions hold", examples=["refund"]
    )
    otherwise: str | None = Field(
        default=None, description="value when nothing above matched", examples=["sale"]
    )

    @model_validator(mode="after")
    def _one_form(self) -> Branch:
        if (self.otherwise is None) == (self.when is None) or (self.when is None) != (
            self.result is None
        ):
            raise ValueError("write {when: {column: condition}, is: value} or {otherwise: value}")
        return self

    @property
    def value(self) -> str:
        return self.otherwise if self.result is None else self.result  # type: ignore[return-value]


class ColumnMapping(_Strict):
    """Where one canonical column comes from and how its text is read. The short form is the source column's name."""

    source: str | None = Field(
        default=None,
        alias="from",
        min_length=1,
        description="column of the file",
        examples=["InvoiceDate"],
    )
    value: str | int | float | bool | None = Field(
        default=None, description="the same value for every record"
    )
    first_match: list[Branch] | None = Field(
        default=None, min_length=1, description="derived: the first branch that matches"
    )
    optional: bool = Field(default=False, description="the file may lack the column")
    map: dict[str, str] | None = Field(
        default=None,
        min_length=1,
        description="source value to canonical value",
        examples=["{男: male, 女: female}"],
    )
    null_values: list[str] | None = Field(
        default=None, description="texts that mean absent, beside the empty one"
    )
    case: Literal["upper", "lower"] | None = Field(default=None, description="write the text so")
    strip_prefix: str | None = Field(
        default=None, min_length=1, description="drop this beginning where it stands"
    )
    strip_suffix: str | None = Field(
        default=None, min_length=1, description="drop this end where it stands", examples=['".0"']
    )
    format: Annotated[list[str] | None, BeforeValidator(_as_list)] = Field(
        default=None,
        description="date formats tried in order: strptime patterns, iso8601 or excel_serial",
        examples=['"%Y-%m-%d %H:%M:%S"'],
    )
    epoch: Literal["s", "ms", "us"] | None = Field(
        default=None, description="the instant is a count of these since 1970"
    )
    timezone: str | None = Field(
        default=None, description="zone of this column where it differs from the feed's"
    )
    scale: int | None = Field(
        default=None,
        ge=0,
        le=6,
        description="digits behind the point the source may deliver",
        examples=["2"],
    )
    thousands: Literal[",", ".", " ", "'"] | None = Field(
        default=None, description="separator between thousands"
    )
    decimal: Literal[".", ","] = Field(default=".", description="the decimal sign")
    symbols: Texts = Field(
        default=[], description="units written beside the number, dropped", examples=['["¥", "元"]']
    )
    full_width: bool = Field(default=False, description="digits may be full-width (１２)")
    allow: Annotated[
        list[Literal["zero", "negative", "naive", "float", "personal_looking"]],
        BeforeValidator(_as_list),
    ] = Field(
        default=[],
        description="what the contract refuses and this source means",
        examples=["[zero, negative]"],
    )
    low: int | float | None = Field(default=None, description="smallest plausible number")
    high: int | float | None = Field(default=None, description="largest plausible number")
    max_length: int | None = Field(
        default=None, ge=1, le=10_000, description="longest plausible text"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnMapping:
        if sum(v is not None for v in (self.source, self.value, self.first_match)) != 1:
            raise ValueError("write exactly one of from, value, first_match")
        return self


def _short_form(value: object) -> object:
    return {"from": value} if isinstance(value, str) else value


class CurrencySpec(_Strict):
    """Currency of a feed's amounts: one code, or a column of the file."""

    value: str | None = Field(default=None, description="ISO 4217 code")
    source: str | None = Field(
        default=None, alias="from", min_length=1, description="column of the file"
    )
    map: dict[str, str] | None = Field(default=None, description="source value to ISO 4217 code")


def _currency_form(value: object) -> object:
    return {"value": value} if isinstance(value, str) else value


class KnownAtSpec(_Strict):
    """When a record could be known: the delivery, never the moment this machine reads it. Exactly one of event, from, file_name."""

    event: str | None = Field(
        default=None, description="canonical column the delivery follows", examples=["ordered_at"]
    )
    lag_days: int = Field(default=0, ge=0, le=400, description="days between event and delivery")
    source: str | None = Field(
        default=None, alias="from", min_length=1, description="column of the file"
    )
    file_name: str | None = Field(
        default=None, description="regular expression with one group", examples=[r"'(\d{8})'"]
    )
    format: str | None = Field(
        default=None, description="how from or file_name is read", examples=["'%Y%m%d'"]
    )


class VersionSpec(_Strict):
    """What tells a newer version of a record from an older one."""

    source: str = Field(
        alias="from", min_length=1, description="column of the file", examples=["UpdatedAt"]
    )
    format: Texts | None = Field(default=None, description="date formats tried in order")
    epoch: Literal["s", "ms", "us"] | None = Field(
        default=None, description="a count of these since 1970"
    )


class KeySpec(_Strict):
    """What makes a record itself. ``columns``, or ``document`` with ``lines: numbered`` for lines without a number."""

    columns: list[str] | None = Field(
        default=None,
        min_length=1,
        description="canonical columns",
        examples=["[order_id, line_number]"],
    )
    document: str | None = Field(
        default=None,
        description="canonical column that holds lines together",
        examples=["order_id"],
    )
    lines: Literal["numbered"] | None = Field(
        default=None, description="equal lines of a document are counted"
    )
    documents_are_whole: bool = Field(
        default=False, description="a file never holds a part of a document", examples=["true"]
    )
    batch: str | None = Field(
        default=None,
        min_length=1,
        description="column of the file that names the delivery a document was cut into",
    )


class FeedSpec(_Strict):
    """One feed of one channel: which files, how they are read, which entity they become."""

    feed: str = Field(
        pattern=NAME,
        description="unique name of the feed, also the asset's",
        examples=["tmall_orders"],
    )
    channel: str = Field(
        pattern=NAME, description="channel the records belong to", examples=["tmall"]
    )
    entity: str = Field(description="canonical entity", examples=["order_lines"])
    description: str = Field(default="", description="what the feed is, for people")
    folder: str = Field(
        default="", description="folder below the landing folder; default: the feed's name"
    )
    files: str = Field(
        default="*", min_length=1, description="file name pattern", examples=['"*.csv"']
    )
    completion: Literal["stable", "done", "manifest"] = Field(
        default="stable",
        description="how a file shows that it is complete: by rest, <name>.done or <name>.manifest.json",
    )
    format: FormatSpec = Field(
        description="how files are read", examples=["{kind: csv, encoding: utf-8}"]
    )
    timezone: str = Field(description="IANA zone of the instants", examples=["Asia/Shanghai"])
    currency: Annotated[CurrencySpec | None, BeforeValidator(_currency_form)] = Field(
        default=None, description="ISO 4217 code, or {from: column}", examples=["CNY"]
    )
    known_at: KnownAtSpec = Field(
        description="when a record could be known", examples=["{event: ordered_at, lag_days: 0}"]
    )
    key: KeySpec | None = Field(
        default=None, description="what makes a record itself; default: the entity's natural key"
    )
    version: VersionSpec | None = Field(
        default=None, description="column that orders versions of a record"
    )
    columns: dict[str, Annotated[ColumnMapping, BeforeValidator(_short_form)]] = Field(
        min_length=1,
        description="canonical column to source column",
        examples=["{order_id: OrderNo}"],
    )
    ignore: list[str] = Field(
        default=[], description="source columns that are known and not wanted"
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> FeedSpec:
        problems = list(_check_feed(self))
        if problems:
            raise problems_error(problems)
        return self

    @property
    def contract(self) -> Entity:
        return entities.entity_named(self.entity)

    @property
    def landing_folder(self) -> str:
        return self.folder or self.feed

    @property
    def default_currency(self) -> str | None:
        """The one currency of all amounts, if the feed has one."""
        return self.currency.value if self.currency else None

    @property
    def is_numbered(self) -> bool:
        """Whether equal lines of a document are told apart by counting them."""
        return self.key is not None and self.key.lines == "numbered"

    @property
    def natural_key(self) -> tuple[str, ...]:
        """Columns of the natural key; for numbered lines the document alone (content and count follow)."""
        if self.is_numbered:
            return (str(self.key.document),)  # type: ignore[union-attr]
        if self.key and self.key.columns:
            return tuple(self.key.columns)
        return self.contract.natural_key

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Every source column the feed reads, in order of first mention."""
        return tuple(dict.fromkeys(name for name, _ in self.wanted_columns()))

    def wanted_columns(self) -> Iterator[tuple[str, bool]]:
        """Source columns with whether the file must have them."""
        for mapping in self.columns.values():
            if mapping.source:
                yield mapping.source, not mapping.optional
        for extra in (self.currency, self.version, self.known_at):
            if extra is not None and extra.source:
                yield extra.source, True
        if self.key and self.key.batch:
            yield self.key.batch, True

    @property
    def contract_hash(self) -> str:
        """16 hex digits over everything that decides what a file's bytes become."""
        return _contract_hash(self.model_dump_json(by_alias=True), self.entity)


@cache
def _contract_hash(dumped: str, entity: str) -> str:
    said = json.loads(dumped)
    for key in ("folder", "files", "description", "completion"):
        said.pop(key, None)
    text = json.dumps([PARSER_VERSION, repr(entities.ENTITIES[entity]), said], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ------------------------------------------------------------------------------------------------ checks


def _check_feed(spec: FeedSpec) -> Iterator[Problem]:
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


def _check_places(spec: FeedSpec) -> Iterator[Problem]:
    for key, text in (("folder", spec.folder), ("files", spec.files)):
        if not is_inside(text):
            yield Problem(
                (key,), f"{text!r} leads outside the landing folder",
                "write a relative path without '..', drive, '~' or '://'",
            )  # fmt: skip
    if "/" in spec.files or "**" in spec.files:
        yield Problem(
            ("files",), "files is a name pattern, not a path", 'put the folder into "folder:"'
        )
    if spec.format.kind in ("csv", "tsv") and spec.format.separator in ('"', "\n", "\r", "\0"):
        yield Problem(
            ("format", "delimiter"),
            "this character cannot separate fields",
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
                at, "this looks like a secret", "keep it in the environment and write env:NAME where a key takes one"
            )  # fmt: skip


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
                ("columns", target), f"{spec.entity} has no column {target!r}",
                f"{hint} columns: {', '.join(names)}".strip(),
            )  # fmt: skip
    for column in contract.columns:
        if column.required and column.name not in spec.columns and column.name != "currency":
            yield Problem(
                ("columns",), f"the required column {column.name!r} of {spec.entity} is not mapped",
                f'write "{column.name}: <column of the file>" ({column.meaning})',
            )  # fmt: skip


_ONLY_FOR: dict[str, tuple[entities.Kind, ...]] = {
    "scale": entities.NUMBERS,
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


def _check_numbers(column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name)
    if column.kind in ("money", "quantity") and mapping.source and mapping.scale is None:
        yield Problem(
            at, f"{column.name} needs the number of digits behind the point",
            f"write {{from: {mapping.source}, scale: 2}}",
        )  # fmt: skip
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


def _check_times(spec: FeedSpec, column: Column, mapping: ColumnMapping) -> Iterator[Problem]:
    at = ("columns", column.name)
    if column.kind not in ("timestamp", "date") or not mapping.source:
        return
    typed_source = spec.format.kind == "parquet"
    if not mapping.format and not mapping.epoch and not typed_source:
        yield Problem(
            at, f"{column.name} needs its date format; nothing is guessed",
            f'write {{from: {mapping.source}, format: "%Y-%m-%d %H:%M:%S"}}',
        )  # fmt: skip
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
            ("key",), "incomplete key",
            f"write {{document: {contract.document}, lines: numbered, documents_are_whole: true}} or {{columns: […]}}",
        )  # fmt: skip
    elif key.documents_are_whole == (key.batch is not None):
        yield Problem(
            ("key",), "equal lines can be counted only where a file holds whole documents, or names its batch",
            "write documents_are_whole: true if no file ever holds a part of a document; otherwise map the line "
            "number (key: {columns: [order_id, line_number]}) or name the batch column (batch: …)",
        )  # fmt: skip


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
        elif name not in spec.columns and name != "currency":
            remedy = f"map {name!r}"
            if contract.document and name == "line_number":
                remedy += (
                    f", or write key: {{document: {contract.document}, lines: numbered, documents_are_whole: true}} "
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
