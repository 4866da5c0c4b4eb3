"""The canonical entities: what every channel's records become.

Add here: a family of contracts to the list, what every part holds beside its contract.
Not here: an entity or a column (``contracts/``), how a channel spells it.

A new entity needs nothing but its contract: parser, empty views and expectations follow.
Amounts stand in ``decimal(18,6)``, quantities in ``decimal(18,3)``, instants in UTC without zone.
Changing a contract changes the contract hash, so kept raw files are read again at the next ingest.
"""

from __future__ import annotations

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion.contracts import (
    behaviour,
    customers,
    marketing,
    reference,
    sales,
    service,
    supply,
)
from crm_pipeline.lib.ingestion.contracts.columns import (
    EARLIEST_BIRTH,
    EARLIEST_EVENT,
    MAX_SCALE,
    NUMBERS,
    RECORD_COLUMNS,
    SQL_TYPES,
    TEXTS,
    Column,
    Entity,
    Kind,
    PiiClass,
)

__all__ = [
    "CURRENCIES",
    "EARLIEST_BIRTH",
    "EARLIEST_EVENT",
    "ENTITIES",
    "MAX_SCALE",
    "NUMBERS",
    "RECORD_COLUMNS",
    "SQL_TYPES",
    "TEXTS",
    "Column",
    "Entity",
    "Kind",
    "PiiClass",
    "empty_relation_sql",
    "empty_relations",
    "entity_named",
    "part_columns",
]

ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        sales.ORDER_LINES,
        sales.ORDERS,
        sales.REFUNDS,
        customers.ACCOUNTS,
        customers.CONTACT_TAGS,
        customers.IDENTITY_PAIRS,
        customers.CONSENTS,
        customers.PRIVACY_REQUESTS,
        customers.LEGACY_CUSTOMERS,
        behaviour.EVENTS,
        behaviour.STORE_VISITS,
        behaviour.COMMUNITY_POSTS,
        behaviour.DEVICE_USAGE,
        service.TICKETS,
        service.TICKET_MESSAGES,
        service.REVIEWS,
        service.SURVEY_ANSWERS,
        supply.PRODUCTS,
        supply.STOCK_LEVELS,
        supply.SHIPMENTS,
        marketing.MESSAGE_RECEIPTS,
        marketing.COUPON_EVENTS,
        marketing.POINTS_EVENTS,
        marketing.REFERRALS,
        marketing.MARKETING_SPEND,
        reference.EXCHANGE_RATES,
        reference.WEATHER_ALERTS,
    )
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
