"""What nobody knows of messages, and how it is settled.

Add here: how an unknown outcome becomes a known one.
Not here: what receipts prove (``receipts``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.ledger.schema import claims
from crm_pipeline.lib.outreach.audit import write_audit
from crm_pipeline.lib.outreach.claims import expire_claims

# Longer than the longest call with its retries and waits (adapters/http.py: some two minutes).
CALL_IS_LOST_AFTER = dt.timedelta(minutes=15)
RESOLVED = "operator:"


@dataclass(frozen=True)
class UncertainMessage:
    """A message that perhaps left."""

    message_id: str
    batch_id: str
    journey: str
    step: str
    consent_channel: str
    claimed_at: dt.datetime


@dataclass(frozen=True)
class ReconcileReport:
    """What is unknown now."""

    newly_uncertain_count: int
    uncertain: Sequence[UncertainMessage]


def reconcile(
    ledger: sa.Engine,
    *,
    now: dt.datetime,
    batch_id: str | None = None,
    older_than: dt.timedelta = CALL_IS_LOST_AFTER,
) -> ReconcileReport:
    """Calls claims uncertain that nobody recorded in time, and lists every uncertain one.

    Args:
        ledger: the ledger.
        now: UTC without a zone.
        batch_id: whose uncertain messages are listed; None: of all.
        older_than: time after which a call without a record is lost.
    """
    newly = expire_claims(ledger, now=now, older_than=older_than)
    query = sa.select(claims).where(claims.c.state == "uncertain")
    if batch_id is not None:
        query = query.where(claims.c.batch_id == batch_id)
    with ledger.connect() as connection:
        rows = connection.execute(query.order_by(claims.c.claimed_at, claims.c.claim_id)).all()
    return ReconcileReport(
        newly,
        [
            UncertainMessage(
                row.claim_id,
                row.batch_id,
                row.journey,
                row.step,
                row.consent_channel,
                row.claimed_at,
            )
            for row in rows
        ],
    )


def resolve_message(
    ledger: sa.Engine,
    message_id: str,
    state: Literal["sent", "failed"],
    *,
    actor: str,
    reason: str,
    now: dt.datetime,
) -> None:
    """A person says what happened to an uncertain message; the audit keeps who and why.

    Raises:
        OutreachError: there is no such message, or its outcome is known.
    """
    if not reason.strip():
        raise OutreachError("no reason is given", remedy="say how it is known: --reason")
    mine = claims.c.claim_id == message_id
    with ledger.begin() as connection:
        claim = connection.execute(sa.select(claims).where(mine)).one_or_none()
        if claim is None:
            raise OutreachError(
                "there is no such message",
                where=f"message {message_id}",
                remedy="crm batch reconcile lists the uncertain ones",
            )
        changed = connection.execute(
            sa.update(claims)
            .where(mine, claims.c.state == "uncertain")
            .values(
                state=state,
                state_reason=f"{RESOLVED}{actor}",
                sent_at=(claim.sent_at or claim.claimed_at) if state == "sent" else None,
            )
        )
        if changed.rowcount != 1:
            raise OutreachError(
                f"the message is {claim.state}, not uncertain",
                where=f"message {message_id}",
                remedy="only an uncertain message is resolved by hand",
            )
        said = {"message_id": message_id, "state": state, "reason": reason.strip()}
        write_audit(connection, now, actor, "message_resolved", said)
