"""What is really so: the tables no asset may read.

Add here: a table of the truth.
Not here: what planted it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulation.behaviour import Posts
from simulation.catalogue import CATEGORIES, CATEGORY_NAMES, PERSONAS, stock_out_share
from simulation.columns import Floats, Ints, words
from simulation.habits import Habits
from simulation.parameters import WorldParameters
from simulation.people import ACCOUNT_CHANNELS, POS, People
from simulation.purchases import ORIGINS, REASONS, Life, Orders, channel_weights
from simulation.reactions import SEGMENTS
from simulation.seasons import DAY
from simulation.world import World

__all__ = [
    "TruthSink",
    "devices_truth",
    "effects_truth",
    "expected_value",
    "follower_rates",
    "households_truth",
    "identity_truth",
    "message_counts",
    "order_truth",
    "patterns_truth",
    "people_truth",
    "reasons_to_leave",
    "sequences_truth",
]


_EFFECTS = pa.schema(
    [
        ("journey", pa.string()),
        ("segment", pa.string()),
        ("window_days", pa.int64()),
        ("order_chance", pa.float64()),
        ("baseline_rate", pa.float64()),
        ("true_effect", pa.float64()),
        ("sent_count", pa.int64()),
        ("holdout_count", pa.int64()),
    ]
)
_SEQUENCES = pa.schema(
    [
        ("first_category", pa.string()),
        ("then_category", pa.string()),
        ("within_days", pa.int64()),
        ("added_probability", pa.float64()),
    ]
)


class TruthSink:
    """Collects the chunks of each table and joins them into ``<folder>/<name>.parquet``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / ".parts"

    def write(self, name: str, chunk: int, table: pa.Table) -> None:
        """Takes one chunk of a table."""
        place = self.parts / name
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, place / f"{chunk:05d}.parquet", compression="zstd")

    def finish(self) -> None:
        """Joins the chunks in their order."""
        for place in sorted(self.parts.iterdir()) if self.parts.exists() else []:
            files = sorted(place.glob("*.parquet"))
            schema = pq.read_schema(files[0])
            with pq.ParquetWriter(self.folder / f"{place.name}.parquet", schema) as writer:
                for file in files:
                    writer.write_table(pq.read_table(file))
        shutil.rmtree(self.parts, ignore_errors=True)


def people_truth(world: World, people: People, life: Life, orders: Orders) -> pa.Table:
    """One row per person: when and why they left, and what they are worth in the next year."""
    count = len(people)
    counts = np.bincount(orders.person, minlength=count)
    spend = np.bincount(orders.person, orders.worth_cents, minlength=count)
    left = life.left_at > 0
    return pa.table(
        {
            "person_id": pa.array(people.number),
            "household_id": pa.array(people.household),
            "joined_date": _days(people.joined_at),
            "churn_date": _days(life.left_at, ~left),
            "churn_reason": words(REASONS, np.where(left, life.reason, -1)).cast(pa.string()),
            "order_count": pa.array(counts),
            "spend_amount": pa.array(np.round(spend).astype(np.int64) / 100),
            "expected_value": pa.array(expected_value(world, people, life)),
            "rate_per_day": pa.array(life.rate),
            "dropout_probability": pa.array(life.dropout),
            "persona": words([name for name, *_ in PERSONAS], people.persona).cast(pa.string()),
            "is_cast": pa.array(people.cast.is_cast),
        }
    )


def expected_value(world: World, people: People, life: Life) -> Floats:
    """Net spend expected in the 365 days after the end, given what really drives each person.

    Who still buys places own orders at rate λ in season time and leaves after each with chance
    p' = 1 − (1 − p)(1 − q), by dropping out (p) or for a reason (q): (1 − exp(−λ p' H)) / p' of
    them in a horizon H. Orders the person stays after, 1 − p' of them, have followers; refunds go
    off. What messages would bring does not count.
    """
    settings = world.parameters
    horizon = world.calendar.season_year_after
    stays = (life.left_at == 0) & people.buys
    leaves = 1 - (1 - life.dropout) * (1 - reasons_to_leave(world, people))
    orders = -np.expm1(-life.rate * leaves * horizon) / leaves
    followers = world.catalogue.persona_weights()[people.persona] @ follower_rates(settings)
    worth = settings.spend.order_shape / life.spend_rate
    kept = 1 - settings.purchases.refund_share * (1 - settings.purchases.part_refund_share / 2)
    value = orders * (1 + (1 - leaves) * followers) * worth * kept
    return np.where(stays, np.round(value, 2), 0.0)


def reasons_to_leave(world: World, people: People) -> Floats:
    """The chance, per person, that an own order gives a reason to leave."""
    settings = world.parameters
    buying, service = settings.purchases, settings.service
    late = settings.parcels.late_share * (1 - channel_weights(people)[:, POS])
    after_late = 1 - (1 - buying.leaves_after_late_parcel) * (
        1 - buying.leaves_after_complaint * service.complaint_after_late_parcel
    )
    otherwise = buying.leaves_after_complaint * service.complaint_base
    out = buying.leaves_after_stock_out * stock_out_share(settings)
    return 1 - (1 - late * after_late - (1 - late) * otherwise) * (1 - out)


def follower_rates(settings: WorldParameters) -> Floats:
    """Orders that follow one of each category, the followers of followers included."""
    direct = np.zeros((len(CATEGORIES), len(CATEGORIES)))
    for number, category in enumerate(CATEGORIES):
        direct[number, number] = settings.replenishing_share if category.replenish_days else 0.0
    for sequence in settings.sequences:
        first, then = CATEGORY_NAMES.index(sequence.first), CATEGORY_NAMES.index(sequence.then)
        direct[first, then] += sequence.probability
    return np.linalg.solve(np.eye(len(CATEGORIES)) - direct, direct.sum(axis=1))


def message_counts(messages: pa.Table) -> pa.Table:
    """How many candidates of one chunk were sent to, held out, and would have ordered anyway."""
    complete = messages.filter(messages["is_window_complete"])
    return complete.group_by(["journey", "segment", "is_holdout", "ordered_anyway"]).aggregate(
        [([], "count_all")]
    )


def effects_truth(parameters: WorldParameters, chunks: list[pa.Table]) -> pa.Table:
    """Journey × segment: the planted chance, and the effect on ordering within the window."""
    counts: Counter[tuple[str, str, str, bool]] = Counter()
    for row in pa.concat_tables(chunks).to_pylist():
        place = (row["journey"], row["segment"])
        counts[(*place, "held" if row["is_holdout"] else "sent", True)] += row["count_all"]
        counts[(*place, "anyway", row["ordered_anyway"])] += row["count_all"]
    rows = []
    for journey in parameters.campaigns.journeys:
        for segment in SEGMENTS:
            if segment not in journey.effects:
                continue
            anyway, not_so = (
                counts[journey.name, segment, "anyway", said] for said in (True, False)
            )
            baseline = anyway / (anyway + not_so) if anyway + not_so else None
            chance = journey.effects[segment]
            rows.append(
                {
                    "journey": journey.name,
                    "segment": segment,
                    "window_days": journey.window_days,
                    "order_chance": chance,
                    "baseline_rate": baseline,
                    "true_effect": chance * (1 - (baseline or 0.0)),
                    "sent_count": counts[journey.name, segment, "sent", True],
                    "holdout_count": counts[journey.name, segment, "held", True],
                }
            )
    return pa.Table.from_pylist(rows, _EFFECTS)


def sequences_truth(parameters: WorldParameters) -> pa.Table:
    """The planted sequences, by category label."""
    label = {name: c.label for name, c in zip(CATEGORY_NAMES, CATEGORIES, strict=True)}
    return pa.Table.from_pylist(
        [
            {
                "first_category": label[s.first],
                "then_category": label[s.then],
                "within_days": s.within_days,
                "added_probability": s.probability,
            }
            for s in parameters.sequences
        ],
        _SEQUENCES,
    )


def identity_truth(people: People) -> pa.Table:
    """Every account of the chunk with its person; delivery decides which of them can be seen."""
    parts = []
    for channel, name in enumerate(ACCOUNT_CHANNELS):
        who = np.flatnonzero(people.has_account[:, channel])
        parts.append(
            pa.table(
                {
                    "channel": pa.array([name] * len(who), pa.string()),
                    "source_customer_id": people.ids[channel].take(pa.array(who)),
                    "person_id": pa.array(people.number[who]),
                }
            )
        )
    return pa.concat_tables(parts)


def order_truth(people: People, order_id: pa.Array, orders: Orders, status: Ints) -> pa.Table:
    """Why each order was placed."""
    return pa.table(
        {
            "order_id": order_id,
            "person_id": pa.array(people.number[orders.person]),
            "origin": words(ORIGINS, orders.origin).cast(pa.string()),
            "is_paid": pa.array(status == 0),
            "is_due_to_message": pa.array(orders.message >= 0),
        }
    )


def _days(local: Ints, mask: Ints | None = None) -> pa.Array:
    return pa.array((local // DAY).astype(np.int32), mask=mask).cast(pa.date32())


def households_truth(people: People) -> pa.Table:
    """One row per household of the chunk."""
    household, first, size = np.unique(people.household, return_index=True, return_counts=True)
    index = pa.array(first)
    return pa.table(
        {
            "household_id": pa.array(household),
            "person_count": pa.array(size),
            "has_shared_device": people.family_device.take(index).is_valid(),
            "landline": people.landline.take(index),
            "address_text": people.address.take(index),
        }
    )


def devices_truth(people: People) -> pa.Table:
    """Who uses which device; a shared one has a row for each of its people."""
    shared = np.flatnonzero(people.family_device.is_valid().to_numpy(zero_copy_only=False))
    return pa.table(
        {
            "device_id": pa.concat_arrays([people.device,
                                           people.family_device.take(pa.array(shared))]),
            "person_id": pa.array(np.concatenate([people.number, people.number[shared]])),
            "is_shared": pa.array(np.arange(len(people) + len(shared)) >= len(people)),
        }
    )  # fmt: skip


def patterns_truth(
    world: World,
    people: People,
    orders: Orders,
    posts: Posts,
    looking: tuple[Ints, Ints],
    habits: Habits,
) -> pa.Table:
    """Planted facts a rule should find, one row per person and moment."""
    cast, end_at = people.cast, world.calendar.end_at
    giver = np.flatnonzero(people.phone_lost_at > 0)
    met = np.flatnonzero(orders.met_stock_out)
    late = np.flatnonzero(orders.is_late)
    complains = np.flatnonzero(orders.complains)
    eco = np.flatnonzero(posts.is_eco)
    found: list[tuple[str, Ints, Ints]] = [
        ("number_given_up", giver, people.phone_lost_at[giver]),
        ("stock_out_met", orders.person[met], orders.at[met]),
        ("late_parcel", orders.person[late], orders.at[late]),
        ("complaint", orders.person[complains], orders.at[complains]),
        ("eco_question", posts.person[eco], posts.at[eco]),
        ("visit_without_purchase", *looking),
        ("category_three_times_in_a_row", *habits.fans),
        ("cart_left", habits.leaver, habits.left_at),
    ]
    for name, journey in (
        ("premium_line_on_three_days", "vip_preorder"),
        ("category_on_three_days", "browse_list"),
    ):
        who = np.flatnonzero(cast.plays(journey))
        found.append((name, who, np.full(len(who), end_at - DAY)))
    names = np.repeat(np.arange(len(found)), [len(who) for _, who, _ in found])
    person = np.concatenate([who for _, who, _ in found])
    at = np.concatenate([when for *_, when in found])
    inside = at < end_at
    return pa.table(
        {
            "pattern": words([name for name, *_ in found], names[inside]).cast(pa.string()),
            "person_id": pa.array(people.number[person[inside]]),
            "happened_at": world.instants(at[inside]),
        }
    )
