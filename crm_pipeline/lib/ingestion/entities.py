"""The canonical entities: what every channel's records become.

Add here: an entity or a column.
Not here: how a channel spells it.

A new entity needs nothing but its contract below: parser, empty views and expectations follow.
Amounts stand in ``decimal(18,6)``, quantities in ``decimal(18,3)``, instants in UTC without zone.
Changing a contract changes the contract hash, so kept raw files are read again at the next ingest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from crm_pipeline.lib.errors import ConfigError

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


def _id(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "id", meaning, **more)


def _text(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "text", meaning, **more)


def _instant(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "timestamp", meaning, unit="UTC", low=EARLIEST_EVENT, **more)


def _amount(name: str, meaning: str, **more: Any) -> Column:
    return Column(name, "money", meaning, unit="currency", high="1000000000", **more)


_CUSTOMER = _id(
    "source_customer_id", "Account at the channel; absent means a guest.", pii="indirect"
)
_CURRENCY = Column(
    "currency", "currency", "ISO 4217 code of every amount beside it.", required=True
)
_STORE = _id("store_id", "Shop or till that took the order.")

ORDER_LINES = Entity(
    "order_lines",
    "One line of one order, refund or adjustment.",
    natural_key=("order_id", "line_number"),
    document="order_id",
    event_time="ordered_at",
    columns=(
        _id("order_id", "Document the line stands on.", required=True, pii="indirect"),
        _id("line_number", "Number of the line in its document; absent when the source has none."),
        _CUSTOMER,
        _instant("ordered_at", "When the line was booked.", required=True),
        _id("sku", "Product as the channel numbers it.", required=True),
        _text("product_name", "Name printed on the line.", max_length=500),
        Column(
            "quantity",
            "quantity",
            "Pieces; negative when goods come back.",
            required=True,
            unit="pieces",
            high="1000000",
            may_allow=("negative", "zero"),
        ),
        _amount(
            "unit_price_amount",
            "Price of one piece.",
            required=True,
            may_allow=("zero", "negative"),
        ),
        _CURRENCY,
        Column(
            "line_kind",
            "enum",
            "What the line does to the books.",
            required=True,
            values=("sale", "refund", "gift", "adjustment"),
        ),
        Column(
            "item_class",
            "enum",
            "Whether the line is merchandise.",
            required=True,
            values=("product", "fee", "test"),
        ),
        _text("country_name", "Country of the buyer as the channel writes it.", pii="indirect"),
        _STORE,
    ),
)

ORDERS = Entity(
    "orders",
    "One order head.",
    natural_key=("order_id",),
    document="order_id",
    event_time="ordered_at",
    columns=(
        _id("order_id", "Number of the order at the channel.", required=True, pii="indirect"),
        _CUSTOMER,
        _instant("ordered_at", "When the order was placed.", required=True),
        Column(
            "order_status",
            "enum",
            "State of the order when it was exported.",
            required=True,
            values=("paid", "cancelled", "closed"),
        ),
        _amount(
            "paid_amount", "What the customer paid.", accepts_zero=True, may_allow=("negative",)
        ),
        _amount("shipping_amount", "Shipping inside the paid amount.", accepts_zero=True),
        _amount("discount_amount", "Discount already taken off.", accepts_zero=True),
        _CURRENCY,
        _text("payment_method", "Means of payment as the channel writes it.", max_length=100),
        _STORE,
    ),
)

REFUNDS = Entity(
    "refunds",
    "One refund.",
    natural_key=("refund_id",),
    event_time="refunded_at",
    columns=(
        _id("refund_id", "Number of the refund at the channel.", required=True),
        _id("order_id", "Order that is refunded.", required=True, pii="indirect"),
        _CUSTOMER,
        _instant("refunded_at", "When the refund was booked.", required=True),
        _amount("refund_amount", "What went back, above zero.", required=True),
        _CURRENCY,
        _text("refund_reason", "Reason as the channel writes it.", max_length=500),
        _id("sku", "Product, when one line is refunded."),
    ),
)

ACCOUNTS = Entity(
    "accounts",
    "One account of a person at a channel.",
    natural_key=("source_customer_id",),
    event_time="registered_at",
    columns=(
        _id("source_customer_id", "Account at the channel.", required=True, pii="indirect"),
        _instant("registered_at", "When the account was opened."),
        _text("display_name", "Name as the person wrote it.", pii="direct"),
        Column(
            "gender",
            "enum",
            "As stated by the person.",
            pii="sensitive",
            values=("female", "male", "other"),
        ),
        Column(
            "birth_date", "date", "As stated by the person.", pii="sensitive", low=EARLIEST_BIRTH
        ),
        _text("city_name", "City as the channel writes it.", pii="indirect"),
        _text("country_name", "Country as the channel writes it.", pii="indirect"),
    ),
)

PRODUCTS = Entity(
    "products",
    "One product of a channel's catalogue.",
    natural_key=("sku",),
    columns=(
        _id("sku", "Product as the channel numbers it.", required=True),
        _text("product_name", "Name in the catalogue.", max_length=500),
        _text("category_name", "Category in the catalogue."),
        _text("brand_name", "Brand in the catalogue."),
        _amount("list_price_amount", "Price before discounts.", accepts_zero=True),
        Column("currency", "currency", "ISO 4217 code of the list price."),
        Column("is_premium", "boolean", "Belongs to a premium line."),
    ),
)

CONSENTS = Entity(
    "consents",
    "One consent given or withdrawn.",
    natural_key=(
        "source_customer_id",
        "contact_kind",
        "contact_value",
        "purpose",
        "consent_channel",
        "action",
        "occurred_at",
    ),
    event_time="occurred_at",
    columns=(
        _id("source_customer_id", "Account at the channel.", required=True, pii="indirect"),
        Column(
            "contact_kind", "enum", "What the contact is.", required=True, values=("email", "phone")
        ),
        _id(
            "contact_value",
            "The clear address or number.",
            required=True,
            pii="direct",
            max_length=320,
        ),
        Column(
            "purpose",
            "enum",
            "What the contact may be used for.",
            required=True,
            values=("marketing", "service", "profiling"),
        ),
        Column(
            "consent_channel",
            "enum",
            "Way of contact.",
            required=True,
            values=("email", "sms", "wecom", "push"),
        ),
        Column(
            "action", "enum", "Given or taken back.", required=True, values=("granted", "withdrawn")
        ),
        _instant("occurred_at", "When the person said so.", required=True),
        _text("notice_version", "Privacy notice shown at that moment.", max_length=100),
        _text("evidence", "Where the proof is kept.", max_length=500),
    ),
)

ENTITIES: dict[str, Entity] = {
    entity.name: entity for entity in (ORDER_LINES, ORDERS, REFUNDS, ACCOUNTS, PRODUCTS, CONSENTS)
}

# ISO 4217, circulating currencies.
_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
    BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS
    UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
CURRENCIES = frozenset(_CODES.split())


def entity_named(name: str) -> Entity:
    """The contract of ``name``."""
    if name not in ENTITIES:
        raise ConfigError(
            f"no entity is called {name!r}", remedy=f"use one of: {', '.join(ENTITIES)}"
        )
    return ENTITIES[name]


def part_columns(entity: Entity) -> tuple[tuple[str, str], ...]:
    """Names and SQL types of a conformed part: record columns first, then the contract's."""
    return (*RECORD_COLUMNS, *((column.name, column.sql_type) for column in entity.columns))


def empty_relation_sql(entity: Entity) -> str:
    """A query with the columns and types of ``entity`` and no row."""
    columns = ", ".join(f"cast(null as {kind}) as {name}" for name, kind in part_columns(entity))
    return f"select {columns} where false"


def empty_relations() -> dict[str, str]:
    """Name of each entity and its typed empty query, as ``create_source_views`` takes them."""
    return {name: empty_relation_sql(entity) for name, entity in ENTITIES.items()}
