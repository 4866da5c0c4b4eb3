"""Past campaigns: who was to get a message, who was held out, and what the message brought.

Add here: what sets off a past message.
Not here: how a person reacts (``reactions``), the cast of the last day (``scenarios``).

The effect is causal by construction: every candidate is sent or held out by a coin, and a message
brings one more order with the declared chance, whatever the person would have done anyway. That
order has followers like any other; they are due to the message too. Hence
the effect on "at least one order within the window" is that chance times the share of candidates
who would not have ordered; that share is counted over everybody, sent or held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from crm_pipeline.lib.errors import ConfigError
from simulation.catalogue import CATEGORIES, CITIES
from simulation.columns import Flags, Ints, codes, const, words
from simulation.parameters import Journey
from simulation.people import ACCOUNT_CHANNELS, People
from simulation.permissions import Permissions
from simulation.purchases import Life, Orders, detailed, followers_of, rank_within
from simulation.randomness import pick
from simulation.reactions import RECEIPT_KINDS, SEGMENTS, WAYS, Reaction, react_to, receipt_rows
from simulation.sales import ROW_STRIDE
from simulation.scenarios import JOURNEYS
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["Messages", "emit_receipts", "run_campaigns"]

_FAILURES = ("号码不存在", "用户拒收")
CAMPAIGN = 3  # the origin of an order that a message brought


@dataclass
class Messages:
    """Candidates of past campaigns, sent or held out, in the order of their moments."""

    journey: Ints
    segment: Ints
    person: Ints
    at: Ints
    way: Ints
    is_held_out: Flags
    reaction: Reaction
    ordered_anyway: Flags

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: Flags) -> Messages:
        reaction = self.reaction.take(rows)
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen.pop("reaction")
        return Messages(reaction=reaction, **{name: each[rows] for name, each in chosen.items()})


def run_campaigns(
    world: World, people: People, life: Life, organic: Orders, permissions: Permissions,
    moments: Mapping[str, tuple[Ints, Ints]],
) -> tuple[Orders, Messages]:  # fmt: skip
    """All orders, those brought by messages included, and the messages."""
    rng = world.stream("campaigns", people.chunk)
    journey, segment, person, at = _candidates(world, people, organic, permissions, moments, rng)
    way = np.array([WAYS.index(j.way) for j in world.parameters.campaigns.journeys])[journey]
    held_out = rng.random(len(person)) < world.parameters.campaigns.holdout_share
    reaction = react_to(world.parameters, rng, journey, segment, at, way, ~held_out)
    reaction.unsubscribed_at[people.cast.is_cast[person]] = 0  # they are to be reached at the end
    messages = Messages(journey, segment, person, at, way, held_out, reaction,
                        np.zeros(len(person), bool))  # fmt: skip
    messages = messages.take(~_opted_out(len(people), messages))
    every = Orders.together([organic, _brought_orders(world, people, life, messages, rng)])
    messages.ordered_anyway = _orders_anyway(world, every, messages)
    return every.by_time(), messages


def _candidates(
    world: World, people: People, organic: Orders, permissions: Permissions,
    moments: Mapping[str, tuple[Ints, Ints]], rng: np.random.Generator,
) -> tuple[Ints, Ints, Ints, Ints]:  # fmt: skip
    """Journey, segment, person and moment of everybody who is to get a message or be held out."""
    past = organic.take(np.lexsort((organic.at, organic.person)))
    key = past.person * 2**34 + past.at
    rank = rank_within(past.person) + 1
    quiet_from = people.cast.quiet_from(world.calendar.end_at)
    parts: list[tuple[Ints, Ints, Ints, Ints]] = []
    for index, journey in enumerate(world.parameters.campaigns.journeys):
        if journey.name in moments:
            person, at = moments[journey.name]
        else:
            person, at = _triggers(world, people, journey.name, past, rank)
        keep = (rng.random(len(person)) < journey.share_of_triggers) & (at < quiet_from[person])
        keep &= at >= people.joined_at[person]
        person, at = person[keep], at[keep]
        at = _sending_times(rng, at, is_answer=journey.name in moments)
        orders_before = np.searchsorted(key, person * 2**34 + at) - np.searchsorted(
            key, person * 2**34
        )
        segment = np.searchsorted([2, 5], orders_before, side="right")
        keep = np.array([name in journey.effects for name in SEGMENTS])[segment]
        keep &= _may_be_told(world, people, permissions, journey, person, at)
        person, at, segment = person[keep], at[keep], segment[keep]
        parts.append((np.full(len(person), index), segment, person, at))
    numbers, segment, person, at = (
        np.concatenate([part[place] for part in parts]) for place in range(4)
    )
    order = np.lexsort((numbers, person, at))
    return numbers[order], segment[order], person[order], at[order]


def _may_be_told(
    world: World, people: People, permissions: Permissions, journey: Journey, person: Ints, at: Ints
) -> Flags:
    """Who agreed to the journey's way; the cast only where the window ends before their scene."""
    end_at = world.calendar.end_at
    way = np.full(len(person), WAYS.index(journey.way))
    told = people.cast.own_orders_until(end_at)[person]
    in_time = np.where(
        people.cast.is_cast[person], at + journey.window_days * DAY < told, at < end_at
    )
    return permissions.allows(person, way, at) & in_time


def _opted_out(people: int, messages: Messages) -> Flags:
    """Which messages come after the person has unsubscribed from their way."""
    place = messages.person * len(WAYS) + messages.way
    never = np.iinfo(np.int64).max
    since = np.full(people * len(WAYS), never)
    left_at = messages.reaction.unsubscribed_at
    np.minimum.at(since, place, np.where(left_at > 0, left_at, never))
    return messages.at > since[place]


def _brought_orders(
    world: World, people: People, life: Life, messages: Messages, rng: np.random.Generator
) -> Orders:
    """The orders that messages bring, and what follows those; none ends the cast's silence."""
    until = np.minimum(people.cast.own_orders_until(world.calendar.end_at), world.calendar.end_at)
    reaction = messages.reaction
    brings = (reaction.order_at > 0) & (reaction.order_at < until[messages.person])
    reaction.order_at = np.where(brings, reaction.order_at, 0)
    rows = np.flatnonzero(brings)
    person = messages.person[rows]
    weights = world.catalogue.persona_weights()[people.persona[person]]
    orders = detailed(
        world, people, life, person, reaction.order_at[rows],
        pick(rng.random(len(rows)), weights), CAMPAIGN, "campaign_orders",
    )  # fmt: skip
    orders.complains[:] = False
    orders.message[:] = rows
    followers = followers_of(world, people, life, orders, "campaign/")
    return Orders.together([orders, followers.take(followers.at < until[followers.person])])


def _sending_times(rng: np.random.Generator, trigger: Ints, *, is_answer: bool) -> Ints:
    """When a message goes out: an answer at once, others some time of the day; never at night."""
    midnight, hour = trigger // DAY * DAY, trigger % DAY
    morning = midnight + 9 * 3600 + rng.integers(0, 3600, len(trigger))
    if is_answer:
        at = np.where(hour < 8 * 3600, morning, trigger)
        return np.where(hour > 21 * 3600, morning + DAY, at)
    slot = midnight + rng.integers(9 * 3600, 20 * 3600, len(trigger))
    return np.where(slot < trigger, slot + DAY, slot)


def _orders_anyway(world: World, orders: Orders, messages: Messages) -> Flags:
    """Whether the person places an order in the window that is not due to this message."""
    windows = np.array([j.window_days for j in world.parameters.campaigns.journeys])
    end = messages.at + windows[messages.journey] * DAY
    key = np.sort(orders.person * 2**34 + orders.at)
    inside = np.searchsorted(key, messages.person * 2**34 + end, side="right") - np.searchsorted(
        key, messages.person * 2**34 + messages.at, side="right"
    )
    due = orders.take(orders.message >= 0)
    due = due.take(due.at <= end[due.message])
    return inside > np.bincount(due.message, minlength=len(messages))


def _triggers(
    world: World, people: People, journey: str, past: Orders, rank: Ints
) -> tuple[Ints, Ints]:
    """Who comes into question for a journey by orders or the calendar, and when."""
    calendar = world.calendar
    following = np.append(past.at[1:], 0)
    following[np.append(past.person[1:] != past.person[:-1], True)] = np.iinfo(np.int64).max
    silence = {"churn_retention": 45, "dormant_wake_up": 90, "win_back": 180}
    after = {"first_order_care": 1, "free_shipping_rebuy": 3, "review_invitation": 8}
    if journey in silence:
        wait = silence[journey] * DAY
        rows = np.flatnonzero(following - past.at > wait)
        return past.person[rows], past.at[rows] + wait
    if journey in after:
        chosen = {"first_order_care": rank == 1, "free_shipping_rebuy": rank <= 4}.get(
            journey, np.ones(len(past), bool)
        )
        return past.person[chosen], past.at[chosen] + after[journey] * DAY
    if journey == "repurchase_cadence":
        days = np.array([c.replenish_days for c in CATEGORIES])[past.category]
        rows = np.flatnonzero(days > 0)
        return past.person[rows], past.at[rows] + (days[rows] - 2) * DAY
    if journey == "co_creation":
        rows = np.flatnonzero((rank >= 10) & (rank % 5 == 0))
        return past.person[rows], past.at[rows] + 5 * DAY
    if journey == "advisor_task":
        rows = np.flatnonzero((rank >= 3) & (past.worth_cents >= 30_000))
        return past.person[rows], past.at[rows] + 10 * DAY
    if journey == "birthday_care":
        return _birthdays(world, people)
    if journey == "festival_care":
        starts = list(range(20, calendar.days, 60))
        who = np.tile(np.arange(len(people)), len(starts))
        return who, np.repeat([calendar.start_at + n * DAY for n in starts], len(people))
    if journey == "weather_care":
        return _under_alerts(world, people)
    raise ConfigError(
        f"nothing sets off the journey {journey!r}", remedy=f"name one of {', '.join(JOURNEYS)}"
    )


def _under_alerts(world: World, people: People) -> tuple[Ints, Ints]:
    city, when = world.alerts
    by_city = [np.flatnonzero(people.city == number) for number in range(len(CITIES))]
    who = [by_city[number] for number in city[:-1].tolist()]
    return np.concatenate(who), np.repeat(when[:-1], [len(w) for w in who])


def _birthdays(world: World, people: People) -> tuple[Ints, Ints]:
    calendar = world.calendar
    born = people.born.astype("datetime64[D]")
    day_of_year = (born - born.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
    who, at = [], []
    for year in range(calendar.first.year, calendar.last.year + 1):
        start = int((np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")).astype(int))
        who.append(np.arange(len(people)))
        at.append((start + day_of_year - 1) * DAY)
    person, when = np.concatenate(who), np.concatenate(at)
    inside = (when >= calendar.start_at) & (when < calendar.end_at)
    return person[inside], when[inside]


def emit_receipts(
    world: World, people: People, permissions: Permissions, messages: Messages
) -> None:
    """Writes what became of the messages that were sent."""
    journeys = [journey.name for journey in world.parameters.campaigns.journeys]
    number = people.chunk * ROW_STRIDE + np.arange(len(messages))
    failed, left = RECEIPT_KINDS.index("failed"), RECEIPT_KINDS.index("unsubscribed")
    for way, name in enumerate(WAYS):
        sent = np.flatnonzero((messages.way == way) & ~messages.is_held_out)
        rows, kind, at = receipt_rows(messages.reaction, sent)
        person = messages.person[rows]
        home = permissions.home[person, way]
        columns = {
            "message_id": codes(f"M{name[0].upper()}", number[rows], digits=11),
            "source_customer_id": people.account(home, person),
            "receipt_kind": words(RECEIPT_KINDS, kind),
            "occurred_at": world.instants(at),
            "journey": words(journeys, messages.journey[rows]),
            "step": const("1", len(rows)),
            "failure_text": words(_FAILURES, np.where(kind == failed, rows % 2, -1)),
            "reply_text": words(("TD", "退订", "R"), np.where(kind == left, rows % 3, -1)),
        }  # fmt: skip
        if way != WAYS.index("wecom"):
            columns["account_channel"] = words(ACCOUNT_CHANNELS, home)
        world.emit(
            f"{name}_receipts", people.chunk, at, columns,
            person=people.number[person], protected=people.cast.is_cast[person],
        )  # fmt: skip


def message_truth(
    world: World, people: People, permissions: Permissions, messages: Messages
) -> pa.Table:
    """Every candidate: sent or held out, and what the message really brought."""
    home = permissions.home[messages.person, messages.way]
    windows = np.array([j.window_days for j in world.parameters.campaigns.journeys])
    ends = messages.at + windows[messages.journey] * DAY
    return pa.table(
        {
            "journey": words([j.name for j in world.parameters.campaigns.journeys],
                             messages.journey).cast(pa.string()),
            "segment": words(SEGMENTS, messages.segment).cast(pa.string()),
            "person_id": people.number[messages.person],
            "channel": words(ACCOUNT_CHANNELS, home).cast(pa.string()),
            "source_customer_id": people.account(home, messages.person).cast(pa.string()),
            "planned_at": world.instants(messages.at),
            "is_holdout": pa.array(messages.is_held_out),
            "is_window_complete": pa.array(ends <= world.calendar.end_at),
            "ordered_anyway": pa.array(messages.ordered_anyway),
            "brought_order_at": world.instants(messages.reaction.order_at,
                                               messages.reaction.order_at == 0),
        }
    )  # fmt: skip
