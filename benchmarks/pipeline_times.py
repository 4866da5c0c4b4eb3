"""What a finished ``crm run`` spent its time on: start-up of processes, work, scores.

Add here: how observations become named amounts of time.
Not here: running and printing (``__main__``), observing (``measure``).

Work is counted strictly: everything from the first step to the end of the process is work
(bookkeeping of Dagster, tests, gate, hashes and the summary included), but for what dbt needs
before its first and after its last node, and the import of Great Expectations, which happens
inside a step and is measured in a process of its own. Imports are start-up on both sides.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Measured, Timeline

GROUPS = (  # prefix of a step's key, name of what it does
    ("feeds__", "ingest"),
    ("warehouse_sources", "sources"),
    ("dbt_models", "dbt bookkeeping"),
    ("identity__", "identity"),
    ("scores__", "scores"),
    ("published__", "publish"),
    ("history__", "history"),
    ("outbox__", "batches"),
)
OTHER = "between steps, sensors, summary"
BOOKKEEPING = "dbt bookkeeping"
NODES = "dbt nodes"
PARSE = "dbt parse"


@dataclass(frozen=True)
class Amount:
    """Wall and CPU seconds."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.wall - other.wall, self.cpu - other.cpu)


@dataclass(frozen=True)
class Invocation:
    """One call of dbt."""

    whole: Amount
    nodes: Amount
    node_count: int
    slowest: list[tuple[str, float]]

    @property
    def startup(self) -> Amount:
        """Imports, reading the project, leaving: all but the span of its nodes."""
        return self.whole - self.nodes


@dataclass(frozen=True)
class PipelineTimes:
    """A whole run, split."""

    whole: Amount
    main_startup: Amount
    parse: Amount  # only when the project had changed since it was last parsed
    lazy_imports: Amount
    invocations: list[Invocation]
    work_by_group: dict[str, Amount]

    @property
    def scores(self) -> Amount:
        """Training, backtests and scoring, which the hand-written side does not do."""
        return self.work_by_group.get("scores", Amount())

    @property
    def startup(self) -> Amount:
        """All start-ups together."""
        calls = _sum(call.startup for call in self.invocations)
        return self.main_startup + self.parse + self.lazy_imports + calls

    @property
    def work(self) -> Amount:
        """Everything else, without scores."""
        return self.whole - self.startup - self.scores


def split_pipeline(home: Path, measured: Measured, lazy_imports: Amount) -> PipelineTimes:
    """Splits an observed run of a fresh home; ``lazy_imports`` happened inside its ingest."""
    main = measured.processes[0]
    whole = Amount(measured.wall, measured.cpu)
    steps = _read_steps(home)
    first = min(start for _, start, _ in steps)
    children = [line for line in measured.processes if line.parent == main.pid]
    # Calls are forked by the run's own dbt process; where it has none they are its children.
    servers = [line for line in children if "dbt_server" in line.command]
    forked = [line for line in measured.processes if line.parent in {s.pid for s in servers}]
    clients = [line for line in children if re.search(r"dbt\S* .*\bbuild\b", line.command)]
    calls = forked or clients
    parses = [line for line in children if re.search(r"dbt\S* .*\bparse\b", line.command)]
    invocations = [_split_invocation(call, results) for call, results in _match(calls, home)]
    parse = _sum(Amount(line.wall, line.cpu) for line in parses)
    parse = parse + Amount(0.0, sum(line.cpu for line in servers))  # beside the ingestion
    main_startup = Amount(first - measured.began, main.cpu_between(0, first))
    if parse.wall:  # it ran before the first step; its CPU is a process of its own
        main_startup = main_startup - Amount(parse.wall, 0.0)
    groups = _group_steps(main, steps)
    judges = [line for line in children if "ingestion.judge" in line.command]
    if judges:  # beside the run, so it costs no wall time of its own
        lazy_imports = Amount(0.0, lazy_imports.cpu)
        groups["expectations"] = Amount(0.0, sum(line.cpu for line in judges)) - lazy_imports
    else:
        groups["ingest"] = groups["ingest"] - lazy_imports
    called = _sum(call.whole for call in invocations)
    groups[BOOKKEEPING] = groups.get(BOOKKEEPING, Amount()) - Amount(called.wall, 0.0)
    groups[NODES] = _sum(call.nodes for call in invocations)
    accounted = _sum(groups.values()) + main_startup + parse + lazy_imports
    accounted = accounted + _sum(call.startup for call in invocations)
    groups[OTHER] = whole - accounted
    return PipelineTimes(whole, main_startup, parse, lazy_imports, invocations, groups)


def _sum(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount())


def _read_steps(home: Path) -> list[tuple[str, float, float]]:
    """Every step of every run of the home: key, start and end, as Dagster recorded them."""
    import dagster as dg

    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with dg.DagsterInstance.get() as instance:
        return [
            (stats.step_key, float(stats.start_time), float(stats.end_time))
            for run in instance.get_runs()
            for stats in instance.get_run_step_stats(run.run_id)
            if stats.start_time and stats.end_time
        ]


def _group_steps(main: Timeline, steps: Iterable[tuple[str, float, float]]) -> dict[str, Amount]:
    groups: dict[str, Amount] = {}
    for key, start, end in steps:
        name = next((group for prefix, group in GROUPS if key.startswith(prefix)), OTHER)
        spent = Amount(end - start, main.cpu_between(start, end))
        groups[name] = groups.get(name, Amount()) + spent
    return groups


def _match(calls: list[Timeline], home: Path) -> list[tuple[Timeline, dict[str, Any]]]:
    """Each call of dbt with the results it wrote: both in order of time."""
    paths = sorted(
        (home / "dagster" / "dbt").glob("*/run_results.json"), key=lambda path: path.stat().st_mtime
    )
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if len(calls) != len(results):
        seen = "; ".join(f"{call.command[:120]} ({call.wall:.1f} s)" for call in calls)
        raise RuntimeError(f"{len(results)} result files, but {len(calls)} calls of dbt: {seen}")
    return list(zip(sorted(calls, key=lambda call: call.moments[0]), results, strict=True))


def _split_invocation(call: Timeline, results: dict[str, Any]) -> Invocation:
    nodes = results["results"]
    moments = [
        datetime.fromisoformat(timing[edge].replace("Z", "+00:00")).timestamp()
        for node in nodes
        for timing in node["timing"]
        for edge in ("started_at", "completed_at")
    ]
    start, end = min(moments), max(moments)
    slowest = sorted(nodes, key=lambda node: -float(node["execution_time"]))[:5]
    return Invocation(
        Amount(call.wall, call.cpu),
        Amount(end - start, call.cpu_between(start, end)),
        len(nodes),
        [(node["unique_id"].split(".")[2], float(node["execution_time"])) for node in slowest],
    )
