"""The life of a batch.

Add here: a step from one state to the next, and who may take it.
Not here: what is sent in a state (``release``), the kill switch of a journey (``switch``).

    planned → approved → canary → released → done
    planned, approved, canary → expired       a newer night was planned, or its time is over
    any of these → stopped → planned, approved    by an operator

Every step is one row in the audit, written in the transaction that takes it. A plan is approved
only after a person read it: some listed operator previewed exactly this plan. The night previews
what it plans too, and that does not count.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence

import sqlalchemy as sa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import audit, batches, claims
from crm_pipeline.lib.outreach.audit import write_audit
from crm_pipeline.lib.outreach.message import Message
from crm_pipeline.lib.outreach.operators import Operators
from crm_pipeline.lib.outreach.plan import Batch, find_batch_in, list_batches, read_plan
from crm_pipeline.lib.outreach.preview import find_readers

OPEN = ("planned", "approved", "canary", "released")
SENDABLE = ("approved", "canary", "released")
HASHED = 2**32


def approve(
    home: CrmHome, ledger: sa.Engine, batch_id: str, operators: Operators, *, now: dt.datetime
) -> Batch:
    """Lets a batch be released: by a listed operator who did not plan it, after a person read it.

    Some listed operator, perhaps the same, has asked for the preview of exactly this plan.

    Raises:
        ConfigError: nobody is named, or nobody listed.
        OutreachError: the batch is in no state for it, its time is over, its own planner asks, its
            plan is not what was planned, or no listed operator previewed exactly this plan.
    """
    who = operators.require()
    with ledger.begin() as connection:
        batch = get_batch(connection, batch_id)
        refuse_unless(batch, ("planned",), "approved")
        refuse_expired(batch, now)
        if batch.planned_by == who:
            raise OutreachError(
                f"{who} planned this batch and cannot approve it",
                where=f"batch {batch_id}",
                remedy="let another operator of CRM_OPERATORS approve it",
            )
        read_plan(home, batch)
        if not find_readers(connection, batch) & set(operators.listed):
            raise OutreachError(
                "no operator has read the preview of this plan",
                where=f"batch {batch.batch_id}",
                remedy=f"read it first: CRM_OPERATOR={who} crm batch preview {batch.batch_id[:8]}",
            )
        values = {"approved_by": who, "approved_at": now}
        move(connection, batch, "approved", who, "batch_approved", now, **values)
        return get_batch(connection, batch_id)


def advance(
    ledger: sa.Engine, batch_id: str, actor: str, *, now: dt.datetime, is_whole: bool
) -> Batch:
    """Takes the next step of sending: an approved batch to its canary, that to the whole batch.

    Args:
        ledger: holds the batch.
        batch_id: an approved, canary or released batch.
        actor: who asks.
        now: the wall clock, UTC without a zone.
        is_whole: whether a canary is followed by the rest; a sensor never says so.

    Raises:
        OutreachError: it is not approved, or its time is over.
    """
    with ledger.begin() as connection:
        batch = get_batch(connection, batch_id)
        refuse_unless(batch, SENDABLE, "released")
        refuse_expired(batch, now)
        if batch.state == "approved":
            state = "canary" if batch.canary_pct < 100 else "released"
            move(connection, batch, state, actor, f"batch_{state}", now)
        elif batch.state == "canary" and is_whole:
            move(connection, batch, "released", actor, "batch_released", now)
        return get_batch(connection, batch_id)


def stop(ledger: sa.Engine, batch_id: str, actor: str, reason: str, *, now: dt.datetime) -> Batch:
    """Stops a batch: from the next claim on nothing of it leaves."""
    with ledger.begin() as connection:
        batch = get_batch(connection, batch_id)
        refuse_unless(batch, OPEN, "stopped")
        move(connection, batch, "stopped", actor, "batch_stopped", now, reason=reason)
        return get_batch(connection, batch_id)


def resume(ledger: sa.Engine, batch_id: str, operators: Operators, *, now: dt.datetime) -> Batch:
    """Takes a stopped batch up again, where it was approved or else planned.

    It is released anew from its canary on. What left before never leaves again.

    Raises:
        OutreachError: it is not stopped, its time is over, or a newer night was planned since.
    """
    who = operators.require()
    with ledger.begin() as connection:
        batch = get_batch(connection, batch_id)
        refuse_unless(batch, ("stopped",), "resumed")
        refuse_expired(batch, now)
        newer = sa.select(batches.c.batch_id).where(
            batches.c.journey == batch.journey,
            batches.c.run_kind == "nightly",
            batches.c.planned_at > batch.planned_at,
        )
        found = connection.execute(newer.limit(1)).scalar()
        if found:
            raise OutreachError(
                "a newer night was planned since this batch was stopped",
                where=f"batch {batch_id}",
                remedy=f"release {found}: whom this batch names was decided anew",
            )
        state = "approved" if batch.approved_by else "planned"
        move(connection, batch, state, who, "batch_resumed", now)
        return get_batch(connection, batch_id)


def finish(ledger: sa.Engine, batch_id: str, actor: str, *, now: dt.datetime) -> Batch:
    """Ends a released batch of which nothing can leave any more."""
    with ledger.begin() as connection:
        batch = get_batch(connection, batch_id)
        if batch.state == "released":
            counts = count_claims(connection, batch_id)
            move(connection, batch, "done", actor, "batch_done", now, finished_at=now, **counts)
        return get_batch(connection, batch_id)


def expire_batches(ledger: sa.Engine, *, now: dt.datetime) -> list[str]:
    """Ends batches whose time is over by the wall clock; returns their ids."""
    late = [one for one in list_batches(ledger, states=OPEN) if one.valid_until <= now]
    with ledger.begin() as connection:
        for old in late:
            batch = get_batch(connection, old.batch_id)
            if batch.state in OPEN:
                state = "done" if batch.state == "released" else "expired"
                move(connection, batch, state, "schedule", f"batch_{state}", now, finished_at=now)
    return [one.batch_id for one in late]


def get_batch(connection: sa.Connection, batch_id: str) -> Batch:
    """A batch by its id, or by the beginning of it.

    Raises:
        OutreachError: there is none, or more than one.
    """
    batch = find_batch_in(connection, batch_id)
    if batch is not None:
        return batch
    query = sa.select(batches.c.batch_id).where(
        batches.c.batch_id.startswith(batch_id, autoescape=True)
    )
    found = list(connection.execute(query.limit(2)).scalars()) if batch_id else []
    if len(found) != 1:
        what = "more than one batch begins" if found else "no batch begins"
        raise OutreachError(f"{what} with {batch_id!r}", remedy="crm batch list shows the batches")
    made = find_batch_in(connection, found[0])
    assert made is not None
    return made


def move(
    connection: sa.Connection,
    batch: Batch,
    state: str,
    actor: str,
    action: str,
    now: dt.datetime,
    **said: object,
) -> None:
    """Compare-and-set of a batch's state, with its row in the audit.

    Raises:
        OutreachError: somebody else moved it in between.
    """
    columns = {name: value for name, value in said.items() if name in batches.c}
    result = connection.execute(
        sa.update(batches)
        .where(batches.c.batch_id == batch.batch_id, batches.c.state == batch.state)
        .values(state=state, **columns)
    )
    if result.rowcount != 1:
        raise OutreachError(
            f"batch {batch.batch_id} was changed in this moment",
            remedy="look at crm batch show and try again",
        )
    told = {name: value for name, value in said.items() if name not in batches.c}
    detail = {"batch_id": batch.batch_id, "journey": batch.journey, "was": batch.state, **told}
    write_audit(connection, now, actor, action, detail)


def refuse_expired(batch: Batch, now: dt.datetime) -> None:
    """A batch past its validity is never sent.

    Raises:
        OutreachError: its time is over.
    """
    if batch.valid_until <= now:
        raise OutreachError(
            f"the batch was valid until {batch.valid_until:%Y-%m-%d %H:%M} UTC",
            where=f"batch {batch.batch_id}",
            remedy="release a newer one; a late message is worse than none",
        )


def refuse_unless(batch: Batch, states: Sequence[str], wanted: str) -> None:
    """Only some states can become others.

    Raises:
        OutreachError: the batch is in another.
    """
    if batch.state not in states:
        raise OutreachError(
            f"the batch is {batch.state} and cannot be {wanted}",
            where=f"batch {batch.batch_id}",
            remedy=f"only a batch that is {' or '.join(states)} can be",
        )


def choose_canary(messages: Sequence[Message], pct: float) -> list[Message]:
    """The share that goes first, the same at every attempt; at least one message."""
    share = [one for one in messages if _hash(one) * 100 < pct * HASHED]
    return share or sorted(messages, key=_hash)[:1]


def _hash(message: Message) -> int:
    return int(message.message_id[:8], 16)


def count_claims(connection: sa.Connection, batch_id: str) -> dict[str, int]:
    """Messages of a batch by the state of their claim."""
    query = (
        sa.select(claims.c.state, sa.func.count())
        .where(claims.c.batch_id == batch_id)
        .group_by(claims.c.state)
        .order_by(claims.c.state)
    )
    return {state: int(count) for state, count in connection.execute(query)}


def read_history(connection: sa.Connection, batch_id: str) -> list[tuple[dt.datetime, str, str]]:
    """When, who and what of every step of a batch."""
    query = sa.select(audit).where(audit.c.detail.contains(batch_id, autoescape=True))
    return [
        (row.at, row.actor, row.action)
        for row in connection.execute(query.order_by(audit.c.audit_id))
        if json.loads(row.detail).get("batch_id") == batch_id
    ]
