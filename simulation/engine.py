"""The order in which a world is made.

Add here: a step.
Not here: what a step does.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from simulation.behaviour import emit_posts, emit_usage, emit_visits, plan_posts, plan_visits
from simulation.campaigns import emit_receipts, message_truth, run_campaigns
from simulation.delivery.sql import literal
from simulation.desk import emit_desk
from simulation.habits import plan_habits
from simulation.judgements import emit_pairs
from simulation.last_day import (
    candidates_truth,
    cases_truth,
    emit_cast_receipts,
    plant_orders,
)
from simulation.loyalty import emit_loyalty
from simulation.parameters import WorldParameters
from simulation.people import emit_accounts, make_people
from simulation.permissions import emit_permissions
from simulation.purchases import make_life, make_orders
from simulation.reference import emit_reference
from simulation.sales import book_orders, emit_parcels
from simulation.sessions import emit_events, emit_habits, moments_of, plan_sessions
from simulation.spill import ParquetSink, Sink
from simulation.truth import (
    TruthSink,
    devices_truth,
    effects_truth,
    households_truth,
    identity_truth,
    message_counts,
    order_truth,
    patterns_truth,
    people_truth,
    sequences_truth,
)
from simulation.world import World

__all__ = ["Written", "finish_truth", "generate", "generate_chunk", "write_clean"]


@dataclass(frozen=True)
class Written:
    """Records by feed, and the most memory the processes started for them have had together."""

    counts: dict[str, int]
    workers_peak: int = 0  # bytes

    @property
    def records(self) -> int:
        return sum(self.counts.values())


def write_clean(
    parameters: WorldParameters, clean: Path, truth: Path, *, workers: int = 1
) -> Written:
    """Writes the clean records and the truth.

    Chunks do not know of each other, so any number of ``workers`` gives the same bytes.
    """
    sink, truths = ParquetSink(clean), TruthSink(truth)
    if workers == 1 or len(_chunks(parameters)) == 1:
        generate(parameters, sink, truths)
        return Written(dict(sorted(sink.row_counts.items())))
    emit_reference(World(parameters, sink))
    counts = Counter(sink.row_counts)
    sent: list[pa.Table] = []
    peaks: Counter[int] = Counter()
    jobs = [(parameters, clean, truth, *chunk) for chunk in _chunks(parameters)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for message_counts, rows, process, peak in pool.map(_write_chunk, jobs):
            sent.append(message_counts)
            counts.update(rows)
            peaks[process] = max(peaks[process], peak)
    _finish(parameters, truths, sent)
    return Written(dict(sorted(counts.items())), peaks.total())


def _write_chunk(
    job: tuple[WorldParameters, Path, Path, int, int, int],
) -> tuple[pa.Table, Counter[str], int, int]:
    """Makes one chunk; beside its counts the process and the most memory it has had."""
    parameters, clean, truth, chunk, start, size = job
    pa.set_cpu_count(1)
    sink = ParquetSink(clean)
    sent = generate_chunk(World(parameters, sink), TruthSink(truth), chunk, start, size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return sent, sink.row_counts, os.getpid(), peak


def _chunks(parameters: WorldParameters) -> list[tuple[int, int, int]]:
    """Number, first person and size of each chunk."""
    frame = parameters.world
    starts = range(0, frame.people, frame.people_per_chunk)
    return [
        (number, start, min(frame.people_per_chunk, frame.people - start))
        for number, start in enumerate(starts)
    ]


def _finish(parameters: WorldParameters, truth: TruthSink, sent: list[pa.Table]) -> None:
    truth.write("effects", 0, effects_truth(parameters, sent))
    truth.write("sequences", 0, sequences_truth(parameters))
    truth.finish()


def finish_truth(
    truth: Path, account_files: Mapping[str, Path], defects: pa.Table, memory_limit: str
) -> None:
    """Writes ``identity`` and ``defects`` once it is known what was delivered unharmed.

    ``account_files`` holds per feed the (channel, source_customer_id) of its sound records.
    """
    pq.write_table(defects, truth / "defects.parquet")
    known = [str(path) for path in account_files.values()]
    connection = duckdb.connect(":memory:")
    connection.execute("set enable_progress_bar = false")
    connection.execute(f"set memory_limit = '{memory_limit}'")
    connection.execute(f"set temp_directory = {literal(truth / '.spill')}")
    connection.execute(
        """
        copy (
            select channel, source_customer_id, person_id
            from read_parquet($accounts)
            semi join (select channel, source_customer_id from read_parquet($known))
                using (channel, source_customer_id)
            order by all
        ) to {path} (format parquet, compression zstd)
        """.replace("{path}", literal(truth / "identity.parquet")),
        {"accounts": str(truth / "accounts.parquet"), "known": known},
    )
    connection.close()
    (truth / "accounts.parquet").unlink()
    shutil.rmtree(truth / ".spill", ignore_errors=True)


def generate(parameters: WorldParameters, sink: Sink, truth: TruthSink | None) -> World:
    """Makes the whole world, chunk after chunk."""
    world = World(parameters, sink)
    emit_reference(world)
    sent = [generate_chunk(world, truth, *chunk) for chunk in _chunks(parameters)]
    if truth is not None:
        _finish(parameters, truth, sent)
    return world


def generate_chunk(
    world: World, truth: TruthSink | None, chunk: int, start: int, size: int
) -> pa.Table:
    """Makes the people numbered ``start`` to ``start + size``, and all they do."""
    people = make_people(world, chunk, start, size)
    emit_accounts(world, people)
    permissions = emit_permissions(world, people)
    life = make_life(world, people)
    organic = plant_orders(world, people, life, make_orders(world, people, life))
    sessions = plan_sessions(world, people, life)
    looking, posts = plan_visits(world, people), plan_posts(world, people, life)
    moments = moments_of(world, sessions, looking, posts)
    orders, messages = run_campaigns(world, people, life, organic, permissions, moments)
    booked = book_orders(world, people, orders)
    emit_parcels(world, people, booked)
    emit_loyalty(world, people, life, booked)
    emit_desk(world, people, booked)
    emit_visits(world, people, booked, looking)
    emit_posts(world, people, posts)
    emit_usage(world, people, booked)
    emit_receipts(world, people, permissions, messages)
    emit_cast_receipts(world, people, permissions)
    emit_pairs(world, people)
    habits = plan_habits(world, people)
    emit_events(world, people, sessions, booked)
    emit_habits(world, people, habits)
    sent = message_truth(world, people, permissions, messages)
    if truth is not None:
        truth.write("people", chunk, people_truth(world, people, life, orders))
        truth.write("accounts", chunk, identity_truth(people))
        truth.write("messages", chunk, sent)
        truth.write("households", chunk, households_truth(people))
        truth.write("devices", chunk, devices_truth(people))
        found = patterns_truth(world, people, orders, posts, looking, habits)
        truth.write("patterns", chunk, found)
        if chunk == 0:
            truth.write("journey_candidates", chunk, candidates_truth(people))
            truth.write("outcome_cases", chunk, cases_truth(people))
        truth.write("orders", chunk, order_truth(people, booked.order_id, booked.orders,
                                                 booked.status))  # fmt: skip
    return message_counts(sent)
