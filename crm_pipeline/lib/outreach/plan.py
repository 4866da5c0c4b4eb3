"""From decisions on record to a batch that waits for approval.

Add here: which decisions make a batch, and the file that says what it would send.
Not here: who is decided for (``decisions``), words (``content``), what happens then (``life``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import sha256_of, write_parquet
from crm_pipeline.lib.history import Slice, find_slice, find_slice_by_hash, read_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import batches, history_slices
from crm_pipeline.lib.outreach.audit import write_audit
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.message import MESSAGE_SCHEMA, Message, message_id_of, read_messages

NIGHTLY, TICKS = "outreach_decisions", "outreach_trigger_decisions"  # tables of the history
UNRELEASED = ("planned", "approved", "canary")
PLAN_SCHEMA = pa.schema(
    [*MESSAGE_SCHEMA, ("timezone", pa.string()), ("unit_cost_amount", pa.decimal128(18, 6))]
)
# Decisions to send → the same rows with subject and body, and those refused with a reason.
Render = Callable[[pa.Table], tuple[pa.Table, pa.Table]]


@dataclass(frozen=True)
class Batch:
    """A row of ``batches``."""

    batch_id: str
    journey: str
    run_kind: str
    as_of_date: dt.date
    slice_sha256: str
    state: str
    plan_path: str | None
    plan_sha256: str | None
    message_count: int
    canary_pct: float
    valid_until: dt.datetime
    planned_by: str
    planned_at: dt.datetime
    approved_by: str | None = None
    approved_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None

    @property
    def folder(self) -> str:
        """Where its files are, below the home."""
        return f"outbox/{self.journey}/{self.batch_id}"


def plan_batches(
    home: CrmHome,
    ledger: sa.Engine,
    journey: JourneySpec,
    *,
    as_of: dt.date,
    render: Render,
    now: dt.datetime,
    planned_by: str,
    table_name: str = NIGHTLY,
) -> list[Batch]:
    """Plans what a day's decisions send for a journey; what was planned before stays as it is.

    The decisions of a night make one batch, those of every tick one of their own. The same
    decisions and texts make the same bytes. A night's plan ends older batches nobody released:
    whom they name was decided anew.

    Args:
        home: where ``outbox`` is.
        ledger: slices and batches.
        journey: the journey.
        as_of: business date of the decisions; its active slice is taken.
        render: puts words to decisions.
        now: the wall clock, UTC without a zone.
        planned_by: the operator, or ``schedule``.
        table_name: history of the nights or of the ticks.

    Raises:
        OutreachError: nothing was decided, later nights were, or the outbox holds deliveries of a
            batch the ledger does not know.
    """
    decided = _find_decided(home, ledger, table_name, as_of)
    table = read_slice(decided)
    mine = table.filter(pc.equal(table.column("journey"), journey.journey))
    planned = []
    for run_kind, key, rows in _groups(mine, decided, table_name):
        batch_id = batch_id_of(journey.journey, run_kind, as_of, key)
        known = find_batch(ledger, batch_id)
        if known is None:
            known = _plan(home, ledger, journey, decided, batch_id, run_kind, rows, render,
                          now, planned_by)  # fmt: skip
        planned.append(known)
    return planned


def batch_id_of(journey: str, run_kind: str, as_of: dt.date, key: str) -> str:
    """The same decisions always make the same batch."""
    parts = ("batch", journey, run_kind, as_of.isoformat(), key)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def is_planned(ledger: sa.Engine, journey: str, as_of: dt.date, slice_sha256: str) -> bool:
    """Whether the batch of a night's decisions is on record."""
    return find_batch(ledger, batch_id_of(journey, "nightly", as_of, slice_sha256)) is not None


def is_tick_unplanned(home: CrmHome, ledger: sa.Engine, journey: str, as_of: dt.date) -> bool:
    """Whether a tick of a day decided to send for a journey and has no batch yet."""
    with ledger.connect() as connection:
        decided = find_slice(home, connection, TICKS, as_of)
    if decided is None:
        return False
    table = read_slice(decided)
    mine = table.filter(pc.equal(table.column("journey"), journey))
    return any(
        find_batch(ledger, batch_id_of(journey, run_kind, as_of, key)) is None
        for run_kind, key, _ in _groups(mine, decided, TICKS)
    )


def find_batch(ledger: sa.Engine, batch_id: str) -> Batch | None:
    """A batch on record."""
    with ledger.connect() as connection:
        return find_batch_in(connection, batch_id)


def find_batch_in(connection: sa.Connection, batch_id: str) -> Batch | None:
    """A batch on record, in the caller's transaction."""
    query = sa.select(batches).where(batches.c.batch_id == batch_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else Batch(**row._mapping)


def list_batches(
    ledger: sa.Engine, *, states: Sequence[str] = (), journey: str | None = None
) -> list[Batch]:
    """Batches on record, the newest first."""
    query = sa.select(batches).order_by(
        batches.c.planned_at.desc(), batches.c.journey, batches.c.batch_id
    )
    if states:
        query = query.where(batches.c.state.in_(states))
    if journey:
        query = query.where(batches.c.journey == journey)
    with ledger.connect() as connection:
        return [Batch(**row._mapping) for row in connection.execute(query)]


def read_plan(home: CrmHome, batch: Batch) -> pa.Table:
    """The plan as it was approved, checked against the ledger.

    Raises:
        OutreachError: the file is gone or is another.
    """
    if batch.plan_path is None:
        return PLAN_SCHEMA.empty_table()
    path = home.root / batch.plan_path
    if not path.is_file() or sha256_of(path) != batch.plan_sha256:
        raise OutreachError(
            f"the plan is {'changed' if path.is_file() else 'gone'}",
            where=str(path),
            remedy="restore the file from its backup, or stop the batch: the next night plans anew",
        )
    return pq.ParquetFile(path).read()


def read_decisions(home: CrmHome, ledger: sa.Engine, batch: Batch) -> pa.Table | None:
    """The decisions a batch was planned from, whatever their outcome."""
    table_name = NIGHTLY if batch.run_kind == "nightly" else TICKS
    with ledger.connect() as connection:
        decided = find_slice_by_hash(
            home, connection, table_name, batch.as_of_date, batch.slice_sha256
        )
    if decided is None:
        return None
    table = read_slice(decided)
    mine = table.filter(pc.equal(table.column("journey"), batch.journey))
    for run_kind, key, rows in _groups(mine, decided, table_name):
        if batch_id_of(batch.journey, run_kind, batch.as_of_date, key) == batch.batch_id:
            return rows
    return None


def messages_of(plan: pa.Table) -> list[Message]:
    """The plan's messages, in their order."""
    return list(read_messages(plan))


def _find_decided(home: CrmHome, ledger: sa.Engine, table_name: str, as_of: dt.date) -> Slice:
    """A past day never sends."""
    newest = sa.select(sa.func.max(history_slices.c.as_of_date)).where(
        history_slices.c.table_name == NIGHTLY
    )
    with ledger.connect() as connection:
        decided = find_slice(home, connection, table_name, as_of)
        night = connection.execute(newest).scalar()
    if decided is None:
        raise OutreachError(
            f"nothing was decided for {as_of}",
            where=f"history {table_name}",
            remedy="run the nightly job for that day first",
        )
    is_past = night is not None and (night > as_of or (night == as_of and table_name == TICKS))
    if is_past:
        raise OutreachError(
            f"the decisions of {as_of} are stale: {night} was decided since",
            where=f"history {table_name}",
            remedy=f"plan {night}; a past day is never sent",
        )
    return decided


def _groups(mine: pa.Table, decided: Slice, table_name: str) -> Iterator[tuple[str, str, pa.Table]]:
    """What makes a batch: kind of run, what tells it from others, all its decisions."""
    if table_name == NIGHTLY:
        yield "nightly", decided.sha256, mine
        return
    ticks = mine.select(["run_kind", "decided_at"]).group_by(["run_kind", "decided_at"])
    found = ticks.aggregate([]).sort_by([("decided_at", "ascending"), ("run_kind", "ascending")])
    for tick in found.to_pylist():
        same = pc.and_(
            pc.equal(mine.column("run_kind"), tick["run_kind"]),
            pc.equal(mine.column("decided_at"), tick["decided_at"]),
        )
        yield tick["run_kind"], tick["decided_at"].isoformat(), mine.filter(same)


def _plan(
    home: CrmHome,
    ledger: sa.Engine,
    journey: JourneySpec,
    decided: Slice,
    batch_id: str,
    run_kind: str,
    rows: pa.Table,
    render: Render,
    now: dt.datetime,
    planned_by: str,
) -> Batch:
    folder = home.outbox / journey.journey / batch_id
    _refuse_forgotten(folder)
    rendered, refused = render(rows.filter(pc.equal(rows.column("outcome"), "send")))
    plan = make_plan(rendered)
    path = folder / "plan.parquet"
    failpoint("plan_before")
    if plan.num_rows:
        write_parquet(plan, path)
    failpoint("plan_written")
    batch = Batch(
        batch_id=batch_id,
        journey=journey.journey,
        run_kind=run_kind,
        as_of_date=decided.as_of_date,
        slice_sha256=decided.sha256,
        state="planned" if plan.num_rows else "done",
        plan_path=path.relative_to(home.root).as_posix() if plan.num_rows else None,
        plan_sha256=sha256_of(path) if plan.num_rows else None,
        message_count=plan.num_rows,
        canary_pct=journey.canary_pct,
        valid_until=pc.max(plan.column("valid_until")).as_py() or now,
        planned_by=planned_by,
        planned_at=now,
        finished_at=None if plan.num_rows else now,
    )
    reasons = pc.value_counts(refused.column("reason")).to_pylist()
    known = _record(
        ledger, batch, {one["values"]: one["counts"] for one in reasons}, now, planned_by
    )
    failpoint("plan_recorded")
    return known


def _refuse_forgotten(folder: Path) -> None:
    """A ledger that forgot a batch must not deliver it again."""
    found = sorted(folder.glob("*.csv")) + sorted(folder.glob("*.jsonl"))
    if found:
        raise OutreachError(
            "the outbox holds a delivery of a batch the ledger does not know",
            where=str(found[0]),
            remedy="the ledger was restored from an older state: restore the newest backup, "
            "or move the folder away once you know that it was never delivered",
        )


def make_plan(rendered: pa.Table) -> pa.Table:
    """The rows of a plan, one per message, in an order of their own."""
    keys = [rendered.column(name).to_pylist() for name in
            ("customer_id", "journey", "step", "occurrence", "contact_token")]  # fmt: skip
    ids = [message_id_of(*key) for key in zip(*keys, strict=True)]
    zones = [
        json.loads(text).get("timezone") if text else None
        for text in rendered.column("evidence").to_pylist()
    ]
    columns = {name: rendered.column(name) for name in rendered.column_names}
    columns |= {"message_id": pa.array(ids, pa.string()), "timezone": pa.array(zones, pa.string())}
    plan = pa.table([columns[name] for name in PLAN_SCHEMA.names], names=PLAN_SCHEMA.names)
    order = [("planned_send_at", "ascending"), ("message_id", "ascending")]
    return plan.cast(PLAN_SCHEMA).sort_by(order).combine_chunks()


def _record(
    ledger: sa.Engine, batch: Batch, refused: dict[str, int], now: dt.datetime, planned_by: str
) -> Batch:
    """Puts the batch on record, unless somebody else just did, and ends what it replaces."""
    with ledger.begin() as connection:
        known = find_batch_in(connection, batch.batch_id)
        if known is not None:
            return known
        connection.execute(sa.insert(batches).values(**batch.__dict__))
        detail = {"batch_id": batch.batch_id, "journey": batch.journey,
                  "messages": batch.message_count, "refused_texts": refused,
                  "plan_sha256": batch.plan_sha256}  # fmt: skip
        write_audit(connection, now, planned_by, "batch_planned", detail)
        if batch.run_kind == "nightly":
            _expire_older(connection, batch, now, planned_by)
    return batch


def _expire_older(connection: sa.Connection, batch: Batch, now: dt.datetime, actor: str) -> None:
    older = sa.and_(
        batches.c.journey == batch.journey,
        batches.c.batch_id != batch.batch_id,
        batches.c.state.in_(UNRELEASED),
        batches.c.as_of_date <= batch.as_of_date,
    )
    for row in connection.execute(sa.select(batches.c.batch_id).where(older)).all():
        connection.execute(
            sa.update(batches)
            .where(batches.c.batch_id == row.batch_id)
            .values(state="expired", finished_at=now)
        )
        detail = {"batch_id": row.batch_id, "replaced_by": batch.batch_id}
        write_audit(connection, now, actor, "batch_expired", detail)
