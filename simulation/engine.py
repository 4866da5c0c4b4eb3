"""The order in which a world is made.

Add here: a step.
Not here: what a step does.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from simulation.behaviour import emit_events, emit_posts, emit_usage, emit_visits
from simulation.campaigns import emit_receipts, message_truth, run_campaigns
from simulation.desk import emit_desk
from simulation.loyalty import emit_loyalty
from simulation.parameters import WorldParameters
from simulation.people import emit_accounts, make_people
from simulation.permissions import emit_pairs, emit_permissions
from simulation.purchases import make_life, make_orders
from simulation.reference import emit_reference
from simulation.sales import book_orders, emit_sales
from simulation.spill import ParquetSink, Sink
from simulation.truth import (
    TruthSink,
    effects_truth,
    identity_truth,
    order_truth,
    people_truth,
    sequences_truth,
)
from simulation.world import World

__all__ = ["generate", "generate_chunk", "write_clean"]


def write_clean(parameters: WorldParameters, work: Path) -> dict[str, int]:
    """Writes ``work/clean`` and ``work/truth``; returns the records of each feed."""
    sink = ParquetSink(work / "clean")
    truth = TruthSink(work / "truth")
    generate(parameters, sink, truth)
    (work / "clean").mkdir(parents=True, exist_ok=True)
    said = json.dumps({"parameters": parameters.model_dump(mode="json")}, ensure_ascii=False)
    (work / "clean" / "world.json").write_text(said, encoding="utf-8")
    return dict(sorted(sink.row_counts.items()))


def generate(parameters: WorldParameters, sink: Sink, truth: TruthSink | None) -> World:
    """Makes the whole world, chunk after chunk."""
    world = World(parameters, sink)
    emit_reference(world)
    frame = parameters.world
    counts: list[pa.Table] = []
    for chunk, start in enumerate(range(0, frame.people, frame.people_per_chunk)):
        size = min(frame.people_per_chunk, frame.people - start)
        counts.append(generate_chunk(world, truth, chunk, start, size))
    if truth is not None:
        truth.write("effects", 0, effects_truth(parameters, pa.concat_tables(counts)))
        truth.write("sequences", 0, sequences_truth(parameters))
        truth.finish()
    return world


def generate_chunk(
    world: World, truth: TruthSink | None, chunk: int, start: int, size: int
) -> pa.Table:
    """Makes the people numbered ``start`` to ``start + size``, and all they do."""
    people = make_people(world, chunk, start, size)
    emit_accounts(world, people)
    permissions = emit_permissions(world, people)
    life = make_life(world, people)
    organic = make_orders(world, people, life)
    orders, messages = run_campaigns(world, people, life, organic, permissions)
    booked = book_orders(world, people, orders)
    emit_sales(world, people, booked)
    emit_loyalty(world, people, life, booked)
    emit_desk(world, people, booked)
    emit_visits(world, people, booked)
    emit_posts(world, people, life)
    emit_usage(world, people, booked)
    emit_receipts(world, people, permissions, messages)
    emit_pairs(world, people)
    emit_events(world, people, life, booked)
    sent = message_truth(world, people, permissions, messages)
    if truth is not None:
        truth.write("people", chunk, people_truth(world, people, life, orders))
        truth.write("accounts", chunk, identity_truth(people))
        truth.write("messages", chunk, sent)
        truth.write("orders", chunk, order_truth(people, booked.order_id, booked.orders,
                                                 booked.status))  # fmt: skip
    return sent.select(["journey", "segment", "is_window_complete", "ordered_anyway", "is_holdout"])
