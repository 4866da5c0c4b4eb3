"""Who may be written to now, once.

Add here: taking a message before it leaves, and what became of it.
Not here: calling a provider (``dispatch``), the life of a batch (``life``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.outreach.message import Message

Outcome = Literal["accepted", "rejected", "refused", "uncertain"]
STATE_OF: dict[str, str] = {
    "accepted": "sent",
    "rejected": "failed",
    "refused": "refused",
    "uncertain": "uncertain",
}


@dataclass(frozen=True)
class ClaimReport:
    """What may be sent now, and how many messages may not, by reason."""

    claimed: tuple[str, ...] = ()  # message ids, in the order they were asked for
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DeliveryResult:
    """What one call of an adapter came to for one message."""

    message_id: str
    outcome: Outcome
    adapter: str
    called_at: dt.datetime
    attempt: int = 1
    reference: str | None = None
    detail: str | None = None


def claim_messages(
    home: CrmHome,
    ledger: sa.Engine,
    batch_id: str,
    messages: Sequence[Message],
    *,
    now: dt.datetime,
) -> ClaimReport:
    """Takes messages in one ledger transaction with reading consent, switches and both keys."""
    raise NotImplementedError


def record(
    ledger: sa.Engine, batch_id: str, results: Sequence[DeliveryResult], *, now: dt.datetime
) -> int:
    """Writes down what calls came to; only claimed messages move. Returns how many did."""
    raise NotImplementedError


def expire_claims(ledger: sa.Engine, *, now: dt.datetime, older_than: dt.timedelta) -> int:
    """Claims nobody recorded for so long may have left: uncertain from now on."""
    raise NotImplementedError
