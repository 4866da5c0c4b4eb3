"""Who should hold a tag on the last day, worked out person by person from the clean records.

Add here: a planted tag. Not here: how the product finds it (dbt, ``int_tag_*``), what must hold
(``test_world``).

Nothing here reads a rule table or a model: the numbers are said again, so that a wrong rule shows.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa

ZONE = dt.timedelta(hours=8)
FITNESS = "健身器材"
FAR = dt.date.max
EVENT_FEEDS = {"app_events": "app", "mini_program_events": "mini_program",
               "douyin_live_events": "douyin"}  # fmt: skip
SHOPS = ("tmall", "jd", "douyin", "mini_program", "app", "pos")
TAGS = (
    "premium_line_browser", "fitness_fan", "dedicated_fitness_user", "cart_leaver",
    "store_visitor_without_purchase",
)  # fmt: skip
# What was planted in whose life, and the tags any of which tells it.
PLANTED = {
    "premium_line_on_three_days": {"premium_line_browser"},
    "category_three_times_in_a_row": {"fitness_fan", "dedicated_fitness_user"},
    "cart_left": {"cart_leaver"},
    "visit_without_purchase": {"store_visitor_without_purchase"},
}

Interval = tuple[dt.date, dt.date]  # the first day with the tag, the first day without it


@dataclass
class Life:
    """What one person did that a tag looks at; moments in UTC."""

    views: list[tuple[dt.datetime, str]] = field(default_factory=list)
    carts: list[tuple[dt.datetime, str]] = field(default_factory=list)
    emptied: list[tuple[dt.datetime, str]] = field(default_factory=list)
    bought: list[tuple[dt.datetime, str]] = field(default_factory=list)
    left_shop: list[dt.datetime] = field(default_factory=list)
    noted: list[tuple[dt.datetime, bool]] = field(default_factory=list)
    records: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Goods:
    """What the catalogue says of each product."""

    category: Mapping[str, str]
    premium: set[str]


def day_of(moment: dt.datetime) -> dt.date:
    return (moment + ZONE).date()


def days_after(day: dt.date, days: int) -> dt.date:
    return day + dt.timedelta(days=days)


def read_goods(clean: Mapping[str, pa.Table]) -> Goods:
    rows = sorted(clean["erp_products"].to_pylist(), key=lambda row: row["updated_at"])
    category = {row["sku"]: row["category_name"] for row in rows}
    premium = {row["sku"]: row["is_premium"] for row in rows}
    return Goods(category, {sku for sku, said in premium.items() if said})


def read_lives(clean: Mapping[str, pa.Table]) -> dict[int, Life]:
    """Every person's deeds by an account; who was not logged in did nothing anybody could know."""
    lives: dict[int, Life] = defaultdict(Life)
    for feed, channel in EVENT_FEEDS.items():
        for row in _known(clean[feed]):
            _add_event(lives[row["person_id"]], row, channel)
    for shop in SHOPS:
        paid = {
            row["order_id"]: row
            for row in _known(clean[f"{shop}_orders"])
            if row["order_status"] in (None, "paid")
        }
        for order_id, row in paid.items():
            lives[row["person_id"]].records.add(("orders", f"{shop}|{order_id}"))
        for line in clean[f"{shop}_order_lines"].to_pylist():
            row = paid.get(line["order_id"])
            if row and line["line_kind"] == "sale" and line["item_class"] in (None, "product"):
                life = lives[row["person_id"]]
                life.bought.append((row["ordered_at"], line["sku"]))
                life.records.add(("order_lines", f"{shop}|{line['order_id']}|{line['sku']}"))
    for row in _known(clean["store_visits"]):
        if not row["is_purchase"]:
            life = lives[row["person_id"]]
            life.left_shop.append(row["visited_at"])
            life.records.add(("store_visits", row["visit_id"]))
    for row in _known(clean["wecom_tags"]):
        if row["tag_name"] == "健身爱好者":
            life = lives[row["person_id"]]
            life.noted.append((row["occurred_at"], row["action"] == "added"))
            key = f"{row['source_customer_id']}|{row['tag_name']}|{row['action']}"
            life.records.add(("contact_tags", key))
    return lives


def _known(table: pa.Table) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if row["source_customer_id"]]


def _add_event(life: Life, row: dict[str, Any], channel: str) -> None:
    places = {"product_view": life.views, "cart_added": life.carts, "cart_removed": life.emptied}
    if row["event_type"] in places and row["sku"]:
        places[row["event_type"]].append((row["occurred_at"], row["sku"]))
        life.records.add(("events", f"{channel}|{row['event_id']}"))


def held(life: Life, goods: Goods, last: dt.date) -> set[str]:
    """The tags of one person on the last day."""
    deep = list(_dedicated(life, goods))
    spells = {
        "premium_line_browser": _premium(life, goods),
        "cart_leaver": _carts(life),
        "store_visitor_without_purchase": _visits(life),
        "dedicated_fitness_user": iter(deep),
        "fitness_fan": _not_replaced(_fans(life, goods), deep, last),
    }
    return {
        tag
        for tag, intervals in spells.items()
        if any(begin <= last < end for begin, end in intervals)
    }


def _next_day(moments: list[dt.datetime], after: dt.datetime) -> dt.date:
    """The day of the first of these moments after another one."""
    return min((day_of(moment) for moment in moments if moment > after), default=FAR)


def _premium(life: Life, goods: Goods) -> Iterator[Interval]:
    """Premium products on three days in a row, none bought since the last look of the first."""
    looks: dict[dt.date, dt.datetime] = {}
    for moment, sku in sorted(life.views):
        if sku in goods.premium:
            looks[day_of(moment)] = moment
    bought = [moment for moment, sku in life.bought if sku in goods.premium]
    for day in looks:
        first = looks.get(days_after(day, -2))
        if first and days_after(day, -1) in looks:
            end = _next_day(bought, first)
            if end > day:
                yield day, min(end, days_after(day, 30))


def _fans(life: Life, goods: Goods) -> list[Interval]:
    """Three first looks of a day at products for fitness, nothing else looked at between."""
    browses: dict[tuple[dt.date, str], dt.datetime] = {}
    for moment, sku in sorted(life.views):
        browses.setdefault((day_of(moment), sku), moment)
    found, run = [], []
    for (day, sku), _ in sorted(browses.items(), key=lambda item: (item[1], item[0][1])):
        run = [*run, day] if goods.category.get(sku) == FITNESS else []
        if len(run) >= 3 and (day - run[-3]).days < 30:
            found.append((day, days_after(day, 90)))
    taken_off = [moment for moment, added in life.noted if not added]
    for moment, added in life.noted:
        end = _next_day(taken_off, moment)
        if added and end > day_of(moment):
            found.append((day_of(moment), min(end, days_after(day_of(moment), 365))))
    return found


def _dedicated(life: Life, goods: Goods) -> Iterator[Interval]:
    fans = _fans(life, goods)
    for moment, sku in life.bought:
        day = day_of(moment)
        if goods.category.get(sku) == FITNESS and any(a <= day < b for a, b in fans):
            yield day, days_after(day, 365)


def _not_replaced(
    intervals: list[Interval], deep: list[Interval], last: dt.date
) -> Iterator[Interval]:
    """What is left of being a fan: nothing while the deeper tag is held, or after it began."""
    spells: list[list[dt.date]] = []
    for begin, end in sorted(deep):
        if spells and begin <= spells[-1][1]:
            spells[-1][1] = max(spells[-1][1], end)
        else:
            spells.append([begin, end])
    assert all(left[1] < right[0] for left, right in pairwise(spells))
    for begin, end in intervals:
        if not any(start <= begin < stop for start, stop in spells):
            yield begin, min([end, *(start for start, _ in spells if start > begin)])


def _carts(life: Life) -> Iterator[Interval]:
    """Put into the cart, and neither bought nor taken out until the next day is over."""
    over = [*life.bought, *life.emptied]
    for moment, sku in life.carts:
        begin = days_after(day_of(moment), 1)
        end = _next_day([at for at, other in over if other == sku], moment)
        if end > begin:
            yield begin, min(end, days_after(begin, 14))


def _visits(life: Life) -> Iterator[Interval]:
    bought = [moment for moment, _ in life.bought]
    for moment in life.left_shop:
        end = _next_day(bought, moment)
        if end > day_of(moment):
            yield day_of(moment), min(end, days_after(day_of(moment), 30))


STAGED = {
    "events": "select channel || '|' || event_id from staging.stg_events where is_in_time",
    "orders": "select channel || '|' || order_id from staging.stg_orders "
    "where source_customer_id is not null",
    "order_lines": "select channel || '|' || order_id || '|' || sku from staging.stg_order_lines",
    "store_visits": "select visit_id from staging.stg_store_visits "
    "where source_customer_id is not null",
    "contact_tags": "select source_customer_id || '|' || tag_name || '|' || action "
    "from staging.stg_contact_tags",
}


def not_staged(connection: duckdb.DuckDBPyConnection, life: Life) -> list[tuple[str, str]]:
    """Records of a person that were quarantined, or came too late to be known."""
    missing = []
    for entity, query in STAGED.items():
        wanted = {key for name, key in life.records if name == entity}
        if wanted:
            there = {key for (key,) in connection.execute(query).fetchall()}
            missing += [(entity, key) for key in sorted(wanted - there)]
    return missing
