"""How people react to a message: receipts, and an order it brings with the declared chance.

Add here: a reaction.
Not here: who gets a message (``campaigns`` for the past, the pipeline under test for closed loops).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from simulation.columns import Flags, Ints, codes, instants, words
from simulation.parameters import WorldParameters
from simulation.randomness import stream
from simulation.seasons import DAY

__all__ = ["RECEIPT_KINDS", "SEGMENTS", "WAYS", "Reaction", "react", "react_to", "receipt_rows"]

# By the number of orders placed before: none or one, two to four, five and more.
SEGMENTS = ("new", "growing", "loyal")
RECEIPT_KINDS = ("sent", "delivered", "opened", "clicked", "failed", "unsubscribed")
# Ways of contact, in the order of every array by way.
WAYS = ("sms", "email", "wecom", "push")


@dataclass
class Reaction:
    """Local moments per message; 0 = it did not happen."""

    sent_at: Ints
    delivered_at: Ints
    opened_at: Ints
    clicked_at: Ints
    failed_at: Ints
    unsubscribed_at: Ints
    order_at: Ints

    def take(self, rows: Flags) -> Reaction:
        return Reaction(*(getattr(self, field.name)[rows] for field in fields(self)))


def react_to(
    parameters: WorldParameters, rng: np.random.Generator, journey: Ints, segment: Ints, at: Ints,
    way: Ints, is_sent: Flags,
) -> Reaction:  # fmt: skip
    """Draws the reactions to messages; a message that was not sent brings nothing."""
    settings, count = parameters.campaigns, len(at)
    chances = np.array([[j.effects.get(s, 0.0) for s in SEGMENTS] for j in settings.journeys])
    windows = np.array([j.window_days for j in settings.journeys])
    opens = np.array([settings.opened_share[name] for name in WAYS])
    fails = is_sent & (rng.random(count) < settings.failed_share)
    arrives = is_sent & ~fails
    # The declared chance holds for every message sent, so those that arrive carry all of it.
    chance = chances[journey, segment] / (1 - settings.failed_share)
    brings = arrives & (rng.random(count) < chance)
    wait = (rng.uniform(0.03, 0.97, count) * windows[journey] * DAY).astype(np.int64)
    opened = arrives & (brings | (rng.random(count) < opens[way]))
    clicked = opened & (brings | (rng.random(count) < settings.clicked_share))
    leaves = arrives & ~brings & (rng.random(count) < settings.unsubscribed_share)
    delivered = at + rng.integers(1, 90, count)
    opened_at = np.minimum(delivered + rng.exponential(2400, count).astype(np.int64) + 5,
                           at + np.maximum(wait - 60, 95))  # fmt: skip
    clicked_at = opened_at + rng.integers(3, 50, count)
    return Reaction(
        sent_at=np.where(is_sent, at, 0), delivered_at=np.where(arrives, delivered, 0),
        opened_at=np.where(opened, opened_at, 0), clicked_at=np.where(clicked, clicked_at, 0),
        failed_at=np.where(fails, delivered, 0),
        unsubscribed_at=np.where(leaves, delivered + rng.integers(20, 7200, count), 0),
        order_at=np.where(brings, at + wait, 0),
    )  # fmt: skip


def receipt_rows(reaction: Reaction, messages: Ints) -> tuple[Ints, Ints, Ints]:
    """One row per thing that happened: the message, the kind, the moment."""
    moments = (reaction.sent_at, reaction.delivered_at, reaction.opened_at, reaction.clicked_at,
               reaction.failed_at, reaction.unsubscribed_at)  # fmt: skip
    rows = np.tile(messages, len(moments))
    kinds = np.repeat(np.arange(len(moments)), len(messages))
    at = np.concatenate([moment[messages] for moment in moments])
    happened = at > 0
    return rows[happened], kinds[happened], at[happened]


def react(
    parameters: WorldParameters, messages: pa.Table, *, seed: int, offset_seconds: int
) -> tuple[pa.Table, pa.Table]:
    """Receipts of sent messages and the orders they bring, for tests of the closed loop.

    Args:
        parameters: The world's; they hold the effects.
        messages: channel, source_customer_id, journey, segment, sent_at (naive UTC), way
            (optional; the journey's own otherwise).
        seed: Of this reaction.
        offset_seconds: The world's zone, east of Greenwich.

    Returns:
        receipts (message_number, channel, source_customer_id, journey, receipt_kind, occurred_at)
        and orders (message_number, channel, source_customer_id, journey, segment, ordered_at).
    """
    journeys = [journey.name for journey in parameters.campaigns.journeys]
    index = {name: number for number, name in enumerate(journeys)}
    journey = np.array([index[name] for name in messages["journey"].to_pylist()], np.int64)
    segment = np.array([SEGMENTS.index(s) for s in messages["segment"].to_pylist()], np.int64)
    own_ways = [WAYS.index(j.way) for j in parameters.campaigns.journeys]
    if "way" in messages.column_names:
        way = np.array([WAYS.index(w) for w in messages["way"].to_pylist()], np.int64)
    else:
        way = np.array(own_ways)[journey]
    micros = pc.cast(messages["sent_at"].combine_chunks(), pa.timestamp("us")).cast(pa.int64())
    at = micros.to_numpy() // 1_000_000 + offset_seconds
    rng = stream(seed, "reactions", 0)
    reaction = react_to(parameters, rng, journey, segment, at, way, np.ones(len(at), bool))
    rows, kind, when = receipt_rows(reaction, np.arange(len(at)))
    brought = np.flatnonzero(reaction.order_at > 0)
    receipts = _about(messages, rows).append_column(
        "receipt_kind", words(RECEIPT_KINDS, kind).cast(pa.string())
    )
    receipts = receipts.append_column("occurred_at", instants(when, offset_seconds))
    receipts = receipts.append_column("message_id", codes("MX", rows, digits=11))
    orders = _about(messages, brought).append_column(
        "segment", messages["segment"].combine_chunks().take(pa.array(brought))
    )
    ordered = instants(reaction.order_at[brought], offset_seconds)
    return receipts, orders.append_column("ordered_at", ordered)


def _about(messages: pa.Table, rows: Ints) -> pa.Table:
    chosen = messages.select(["channel", "source_customer_id", "journey"]).take(pa.array(rows))
    return chosen.add_column(0, "message_number", pa.array(rows))
