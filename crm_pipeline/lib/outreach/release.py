"""An approved batch goes out.

Add here: what one release of a batch does, in its order.
Not here: states (``life``), claims (``claims``), how messages are handed over (``adapters``).

Without ``CRM_DELIVERY=live`` nothing is claimed and nobody is called: a dry run writes what would
be sent, with masked contacts. The wall clock counts: nothing leaves before its moment, in quiet
hours of its customer, or after its validity.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import audit
from crm_pipeline.lib.outreach.adapters import WecomProvider, delivery_url, open_adapter
from crm_pipeline.lib.outreach.adapters.file import FileDelivery, parse_format, write_dry_run
from crm_pipeline.lib.outreach.audit import write_audit
from crm_pipeline.lib.outreach.claims import expire_claims
from crm_pipeline.lib.outreach.dispatch import Dispatcher, DispatchReport, QuietHours
from crm_pipeline.lib.outreach.life import (
    SENDABLE,
    advance,
    choose_canary,
    count_claims,
    expire_batches,
    finish,
    get_batch,
    refuse_expired,
    refuse_unless,
)
from crm_pipeline.lib.outreach.message import CUSTOMER, Message
from crm_pipeline.lib.outreach.plan import Batch, messages_of, read_plan
from crm_pipeline.lib.outreach.reconcile import CALL_IS_LOST_AFTER
from crm_pipeline.lib.outreach.wecom_tasks import WecomDispatcher
from crm_pipeline.lib.warehouse.lease import hold_lock

LOCK_SECONDS = 600.0
TRY_AGAIN_AFTER = dt.timedelta(minutes=15)  # what waits for a provider, a quota or the morning
MODES = ("dry_run", "live")
# Reasons for which a message may still go later; every other one is final for this batch.
OPEN_REASONS = ("stopped", "batch_not_released")
SENT = "batch_sent"

Now = Callable[[], dt.datetime]


@dataclass(frozen=True)
class Rules:
    """What delivery keeps to: the business zone, and quiet hours by channel, in local time."""

    zone: ZoneInfo
    quiet: Mapping[str, tuple[dt.time, dt.time]]


@dataclass(frozen=True)
class ReleaseReport:
    """What one release did."""

    batch: Batch
    is_dry_run: bool
    channels: Mapping[str, DispatchReport] = field(default_factory=dict)
    files: Sequence[Path] = ()

    @property
    def delivered(self) -> Counter[str]:
        """Messages handed over, by outcome."""
        return sum((one.delivered for one in self.channels.values()), Counter())

    @property
    def skipped(self) -> Counter[str]:
        """Messages that may not go, by reason."""
        return sum((one.skipped for one in self.channels.values()), Counter())

    @property
    def waiting(self) -> Counter[str]:
        """Messages that go later, by reason."""
        return sum((one.waiting for one in self.channels.values()), Counter())

    @property
    def is_open(self) -> bool:
        """Whether something may still go."""
        again = sum(self.skipped[reason] for reason in OPEN_REASONS) + self.delivered["refused"]
        return bool(self.waiting.total() or again)


def delivery_mode(environment: Mapping[str, str]) -> str:
    """``live`` or ``dry_run``, which is the default.

    Raises:
        ConfigError: it is something else.
    """
    mode = environment.get("CRM_DELIVERY") or "dry_run"
    if mode not in MODES:
        raise ConfigError(
            f"{mode!r} is no way to deliver",
            where="CRM_DELIVERY",
            remedy="write live, or leave it out for a dry run",
        )
    return mode


def release_batch(
    home: CrmHome,
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    batch_id: str,
    *,
    environment: Mapping[str, str],
    rules: Rules,
    now: Now,
    actor: str,
    is_whole: bool = True,
) -> ReleaseReport:
    """Sends what is due of an approved batch: first its canary, when asked again the rest.

    It may be called again at any time, and by two at once: they take turns, and nothing is sent
    twice.

    Args:
        home: where ``outbox`` is.
        ledger: batches, consents and claims.
        vault_engine: clear addresses, read at the moment of delivery.
        batch_id: the batch.
        environment: ``CRM_DELIVERY`` and the addresses of the channels.
        rules: zone and quiet hours.
        now: the wall clock, UTC without a zone.
        actor: the operator, or ``schedule``.
        is_whole: whether a canary that went out is followed by the rest.

    Raises:
        ConfigError: a setting says something that cannot be.
        OutreachError: the batch is not approved, its time is over, or its plan was changed.
        LedgerError: the ledger or the vault cannot be reached; nothing more is sent.
    """
    is_dry_run = delivery_mode(environment) == "dry_run"
    expire_batches(ledger, now=now())
    with ledger.connect() as connection:
        batch = get_batch(connection, batch_id)
    refuse_unless(batch, SENDABLE, "released")
    refuse_expired(batch, now())
    with hold_lock(
        home.ledger_dir / "locks" / f"batch-{batch.batch_id}.lock",
        holder=f"release (thread {threading.get_ident()})",
        wait_seconds=LOCK_SECONDS,
        what=f"batch {batch.batch_id}",
    ):
        plan = read_plan(home, batch)
        if is_dry_run:
            return _dry_run(home, ledger, batch, messages_of(plan), now(), actor)
        deliver = {
            channel: _open(home, ledger, vault_engine, batch, channel, environment,
                           _quiet_hours(plan, channel, rules), rules.zone, now)
            for channel in sorted(set(plan.column("consent_channel").to_pylist()))
        }  # fmt: skip
        _refuse_without_app(plan, deliver)
        # Only when every channel can be opened; a canary that broke off is no canary yet.
        is_whole = is_whole and is_due_again(ledger, batch.batch_id, "canary", now=now())[0] > 0
        batch = advance(ledger, batch.batch_id, actor, now=now(), is_whole=is_whole)
        return _send(ledger, batch, plan, deliver, now, actor)


def tell_release(report: ReleaseReport) -> str:
    """What a release did, for a terminal."""
    batch = report.batch
    if report.is_dry_run:
        shown = "\n".join(f"  {path}" for path in report.files)
        return (
            f"DRY RUN of {batch.message_count:,} messages: nothing was claimed, nobody was called "
            f"(set CRM_DELIVERY=live to deliver)\n{shown}"
        )
    lines = [f"{batch.journey}, batch {batch.batch_id[:8]}: {batch.state}"]
    for name, counts in (
        ("delivered", report.delivered), ("not sent", report.skipped), ("waiting", report.waiting),
    ):  # fmt: skip
        told = ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))
        lines.append(f"  {name:<10} {told or 'none'}")
    if batch.state == "canary":
        lines.append(f"look at the canary, then: crm batch release {batch.batch_id[:8]}")
    return "\n".join(lines)


def is_due_again(
    ledger: sa.Engine, batch_id: str, state: str, *, now: dt.datetime
) -> tuple[int, bool]:
    """How often a batch was sent in this state, and whether it should be sent again now.

    Before the first time it should; afterwards when something of it may go that could not before.
    """
    query = (
        sa.select(audit.c.detail)
        .where(audit.c.action == SENT, audit.c.detail.contains(batch_id, autoescape=True))
        .order_by(audit.c.audit_id)
    )
    with ledger.connect() as connection:
        told = [json.loads(text) for text in connection.execute(query).scalars()]
    mine = [one for one in told if one["batch_id"] == batch_id and one["state"] == state]
    if not mine:
        return 0, True
    again = mine[-1]["again_at"]
    return len(mine), again is not None and dt.datetime.fromisoformat(again) <= now


def _dry_run(
    home: CrmHome,
    ledger: sa.Engine,
    batch: Batch,
    messages: Sequence[Message],
    now: dt.datetime,
    actor: str,
) -> ReleaseReport:
    files = []
    for channel in sorted({one.consent_channel for one in messages}):
        path = home.root / batch.folder / "dry_run" / f"{channel}.csv"
        write_dry_run(path, [one for one in messages if one.consent_channel == channel])
        files.append(path)
    with ledger.begin() as connection:
        detail = {"batch_id": batch.batch_id, "messages": len(messages)}
        write_audit(connection, now, actor, "batch_dry_run", detail)
    return ReleaseReport(batch, True, files=files)


def _open(
    home: CrmHome,
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    batch: Batch,
    channel: str,
    environment: Mapping[str, str],
    quiet: QuietHours,
    zone: ZoneInfo,
    now: Now,
) -> FileDelivery | Dispatcher | WecomDispatcher:
    """How the messages of a channel are handed over, by the address in the environment."""
    url = delivery_url(channel, environment)
    if url.startswith("file:"):
        file_format = parse_format(url, f"CRM_DELIVERY_{channel.upper()}")
        folder = home.root / batch.folder
        return FileDelivery(home, ledger, vault_engine, folder, channel, file_format, quiet, now)
    adapter = open_adapter(channel, environment)
    if isinstance(adapter, WecomProvider):
        return WecomDispatcher(home, ledger, vault_engine, adapter, quiet, zone, now)
    return Dispatcher(home, ledger, vault_engine, adapter, quiet, now)


def _refuse_without_app(
    plan: pa.Table, deliver: Mapping[str, FileDelivery | Dispatcher | WecomDispatcher]
) -> None:
    """What advisers read needs an application that writes to staff."""
    to_staff = set(plan.column("reader").to_pylist()) != {CUSTOMER}
    for way in deliver.values():
        if to_staff and isinstance(way, WecomDispatcher) and way.provider.agent_id is None:
            raise ConfigError(
                "the batch has messages to advisers, and no application writes to staff",
                where="CRM_DELIVERY_WECOM",
                remedy="add agent_id=…, and agent_secret_env=NAME if it has a secret of its own",
            )


def _quiet_hours(plan: pa.Table, channel: str, rules: Rules) -> QuietHours:
    """Quiet hours of a channel in the zone of each customer, as it was when they were decided."""
    names = plan.column("timezone").to_pylist()
    known = {name: ZoneInfo(name) for name in set(names) if name}
    ids = plan.column("message_id").to_pylist()
    zones = {one: known.get(name, rules.zone) for one, name in zip(ids, names, strict=True)}
    begins, ends = rules.quiet[channel]
    return QuietHours(begins, ends, lambda message: zones[message.message_id])


def _send(
    ledger: sa.Engine,
    batch: Batch,
    plan: pa.Table,
    deliver: Mapping[str, FileDelivery | Dispatcher | WecomDispatcher],
    now: Now,
    actor: str,
) -> ReleaseReport:
    messages = messages_of(plan)
    if batch.state == "canary":
        messages = choose_canary(messages, batch.canary_pct)
    reports = {
        channel: way.dispatch(
            batch.batch_id, [one for one in messages if one.consent_channel == channel]
        )
        for channel, way in deliver.items()
    }
    report = ReleaseReport(batch, False, reports)
    expire_claims(ledger, now=now(), older_than=CALL_IS_LOST_AFTER)
    with ledger.begin() as connection:
        is_open = report.is_open or bool(count_claims(connection, batch.batch_id).get("claimed"))
        again = _again_at(messages, report, now()) if is_open else None
        detail = {"batch_id": batch.batch_id, "state": batch.state,
                  "again_at": again.isoformat() if again else None, "delivered": report.delivered,
                  "skipped": report.skipped, "waiting": report.waiting}  # fmt: skip
        write_audit(connection, now(), actor, SENT, detail)
    if not is_open:
        batch = finish(ledger, batch.batch_id, actor, now=now())
    return ReleaseReport(batch, False, reports)


def _again_at(messages: Sequence[Message], report: ReleaseReport, now: dt.datetime) -> dt.datetime:
    later = [one.planned_send_at for one in messages if one.planned_send_at > now]
    only_later = set(report.waiting) <= {"not_due"} and not report.delivered["refused"]
    return min(later) if later and only_later else now + TRY_AGAIN_AFTER
