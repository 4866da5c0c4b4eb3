"""What customers say to the shop: tickets, chats, reviews, surveys.

Add here: a desk.
Not here: what they write to each other (``behaviour``).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulation.columns import Ints, blank_where, codes, words
from simulation.feeds import ORDER_CHANNELS
from simulation.last_day import planted_tickets
from simulation.people import APP, POS, People
from simulation.randomness import pick
from simulation.sales import ROW_STRIDE, Booked
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["emit_desk"]

_KINDS = ("question", "complaint", "return", "repair", "other")
_COMPLAINTS = (
    "快递太慢了，已经超时好几天",
    "收到的商品有破损",
    "少发了一件，请尽快处理",
    "客服一直不回复",
)
_ASKS = (
    "请问什么时候发货？",
    "这款可以开发票吗？",
    "想了解一下使用方法",
    "有没有环保材质的？",
    "想要的款没货了，什么时候补？",
)
_RETURNS = ("申请退货，不合适", "想换一个规格")
_REPLIES = ("您好，非常抱歉，马上为您查询", "已为您加急处理", "稍等，我帮您核实一下")
_BOT = ("您好，我是智能助手，请问有什么可以帮您？",)
_THANKS = ("好的，谢谢", "尽快吧", "可以，麻烦了", "还是没解决")
_GOOD = ("质量很好，会回购", "物流快，包装严实", "家里人都喜欢", "性价比高", "和描述一致，满意")
_BAD = ("等了很久才到", "和图片有差距", "包装破了", "一般般，不太值这个价")


def emit_desk(world: World, people: People, booked: Booked) -> None:
    """Tickets with their chats, reviews and survey answers."""
    _emit_tickets(world, people, booked)
    _emit_reviews(world, people, booked)
    _emit_surveys(world, people, booked)


def _emit_tickets(world: World, people: People, booked: Booked) -> None:
    settings, orders = world.parameters.service, booked.orders
    rng = world.stream("service_tickets", people.chunk)
    calm = ~people.cast.is_cast[orders.person] & (booked.status == 0) & ~booked.is_guest
    complains = orders.complains & calm
    asks = (rng.random(len(orders)) < settings.question_share) & calm & ~complains
    misses = orders.met_stock_out & calm & ~complains & ~asks & (rng.random(len(orders)) < 0.3)
    returns = booked.refunded & calm & ~complains & ~asks & (rng.random(len(orders)) < 0.4)
    rows = np.flatnonzero(complains | asks | misses | returns)
    kind = np.where(complains[rows], 1, np.where(returns[rows], 2, 0))
    # A late parcel is complained about once it is late; anything else after some days.
    wait = rng.gamma(2, 1.5, len(rows)) * DAY
    late = orders.is_late[rows] & (kind == 1)
    wait = np.where(late, (world.parameters.parcels.promised_days + 1.5) * DAY + wait / 3, wait)
    wait = np.where(misses[rows], -rng.uniform(600, 7200, len(rows)), wait)
    opened = np.maximum(
        orders.at[rows] + wait.astype(np.int64),
        people.registered_at[orders.person[rows], orders.channel[rows]],
    )
    text = np.where(
        kind == 1, np.where(late, 0, 1 + rng.integers(0, 3, len(rows))),
        np.where(kind == 2, 9 + rng.integers(0, 2, len(rows)),
                 np.where(misses[rows], 8, 4 + rng.integers(0, 4, len(rows)))),
    )  # fmt: skip
    _write_tickets(
        world, people, rng, orders.person[rows], opened, kind, text, orders.channel[rows],
        blank_where(misses[rows], booked.order_id.take(pa.array(rows))),
        booked.main_product[rows], 0,
    )  # fmt: skip
    who, since = planted_tickets(world, people)
    _write_tickets(
        world, people, rng, who, since, np.ones(len(who), np.int64), np.ones(len(who), np.int64),
        np.full(len(who), APP), pa.nulls(len(who), pa.string()),
        np.full(len(who), world.scarce_product), 2**26, stays_open=True,
    )  # fmt: skip


def _write_tickets(
    world: World, people: People, rng: np.random.Generator, person: Ints, opened: Ints,
    kind: Ints, text: Ints, channel: Ints, order_id: pa.Array, product: Ints, first_number: int,
    stays_open: bool = False,
) -> None:  # fmt: skip
    """Each ticket as it was opened and as it was left; what is still to come stays open."""
    settings = world.parameters.service
    count = len(person)
    number = people.chunk * ROW_STRIDE + first_number + np.arange(count)
    ticket_id = codes("TK", number, digits=11)
    response = rng.lognormal(
        np.log(settings.response_median_minutes), settings.response_spread, count
    )
    responded = opened + np.maximum(30, response * 60).astype(np.int64)
    solving = rng.lognormal(
        np.log(settings.resolution_median_hours), settings.resolution_spread, count
    )
    resolved = responded + (solving * 3600).astype(np.int64)
    followed = resolved + (rng.uniform(0.4, 1.3, count) * 2 * DAY).astype(np.int64)
    reopens = rng.random(count) < settings.reopened_share
    reopened = resolved + rng.integers(3600, 3 * DAY, count)
    closed = np.where(reopens, reopened + DAY, followed) + 3600
    marks = 5 - (solving > 24) * 2 - (response > 120) - (kind == 1) - rng.integers(0, 2, count)
    score = np.clip(marks, 1, 5)
    rates = rng.random(count) < 0.4
    priority = np.where(kind == 1, 2 + (rng.random(count) < 0.2), 1)
    agent = codes("AG", rng.integers(1, 40, count), digits=3)
    texts = (*_COMPLAINTS, *_ASKS, *_RETURNS)
    stages = [(opened, 0), (resolved, 2), (closed, 3)]
    if stays_open:
        stages = [(opened, 0), (responded, 1)]
    for stage, (when, status) in enumerate(stages):
        seen = responded <= when
        done = status >= 2
        world.emit(
            "service_tickets", people.chunk, when,
            {
                "ticket_id": ticket_id,
                "account_channel": words(ORDER_CHANNELS, channel),
                "source_customer_id": people.account(channel, person),
                "ticket_kind": words(_KINDS, kind),
                "priority": words(("low", "normal", "high", "urgent"), priority),
                "ticket_status": words(("open", "pending", "resolved", "closed"),
                                       np.full(count, status)),
                "opened_at": world.instants(opened),
                "first_responded_at": world.instants(responded, ~seen),
                "resolved_at": world.instants(resolved, np.full(count, not done)),
                "followed_up_at": world.instants(followed, (followed > when) | (not done)),
                "reopened_at": world.instants(reopened, ~(reopens & (reopened <= when))),
                "order_id": order_id,
                "sku": words(world.catalogue.skus, product),
                "agent_id": blank_where(~seen, agent),
                "subject_text": words(texts, text),
                "satisfaction_score": pa.array(score, mask=~(rates & (status == 3))),
            },
            person=people.number[person], protected=people.cast.is_cast[person],
            updated=when, part=f"{'scene' if stays_open else 'own'}{stage}",
        )  # fmt: skip
    _write_chats(world, people, rng, person, opened, responded, resolved, ticket_id, text, texts,
                 number, stays_open)  # fmt: skip


def _write_chats(
    world: World, people: People, rng: np.random.Generator, person: Ints, opened: Ints,
    responded: Ints, resolved: Ints, ticket_id: pa.Array, text: Ints, texts: tuple[str, ...],
    number: Ints, stays_open: bool,
) -> None:  # fmt: skip
    count = len(person)
    half = responded + (resolved - responded) // 2
    every = (*texts, *_BOT, *_REPLIES, *_THANKS)
    bot, reply, thanks = len(texts), len(texts) + 1, len(texts) + 1 + len(_REPLIES)
    turns = [
        (opened, 0, text), (opened + 5, 2, np.full(count, bot)),
        (responded, 1, reply + rng.integers(0, len(_REPLIES), count)),
        (half, 0, thanks + rng.integers(0, len(_THANKS), count)),
    ]  # fmt: skip
    if stays_open:
        turns = turns[:3]
    at = np.concatenate([when for when, _, _ in turns])
    sender = np.repeat([who for _, who, _ in turns], count)
    words_said = np.concatenate([what for *_, what in turns])
    ticket = np.tile(np.arange(count), len(turns))
    place = np.repeat(np.arange(len(turns)), count)
    world.emit(
        "service_chats", people.chunk, at,
        {
            "message_id": codes("CM", number[ticket] * 8 + place, digits=12),
            "ticket_id": ticket_id.take(pa.array(ticket)),
            "sender_kind": words(("customer", "agent", "bot"), sender),
            "sent_at": world.instants(at),
            "message_text": words(every, words_said),
        },
        person=people.number[person[ticket]], protected=people.cast.is_cast[person[ticket]],
        part="scene" if stays_open else "own",
    )  # fmt: skip


def _emit_reviews(world: World, people: People, booked: Booked) -> None:
    orders = booked.orders
    rng = world.stream("product_reviews", people.chunk)
    can = (booked.delivered_at > 0) & ~booked.is_guest & ~people.cast.is_cast[orders.person]
    rows = np.flatnonzero(can & (rng.random(len(orders)) < world.parameters.service.review_share))
    count = len(rows)
    sad = orders.is_late[rows] | orders.complains[rows]
    usual, upset = np.array([0.02, 0.03, 0.08, 0.27, 0.6]), np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    rating = 1 + pick(rng.random(count), np.where(sad[:, None], upset, usual))
    at = booked.delivered_at[rows] + rng.integers(3600, 12 * DAY, count)
    text = np.where(rating >= 4, rng.integers(0, len(_GOOD), count),
                    len(_GOOD) + rng.integers(0, len(_BAD), count))  # fmt: skip
    world.emit(
        "product_reviews", people.chunk, at,
        {
            "review_id": codes("RV", people.chunk * ROW_STRIDE + rows, digits=11),
            "account_channel": words(ORDER_CHANNELS, orders.channel[rows]),
            "source_customer_id": people.account(orders.channel[rows], orders.person[rows]),
            "order_id": booked.order_id.take(pa.array(rows)),
            "sku": words(world.catalogue.skus, booked.main_product[rows]),
            "rating": pa.array(rating),
            "review_text": words((*_GOOD, *_BAD), text),
            "picture_count": pa.array(rng.poisson(0.6, count)),
            "reviewed_at": world.instants(at),
        },
        person=people.number[orders.person[rows]],
    )  # fmt: skip


def _emit_surveys(world: World, people: People, booked: Booked) -> None:
    orders = booked.orders
    rng = world.stream("nps_answers", people.chunk)
    can = (booked.status == 0) & ~booked.is_guest & ~people.cast.is_cast[orders.person]
    rows = np.flatnonzero(can & (rng.random(len(orders)) < world.parameters.service.nps_share))
    count = len(rows)
    sad = orders.is_late[rows] | orders.complains[rows]
    score = np.clip(np.round(rng.normal(np.where(sad, 4.5, 8.4), 1.7)), 0, 10).astype(np.int64)
    at = np.maximum(booked.delivered_at[rows], orders.at[rows]) + rng.integers(3600, 9 * DAY, count)
    kind = (rng.random(count) < 0.2).astype(np.int64)
    comments = ("", "", "推荐给朋友了", "服务态度好", "希望再快一点", "价格偏高")
    remark = rng.integers(0, len(comments), count)
    world.emit(
        "nps_answers", people.chunk, at,
        {
            "answer_id": codes("NP", people.chunk * ROW_STRIDE + rows, digits=11),
            "account_channel": words(ORDER_CHANNELS, orders.channel[rows]),
            "source_customer_id": people.account(orders.channel[rows], orders.person[rows]),
            "survey_kind": words(("nps", "csat"), kind),
            "score": pa.array(score),
            "comment_text": words(comments, np.where(remark < 2, -1, remark)),
            "order_id": booked.order_id.take(pa.array(rows)),
            "answered_at": world.instants(at),
        },
        person=people.number[orders.person[rows]],
    )  # fmt: skip


assert ORDER_CHANNELS[POS] == "pos"
