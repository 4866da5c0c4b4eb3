"""From a released batch to a provider, message by message.

Add here: the order of claim, call and record.
Not here: who may be claimed (``claims``), how a provider is called (``adapters``), tasks of staff
(``wecom_tasks``), files (a batch's file is written at once).

Per message: the address is read from the vault, the message is claimed in one transaction with
reading consent, switches and validity, then the provider is called, then the result is recorded. A
crash between claim and record leaves the claim as it is; nobody claims it again, and ``reconcile``
calls it uncertain. An opt-out that comes after the claim cannot call the message back: the time
between is at most what ``Patience`` allows for one call with its retries.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import claims, vault
from crm_pipeline.lib.outreach.adapters.protocol import Adapter, Delivery
from crm_pipeline.lib.outreach.claims import DeliveryResult, claim_messages, record
from crm_pipeline.lib.outreach.message import ADVISOR, CUSTOMER, Message

CHUNK = 400
STAFF_CHANNEL = "wecom"  # the only one by which staff are written to
# So many refusals one after the other say that the provider is ill, not the message.
MOST_REFUSALS_IN_A_ROW = 5

Now = Callable[[], dt.datetime]


@dataclass(frozen=True)
class QuietHours:
    """Local hours in which nothing goes; a message of such an hour waits for the morning."""

    begins: dt.time
    ends: dt.time
    zone_of: Callable[[Message], ZoneInfo]

    def covers(self, message: Message, now: dt.datetime) -> bool:
        """Whether it is quiet where the customer is; ``now`` is UTC without a zone."""
        local = now.replace(tzinfo=dt.UTC).astimezone(self.zone_of(message)).time()
        if self.begins <= self.ends:
            return self.begins <= local < self.ends
        return local >= self.begins or local < self.ends


@dataclass
class DispatchReport:
    """What became of the messages that were handed to ``dispatch``, each counted once."""

    delivered: Counter[str] = field(default_factory=Counter)  # by outcome of the call
    skipped: Counter[str] = field(default_factory=Counter)  # by reason; not now and not later
    waiting: Counter[str] = field(default_factory=Counter)  # by reason; a later run takes them
    stopped_by: str | None = None

    @property
    def message_count(self) -> int:
        """Every message, whatever became of it."""
        return self.delivered.total() + self.skipped.total() + self.waiting.total()


@dataclass(frozen=True)
class Dispatcher:
    """Delivers the messages of a batch through one adapter."""

    home: CrmHome
    ledger: sa.Engine
    vault_engine: sa.Engine
    adapter: Adapter
    quiet: QuietHours
    now: Now

    def dispatch(self, batch_id: str, messages: Sequence[Message]) -> DispatchReport:
        """Delivers what is due and allowed now; may be called again, and by two at once.

        Raises:
            LedgerError: the ledger or the vault cannot be reached; nothing more is sent.
        """
        report = DispatchReport()
        with ledger_needed():
            attempts = find_attempts(self.ledger, messages)
        refusals = 0
        for message in sorted(messages, key=lambda one: (one.planned_send_at, one.message_id)):
            if report.stopped_by is not None:
                report.waiting[report.stopped_by] += 1
            elif self._is_for_later(message, attempts, report):
                continue
            else:
                delivery = self._send(batch_id, message, attempts, report)
                if delivery is None:
                    continue
                refusals = refusals + 1 if delivery.outcome == "refused" else 0
                if delivery.outcome == "refused" and delivery.retry_after:
                    report.stopped_by = "provider_asked_to_wait"
                elif refusals >= MOST_REFUSALS_IN_A_ROW:
                    report.stopped_by = "provider_refuses"
        return report

    def _is_for_later(
        self, message: Message, attempts: dict[str, int | None], report: DispatchReport
    ) -> bool:
        reason = why_not_now(message, attempts, self.quiet, self.now())
        if reason is None:
            return False
        kind = report.waiting if reason in ("not_due", "quiet_hours") else report.skipped
        kind[reason] += 1
        return True

    def _send(
        self,
        batch_id: str,
        message: Message,
        attempts: dict[str, int | None],
        report: DispatchReport,
    ) -> Delivery | None:
        with ledger_needed():
            address = self._find_address(message)
            if address is None:
                report.skipped["no_address"] += 1
                return None
            failpoint("dispatch_before_claim")
            claimed = claim_messages(self.home, self.ledger, batch_id, [message], now=self.now())
        failpoint("dispatch_claimed")
        if message.message_id not in claimed.claimed:
            report.skipped.update(claimed.skipped or {"claimed_before": 1})
            return None
        called_at = self.now()
        delivery = self.adapter.deliver(message, address)
        failpoint("dispatch_called")
        result = DeliveryResult(
            message.message_id,
            delivery.outcome,
            self.adapter.name,
            called_at,
            (attempts.get(message.message_id) or 0) + 1,
            delivery.reference,
            delivery.detail,
        )
        with ledger_needed():
            record(self.ledger, batch_id, [result], now=self.now())
        failpoint("dispatch_recorded")
        report.delivered[delivery.outcome] += 1
        return delivery

    def _find_address(self, message: Message) -> str | None:
        """The customer's address; of a message to staff nobody needs to know it."""
        if message.reader != CUSTOMER:
            return ""
        found = read_addresses(self.vault_engine, [message.contact_token])
        return found.get(message.contact_token) or None


def why_not_now(
    message: Message, attempts: dict[str, int | None], quiet: QuietHours, now: dt.datetime
) -> str | None:
    """Why a message is not even claimed now; None when it may be tried."""
    if attempts.get(message.message_id, 0) is None:
        return "claimed_before"
    if now >= message.valid_until:
        return "expired"
    if message.reader != CUSTOMER and (problem := _why_not_to_staff(message)):
        return problem
    if now < message.planned_send_at:
        return "not_due"
    return "quiet_hours" if quiet.covers(message, now) else None


def _why_not_to_staff(message: Message) -> str | None:
    if message.reader != ADVISOR or message.consent_channel != STAFF_CHANNEL:
        return "not_for_customers"
    return None if message.guide_id else "no_adviser"


def find_attempts(ledger: sa.Engine, messages: Sequence[Message]) -> dict[str, int | None]:
    """Tries of each message so far; None where it may not be tried again."""
    found: dict[str, int | None] = {}
    with ledger.connect() as connection:
        for ids in _chunks([message.message_id for message in messages]):
            query = sa.select(claims.c.claim_id, claims.c.state, claims.c.attempt_count).where(
                claims.c.claim_id.in_(ids)
            )
            for row in connection.execute(query):
                found[row.claim_id] = row.attempt_count if row.state == "refused" else None
    return found


def read_addresses(vault_engine: sa.Engine, contact_tokens: Iterable[str]) -> dict[str, str]:
    """The clear address of each contact that has one."""
    found: dict[str, str] = {}
    with vault_engine.connect() as connection:
        for tokens in _chunks(sorted(set(contact_tokens))):
            query = sa.select(vault.c.token, vault.c.clear_value).where(vault.c.token.in_(tokens))
            found |= {row.token: row.clear_value for row in connection.execute(query)}
    return found


@contextmanager
def ledger_needed() -> Iterator[None]:
    """Says in words that the ledger is away or damaged; nothing was sent since."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise LedgerError(
            f"the ledger or the vault does not answer ({type(error.orig).__name__}); "
            "nothing more is sent",
            remedy="bring it back and release the batch again; what was claimed meanwhile is "
            "settled by receipts or by crm batch reconcile",
        ) from None


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))
