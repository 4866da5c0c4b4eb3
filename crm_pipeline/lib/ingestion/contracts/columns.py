"""What a contract is made of.

Add here: a property of a column that holds for every entity, a column many entities share.
Not here: an entity.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

Kind = Literal[
    "id", "text", "integer", "money", "quantity", "timestamp", "date", "enum", "currency", "boolean"
]
# none: says nothing about a person · indirect: leads to one · direct: names or reaches one ·
# sensitive: needs care by law
PiiClass = Literal["none", "indirect", "direct", "sensitive"]

SQL_TYPES: dict[Kind, str] = {
    "id": "varchar",
    "text": "varchar",
    "integer": "bigint",
    "money": "decimal(18,6)",
    "quantity": "decimal(18,3)",
    "timestamp": "timestamp",
    "date": "date",
    "enum": "varchar",
    "currency": "varchar",
    "boolean": "boolean",
}
# Digits behind the point a column can hold at most; a feed declares how many it really delivers.
MAX_SCALE: dict[Kind, int] = {"integer": 0, "money": 6, "quantity": 3}
NUMBERS: tuple[Kind, ...] = ("integer", "money", "quantity")
TEXTS: tuple[Kind, ...] = ("id", "text", "enum", "currency")

RECORD_COLUMNS: tuple[tuple[str, str], ...] = (
    ("feed", "varchar"),
    ("channel", "varchar"),
    ("file_sha256", "varchar"),
    ("record_number", "bigint"),
    ("record_id", "varchar"),
    ("content_hash", "varchar"),
    ("source_version", "timestamp"),
    ("known_at", "timestamp"),
)

EARLIEST_EVENT = (
    "1995-01-01"  # no shop of ours sold anything on line before; 1970 and 1900 are sentinels
)
EARLIEST_BIRTH = "1900-01-02"


@dataclass(frozen=True)
class Column:
    """One column of an entity. ``low`` and ``high`` are plausible bounds, inclusive, as text.

    ``accepts_zero`` and ``accepts_negative`` say what holds without asking; ``may_allow`` what a
    feed may open with ``allow:``.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = False
    unit: str = ""
    pii: PiiClass = "none"
    max_length: int = 200
    low: str | None = None
    high: str | None = None
    values: tuple[str, ...] = ()
    accepts_zero: bool = False
    accepts_negative: bool = False
    may_allow: tuple[str, ...] = ()
    is_planned: bool = False  # names a moment to come, which a record may know before it arrives
    # The column of kinds that decides the sign: a refund is below zero, a sale is not.
    signed_by: str | None = field(default=None, repr=False)
    names_channel: bool = field(default=False, repr=False)  # only of a channel that has feeds

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.kind]


@dataclass(frozen=True)
class Entity:
    """One canonical entity. The natural key is unique per channel, never per feed or file.

    ``document`` names the column that holds lines together, where lines may lack a number of
    their own; ``event_time`` the instant from which ``known_at`` may be derived.
    """

    name: str
    grain: str
    natural_key: tuple[str, ...]
    columns: tuple[Column, ...]
    document: str | None = None
    event_time: str | None = None

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def id_column(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "id", meaning, **more)


def text_column(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "text", meaning, **more)


def instant_column(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "timestamp", meaning, unit="UTC", low=EARLIEST_EVENT, **more)


def planned_column(name: str, meaning: str, **more: Any) -> Column:
    """A moment to come: the end of a coupon, the promise of a parcel."""
    return instant_column(name, meaning, is_planned=True, **more)


def amount_column(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "money", meaning, unit="currency", high="1000000000", **more)


CUSTOMER = id_column(
    "source_customer_id", "Account at the channel; absent means a guest.", pii="indirect"
)
CURRENCY = Column("currency", "currency", "ISO 4217 code of every amount beside it.", required=True)
STORE = id_column("store_id", "Shop or till that took the order.")


# Desks that serve several channels (service, reviews, coupons) name the account's channel too.
ACCOUNT_CHANNEL = id_column(
    "account_channel",
    "Channel whose account is meant; absent means the feed's own channel.",
    names_channel=True,
)
# What a person forbids holds for the contact, whatever the desk typed as channel.
ANY_ACCOUNT_CHANNEL = replace(ACCOUNT_CHANNEL, names_channel=False)


def enum_column(name: str, meaning: str, *values: str, **more: Any) -> Column:
    return Column(name, "enum", meaning, values=values, **more)


def count_column(name: str, meaning: str, **more: Any) -> Column:
    said: dict[str, Any] = {"high": "1000000000", "accepts_zero": True} | more
    return Column(name, "integer", meaning, **said)


def quantity_column(name: str, meaning: str, **more: Any) -> Column:
    said: dict[str, Any] = {"high": "1000000000", "accepts_zero": True} | more
    return Column(name, "quantity", meaning, **said)


def flag_column(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "boolean", meaning, **more)


def direct(name: str, meaning: str, **more: Any) -> Column:
    """A text that names or reaches a person."""
    return Column(name, "text", meaning, pii="direct", **more)
