"""The feeds of the simulated world and the shape of their clean records.

Add here: a feed.
Not here: how a channel writes it down (``delivery``), what is in it (the modules that emit it).

A clean record has every column of its entity's contract in canonical words (instants as naive UTC,
money in ``decimal(18,2)``, rates in ``decimal(18,6)``), and after them:

- ``person_id``: who really did it; null where nobody did.
- ``deliver_at``: naive UTC; null = with the normal delivery of its period, else later on its own.
- ``updated_at``: versioned feeds only; several rows of one key are its versions.
- ``is_protected``: a scenario of the last day rests on the record, so no defect may touch it.

They lie in ``clean/<feed>/period=<YYYYMM>/<chunk>.parquet``; the period is the local month.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from crm_pipeline.lib.ingestion.entities import Column, Entity, entity_named

__all__ = ["FEEDS", "ORDER_CHANNELS", "Feed", "clean_schema", "feed_named"]

# Channels where something can be bought, in the order of every per-channel array.
ORDER_CHANNELS = ("tmall", "jd", "douyin", "mini_program", "app", "pos")


@dataclass(frozen=True)
class Feed:
    """One feed: whose it is, what its records are, and whether they come in versions."""

    name: str
    channel: str
    entity_name: str
    is_versioned: bool = False

    @property
    def entity(self) -> Entity:
        return entity_named(self.entity_name)


def _sales_feeds(channel: str) -> tuple[Feed, ...]:
    entities = ("orders", "order_lines", "refunds", "accounts")
    return tuple(Feed(f"{channel}_{entity}", channel, entity) for entity in entities)


FEEDS: tuple[Feed, ...] = (
    *_sales_feeds("tmall"),
    *_sales_feeds("jd"),
    *_sales_feeds("douyin"),
    Feed("douyin_live_events", "douyin", "events"),
    *_sales_feeds("mini_program"),
    Feed("mini_program_events", "mini_program", "events"),
    *_sales_feeds("app"),
    Feed("app_events", "app", "events"),
    Feed("pos_orders", "pos", "orders"),
    Feed("pos_order_lines", "pos", "order_lines"),
    Feed("pos_members", "pos", "accounts"),
    Feed("store_visits", "pos", "store_visits"),
    Feed("wecom_contacts", "wecom", "accounts"),
    Feed("wecom_tags", "wecom", "contact_tags"),
    Feed("wecom_receipts", "wecom", "message_receipts"),
    Feed("community_posts", "community", "community_posts"),
    Feed("sms_receipts", "sms", "message_receipts"),
    Feed("push_receipts", "push", "message_receipts"),
    Feed("email_receipts", "email", "message_receipts"),
    Feed("service_tickets", "service", "tickets", is_versioned=True),
    Feed("service_chats", "service", "ticket_messages"),
    Feed("product_reviews", "reviews", "reviews"),
    Feed("nps_answers", "survey", "survey_answers"),
    Feed("erp_products", "erp", "products", is_versioned=True),
    Feed("erp_stock", "erp", "stock_levels"),
    Feed("logistics_shipments", "logistics", "shipments", is_versioned=True),
    Feed("crm_coupons", "crm", "coupon_events"),
    Feed("crm_points", "crm", "points_events"),
    Feed("crm_referrals", "crm", "referrals"),
    Feed("ad_spend", "ads", "marketing_spend"),
    Feed("consent_center", "consent_center", "consents"),
    Feed("privacy_desk", "privacy", "privacy_requests"),
    Feed("iot_usage", "iot", "device_usage"),
    Feed("fx_rates", "reference", "exchange_rates"),
    Feed("weather_alerts", "reference", "weather_alerts"),
    Feed("identity_reviews", "clerks", "identity_pairs"),
    Feed("legacy_customers", "legacy", "legacy_customers"),
    Feed("legacy_accounts", "legacy", "accounts"),
)

_BY_NAME = {feed.name: feed for feed in FEEDS}
_RATE = "rate"  # the one money column that is no amount of money
_TYPES: dict[str, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "enum": pa.string(),
    "currency": pa.string(),
    "integer": pa.int64(),
    "money": pa.decimal128(18, 2),
    "quantity": pa.decimal128(18, 3),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}


def feed_named(name: str) -> Feed:
    """The feed called ``name``."""
    return _BY_NAME[name]


@cache
def clean_schema(name: str) -> pa.Schema:
    """The columns of a feed's clean records, in their order."""
    feed = feed_named(name)
    fields = [pa.field(column.name, _type_of(column)) for column in feed.entity.columns]
    fields += [pa.field("person_id", pa.int64()), pa.field("deliver_at", pa.timestamp("us"))]
    if feed.is_versioned:
        fields.append(pa.field("updated_at", pa.timestamp("us")))
    fields.append(pa.field("is_protected", pa.bool_()))
    return pa.schema(fields)


def _type_of(column: Column) -> pa.DataType:
    return pa.decimal128(18, 6) if column.name == _RATE else _TYPES[column.kind]
