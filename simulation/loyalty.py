"""Coupons, points, referrals and guides' tags.

Add here: a thing the shop gives or notes about a person.
Not here: messages (``campaigns``), consents (``permissions``).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from simulation.catalogue import PERSONAS
from simulation.columns import Ints, blank_where, codes, money, words
from simulation.people import ACCOUNT_CHANNELS, APP, MINI, POS, WECOM, People, guide_ids
from simulation.purchases import Life
from simulation.sales import ROW_STRIDE, Booked, coupon_ids
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["emit_loyalty"]

_POINTS = (("check_in", 5), ("share", 10), ("review", 20), ("redeem", 100), ("donate", 50))
_TAGS = {
    "parent": "宝妈",
    "beauty": "护肤达人",
    "fitness": "健身爱好者",
    "home": "品质居家",
    "pet": "养宠家庭",
}
_EXTRA_TAGS = ("环保材质", "送礼需求", "价格敏感", "新品尝鲜")
_VALUES = np.array([500, 1000, 2000, 3000])


def emit_loyalty(world: World, people: People, life: Life, booked: Booked) -> None:
    """Writes what belongs to the membership programme."""
    _emit_coupons(world, people, booked)
    _emit_points(world, people, life, booked)
    _emit_referrals(world, people)
    _emit_tags(world, people, life)


def _home_account(people: People, person: Ints, at: Ints) -> Ints:
    """The own-channel account to which something is given; -1 where there is none yet."""
    channel = np.full(len(person), -1)
    for option in (POS, APP, MINI):
        open_now = people.has_account[person, option] & (people.registered_at[person, option] <= at)
        channel[open_now] = option
    return channel


def _emit_coupons(world: World, people: People, booked: Booked) -> None:
    """Coupons redeemed with orders, often at another channel, and others nobody used."""
    orders, calendar = booked.orders, world.calendar
    rng = world.stream("crm_coupons", people.chunk)
    used = np.flatnonzero(booked.coupon >= 0)
    person = orders.person[used]
    issued = np.maximum(orders.at[used] - rng.integers(3600, 25 * DAY, len(used)),
                        people.joined_at[person] - 300)  # fmt: skip
    issued = np.maximum(issued, calendar.start_at + 60)
    home = _home_account(people, person, issued)
    home = np.where(home < 0, orders.channel[used], home)
    months = (calendar.end_at - people.joined_at) / (30 * DAY)
    gifts = rng.poisson(world.parameters.behaviour.issued_coupons_per_month * months)
    other = np.repeat(np.arange(len(people)), gifts)
    other_at = people.joined_at[other] + (
        rng.random(len(other)) * (calendar.end_at - people.joined_at[other])
    ).astype(np.int64)
    other_home = _home_account(people, other, other_at)
    keep = other_home >= 0
    other, other_at, other_home = other[keep], other_at[keep], other_home[keep]
    unused = people.chunk * ROW_STRIDE + 2**26 + np.arange(len(other))
    number = np.concatenate([booked.coupon[used], unused])
    who, at = np.concatenate([person, other]), np.concatenate([issued, other_at])
    channel = np.concatenate([home, other_home])
    face = np.concatenate([np.maximum(booked.discount_cents[used] // 100 * 100, 100),
                           _VALUES[rng.integers(0, 4, len(other))]])  # fmt: skip
    valid = at + 30 * DAY
    order_ids = booked.order_id.take(pa.array(used))
    later = len(used) + np.arange(len(other))
    for action, rows, when, shop, ids in (
        ("issued", np.arange(len(who)), at, channel, None),
        ("redeemed", np.arange(len(used)), orders.at[used], orders.channel[used], order_ids),
        ("expired", later, valid[later], other_home, None),
    ):  # fmt: skip
        world.emit(
            "crm_coupons", people.chunk, when,
            {
                "coupon_id": coupon_ids(number[rows]),
                "account_channel": words(ACCOUNT_CHANNELS, shop),
                "source_customer_id": people.account(shop, who[rows]),
                "action": words((action,), np.zeros(len(rows), np.int64)),
                "occurred_at": world.instants(when),
                "campaign_id": codes("CC", number[rows] % 24 + 1, digits=3),
                "face_amount": money(face[rows]),
                "threshold_amount": money(face[rows] * 5),
                "currency": words((world.parameters.world.currency,), np.zeros(len(rows), int)),
                "order_id": pa.nulls(len(rows), pa.string()) if ids is None else ids,
                "valid_until": world.instants(valid[rows]),
            },
            person=people.number[who[rows]], protected=people.cast.is_cast[who[rows]], part=action,
        )  # fmt: skip


def _emit_points(world: World, people: People, life: Life, booked: Booked) -> None:
    calendar = world.calendar
    rng = world.stream("crm_points", people.chunk)
    end = np.where(life.left_at > 0, life.left_at + DAY, calendar.end_at)
    months = np.maximum(end - people.joined_at, DAY) / (30 * DAY)
    person = np.repeat(
        np.arange(len(people)),
        rng.poisson(world.parameters.behaviour.points_events_per_month * months),
    )
    at = people.joined_at[person] + (
        rng.random(len(person)) * (end - people.joined_at)[person]
    ).astype(np.int64)
    channel = _home_account(people, person, at)
    keep = channel >= 0
    person, at, channel = person[keep], at[keep], channel[keep]
    kind = rng.choice(len(_POINTS), len(person), p=[0.5, 0.2, 0.18, 0.09, 0.03])
    number = people.chunk * ROW_STRIDE + np.arange(len(person))
    worth = np.array([points for _, points in _POINTS])
    world.emit(
        "crm_points", people.chunk, at,
        {
            "event_id": codes("PT", number, digits=11),
            "account_channel": words(ACCOUNT_CHANNELS, channel),
            "source_customer_id": people.account(channel, person),
            "event_kind": words([name for name, _ in _POINTS], kind),
            "points": pa.array(worth[kind]),
            "occurred_at": world.instants(at),
        },
        person=people.number[person], protected=people.cast.is_cast[person],
    )  # fmt: skip


def _emit_referrals(world: World, people: People) -> None:
    """A customer brings a newcomer of the same chunk who joins some days after the invitation."""
    rng = world.stream("crm_referrals", people.chunk)
    count = len(people)
    share = world.parameters.behaviour.referral_share
    came_by = _home_account(people, np.arange(count), people.joined_at)
    wanted = (rng.random(count) < share) & (came_by >= 0) & ~people.cast.is_cast
    parts: list[tuple[Ints, Ints]] = []
    for option in (POS, APP, MINI):
        newcomer = np.flatnonzero(wanted & (came_by == option))
        members = np.flatnonzero(people.has_account[:, option])
        members = members[np.argsort(people.registered_at[members, option], kind="stable")]
        since = people.registered_at[members, option]
        # Anybody with such an account half a month before the newcomer may have invited.
        earlier = np.searchsorted(since, people.joined_at[newcomer] - 15 * DAY)
        newcomer, earlier = newcomer[earlier > 0], earlier[earlier > 0]
        friend = members[(rng.random(len(newcomer)) * earlier).astype(np.int64)]
        fits = (friend != newcomer) & ~people.cast.is_cast[friend]
        parts.append((newcomer[fits], friend[fits]))
    newcomer = np.concatenate([part[0] for part in parts])
    friend = np.concatenate([part[1] for part in parts])
    channel = came_by[newcomer]
    invited = people.joined_at[newcomer] - rng.integers(3600, 10 * DAY, len(newcomer))
    # Some invitations lead nowhere.
    nobody = rng.random(len(friend)) < 0.3
    number = people.chunk * ROW_STRIDE + np.arange(len(friend))
    world.emit(
        "crm_referrals", people.chunk, invited,
        {
            "referral_id": codes("RE", number, digits=11),
            "account_channel": words(ACCOUNT_CHANNELS, channel),
            "source_customer_id": people.account(channel, friend),
            "invitee_customer_id": blank_where(nobody, people.account(channel, newcomer)),
            "invited_at": world.instants(invited),
            "joined_at": world.instants(people.joined_at[newcomer], nobody),
            "campaign_name": words(("老友带新友", "拼团分享", "社群任务"), number % 3),
        },
        person=people.number[friend],
    )  # fmt: skip


def _emit_tags(world: World, people: People, life: Life) -> None:
    """What guides note about their contacts, and sometimes take back."""
    rng = world.stream("wecom_tags", people.chunk)
    who = np.flatnonzero(people.has_account[:, WECOM])
    begin = people.registered_at[who, WECOM]
    first = begin + rng.integers(3600, 20 * DAY, len(who))
    more = np.flatnonzero(rng.random(len(who)) < 0.4)
    second = first[more] + rng.integers(DAY, 60 * DAY, len(more))
    off = np.flatnonzero(rng.random(len(more)) < 0.25)
    third = second[off] + rng.integers(DAY, 60 * DAY, len(off))
    extra = len(PERSONAS) + rng.integers(0, len(_EXTRA_TAGS), len(more))
    person = np.concatenate([who, who[more], who[more[off]]])
    tag = np.concatenate([people.persona[who], extra, extra[off]])
    at = np.concatenate([first, second, third])
    removed = np.arange(len(at)) >= len(who) + len(more)
    names = [_TAGS[name] for name, *_ in PERSONAS] + list(_EXTRA_TAGS)
    world.emit(
        "wecom_tags", people.chunk, at,
        {
            "source_customer_id": words(people.ids[WECOM], person),
            "tag_name": words(names, tag),
            "tag_group": words(("客群", "需求"), (tag >= len(PERSONAS)).astype(int)),
            "action": words(("added", "removed"), removed.astype(int)),
            "occurred_at": world.instants(at),
            "guide_id": guide_ids(people.store[person], people.number[person]),
        },
        person=people.number[person], protected=people.cast.is_cast[person],
    )  # fmt: skip
