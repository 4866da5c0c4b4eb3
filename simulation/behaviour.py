"""What people do without buying: shop visits, posts, products in use; sessions stand apart.

Add here: a kind of behaviour.
Not here: what they say to the desk (``desk``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from simulation.catalogue import CATEGORIES, STORES
from simulation.columns import Flags, Ints, blank_where, codes, decimals, words
from simulation.last_day import planted_posts, planted_visits
from simulation.people import APP, MINI, POS, WECOM, People, guide_ids
from simulation.purchases import Life
from simulation.randomness import pick
from simulation.sales import ROW_STRIDE, Booked
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["Posts", "emit_posts", "emit_usage", "emit_visits", "plan_posts", "plan_visits"]

_POSTS = (
    "用了一个月来反馈，{}真的不错", "{}有人回购吗？求推荐", "今天收到{}，包装很用心",
    "{}活动什么时候开始", "晒单：{}到货啦", "{}和别家比怎么选",
)  # fmt: skip
_QUESTIONS = ("{}敏感肌能用吗？", "{}多久换一次？", "{}现在买有优惠吗？", "{}宝宝三个月能用吗？")
_ECO_QUESTIONS = ("{}是环保材质吗？", "{}的包装可以回收吗？", "{}有没有可降解的款？")
_ANSWERS = ("亲，可以的，详情见商品页", "您好，建议咨询专属顾问", "这款支持七天无理由，放心选")


def plan_visits(world: World, people: People) -> tuple[Ints, Ints]:
    """Whose visits end without a purchase, and when."""
    settings, calendar = world.parameters.behaviour, world.calendar
    rng = world.stream("looking_visits", people.chunk)
    who = np.flatnonzero(people.has_account[:, POS])
    months = (calendar.end_at - people.registered_at[who, POS]) / (30 * DAY)
    looks = np.repeat(who, rng.poisson(settings.visits_without_purchase_per_month * months))
    begin = people.registered_at[looks, POS]
    day = (begin + (rng.random(len(looks)) * (calendar.end_at - begin)).astype(np.int64)) // DAY
    seen = np.maximum(day * DAY + rng.integers(10 * 3600, 21 * 3600, len(looks)), begin)
    keep = seen < people.cast.quiet_from(calendar.end_at)[looks]
    planted, planted_at = planted_visits(world, people)
    return np.concatenate([looks[keep], planted]), np.concatenate([seen[keep], planted_at])


def emit_visits(world: World, people: People, booked: Booked, looking: tuple[Ints, Ints]) -> None:
    """A visit for each till order, and those that end without one."""
    orders, (looks, seen) = booked.orders, looking
    rng = world.stream("store_visits", people.chunk)
    bought = np.flatnonzero((orders.channel == POS) & (booked.status == 0))
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


@dataclass
class Posts:
    """What people write in customer groups, one row each."""

    person: Ints
    at: Ints
    channel: Ints
    product: Ints
    asks: Flags
    is_eco: Flags
    variant: Ints


def plan_posts(world: World, people: People, life: Life) -> Posts:
    """Posts and questions of the people, those of the last day included."""
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
    return Posts(person, at, channel[person], product, asks, eco, variant)


def emit_posts(world: World, people: People, posts: Posts) -> None:
    """Writes the posts and, some hours after each question, an answer by the staff."""
    person, at, product, asks = posts.person, posts.at, posts.product, posts.asks
    channel, eco, variant = posts.channel, posts.is_eco, posts.variant
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
