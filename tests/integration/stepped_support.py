"""Random deliveries for warehouses that are stepped from night to night.

Add here: how a record of an entity is drawn, what a plan of nights may hold.
Not here: running dbt, comparing tables.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from crm_pipeline.lib.ingestion.contracts.columns import Column
from crm_pipeline.lib.ingestion.entities import ENTITIES
from tests.dbt_support import Delivery

Record = dict[str, Any]
Records = st.SearchStrategy[Record]

FIRST_DAY = dt.date(2024, 6, 1)
# Around the gap of a session and around the business midnight.
MINUTES = st.sampled_from([0, 1, 29, 30, 31, 59, 957, 958, 960, 961, 989, 990, 1439])
# Around the look-back of 430 days: what came later stays out of the rollups.
LATE_DAYS = st.sampled_from([0, 0, 0, 1, 3, 40, 429, 430, 431])
VERSIONS = st.sampled_from([None, "2024-06-02", "2024-06-04", "delivery", "delivery"])
ACCOUNTS = st.sampled_from(["a1", "a2"])
# What comes of a record later, on a day of its own.
LATER = st.sampled_from([None, "2024-06-03 09:00", "2024-06-09 17:30"])
# A run may die after any of these; what stands before it in the chain is done.
DEATHS = (
    "stg_parts",
    "+stg_record_ids",
    "+stg_repeats",
    "+stg_repeated_records",
    "+stg_touched_days",
    "+fct_sessions",
    "+fct_events_daily",
    "+stg_orders",
    "+int_orders_touched",
    "+int_order_documents",
    "+int_linked_touches",
    "+int_account_touches",
    "+feed_balance",
)
FAR_DAYS = 200
FAR_STEPS = 45  # more than the ranges of days a stepped table is asked for (macro is_touched)


@dataclass(frozen=True)
class Kind:
    """Files of one feed: their entity, what a record may say, and the columns of its key."""

    feed: str
    entity: str
    records: Records

    def delivery(self, records: list[Record]) -> Delivery:
        return Delivery(self.feed, self.feed.split("_", maxsplit=1)[0], self.entity, records)

    def key(self, record: Record) -> Record:
        return {column: record.get(column) for column in ENTITIES[self.entity].natural_key}

    @property
    def moment(self) -> str:
        """Column with the instant a record happened, or the day it is for."""
        return str(ENTITIES[self.entity].event_time or "rate_date")


@dataclass(frozen=True)
class Night:
    """What comes before a run, and how the run goes."""

    deliveries: list[Delivery]
    days_on: int = 0  # how far as_of steps
    taken_back: int | None = None  # which file is read again by another mapping
    dies_after: str | None = None


@dataclass(frozen=True)
class Plan:
    """Nights to live through, and the other order in which the same files might have come."""

    nights: list[Night]
    order: int  # seed of the shuffle


@st.composite
def placed(draw: st.DrawFn, moment: str) -> Record:
    """When it happened, which version of it this is, and when it became known."""
    day = FIRST_DAY + dt.timedelta(days=draw(st.integers(0, 7)))
    known = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=draw(MINUTES))
    happened = known - dt.timedelta(days=draw(LATE_DAYS))
    version = draw(VERSIONS)
    version = str(known) if version == "delivery" else version
    return {moment: str(happened), "source_version": version, "known_at": str(known)}


def value_of(column: Column, is_key: bool) -> st.SearchStrategy[Any]:
    """A few values of a column, so that records meet."""
    optional = [] if column.required or is_key else [None]
    if column.name == "source_customer_id":
        return ACCOUNTS if column.required else st.one_of(ACCOUNTS, st.none())
    if column.kind == "enum":
        return st.sampled_from([*column.values, *optional])
    if column.kind == "currency":
        return st.just("CNY")
    if column.kind in ("money", "quantity", "integer"):
        return st.sampled_from(["1", "2", *optional])
    if column.kind == "boolean":
        return st.sampled_from([True, False, *optional])
    names = [f"{column.name} {number}" for number in range(1, 4)]
    return st.sampled_from([*names, *optional])


def record_of(entity: str, **fixed: st.SearchStrategy[Any]) -> Records:
    """A record by the entity's contract; ``fixed`` says more about some of its columns."""
    contract = ENTITIES[entity]
    moments = {column.name for column in contract.columns if column.kind in ("timestamp", "date")}
    clear = {column.name for column in contract.columns if column.pii in ("direct", "sensitive")}
    columns = {
        column.name: value_of(column, column.name in contract.natural_key)
        for column in contract.columns
        if column.name not in moments | clear | {"account_channel"}
    }
    return st.builds(
        lambda place, said: said | place,
        placed(str(contract.event_time)),
        st.fixed_dictionaries(columns | fixed),
    )


def events(*types: str) -> Records:
    """Events of these types; their numbers never meet those of other types."""
    numbers = [f"{types[0]} {number}" for number in range(1, 6)]
    return record_of(
        "events",
        event_id=st.sampled_from(numbers),
        event_type=st.sampled_from(types),
        device_id=st.sampled_from(["d1", "d2"]),
        sku=st.sampled_from(["TEA", "CUP", None]),
    )


def rates() -> Records:
    """Rates of the foreign currency, on a few days; some are quoted the other way round."""
    return st.builds(
        lambda place, rate, way: {
            **place,
            "rate_date": place["rate_date"][:10],
            "base_currency": way[0],
            "quote_currency": way[1],
            "rate": rate,
        },
        placed("rate_date"),
        st.sampled_from(["7", "7.25"]),
        st.sampled_from([("USD", "CNY"), ("USD", "CNY"), ("CNY", "USD")]),
    )


EVENTS = (
    Kind("app_events", "events", events("page_view", "product_view", "checkout_started")),
    Kind("app_events", "events", events("cart_added", "cart_removed")),
    Kind("app_events", "events", events("favourite_added", "favourite_removed")),
    Kind("app_events", "events", events("live_entered", "live_liked")),
)
CURRENCIES = st.sampled_from(["CNY", "CNY", "USD"])
SALES = tuple(
    Kind(f"shop_{entity}", entity, record_of(entity, currency=CURRENCIES))
    for entity in ("orders", "order_lines", "refunds")
)
RATES = Kind("bank_exchange_rates", "exchange_rates", rates())
# With a second moment; parcels are of orders of the shop, messages of tickets of the desk.
LINKED = (
    Kind("desk_tickets", "tickets", record_of("tickets", resolved_at=LATER)),
    Kind("desk_ticket_messages", "ticket_messages", record_of("ticket_messages")),
    Kind("desk_referrals", "referrals", record_of("referrals", joined_at=LATER)),
    Kind(
        "desk_shipments",
        "shipments",
        record_of("shipments", order_channel=st.just("shop"), delivered_at=LATER),
    ),
)
POSTS = Kind("community_posts", "community_posts", record_of("community_posts"))
TOUCHES = tuple(
    Kind(f"desk_{entity}", entity, record_of(entity))
    for entity in (
        "accounts", "legacy_customers", "contact_tags", "privacy_requests", "store_visits",
        "device_usage", "reviews", "survey_answers", "message_receipts", "coupon_events",
        "points_events",
    )
)  # fmt: skip
KINDS = (*EVENTS, *SALES, RATES, POSTS, *TOUCHES, *LINKED)


@st.composite
def files_of(draw: st.DrawFn, kind: Kind, most: int) -> list[Delivery]:
    """Files of one kind; the later ones repeat, correct and contradict the first."""
    first = draw(st.lists(kind.records, min_size=1, max_size=4))
    files = [kind.delivery(first)]
    for _ in range(draw(st.integers(0, most - 1))):
        again = []
        for record in draw(st.lists(st.sampled_from(first), max_size=3)):
            other = draw(kind.records)
            is_copy = draw(st.booleans())  # the same once more, known at another moment
            again.append(
                _known_at(record, max(other["known_at"], record[kind.moment]))
                if is_copy
                else other | kind.key(record)
            )
        files.append(kind.delivery(again + draw(st.lists(kind.records, min_size=1, max_size=2))))
    return files


def _known_at(record: Record, moment: str) -> Record:
    is_version = record["source_version"] == record["known_at"]
    return record | {"known_at": moment} | ({"source_version": moment} if is_version else {})


@st.composite
def plans(draw: st.DrawFn, *, most_nights: int, most_files: int) -> Plan:
    """A few nights in which files of every kind come in, some of them late or taken back."""
    count = draw(st.integers(2, most_nights))
    arriving: list[list[Delivery]] = [[] for _ in range(count)]
    for place, kind in enumerate(KINDS):
        for delivery in draw(files_of(kind, most_files)):
            # Also the plainest plan, always tried first, has files in every night.
            night = (place + draw(st.integers(0, count - 1))) % count
            arriving[night].append(delivery)
    nights = [
        Night(
            deliveries,
            draw(st.integers(0, 3)),
            draw(st.one_of(st.none(), st.none(), st.integers(0, 9))),
            draw(st.one_of(st.none(), st.none(), st.sampled_from(DEATHS))),
        )
        for deliveries in arriving
    ]
    return Plan(nights, draw(st.integers(0, 999)))


@st.composite
def far_plans(draw: st.DrawFn) -> Plan:
    """A second night that touches days far apart, among many days that stay as they are."""
    history = sorted(draw(st.sets(st.integers(0, FAR_DAYS), min_size=40, max_size=60)))
    touched = [4 * step + draw(st.integers(0, 1)) for step in range(FAR_STEPS)]
    nights = [Night([]), Night([])]
    for kind in (*EVENTS, *SALES, POSTS):
        sample = draw(kind.records)
        for name, days, night in (("old", history, nights[0]), ("new", touched, nights[1])):
            records = [far_record(kind, sample, f"{name} {day}", day) for day in days]
            night.deliveries.append(kind.delivery(records))
    return Plan(nights, draw(st.integers(0, 999)))


def far_record(kind: Kind, sample: Record, name: str, day: int) -> Record:
    """The sample, ``day`` days before the first one."""
    (key, *_) = ENTITIES[kind.entity].natural_key
    happened = dt.datetime.combine(FIRST_DAY - dt.timedelta(days=day), dt.time(10))
    number = f"{sample['event_type']} {name}" if kind.entity == "events" else name
    place = {kind.moment: str(happened), "known_at": str(happened), "source_version": None}
    return sample | place | {key: number}
