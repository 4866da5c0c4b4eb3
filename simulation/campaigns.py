"""Past campaigns: who was to get a message, who was held out, and what the message brought.

Add here: what sets off a past message.
Not here: how a person reacts (``reactions``), the cast of the last day (``scenarios``).

The effect is causal by construction: every candidate is sent or held out by a coin, and a message
brings one more order with the declared chance, whatever the person would have done anyway. Hence
the effect on "at least one order within the window" is that chance times the share of candidates
who would not have ordered; that share is counted over everybody, sent or held out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from crm_pipeline.lib.errors import ConfigError
from simulation.catalogue import CATEGORIES, CITIES
from simulation.columns import Flags, Ints, codes, const, words
from simulation.people import ACCOUNT_CHANNELS, WECOM, People
from simulation.permissions import WAYS, Permissions
from simulation.purchases import Life, Orders, detailed, rank_within
from simulation.randomness import pick
from simulation.reactions import SEGMENTS, Reaction, react_to, receipt_rows
from simulation.sales import ROW_STRIDE
from simulation.scenarios import JOURNEYS
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["Messages", "emit_receipts", "run_campaigns"]

CAMPAIGN = 3  # the origin of an order that a message brought


@dataclass
class Messages:
    """Candidates of past campaigns, sent or held out."""

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


def run_campaigns(
    world: World, people: People, life: Life, organic: Orders, permissions: Permissions,
    moments: Mapping[str, tuple[Ints, Ints]],
) -> tuple[Orders, Messages]:  # fmt: skip
    """All orders, those brought by messages included, and the messages."""
    settings, end_at = world.parameters.campaigns, world.calendar.end_at
    rng = world.stream("campaigns", people.chunk)
    by_person = np.lexsort((organic.at, organic.person))
    past = organic.take(by_person)
    key = past.person * 2**34 + past.at
    rank = rank_within(past.person) + 1
    parts: list[tuple[Ints, Ints, Ints, Ints, Ints]] = []
    quiet_from = people.cast.quiet_from(end_at)
    for index, journey in enumerate(settings.journeys):
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
        way_number = WAYS.index(journey.way)
        known = np.array([name in journey.effects for name in SEGMENTS])[segment]
        keep = known & permissions.allows(person, np.full(len(person), way_number), at)
        windows = journey.window_days * DAY
        told = people.cast.own_orders_until(end_at)[person]
        keep &= np.where(people.cast.is_cast[person], at + windows < told, at < end_at)
        person, at, segment = person[keep], at[keep], segment[keep]
        ways = np.full(len(person), way_number)
        parts.append((np.full(len(person), index), segment, person, at, ways))
    numbers, segment, person, at, way = (
        np.concatenate([part[place] for part in parts]) for place in range(5)
    )
    order = np.lexsort((numbers, person, at))
    numbers, segment, person = numbers[order], segment[order], person[order]
    at, way = at[order], way[order]
    held_out = rng.random(len(person)) < settings.holdout_share
    reaction = react_to(world.parameters, rng, numbers, segment, at, way, ~held_out)
    # What a message brings must not end the silence of the cast.
    until = np.minimum(people.cast.own_orders_until(end_at), end_at)[person]
    brings = (reaction.order_at > 0) & (reaction.order_at < until)
    reaction.order_at = np.where(brings, reaction.order_at, 0)
    rows = np.flatnonzero(brings)
    weights = world.catalogue.persona_weights()[people.persona[person[rows]]]
    extra = detailed(
        world, people, life, person[rows], reaction.order_at[rows],
        pick(rng.random(len(rows)), weights), CAMPAIGN, "campaign_orders",
    )  # fmt: skip
    extra.complains[:] = False
    extra.message[:] = rows
    every = Orders.together([organic, extra]).by_time()
    messages = Messages(numbers, segment, person, at, way, held_out, reaction,
                        np.zeros(len(person), bool))  # fmt: skip
    messages.ordered_anyway = _orders_anyway(world, every, messages)
    return every, messages


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
    """Whether the person places an order in the window that this message did not bring."""
    windows = np.array([j.window_days for j in world.parameters.campaigns.journeys])
    key = np.sort(orders.person * 2**34 + orders.at)
    start = messages.person * 2**34 + messages.at
    end = start + windows[messages.journey] * DAY
    inside = np.searchsorted(key, end, side="right") - np.searchsorted(key, start, side="right")
    return inside - (messages.reaction.order_at > 0) > 0


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
    for way, name in enumerate(WAYS):
        sent = np.flatnonzero((messages.way == way) & ~messages.is_held_out)
        rows, kind, at = receipt_rows(messages.reaction, sent)
        person = messages.person[rows]
        home = permissions.home[person, way]
        columns = {
            "message_id": codes(f"M{name[0].upper()}", number[rows], digits=11),
            "source_customer_id": people.account(home, person),
            "receipt_kind": words(("sent", "delivered", "opened", "clicked", "failed",
                                   "unsubscribed"), kind),
            "occurred_at": world.instants(at),
            "journey": words(journeys, messages.journey[rows]),
            "step": const("1", len(rows)),
            "failure_text": words(("号码不存在", "用户拒收"), np.where(kind == 4, rows % 2, -1)),
            "reply_text": words(("TD", "退订", "R"), np.where(kind == 5, rows % 3, -1)),
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


assert ACCOUNT_CHANNELS[WECOM] == "wecom"
