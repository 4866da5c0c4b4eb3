"""Sessions in the app, the mini-program and live rooms, and the events they are made of.

Add here: a kind of session.
Not here: behaviour outside of sessions (``behaviour``).

Sessions are drawn before anybody orders or is written to, so that a message can answer a cart;
``emit_events`` adds those that lead to orders and turns all of them into events.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulation.behaviour import Posts
from simulation.catalogue import CATEGORIES, CATEGORY_NAMES, LIVE_ROOMS
from simulation.columns import Flags, Ints, decimals, money, quantities, words
from simulation.habits import Habits
from simulation.last_day import planted_sessions
from simulation.people import APP, DOUYIN, MINI, People
from simulation.purchases import Life
from simulation.randomness import pick
from simulation.sales import ROW_STRIDE, Booked
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["Sessions", "emit_events", "emit_habits", "moments_of", "plan_sessions"]

_FEEDS = {APP: "app_events", MINI: "mini_program_events", DOUYIN: "douyin_live_events"}
_TYPES = (
    "page_view", "product_view", "search", "cart_added", "cart_removed", "favourite_added",
    "favourite_removed", "checkout_started", "login", "share", "check_in", "live_entered",
    "live_left", "live_liked", "live_commented", "live_product_clicked",
)  # fmt: skip
_TYPE = {name: number for number, name in enumerate(_TYPES)}
_PAGES = ("首页", "会员中心", "活动页", "分类页", "直播广场")
_COMMENTS = (
    "这个颜色好看",
    "有优惠吗",
    "已下单",
    "主播讲得真细",
    "什么时候发货",
    "想要赠品",
    "价格合适",
)
_APART = 2**26  # numbers of events planted apart begin here
BROWSE, CART, FAVOURITE, ORDER, CHECK_IN, LIVE, SCENE_CART, SCENE_LOOK = range(8)


@dataclass
class Sessions:
    """Sessions of one channel, one row each."""

    person: Ints
    at: Ints
    kind: Ints
    category: Ints
    product: Ints

    def of_kind(self, kind: int) -> tuple[Ints, Ints]:
        """Whose sessions of a kind there are, and when."""
        rows = self.kind == kind
        return self.person[rows], self.at[rows]


def plan_sessions(world: World, people: People, life: Life) -> dict[int, Sessions]:
    """The sessions that lead to nothing, per account channel."""
    return {channel: _plan_channel(world, people, life, channel) for channel in _FEEDS}


def _plan_channel(world: World, people: People, life: Life, channel: int) -> Sessions:
    settings, calendar, goods = world.parameters.behaviour, world.calendar, world.catalogue
    rng = world.stream(f"sessions/{channel}", people.chunk)
    who = np.flatnonzero(people.has_account[:, channel])
    begin = people.registered_at[who, channel]
    # Interest fades within a month of leaving.
    left = life.left_at[who]
    end = np.where(left > 0, np.minimum(left + 25 * DAY, calendar.end_at), calendar.end_at)
    end = np.maximum(end, begin + DAY)
    # Who buys more looks more; live rooms are for evenings.
    usual = settings.sessions_per_month / 30 * (0.6 if channel == DOUYIN else 1.0)
    rate = usual * (0.4 + 0.6 * np.sqrt(life.rate[who] / life.rate.mean()))
    sessions = rng.poisson(rate * (end - begin) / DAY)
    person = np.repeat(who, sessions)
    at = np.repeat(begin, sessions) + (
        rng.random(len(person)) * np.repeat(end - begin, sessions)
    ).astype(np.int64)
    at = at // DAY * DAY + world.hours(rng.random(len(person)))
    at = np.maximum(at, np.repeat(begin, sessions))
    keep = at < people.cast.quiet_from(calendar.end_at)[person]
    person, at = person[keep], at[keep]
    weights = goods.persona_weights()[people.persona[person]]
    category = pick(rng.random(len(person)), weights)
    # Cheap things are looked at most; premium ones now and then.
    rank = np.minimum(rng.geometric(0.12, len(person)) - 1, goods.per_category - 1)
    return Sessions(person, at, _session_kinds(world, rng, len(person), channel), category,
                    category * goods.per_category + rank)  # fmt: skip


def emit_events(world: World, people: People, planned: dict[int, Sessions], booked: Booked) -> None:
    """Writes the events of all sessions, one channel after the other."""
    for channel, feed in _FEEDS.items():
        rng = world.stream(feed, people.chunk)
        parts = [planned[channel], _scenes(world, people, channel)]
        if channel != DOUYIN:
            parts.append(_leading_to_orders(world, people, rng, booked, channel))
        _write_sessions(
            world, people, rng, feed, channel,
            *(np.concatenate([getattr(part, name) for part in parts])
              for name in ("person", "at", "kind", "category", "product")),
        )  # fmt: skip


def emit_habits(world: World, people: People, habits: Habits) -> None:
    """Writes the events of the habits, apart, so that they change nobody else's chances."""
    kind = np.where(habits.fills_cart, SCENE_CART, SCENE_LOOK)
    rng = world.stream("habit_events", people.chunk)
    category = habits.product // world.catalogue.per_category
    _write_sessions(
        world, people, rng, _FEEDS[APP], APP,
        habits.person, habits.at, kind, category, habits.product, part="habits",
    )  # fmt: skip


def moments_of(
    world: World, planned: dict[int, Sessions], looking: tuple[Ints, Ints], posts: Posts
) -> dict[str, tuple[Ints, Ints]]:
    """What people did that a message answers: journey → whose moment, and when."""
    goods = world.catalogue
    own = [planned[APP], planned[MINI]]
    every = Sessions(*(np.concatenate([getattr(s, f.name) for s in own]) for f in fields(Sessions)))
    carts = every.of_kind(CART)
    nursery = every.category == CATEGORY_NAMES.index("nursery")
    premium = goods.is_premium[every.product]
    return {
        "cart_rescue": (carts[0], carts[1] + 3600),
        "browse_list": (every.person[nursery], every.at[nursery] + 7200),
        "vip_preorder": (every.person[premium], every.at[premium] + DAY),
        "visit_follow_up": (looking[0], looking[1] + 7200),
        "question_offer": (posts.person[posts.asks], posts.at[posts.asks] + 3600),
    }


def _scenes(world: World, people: People, channel: int) -> Sessions:
    scenes = planted_sessions(world, people, channel)
    kind = np.where(scenes.fills_cart, SCENE_CART, SCENE_LOOK)
    category = scenes.product // world.catalogue.per_category
    return Sessions(scenes.person, scenes.at, kind, category, scenes.product)


def _leading_to_orders(
    world: World, people: People, rng: np.random.Generator, booked: Booked, channel: int
) -> Sessions:
    """Sessions that end in the checkout, some minutes before the order."""
    orders, share = booked.orders, world.parameters.behaviour.order_session_share
    led = np.flatnonzero(
        (orders.channel == channel)
        & (rng.random(len(orders)) < share)
        & (orders.at - 900 >= people.registered_at[orders.person, channel])
    )
    at = orders.at[led] - rng.integers(400, 900, len(led))
    return Sessions(orders.person[led], at, np.full(len(led), ORDER), orders.category[led],
                    booked.main_product[led])  # fmt: skip


def _session_kinds(world: World, rng: np.random.Generator, count: int, channel: int) -> Ints:
    settings = world.parameters.behaviour
    if channel == DOUYIN:
        return np.full(count, LIVE)
    carts, favourites = settings.cart_session_share, settings.favourite_session_share
    shares = np.array([max(0.0, 0.95 - carts - favourites), carts, favourites, 0.0, 0.05])
    return pick(rng.random(count), shares)


def _write_sessions(
    world: World, people: People, rng: np.random.Generator, feed: str, channel: int,
    person: Ints, start: Ints, kind: Ints, category: Ints, product: Ints,
    *, part: str = "",
) -> None:  # fmt: skip
    """Turns sessions into events: the kind of session decides what happens at which place."""
    settings = world.parameters.behaviour
    count = len(person)
    size = 2 + rng.poisson(max(settings.events_per_session - 2, 0.1), count)
    size = np.where(kind == ORDER, np.maximum(size, 4), size)
    shared = rng.random(count)
    anonymous = shared < settings.anonymous_session_share
    login_at = np.where(
        (shared >= settings.anonymous_session_share)
        & (shared < settings.anonymous_session_share + settings.login_session_share),
        1 + (rng.random(count) * (size - 1)).astype(np.int64), 0,
    )  # fmt: skip
    # Who orders, checks in or goes live is logged in.
    is_known = kind >= ORDER
    anonymous &= ~is_known
    login_at = np.where(is_known, 0, login_at)
    family = people.family_device.is_valid().to_numpy(zero_copy_only=False)
    on_family = family[person] & (rng.random(count) < 0.35)
    removes = rng.random(count) < 0.2

    session = np.repeat(np.arange(count), size)
    place = np.arange(len(session)) - np.repeat(np.cumsum(size) - size, size)
    total = len(session)
    gaps = np.minimum(rng.exponential(35, total) + 2, 1500).astype(np.int64)
    reached = np.cumsum(gaps)
    first = (np.cumsum(size) - size)[session]
    at = start[session] + reached - reached[first]
    u = rng.random(total)
    # In the order of time from here on: texts are dear to move.
    order = np.argsort(at, kind="stable")
    order = order[: int(np.searchsorted(at[order], world.calendar.end_at))]
    session, place, at, gaps, u = session[order], place[order], at[order], gaps[order], u[order]
    total = len(session)
    last = size[session] - 1
    what = _what_happens(kind[session], place, last, u, removes[session], login_at[session])
    known = ~anonymous[session] & (place >= login_at[session])
    own = np.array([_TYPE[name] for name in ("cart_added", "cart_removed", "favourite_added",
                    "favourite_removed", "checkout_started", "product_view", "share",
                    "live_product_clicked")])  # fmt: skip
    about = np.isin(np.arange(len(_TYPES)), own)[what]
    goods = world.catalogue
    # Others of the category are looked at besides the one the session is about.
    wanders = (what == _TYPE["product_view"]) & (u < 0.45) & (kind[session] < SCENE_CART)
    other = category[session] * goods.per_category + (u * 2.2 * goods.per_category).astype(int)
    item = np.where(wanders, np.minimum(other, goods.count - 1), product[session])
    in_cart = (what == _TYPE["cart_added"]) | (what == _TYPE["cart_removed"])
    priced = about & (what != _TYPE["share"])
    number = people.chunk * ROW_STRIDE + np.arange(total, dtype=np.int64)
    number += _APART if part else 0
    owner = person[session]
    shared_or_own = pc.coalesce(people.family_device, people.device)
    devices = pa.concat_arrays([people.device, shared_or_own])
    is_live = channel == DOUYIN
    columns: dict[str, pa.Array] = {
        "event_id": pa.array(number + (channel + 1) * 10**13).cast(pa.string()),
        "source_customer_id": words(people.ids[channel], np.where(known, owner, -1)),
        "occurred_at": world.instants(at),
        "event_type": words(_TYPES, what),
        "sku": words(goods.skus, np.where(about, item, -1)),
        "category_name": words([c.label for c in CATEGORIES], category[session]),
        "quantity": _sparse(in_cart, 1000, 3, total),
        "unit_price_amount": money(goods.price_cents[item], ~priced),
        "currency": words((world.parameters.world.currency,), np.where(priced, 0, -1)),
        "dwell_seconds": quantities(np.minimum(gaps, 600)),
    }  # fmt: skip
    if is_live:
        room = (start // 7200 % len(LIVE_ROOMS))[session]
        talks = what == _TYPE["live_commented"]
        columns["live_room_id"] = words(LIVE_ROOMS, room)
        columns["comment_text"] = words(_COMMENTS, np.where(talks, number % len(_COMMENTS), -1))
    else:
        columns["device_id"] = words(devices, (owner + on_family[session] * len(people)))
        searches = what == _TYPE["search"]
        pages = [*_PAGES, *(g for c in CATEGORIES for g in c.goods)]
        term = len(_PAGES) + category[session] * 4 + number % 4
        page = np.where(searches, term, np.where(what == 0, number % len(_PAGES), -1))
        columns["page_name"] = words(pages, page)
    world.emit(
        feed, people.chunk, at, columns,
        person=people.number[owner], protected=people.cast.is_cast[owner], part=part,
    )  # fmt: skip


def _what_happens(
    kind: Ints, place: Ints, last: Ints, u: NDArray[np.float64], removes: Flags, login_at: Ints
) -> Ints:
    """The event of each place: browsing, and at the marked places what the session is about."""
    browsing = np.array([_TYPE[n] for n in ("page_view", "product_view", "search", "share")])
    what = browsing[np.searchsorted([0.25, 0.83, 0.97], u)]
    step = place - np.minimum(1, last - 1)
    for of_kind, at_step, name, chance in (
        (CART, 1, "cart_added", 1.0), (CART, 2, "checkout_started", 0.3),
        (FAVOURITE, 1, "favourite_added", 1.0),
        (SCENE_CART, 1, "cart_added", 1.0),
        (ORDER, 1, "cart_added", 1.0), (ORDER, 2, "checkout_started", 1.0),
    ):  # fmt: skip
        what[(kind == of_kind) & (step == at_step) & (u < chance)] = _TYPE[name]
    ends = (place == last) & removes & (step > 2)
    what[ends & (kind == CART)] = _TYPE["cart_removed"]
    what[ends & (kind == FAVOURITE)] = _TYPE["favourite_removed"]
    what[kind == SCENE_LOOK] = _TYPE["product_view"]
    what[(kind == CHECK_IN) & (place == 0)] = _TYPE["check_in"]
    live = kind == LIVE
    if live.any():
        names = ("live_liked", "live_commented", "live_product_clicked")
        talk = np.array([_TYPE[name] for name in names])[np.searchsorted([0.5, 0.75], u)]
        what[live] = talk[live]
        what[live & (place == 0)] = _TYPE["live_entered"]
        what[live & (place == last)] = _TYPE["live_left"]
    what[(login_at > 0) & (place == login_at)] = _TYPE["login"]
    return what


def _sparse(where: Flags, units: int, scale: int, count: int) -> pa.Array:
    return decimals(np.full(count, units, np.int64), scale, ~where)
