"""One feed: what its YAML may say.

Add here: an attribute of a feed and the check that it makes sense.
Not here: reading files.

Everything a feed declares ends in its contract hash, so a changed declaration re-reads the kept
raw files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator

from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ingestion.entities import Entity
from crm_pipeline.lib.ingestion.feed_checks import check_feed
from crm_pipeline.lib.strict_yaml import problems_error

# Raise it when reader or conversion would give another result for the same bytes: every file is
# read again.
PARSER_VERSION = 1

NAME = r"^[a-z][a-z0-9_]{0,62}$"
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
    explode: str | None = Field(
        default=None,
        min_length=1,
        description="jsonl: field with a list of objects, each of which is a record of its own; "
        "its fields are written <list>.<field>, those beside the list by their own names",
        examples=["sku_order_list"],
    )

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
    """Where one canonical column comes from and how its text is read.

    The short form is the source column's name.
    """

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
    minor_units: int | None = Field(
        default=None,
        ge=1,
        le=3,
        description="the amount counts the smallest coins: digits behind the point of the real "
        "amount (2: 1250 means 12.50); in place of scale",
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
    sign: Literal["by_kind"] | None = Field(
        default=None,
        description="by_kind: the source writes what comes back as a positive number, and the "
        "line's kind says so; refund lines are taken below zero",
    )
    within: str | None = Field(
        default=None,
        description="canonical column inside which alone the id is unique, such as the shop that "
        "numbers its receipts; the id becomes <that column>-<id>",
        examples=["store_id"],
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
    """When a record could be known.

    The delivery, never the moment this machine reads it. Exactly one of event, from, file_name.
    """

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
    """What tells a newer version of a record from an older one: a column, or the delivery."""

    by: Literal["delivery"] | None = Field(
        default=None,
        description="the later delivery wins (`known_at` is the version); in short "
        "`version: delivery`",
    )
    source: str | None = Field(
        default=None,
        alias="from",
        min_length=1,
        description="column of the file",
        examples=["UpdatedAt"],
    )
    format: Texts | None = Field(default=None, description="date formats tried in order")
    epoch: Literal["s", "ms", "us"] | None = Field(
        default=None, description="a count of these since 1970"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> VersionSpec:
        if (self.by is None) == (self.source is None):
            raise ValueError("write version: delivery, or version: {from: column}")
        return self


def _version_form(value: object) -> object:
    return {"by": value} if isinstance(value, str) else value


class KeySpec(_Strict):
    """What makes a record itself.

    ``columns``, or ``document`` with ``lines: numbered`` for lines without a number.
    """

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

    like: str | None = Field(
        default=None,
        description="an earlier feed of the same file whose attributes hold here too, "
        "except those given; its columns one by one",
        examples=["tmall_orders"],
    )
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
        description="how a file shows that it is complete: by rest, <name>.done or "
        "<name>.manifest.json",
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
    version: Annotated[VersionSpec | None, BeforeValidator(_version_form)] = Field(
        default=None,
        description="what orders the versions of a record; without it other content under the "
        "same key is a conflict",
        examples=["{from: UpdatedAt}", "delivery"],
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
        problems = list(check_feed(self))
        if problems:
            raise problems_error(problems)
        return self

    _channels: tuple[str, ...] = PrivateAttr(default=())

    def among(self, channels: Iterable[str]) -> FeedSpec:
        """The feed beside all others: it can name a channel only that has feeds."""
        spec = self.model_copy()
        spec._channels = tuple(sorted(set(channels)))
        return spec

    @property
    def channels(self) -> tuple[str, ...]:
        """Every channel there is, where a mapped column names one; empty: not told."""
        names = {column.name for column in self.contract.columns if column.names_channel}
        return self._channels if names & set(self.columns) else ()

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
        """Columns of the natural key.

        For numbered lines the document alone (content and count follow).
        """
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
        return _contract_hash(self.model_dump_json(by_alias=True), self.entity, self.channels)


@cache
def _contract_hash(dumped: str, entity: str, channels: tuple[str, ...]) -> str:
    said = json.loads(dumped)
    columns = said["columns"].values()
    for key in ("like", "folder", "files", "description", "completion"):
        said.pop(key, None)
    # What came later counts only where it is said: other feeds keep their hash.
    later = [(said["format"], "explode"), (said["version"] or {}, "by")]
    later += [(column, key) for column in columns for key in ("minor_units", "sign", "within")]
    for place, key in later:
        if place.get(key) is None:
            place.pop(key, None)
    contract = entities.ENTITIES[entity]
    signs = [(column.name, column.signed_by) for column in contract.columns if column.signed_by]
    rules = [PARSER_VERSION, repr(contract), said, *signs, *channels]
    text = json.dumps(rules, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
