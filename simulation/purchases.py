"""When people buy and what: BG/NBD, seasons, replenishment, planted sequences, reasons to leave.

Add here: a force that brings or ends purchases.
Not here: the records an order leaves (``sales``), orders a message brings (``campaigns``).

While a person is one of the shop's customers, orders come at a rate λ ~ Gamma(shape, scale) in
season time; after each repeat order the person leaves with probability p ~ Beta(a, b). Followers
(the same again when it is used up, B after A) come on top of that, never instead of it, and like
own orders never after the person has left.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from simulation.catalogue import CATEGORIES, CATEGORY_NAMES
from simulation.columns import Flags, Ints
from simulation.feeds import ORDER_CHANNELS
from simulation.people import People
from simulation.randomness import pick
from simulation.seasons import DAY, seconds_of_day
from simulation.world import World

__all__ = [
    "ORIGINS",
    "REASONS",
    "Life",
    "Orders",
    "channel_weights",
    "detailed",
    "followers_of",
    "make_life",
    "make_orders",
    "rank_within",
]

Floats = NDArray[np.float64]

ORIGINS = ("own", "sequence", "replenishment", "campaign", "scene")
_LONGEST_CHAIN = 6  # orders in a row that follow each other; hardly any would be longer
_PACE = 25  # shape of the Gamma around the days after which something is used up
REASONS = ("none", "late_parcel", "complaint", "stock_out")
_CHANNEL_WISHES = np.array([1.2 if c in ("mini_program", "app", "pos") else 1.0
                            for c in ORDER_CHANNELS])  # fmt: skip


@dataclass
class Life:
    """What drives each person of a chunk, and when it ended."""

    rate: Floats  # orders per season day
    dropout: Floats
    spend_rate: Floats  # of the Gamma the person's orders are worth
    left_at: Ints  # local; 0 = still a customer at the end
    reason: Ints


@dataclass
class Orders:
    """Orders of one chunk, one row each, in no order until ``sorted`` by time."""

    person: Ints
    at: Ints
    origin: Ints
    category: Ints
    worth_cents: Ints
    channel: Ints
    is_late: Flags
    complains: Flags
    met_stock_out: Flags
    message: Ints  # row of the campaign message that brought it or what it follows; -1 = none
    follows: Ints  # planted sequence that brought it; -1 = none

    def __len__(self) -> int:
        return len(self.person)

    def take(self, rows: NDArray[np.int64] | Flags) -> Orders:
        return Orders(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def together(parts: list[Orders]) -> Orders:
        return Orders(
            *(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Orders))
        )

    def by_time(self) -> Orders:
        return self.take(np.lexsort((self.person, self.at)))


def make_life(world: World, people: People) -> Life:
    """Draws what drives each person."""
    buying, spend = world.parameters.purchases, world.parameters.spend
    rng = world.stream("life", people.chunk)
    count = len(people)
    return Life(
        rate=rng.gamma(buying.rate_shape, 1 / buying.rate_scale_days, count),
        dropout=np.maximum(rng.beta(buying.dropout_a, buying.dropout_b, count), 1e-9),
        # worth ~ Gamma(p, ν), ν ~ Gamma(q, γ): the mean is p · γ / (q − 1)
        spend_rate=rng.gamma(spend.person_shape, 1 / spend.person_scale, count),
        left_at=np.zeros(count, np.int64),
        reason=np.zeros(count, np.int64),
    )


def make_orders(world: World, people: People, life: Life) -> Orders:
    """All orders nobody was talked into; fills in when and why people left."""
    own, ended_at = _own_orders(world, people, life)
    own = _end_by_reason(world, people, life, own, ended_at)
    followers = followers_of(world, people, life, own)
    return Orders.together([own, followers]).by_time()


def _own_orders(world: World, people: People, life: Life) -> tuple[Orders, Ints]:
    """The BG/NBD part; beside it when each person dropped out, 0 = not within the world."""
    rng, calendar = world.stream("orders", people.chunk), world.calendar
    count = len(people)
    began = calendar.to_season(people.joined_at)
    # A Poisson process over the time left is its number and that many uniform moments.
    arrivals = rng.poisson(life.rate * (calendar.season_end - began))
    arrivals[~people.buys] = 0
    dropout_after = np.minimum(rng.geometric(life.dropout), 2**40)
    person = np.repeat(np.arange(count), arrivals)
    moment = began[person] + rng.random(len(person)) * (calendar.season_end - began)[person]
    order = np.argsort(person + moment / (2 * calendar.season_end), kind="stable")
    person, moment = person[order], moment[order]
    rank = rank_within(person) + 1
    stays = rank <= dropout_after[person]
    ends = stays & (rank == dropout_after[person])
    person_all = np.concatenate([np.flatnonzero(people.buys), person[stays]])
    at = np.concatenate(
        [people.joined_at[people.buys], calendar.to_local(moment, rng.random(len(moment)))[stays]]
    )
    at = np.maximum(at, people.joined_at[person_all])
    ended_at = np.zeros(count, np.int64)
    is_last = np.concatenate([np.zeros(int(people.buys.sum()), bool), ends[stays]])
    ended_at[person_all[is_last]] = at[is_last]
    weights = world.catalogue.persona_weights()[people.persona[person_all]]
    category = pick(rng.random(len(person_all)), weights)
    return detailed(world, people, life, person_all, at, category, 0, "orders"), ended_at


def detailed(
    world: World,
    people: People,
    life: Life,
    person: Ints,
    at: Ints,
    category: Ints,
    origin: int,
    table: str,
) -> Orders:
    """Fills in what every order has, however it came about."""
    rng = world.stream(f"{table}/details", people.chunk)
    count, spend = len(person), world.parameters.spend
    worth = rng.gamma(spend.order_shape, 1, count) / life.spend_rate[person]
    channel = _channels(people, person, at, rng.random(count))
    parcels, service = world.parameters.parcels, world.parameters.service
    is_late = (rng.random(count) < parcels.late_share) & (ORDER_CHANNELS.index("pos") != channel)
    chance = np.where(is_late, service.complaint_after_late_parcel, service.complaint_base)
    return Orders(
        person=person.astype(np.int64), at=at.astype(np.int64),
        origin=np.full(count, origin), category=category.astype(np.int64),
        worth_cents=np.maximum(np.round(worth * 100), 500).astype(np.int64), channel=channel,
        is_late=is_late, complains=rng.random(count) < chance,
        met_stock_out=_meets_stock_out(world, rng, category, at),
        message=np.full(count, -1), follows=np.full(count, -1),
    )  # fmt: skip


def _channels(people: People, person: Ints, at: Ints, uniform: Floats) -> Ints:
    """One of the accounts the person has at that moment; the shop's own channels a bit oftener."""
    shops = len(ORDER_CHANNELS)
    open_now = people.has_account[person, :shops] & (
        people.registered_at[person, :shops] <= at[:, None]
    )
    return pick(uniform, open_now * _CHANNEL_WISHES)


def channel_weights(people: People) -> Floats:
    """How each person's orders are spread over the channels once all accounts are open."""
    weights = people.has_account[:, : len(ORDER_CHANNELS)] * _CHANNEL_WISHES
    return weights / weights.sum(axis=1, keepdims=True).clip(min=1.0)


def _meets_stock_out(world: World, rng: np.random.Generator, category: Ints, at: Ints) -> Flags:
    """Whether the person looked for something of the category that was not to be had."""
    per_category = world.catalogue.per_category
    wish = category * per_category + rng.integers(0, per_category, len(category))
    day = np.clip(world.calendar.day_index(at), 0, world.calendar.days - 1)
    return np.asarray(world.catalogue.is_out[wish, day])


def _end_by_reason(
    world: World, people: People, life: Life, orders: Orders, ended_at: Ints
) -> Orders:
    """Some leave for a reason one can see: nothing of theirs follows the order that drove them."""
    buying = world.parameters.purchases
    rng = world.stream("leaving", people.chunk)
    count = len(orders)
    reason = np.zeros(count, np.int64)
    for number, (flag, chance) in enumerate(
        (
            (orders.is_late, buying.leaves_after_late_parcel),
            (orders.complains, buying.leaves_after_complaint),
            (orders.met_stock_out, buying.leaves_after_stock_out),
        ),
        start=1,
    ):
        drives = flag & (rng.random(count) < chance)
        reason = np.where((reason == 0) & drives, number, reason)
    driven = np.flatnonzero((reason > 0) & ~people.cast.is_cast[orders.person])
    never = np.iinfo(np.int64).max
    left_at = np.where(ended_at > 0, ended_at, never)
    reasons = np.zeros(len(people), np.int64)
    for row in driven[np.argsort(-orders.at[driven], kind="stable")].tolist():
        person = orders.person[row]
        if orders.at[row] <= left_at[person]:
            left_at[person], reasons[person] = orders.at[row], reason[row]
    life.left_at[:] = np.where(left_at == never, 0, left_at)
    life.reason[:] = reasons
    return orders.take(orders.at <= left_at[orders.person])


def followers_of(
    world: World, people: People, life: Life, source: Orders, table: str = ""
) -> Orders:
    """Orders that follow others: the same again when it is used up, and B after every A.

    Followers have followers too. Nobody's come after the day they left.
    """
    rng = world.stream(f"{table}followers", people.chunk)
    parts: list[Orders] = []
    wave = source
    for depth in range(_LONGEST_CHAIN):
        waves = [_again(world, people, life, rng, wave, f"{table}again{depth}")]
        for number in range(len(world.parameters.sequences)):
            name = f"{table}sequence{number}-{depth}"
            waves.append(_in_sequence(world, people, life, rng, wave, number, name))
        wave = Orders.together(waves)
        if not len(wave):
            break
        parts.append(wave)
    return Orders.together(parts) if parts else source.take(np.zeros(len(source), bool))


def _again(
    world: World, people: People, life: Life, rng: np.random.Generator, source: Orders, table: str
) -> Orders:
    """The same once more when it is used up."""
    days = np.array([c.replenish_days for c in CATEGORIES])[source.category]
    again = (rng.random(len(source)) < world.parameters.replenishing_share) & (days > 0)
    wait = days * rng.gamma(_PACE, 1 / _PACE, len(source))
    return _follow(world, people, life, source.take(again), wait[again], None, 2, table)


def _in_sequence(
    world: World, people: People, life: Life, rng: np.random.Generator, source: Orders,
    number: int, table: str,
) -> Orders:  # fmt: skip
    """B after A, of one planted sequence."""
    sequence = world.parameters.sequences[number]
    first, then = CATEGORY_NAMES.index(sequence.first), CATEGORY_NAMES.index(sequence.then)
    starts = (source.category == first) & (rng.random(len(source)) < sequence.probability)
    wait = rng.uniform(0.05, 0.95, len(source)) * sequence.within_days
    part = _follow(world, people, life, source.take(starts), wait[starts], then, 1, table)
    part.follows[:] = number
    return part


def _follow(
    world: World,
    people: People,
    life: Life,
    source: Orders,
    wait_days: Floats,
    category: int | None,
    origin: int,
    table: str,
) -> Orders:
    """Orders ``wait_days`` after those of ``source``, while the person is there to place them."""
    rng = world.stream(f"{table}/hours", people.chunk)
    day = (source.at + (wait_days * DAY).astype(np.int64)) // DAY
    at = np.maximum(day * DAY + seconds_of_day(rng.random(len(day))), source.at + 3600)
    left_at = life.left_at[source.person]
    fits = (at < world.calendar.end_at) & ((left_at == 0) | (at <= left_at))
    source, at = source.take(fits), at[fits]
    wanted = source.category if category is None else np.full(len(source), category)
    orders = detailed(world, people, life, source.person, at, wanted, origin, table)
    orders.message[:] = source.message
    return orders


def rank_within(sorted_groups: Ints) -> Ints:
    """0, 1, 2 … within each run of equal values."""
    starts = np.flatnonzero(np.append(True, sorted_groups[1:] != sorted_groups[:-1]))
    lengths = np.diff(np.append(starts, len(sorted_groups)))
    return np.arange(len(sorted_groups)) - np.repeat(starts, lengths)
