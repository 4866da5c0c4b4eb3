"""What receipts prove about claims.

Add here: what a kind of receipt makes of a claim.
Not here: opt-outs (``lib.consent.opt_outs``), fatigue and reach (``dbt_project``).

Receipts come late, twice, out of order, and of messages of other systems. Each kind has a rank, and
so has what a claim knows already; a receipt counts only above it. So the order and the number of
receipts do not matter: sent < failed < delivered < opened < clicked. A failure after the message
was accepted frees the next way of contact; a failure after it was delivered proves nothing.
A receipt never makes a claim: one of an unknown message, or that contradicts the claim in journey,
step or way of contact, changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.consent.ledger import naive_utc
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.ledger.schema import claims, deliveries
from crm_pipeline.lib.outreach.journey import CHANNELS

RANKS = {"sent": 1, "failed": 2, "delivered": 3, "unsubscribed": 3, "opened": 4, "clicked": 5}
REASON = "receipt:"
BATCH_ROWS = 5_000
CHUNK = 400

_COLUMNS = ("channel", "message_id", "receipt_kind", "occurred_at", "journey", "step")


@dataclass(frozen=True)
class SettledReceipts:
    """What became of the receipts of one file; the counts add up to those received."""

    received_count: int
    settled_count: int  # changed what a claim knows
    unchanged_count: int  # known already, or weaker than what is known
    unknown_count: int  # of no message of ours
    contradicting_count: int  # another journey, step or way of contact than the claim's
    conflicting_count: int  # another message of the step has gone since


def settle_receipts(ledger: sa.Engine, table: pa.Table) -> SettledReceipts:
    """Moves claims by the receipts of one file; doing it twice changes nothing."""
    counts: Counter[str] = Counter()
    known = table.select([name for name in _COLUMNS if name in table.column_names])
    for batch in known.to_batches(max_chunksize=BATCH_ROWS):
        rows = batch.to_pylist()
        failpoint("receipts_before")
        with ledger.begin() as connection:
            found = _find_claims(connection, [row["message_id"] for row in rows])
            for row in sorted(rows, key=lambda one: RANKS.get(one["receipt_kind"], 0)):
                counts[_settle(connection, row, found)] += 1
            failpoint("receipts_settled")
        failpoint("receipts_after")
    return SettledReceipts(
        table.num_rows,
        *(
            counts[name]
            for name in ("settled", "unchanged", "unknown", "contradicting", "conflicting")
        ),
    )


def _settle(connection: sa.Connection, row: dict[str, Any], found: dict[str, Any]) -> str:
    claim = found.get(row["message_id"])
    if claim is None:
        return "unknown"
    if _contradicts(row, claim):
        return "contradicting"
    kind = str(row["receipt_kind"])
    if RANKS.get(kind, 0) <= rank_of(claim["state"], claim["state_reason"]):
        return "unchanged"
    state = "failed" if kind == "failed" else "sent"
    change = {
        "state": state,
        "state_reason": f"{REASON}{kind}",
        "sent_at": claim["sent_at"] or (_moment(row) if state == "sent" else None),
    }
    mine = sa.update(claims).where(claims.c.claim_id == claim["claim_id"])
    try:
        with connection.begin_nested():
            connection.execute(mine.values(change))
    except sa.exc.IntegrityError:  # the next way of contact was taken since
        return "conflicting"
    claim.update(change)
    return "settled"


def rank_of(state: str, reason: str | None) -> int:
    """How much is known of a claim."""
    if reason and reason.startswith(REASON):
        return RANKS.get(reason.removeprefix(REASON), 0)
    return {"sent": RANKS["sent"], "failed": RANKS["failed"]}.get(state, 0)


def _contradicts(row: dict[str, Any], claim: dict[str, Any]) -> bool:
    if row["channel"] in CHANNELS and row["channel"] != claim["consent_channel"]:
        return True
    return any(row.get(name) not in (None, "", claim[name]) for name in ("journey", "step"))


def _moment(row: dict[str, Any]) -> dt.datetime:
    return naive_utc(row["occurred_at"])


def _find_claims(connection: sa.Connection, message_ids: Sequence[str]) -> dict[str, Any]:
    """The claim behind each id: our own, or the provider's where it stands for one claim only."""
    found: dict[str, Any] = {}
    for ids in _chunks(sorted(set(message_ids))):
        for row in connection.execute(sa.select(claims).where(claims.c.claim_id.in_(ids))):
            found[row.claim_id] = dict(row._mapping)
        by_reference = (
            sa.select(deliveries.c.reference, sa.func.min(deliveries.c.claim_id).label("claim_id"))
            .where(deliveries.c.reference.in_(ids))
            .group_by(deliveries.c.reference)
            .having(sa.func.count(deliveries.c.claim_id.distinct()) == 1)
            .subquery()
        )
        query = sa.select(by_reference.c.reference, claims).join_from(
            by_reference, claims, claims.c.claim_id == by_reference.c.claim_id
        )
        for row in connection.execute(query):
            claim = dict(row._mapping)
            reference = claim.pop("reference")
            found.setdefault(reference, found.get(claim["claim_id"], claim))
    return found


def _chunks(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))
