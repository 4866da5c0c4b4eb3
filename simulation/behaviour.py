"""What people do without buying: sessions, shop visits, posts, products in use.

Add here: a kind of behaviour.
Not here: what they say to the desk (``desk``).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulation.catalogue import CATEGORIES, LIVE_ROOMS, STORES
from simulation.columns import Flags, Ints, blank_where, codes, decimals, money, quantities, words
from simulation.feeds import ORDER_CHANNELS
from simulation.last_day import planted_posts, planted_sessions, planted_visits
from simulation.people import APP, DOUYIN, MINI, POS, WECOM, People, guide_ids
from simulation.purchases import Life
from simulation.randomness import pick
from simulation.sales import ROW_STRIDE, Booked
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["emit_events", "emit_posts", "emit_usage", "emit_visits"]

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
_POSTS = (
    "用了一个月来反馈，{}真的不错", "{}有人回购吗？求推荐", "今天收到{}，包装很用心",
    "{}活动什么时候开始", "晒单：{}到货啦", "{}和别家比怎么选",
)  # fmt: skip
_QUESTIONS = ("{}敏感肌能用吗？", "{}多久换一次？", "{}现在买有优惠吗？", "{}宝宝三个月能用吗？")
_ECO_QUESTIONS = ("{}是环保材质吗？", "{}的包装可以回收吗？", "{}有没有可降解的款？")
_ANSWERS = ("亲，可以的，详情见商品页", "您好，建议咨询专属顾问", "这款支持七天无理由，放心选")
BROWSE, CART, FAVOURITE, ORDER, CHECK_IN, LIVE, SCENE_CART, SCENE_LOOK = range(8)


def emit_events(world: World, people: People, life: Life, booked: Booked) -> None:
    """Sessions at the app, the mini-program and in live rooms, one channel after the other."""
    for channel, feed in (
        (APP, "app_events"), (MINI, "mini_program_events"), (DOUYIN, "douyin_live_events"),
    ):  # fmt: skip
        _emit_channel(world, people, life, booked, channel, feed)


def _emit_channel(
    world: World, people: People, life: Life, booked: Booked, channel: int, feed: str
) -> None:
    settings, calendar = world.parameters.behaviour, world.calendar
    rng = world.stream(feed, people.chunk)
    who = np.flatnonzero(people.has_account[:, channel])
    begin = people.registered_at[who, channel]
    # Interest fades within a month of leaving.
    left = life.left_at[who]
    end = np.where(left > 0, np.minimum(left + 25 * DAY, calendar.end_at), calendar.end_at)
    end = np.maximum(end, begin + DAY)
    # Who buys more looks more.
    rate = (
        settings.sessions_per_month / 30 * (0.4 + 0.6 * np.sqrt(life.rate[who] / life.rate.mean()))
    )
    if channel == DOUYIN:
        rate = rate * 0.6
    quiet_from = people.cast.quiet_from(calendar.end_at)[who]
    sessions = rng.poisson(rate * (end - begin) / DAY)
    person = np.repeat(who, sessions)
    start = np.repeat(begin, sessions) + (
        rng.random(len(person)) * np.repeat(end - begin, sessions)
    ).astype(np.int64)
    start = start // DAY * DAY + world.hours(rng.random(len(person)))
    start = np.maximum(start, np.repeat(begin, sessions))
    keep = start < np.repeat(quiet_from, sessions)
    person, start = person[keep], start[keep]
    kind = _session_kinds(world, rng, len(person), channel)
    goods = world.catalogue
    weights = goods.persona_weights()[people.persona[person]]
    category = pick(rng.random(len(person)), weights)
    product = category * goods.per_category + np.minimum(
        rng.geometric(0.12, len(person)) - 1, goods.per_category - 1
    )
    if channel != DOUYIN:
        orders = booked.orders
        led = np.flatnonzero(
            (orders.channel == channel)
            & (rng.random(len(orders)) < settings.order_session_share)
            & (orders.at - 900 >= people.registered_at[orders.person, channel])
        )
        person = np.concatenate([person, orders.person[led]])
        start = np.concatenate([start, orders.at[led] - rng.integers(400, 900, len(led))])
        kind = np.concatenate([kind, np.full(len(led), ORDER)])
        category = np.concatenate([category, orders.category[led]])
        product = np.concatenate([product, booked.main_product[led]])
    scenes = planted_sessions(world, people, channel)
    person = np.concatenate([person, scenes.person])
    start = np.concatenate([start, scenes.at])
    kind = np.concatenate([kind, np.where(scenes.fills_cart, SCENE_CART, SCENE_LOOK)])
    category = np.concatenate([category, scenes.product // goods.per_category])
    product = np.concatenate([product, scenes.product])
    _write_sessions(world, people, rng, feed, channel, person, start, kind, category, product)


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
    last = size[session] - 1
    u = rng.random(total)
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
        person=people.number[owner], protected=people.cast.is_cast[owner],
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


def emit_visits(world: World, people: People, booked: Booked) -> None:
    """A visit for each till order, and visits that end without one."""
    settings, calendar, orders = world.parameters.behaviour, world.calendar, booked.orders
    rng = world.stream("store_visits", people.chunk)
    bought = np.flatnonzero((orders.channel == POS) & (booked.status == 0))
    who = np.flatnonzero(people.has_account[:, POS])
    months = (calendar.end_at - people.registered_at[who, POS]) / (30 * DAY)
    looks = np.repeat(who, rng.poisson(settings.visits_without_purchase_per_month * months))
    begin = people.registered_at[looks, POS]
    day = (begin + (rng.random(len(looks)) * (calendar.end_at - begin)).astype(np.int64)) // DAY
    seen = np.maximum(day * DAY + rng.integers(10 * 3600, 21 * 3600, len(looks)), begin)
    keep = seen < people.cast.quiet_from(calendar.end_at)[looks]
    planted, planted_at = planted_visits(world, people)
    looks = np.concatenate([looks[keep], planted])
    seen = np.concatenate([seen[keep], planted_at])
    person = np.concatenate([orders.person[bought], looks])
    at = np.concatenate([orders.at[bought] - rng.integers(300, 2400, len(bought)), seen])
    is_purchase = np.arange(len(person)) < len(bought)
    guest = np.concatenate([booked.is_guest[bought], np.zeros(len(looks), bool)])
    count = len(person)
    number = people.chunk * ROW_STRIDE + np.arange(count)
    store = people.store[person]
    world.emit(
        "store_visits", people.chunk, at,
        {
            "visit_id": codes("SV", number, digits=11),
            "source_customer_id": words(people.ids[POS], np.where(guest, -1, person)),
            "store_id": words([name for name, _ in STORES], store),
            "visited_at": world.instants(at),
            "stay_minutes": pa.array(4 + rng.poisson(np.where(is_purchase, 18, 9))),
            "is_purchase": pa.array(is_purchase),
            "guide_id": guide_ids(store, people.number[person]),
        },
        person=people.number[person], protected=people.cast.is_cast[person],
    )  # fmt: skip


def emit_posts(world: World, people: People, life: Life) -> None:
    """Posts and questions in customer groups, and the staff's answers."""
    settings, calendar = world.parameters.behaviour, world.calendar
    rng = world.stream("community_posts", people.chunk)
    channel = np.where(people.has_account[:, WECOM], WECOM, MINI)
    who = np.flatnonzero(people.has_account[np.arange(len(people)), channel])
    begin = people.registered_at[who, channel[who]]
    left = life.left_at[who]
    end = np.maximum(np.where(left > 0, left, calendar.end_at), begin + DAY)
    count = rng.poisson(settings.posts_per_month * (end - begin) / (30 * DAY))
    person = np.repeat(who, count)
    at = np.repeat(begin, count) + (rng.random(len(person)) * np.repeat(end - begin, count)).astype(
        np.int64
    )
    keep = at < people.cast.quiet_from(calendar.end_at)[person]
    person, at = person[keep], at[keep]
    weights = world.catalogue.persona_weights()[people.persona[person]]
    category = pick(rng.random(len(person)), weights)
    product = category * world.catalogue.per_category + rng.integers(
        0, world.catalogue.per_category, len(person)
    )
    asks = rng.random(len(person)) < settings.question_share
    eco = asks & (rng.random(len(person)) < settings.eco_question_share)
    variant = rng.integers(0, 12, len(person))
    planted, planted_at = planted_posts(world, people)
    person, at = np.concatenate([person, planted]), np.concatenate([at, planted_at])
    product = np.append(product, np.full(len(planted), world.scarce_product))
    asks, eco = np.append(asks, np.ones(len(planted), bool)), np.append(eco, planted < 0)
    variant = np.append(variant, np.arange(len(planted)))
    _write_posts(world, people, person, at, channel[person], product, asks, eco, variant)


def _write_posts(
    world: World, people: People, person: Ints, at: Ints, channel: Ints, product: Ints,
    asks: Flags, eco: Flags, variant: Ints,
) -> None:  # fmt: skip
    """Posts and, some hours after each question, an answer by the staff."""
    goods = [g for c in CATEGORIES for g in c.goods]
    shapes = [(t, g) for t in (*_POSTS, *_QUESTIONS, *_ECO_QUESTIONS) for g in goods]
    texts = pa.array([shape.format(good) for shape, good in shapes])
    base = np.where(
        eco, len(_POSTS) + len(_QUESTIONS) + variant % len(_ECO_QUESTIONS),
        np.where(asks, len(_POSTS) + variant % len(_QUESTIONS), variant % len(_POSTS)),
    )  # fmt: skip
    width = world.catalogue.per_category
    text = base * len(goods) + product // width * 4 + product % width % 4
    number = people.chunk * ROW_STRIDE + np.arange(len(person))
    answered = np.flatnonzero(asks)
    answers_at = at[answered] + 1800 + (number[answered] * 7919 % 20) * 1800
    accounts = people.account(channel, person).cast(pa.string())
    texts_all = pa.concat_arrays([texts, pa.array(_ANSWERS)])
    every = np.concatenate([np.arange(len(person)), answered])
    is_answer = np.arange(len(every)) >= len(person)
    world.emit(
        "community_posts", people.chunk, np.concatenate([at, answers_at]),
        {
            "post_id": pa.concat_arrays([codes("PO", number, digits=11),
                                         codes("PA", number[answered], digits=11)]),
            "account_channel": blank_where(is_answer, words(("mini_program", "wecom"),
                                           (channel[every] == WECOM).astype(int))),
            "source_customer_id": blank_where(is_answer, accounts.take(pa.array(every))),
            "group_id": codes("QG", people.store[person[every]] + 1, digits=4),
            "posted_at": world.instants(np.concatenate([at, answers_at])),
            "post_kind": words(("post", "question", "answer"),
                               np.where(is_answer, 2, asks[every].astype(int))),
            "reply_to_id": blank_where(~is_answer, codes("PO", number[every], digits=11)),
            "sku": words(world.catalogue.skus, product[every]),
            "post_text": words(texts_all, np.where(is_answer, len(texts) + number[every] % 3,
                                                   text[every])),
            "like_count": pa.array(number[every] * 31 % 13),
        },
        person=np.where(is_answer, -1, people.number[person[every]]),
        protected=people.cast.is_cast[person[every]],
    )  # fmt: skip


def emit_usage(world: World, people: People, booked: Booked) -> None:
    """Readings of connected products: filter life falls from the day of delivery until changed."""
    goods, calendar = world.catalogue, world.calendar
    rng = world.stream("iot_usage", people.chunk)
    orders = booked.orders
    rows = np.flatnonzero(
        goods.is_connected[booked.main_product] & (booked.status == 0)
        & (goods.price_cents[booked.main_product] >= 30_000)
    )  # fmt: skip
    # One device per person: the first that was bought.
    _, first = np.unique(orders.person[rows], return_index=True)
    rows = rows[first]
    begin = orders.at[rows] + 3 * DAY
    every = world.parameters.behaviour.usage_reading_days * DAY
    count = np.maximum((calendar.end_at - begin) // every, 0).astype(np.int64)
    device = np.repeat(np.arange(len(rows)), count)
    place = np.arange(len(device)) - np.repeat(np.cumsum(count) - count, count)
    at = begin[device] + (place * every).astype(np.int64) + rng.integers(0, 3600, len(device))
    lasts = goods.replenish_days[booked.main_product[rows]] * rng.uniform(0.8, 1.3, len(rows))
    used = (place * every / DAY) % lasts[device] / lasts[device]
    person = orders.person[rows][device]
    serial = codes("WT", people.chunk * ROW_STRIDE + rows, digits=11)
    app = people.has_account[person, APP]
    world.emit(
        "iot_usage", people.chunk, at,
        {
            "device_id": words(serial, device),
            "account_channel": words(("app",), np.where(app, 0, -1)),
            "source_customer_id": words(people.ids[APP], np.where(app, person, -1)),
            "sku": words(goods.skus, booked.main_product[rows][device]),
            "metric": words(("filter_life_percent",), np.zeros(len(device), np.int64)),
            "reading": decimals(np.round((1 - used) * 100).astype(np.int64) * 1000, 3),
            "measured_at": world.instants(at),
        },
        person=people.number[person], protected=people.cast.is_cast[person],
    )  # fmt: skip


assert ORDER_CHANNELS[DOUYIN] == "douyin"
