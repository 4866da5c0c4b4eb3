"""The records that make the world's last day: what the cast did, said and received.

Add here: what a journey's candidate or an outcome's case needs.
Not here: who plays (``scenarios``), what is left to chance (all other modules).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from simulation.catalogue import CATEGORY_NAMES
from simulation.columns import Flags, Ints, codes, words
from simulation.people import ACCOUNT_CHANNELS, APP, MINI, POS, WECOM, People
from simulation.permissions import Permissions
from simulation.purchases import Life, Orders, detailed
from simulation.reactions import RECEIPT_KINDS, WAYS
from simulation.sales import ROW_STRIDE
from simulation.scenarios import JOURNEYS, OUTCOMES
from simulation.seasons import DAY
from simulation.world import World

__all__ = [
    "SceneSessions",
    "candidates_truth",
    "cases_truth",
    "emit_cast_receipts",
    "plant_orders",
    "planted_posts",
    "planted_sessions",
    "planted_tickets",
    "planted_visits",
]

SCENE = 4  # the origin of a planted order
_ORDINARY = 20_000  # cents
_GREAT = 320_000


@dataclass
class SceneSessions:
    """Planted sessions: whose, when, about what, and whether the product goes into the cart."""

    person: Ints
    at: Ints
    product: Ints
    fills_cart: Flags


def plant_orders(world: World, people: People, life: Life, organic: Orders) -> Orders:
    """The orders with those of the cast as their parts want them."""
    cast, end_at = people.cast, world.calendar.end_at
    kept = organic.take(organic.at < cast.own_orders_until(end_at)[organic.person])
    is_cast = cast.is_cast
    life.left_at[is_cast], life.reason[is_cast] = 0, 0
    # Two orders of a VIP candidate add up to what half of all people have spent.
    spend = np.bincount(kept.person, kept.worth_cents, minlength=len(people))
    usual = spend[(spend > 0) & ~is_cast]
    middle = int(np.median(usual) / 2) if len(usual) else _ORDINARY
    stories: list[tuple[Flags, list[float], str | None, int]] = [
        (cast.plays("first_order_care"), [0.5], None, _ORDINARY),
        (cast.plays("free_shipping_rebuy"), [60.3, 3.4], None, _ORDINARY),
        (cast.plays("repurchase_cadence"), [60.4, 30.4], "diapers", _ORDINARY),
        (cast.plays("dormant_wake_up"), [130.4, 100.4], None, _GREAT // 4),
        (cast.plays("win_back"), [260.4, 215.4], None, _ORDINARY),
        (cast.plays("churn_retention"), [45.4 + 20 * n for n in range(8)], None, _ORDINARY),
        (cast.plays("vip_preorder"), [40.4, 10.4], "skin_care", max(middle, 3000)),
        (cast.plays("co_creation"), [4.4 + 28 * n for n in range(12)], None, _ORDINARY),
        (cast.plays("review_invitation"), [9.4], None, _ORDINARY),
        (cast.plays("advisor_task"), [100.4, 70.4, 40.4, 12.4], None, _GREAT),
        (
            cast.plays("cart_rescue", "browse_list", "question_offer", "visit_follow_up",
                       "birthday_care", "festival_care", "weather_care") | (cast.outcome >= 0),
            [50.4], None, _ORDINARY,
        ),
    ]  # fmt: skip
    parts = [kept]
    weights = world.catalogue.persona_weights()
    for number, (who, days_before, category, worth) in enumerate(stories):
        person = np.repeat(np.flatnonzero(who), len(days_before))
        days = np.tile(days_before, int(who.sum()))
        at = end_at - (days * DAY).astype(np.int64) - person * 61 % 3600
        fits = at > people.joined_at[person]
        person, at = person[fits], at[fits]
        favourite = weights[people.persona[person]].argmax(axis=1)
        wanted = np.full(len(person), CATEGORY_NAMES.index(category)) if category else favourite
        story = detailed(world, people, life, person, at, wanted, SCENE, f"scene{number}")
        story.worth_cents[:] = worth
        story.channel[:] = APP
        for flag in (story.is_late, story.complains, story.met_stock_out):
            flag[:] = False
        parts.append(story)
    return Orders.together(parts).by_time()


def planted_sessions(world: World, people: People, channel: int) -> SceneSessions:
    """Carts and looks of the last days; all in the app, duplicates in the mini-program too."""
    cast, end_at = people.cast, world.calendar.end_at
    goods, today = world.catalogue, end_at - DAY
    usual = world.scarce_product - 2
    nobody = np.zeros(0, np.int64)
    parts = [SceneSessions(nobody, nobody, nobody, np.zeros(0, bool))]

    def add(who: Flags, at: float, product: int, fills_cart: bool) -> None:
        person = np.flatnonzero(who)
        spread = np.arange(len(person)) * 97 % 1500
        parts.append(SceneSessions(person, int(today + at * 3600) + spread,
                              np.full(len(person), product),
                              np.full(len(person), fills_cart)))  # fmt: skip

    if channel == APP:
        add(cast.plays("cart_rescue"), 19.0, world.scarce_product, True)
        add(cast.meets("send", "capped", "no_consent", "holdout", "lost_to_higher_priority",
                       "open_complaint", "duplicate"), 10.0, usual, True)  # fmt: skip
        add(cast.meets("held"), 23.25, usual, True)
        add(cast.meets("stock_gone"), 10.0, world.gone_product, True)
        add(cast.meets("expired"), 10.0 - 5 * 24, usual, True)
        nursery = CATEGORY_NAMES.index("nursery") * goods.per_category + 4
        premium = (CATEGORY_NAMES.index("skin_care") + 1) * goods.per_category - 2
        for day in range(3):
            add(cast.plays("browse_list"), 20.0 - 24 * day, nursery, False)
            add(cast.plays("vip_preorder"), 20.5 - 24 * day, premium, False)
    if channel == MINI:
        add(cast.meets("duplicate"), 10.6, usual, True)
    return SceneSessions(
        np.concatenate([p.person for p in parts]), np.concatenate([p.at for p in parts]),
        np.concatenate([p.product for p in parts]), np.concatenate([p.fills_cart for p in parts]),
    )  # fmt: skip


def planted_visits(world: World, people: People) -> tuple[Ints, Ints]:
    """Who came into a shop on the last day and left without buying, and when."""
    who = np.flatnonzero(people.cast.plays("visit_follow_up"))
    return who, world.calendar.end_at - 9 * 3600 + np.arange(len(who)) * 180


def planted_posts(world: World, people: People) -> tuple[Ints, Ints]:
    """Who asked a question on the last day, and when."""
    who = np.flatnonzero(people.cast.plays("question_offer"))
    return who, world.calendar.end_at - 10 * 3600 + np.arange(len(who)) * 240


def planted_tickets(world: World, people: People) -> tuple[Ints, Ints]:
    """Whose complaint of the day before is still open, and since when."""
    who = np.flatnonzero(people.cast.meets("open_complaint"))
    return who, world.calendar.end_at - 34 * 3600 + np.arange(len(who)) * 300


def emit_cast_receipts(world: World, people: People, permissions: Permissions) -> None:
    """Four messages to each capped case: one of every way, the last of them today."""
    who = np.flatnonzero(people.cast.meets("capped"))
    journeys = ("festival_care", "review_invitation", "weather_care", "browse_list")
    for way, (name, hours) in enumerate(zip(WAYS, (15, 63, 87, 135), strict=True)):
        at = world.calendar.end_at - hours * 3600 + np.arange(len(who)) * 60
        kind = np.repeat([0, 1], len(who))
        person, when = np.tile(who, 2), np.concatenate([at, at + 20])
        number = people.chunk * ROW_STRIDE + 2**26 + way * 1000 + np.tile(np.arange(len(who)), 2)
        home = permissions.home[person, way]
        columns = {
            "message_id": codes(f"M{name[0].upper()}", number, digits=11),
            "source_customer_id": people.account(home, person),
            "receipt_kind": words(RECEIPT_KINDS, kind),
            "occurred_at": world.instants(when),
            "journey": words(journeys, np.full(len(person), way)),
            "step": words(("1",), np.zeros(len(person), np.int64)),
        }
        if name != "wecom":
            columns["account_channel"] = words(ACCOUNT_CHANNELS, home)
        world.emit(
            f"{name}_receipts", people.chunk, when, columns,
            person=people.number[person], protected=np.ones(len(person), bool), part="scene",
        )  # fmt: skip


def candidates_truth(people: People) -> pa.Table:
    """The account by which each candidate is known to the journey."""
    who = np.flatnonzero(people.cast.journey >= 0)
    journey = people.cast.journey[who]
    channel = np.full(len(who), APP)
    channel[journey == JOURNEYS.index("question_offer")] = WECOM
    channel[journey == JOURNEYS.index("visit_follow_up")] = POS
    return pa.table(
        {
            "journey": words(JOURNEYS, journey).cast(pa.string()),
            "channel": words(ACCOUNT_CHANNELS, channel).cast(pa.string()),
            "source_customer_id": people.account(channel, who).cast(pa.string()),
            "person_id": pa.array(people.number[who]),
        }
    )


def cases_truth(people: People) -> pa.Table:
    """The cases of each outcome; of a holdout every candidate is one, since a salt decides."""
    holdout = list(OUTCOMES).index("holdout")
    candidates = np.flatnonzero(people.cast.journey >= 0)
    cases = np.flatnonzero(people.cast.outcome >= 0)
    twice = np.flatnonzero(people.cast.meets("duplicate"))
    who = np.concatenate([cases, twice, candidates])
    outcome = np.concatenate(
        [people.cast.outcome[cases], people.cast.outcome[twice], np.full(len(candidates), holdout)]
    )
    channel = np.full(len(who), APP)
    channel[len(cases) : len(cases) + len(twice)] = MINI
    return pa.table(
        {
            "outcome": words(list(OUTCOMES), outcome).cast(pa.string()),
            "channel": words(ACCOUNT_CHANNELS, channel).cast(pa.string()),
            "source_customer_id": people.account(channel, who).cast(pa.string()),
            "person_id": pa.array(people.number[who]),
            "why": words(list(OUTCOMES.values()), outcome).cast(pa.string()),
        }
    )
