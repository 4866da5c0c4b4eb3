"""A past night decided again.

Add here: what a replay compares.
Not here: how it is decided (``decisions``), what was kept (``inputs``).
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.files import sha256_of, write_parquet
from crm_pipeline.lib.history import Slice, find_slice, read_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import batches
from crm_pipeline.lib.outreach.decisions import decide_facts
from crm_pipeline.lib.outreach.inputs import KEPT, KEPT_RULES, restore_inputs
from crm_pipeline.lib.outreach.moments import NIGHTLY
from crm_pipeline.lib.warehouse.connection import configure

DECISIONS = "outreach_decisions"


@dataclass(frozen=True)
class Replay:
    """What came of deciding a night again.

    Attributes:
        as_of: business date of the night.
        decision_count: decisions on record.
        sha256: hash of the slice on record.
        difference: the first thing that differs; None when every byte is the same.
    """

    as_of: dt.date
    decision_count: int
    sha256: str
    difference: str | None


@dataclass(frozen=True)
class PlanReplay:
    """What came of making the plan of a batch again; ``difference`` as above."""

    journey: str
    batch_id: str
    message_count: int
    difference: str | None


def replay_decisions(home: CrmHome, ledger: sa.Engine, as_of: dt.date) -> Replay:
    """Decides a night again from its kept inputs, in memory; changes nothing.

    Raises:
        OutreachError: nothing was decided then, or its inputs were not kept.
        LedgerError: a slice is gone or is not what was written.
    """
    with ledger.connect() as connection:
        found = {
            name: find_slice(home, connection, name, as_of)
            for name in (DECISIONS, *KEPT.values(), KEPT_RULES)
        }
    missing = [name for name, one in found.items() if one is None]
    if missing:
        raise OutreachError(
            f"the history has no {', '.join(missing)} of {as_of}",
            where=str(home.history),
            remedy="replay a night that was decided by this version or a later one",
        )
    kept = {name: one for name, one in found.items() if one is not None}
    recorded = kept.pop(DECISIONS)
    inputs = {name: read_slice(one) for name, one in kept.items()}
    with duckdb.connect(":memory:") as connection:
        configure(connection, home.warehouse_dir)
        restore_inputs(connection, inputs)
        decided = decide_facts(connection)
    return Replay(as_of, recorded.row_count, recorded.sha256, _difference(recorded, decided))


def replay_plans(
    home: CrmHome, ledger: sa.Engine, as_of: dt.date, plan_of: Callable[[pa.Table], pa.Table]
) -> list[PlanReplay]:
    """Makes the plan of every batch of a night's decisions again, in memory; changes nothing.

    Args:
        home: where the history is.
        ledger: decisions and batches on record.
        as_of: business date of the night.
        plan_of: from the decisions of a batch to the rows of its plan.
    """
    with ledger.connect() as connection:
        recorded = find_slice(home, connection, DECISIONS, as_of)
        query = sa.select(batches).where(
            batches.c.as_of_date == as_of,
            batches.c.run_kind == NIGHTLY,
            batches.c.slice_sha256 == (recorded.sha256 if recorded else ""),
        )
        planned = connection.execute(query.order_by(batches.c.journey)).all()
    if recorded is None:
        return []
    decided = read_slice(recorded)
    found = []
    for batch in planned:
        is_sent = pc.and_(
            pc.equal(decided.column("journey"), batch.journey),
            pc.equal(decided.column("outcome"), "send"),
        )
        plan = plan_of(decided.filter(is_sent))
        difference = None
        if plan.num_rows != batch.message_count:
            difference = f"the plan had {batch.message_count} messages, has {plan.num_rows}"
        elif plan.num_rows and _hash_of(plan, "plan.parquet") != batch.plan_sha256:
            difference = _plan_difference(home, batch.plan_path, plan)
        found.append(PlanReplay(batch.journey, batch.batch_id, batch.message_count, difference))
    return found


def _plan_difference(home: CrmHome, plan_path: str | None, plan: pa.Table) -> str:
    path = home.root / (plan_path or "")
    if not path.is_file():
        return "the bytes differ, and the plan on record is gone"
    before = pq.ParquetFile(path).read()
    return find_difference(before, plan) or "the rows are the same, the bytes are not"


def _hash_of(table: pa.Table, name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_parquet(table, path)
        return sha256_of(path)


def _difference(recorded: Slice, decided: pa.Table) -> str | None:
    if _hash_of(decided, recorded.path.name) == recorded.sha256:
        return None
    before = read_slice(recorded)
    return find_difference(before, decided) or "the rows are the same, the bytes are not"


def find_difference(before: pa.Table, after: pa.Table) -> str | None:
    """The first difference of two tables of decisions or messages, in words."""
    if before.schema != after.schema:
        return "the columns differ: " + ", ".join(
            sorted(set(before.column_names) ^ set(after.column_names))
        )
    rows = [{row["decision_id"]: row for row in table.to_pylist()} for table in (before, after)]
    for decision_id in sorted({*rows[0], *rows[1]}):
        old, new = rows[0].get(decision_id), rows[1].get(decision_id)
        if old is None or new is None:
            return f"decision {decision_id} is {'new' if old is None else 'gone'}"
        for name in before.column_names:
            if old[name] != new[name]:
                return f"decision {decision_id}: {name} was {old[name]!r}, is {new[name]!r}"
    return None
