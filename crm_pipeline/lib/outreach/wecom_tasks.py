"""Group sends of WeCom: tasks that members of staff confirm.

Add here: how messages become tasks, and what a task's results make of its claims.
Not here: how WeCom is asked (``adapters/wecom``).

A task is one text of one adviser to some of their customers, made by one call. Its messages are
claimed first; they stay ``claimed`` until WeCom says what became of each: ``sent``; ``quota_used``,
so that nothing left and the same contact may be tried again (``refused``); or ``not_friend``, so
that the next way of contact may be tried (``failed``). A task whose call came to nothing known
stays ``planned`` without a number, and its messages are uncertain. A message that waits so long
that ``reconcile`` calls it uncertain is still settled by its task's result.

A message whose reader is the adviser is no group send: it goes to the adviser alone, one for each
customer, and is sent when WeCom took it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import claims, deliveries, wecom_task_members, wecom_tasks
from crm_pipeline.lib.outreach.adapters.protocol import Outcome
from crm_pipeline.lib.outreach.adapters.wecom import (
    StaffAdapter,
    TaskAnswer,
    TaskResults,
    WecomProvider,
)
from crm_pipeline.lib.outreach.claims import DeliveryResult, claim_messages, record
from crm_pipeline.lib.outreach.dispatch import (
    Dispatcher,
    DispatchReport,
    Now,
    QuietHours,
    find_attempts,
    ledger_needed,
    read_addresses,
    why_not_now,
)
from crm_pipeline.lib.outreach.message import CUSTOMER, Message
from crm_pipeline.lib.warehouse.lease import hold_lock

LOCK_SECONDS = 600.0
OPEN = ("created", "confirmed")
OUTCOMES: Mapping[str, Outcome] = {
    "sent": "accepted",
    "quota_used": "refused",
    "not_friend": "rejected",
}
STATES = {"accepted": "sent", "refused": "refused", "rejected": "failed"}


@dataclass(frozen=True)
class PollReport:
    """What WeCom said about open tasks."""

    task_count: int
    unanswered_count: int
    settled: Mapping[str, int]  # members by state


@dataclass(frozen=True)
class WecomDispatcher:
    """Makes tasks of a batch's messages."""

    home: CrmHome
    ledger: sa.Engine
    vault_engine: sa.Engine
    provider: WecomProvider
    quiet: QuietHours
    zone: ZoneInfo  # in which a quota's day and month are counted
    now: Now

    def dispatch(self, batch_id: str, messages: Sequence[Message]) -> DispatchReport:
        """Asks every adviser for what is due and within the quotas; one at a time on a machine.

        What became of earlier tasks is asked first: it may free somebody.

        Raises:
            LedgerError: the ledger or the vault cannot be reached; nothing more is asked.
        """
        report = self._tell_staff(batch_id, [one for one in messages if one.reader != CUSTOMER])
        messages = [one for one in messages if one.reader == CUSTOMER]
        poll_wecom_tasks(self.ledger, self.vault_engine, self.provider, now=self.now())
        lock = self.home.ledger_dir / "locks" / "wecom-tasks.lock"
        with (
            hold_lock(
                lock, holder=f"batch {batch_id}", wait_seconds=LOCK_SECONDS, what="WeCom's quotas"
            ),
            ledger_needed(),
        ):
            due = self._find_due(messages, report)
            addresses = read_addresses(self.vault_engine, [one.contact_token for one in due])
            for group in self._within_quotas(due, addresses, report):
                self._ask_adviser(batch_id, group, addresses, report)
        return report

    def _tell_staff(self, batch_id: str, messages: Sequence[Message]) -> DispatchReport:
        """What advisers read goes to them one by one; it is no group send to customers."""
        staff = StaffAdapter(self.provider)
        way = Dispatcher(self.home, self.ledger, self.vault_engine, staff, self.quiet, self.now)
        return way.dispatch(batch_id, messages)

    def _find_due(self, messages: Sequence[Message], report: DispatchReport) -> list[Message]:
        attempts = find_attempts(self.ledger, messages)
        due = []
        for message in sorted(messages, key=lambda one: (one.planned_send_at, one.message_id)):
            reason = why_not_now(message, attempts, self.quiet, self.now())
            if reason is None and message.guide_id is None:
                reason = "no_adviser"
            if reason is None:
                due.append(message)
            elif reason in ("not_due", "quiet_hours"):
                report.waiting[reason] += 1
            else:
                report.skipped[reason] += 1
        return due

    def _within_quotas(
        self, due: Sequence[Message], addresses: Mapping[str, str], report: DispatchReport
    ) -> list[list[Message]]:
        """Messages of one adviser and text, without those over a quota of today."""
        limits = self.provider.limits
        today, month = self._count_since("day"), self._count_since("month")
        groups: dict[tuple[str, str], list[Message]] = defaultdict(list)
        for message in due:
            contact, guide = ("contact", message.contact_token), ("guide", str(message.guide_id))
            if message.contact_token not in addresses:
                report.skipped["no_address"] += 1
            elif (
                today[contact] >= limits.per_customer_day
                or month[contact] >= limits.per_customer_month
            ):
                report.waiting["customer_quota"] += 1
            elif today[guide] >= limits.per_guide_day:
                report.waiting["adviser_quota"] += 1
            else:
                for key in (contact, guide):
                    today[key] += 1
                    month[key] += 1
                groups[guide[1], message.body].append(message)
        return [groups[key] for key in sorted(groups)]

    def _count_since(self, unit: str) -> Counter[tuple[str, str]]:
        """Messages asked for since local midnight, or since the first of the month."""
        local = self.now().replace(tzinfo=dt.UTC).astimezone(self.zone)
        start = local.replace(hour=0, minute=0, second=0, microsecond=0)
        start = start.replace(day=1) if unit == "month" else start
        query = (
            sa.select(claims.c.contact_token, wecom_tasks.c.guide_id)
            .join_from(
                wecom_task_members,
                wecom_tasks,
                wecom_tasks.c.task_id == wecom_task_members.c.task_id,
            )
            .join(claims, claims.c.claim_id == wecom_task_members.c.claim_id)
            .where(
                wecom_tasks.c.created_at >= start.astimezone(dt.UTC).replace(tzinfo=None),
                wecom_tasks.c.state != "failed",
                wecom_task_members.c.state.in_(("waiting", "sent")),
            )
        )
        counts: Counter[tuple[str, str]] = Counter()
        with self.ledger.connect() as connection:
            for contact, guide in connection.execute(query):
                counts["contact", contact] += 1
                counts["guide", guide] += 1
        return counts

    def _ask_adviser(
        self,
        batch_id: str,
        group: Sequence[Message],
        addresses: Mapping[str, str],
        report: DispatchReport,
    ) -> None:
        now = self.now()
        # Tasks made before this one take time: the evening may have begun.
        asleep = [one for one in group if self.quiet.covers(one, now)]
        report.waiting.update({"quiet_hours": len(asleep)} if asleep else {})
        group = [one for one in group if one not in asleep]
        claimed = claim_messages(self.home, self.ledger, batch_id, group, now=now)
        report.skipped.update(claimed.skipped)
        taken = [one for one in group if one.message_id in set(claimed.claimed)]
        if not taken:
            return
        guide, task_id = str(taken[0].guide_id), _task_id(taken, now)
        self._plan_task(batch_id, task_id, guide, taken, now)
        failpoint("wecom_planned")
        contacts = [addresses[one.contact_token] for one in taken]
        answer = self.provider.create_task(guide, contacts, taken[0].body)
        failpoint("wecom_called")
        self._record_task(batch_id, task_id, taken, addresses, answer, now)
        failpoint("wecom_recorded")
        lost = sum(one in answer.unreachable for one in contacts)
        report.delivered[answer.delivery.outcome] += len(taken) - lost
        if lost:
            report.delivered["rejected"] += lost

    def _plan_task(
        self, batch_id: str, task_id: str, guide: str, taken: Sequence[Message], now: dt.datetime
    ) -> None:
        members = [
            {"task_id": task_id, "claim_id": one.message_id, "state": "waiting"} for one in taken
        ]
        with self.ledger.begin() as connection:
            connection.execute(
                sa.insert(wecom_tasks).values(
                    task_id=task_id,
                    batch_id=batch_id,
                    guide_id=guide,
                    state="planned",
                    created_at=now,
                    changed_at=now,
                )
            )
            connection.execute(sa.insert(wecom_task_members), members)

    def _record_task(
        self,
        batch_id: str,
        task_id: str,
        taken: Sequence[Message],
        addresses: Mapping[str, str],
        answer: TaskAnswer,
        called_at: dt.datetime,
    ) -> None:
        """A task that was made leaves its claims as they are; anything else ends them now."""
        delivery = answer.delivery
        outcome = delivery.outcome
        if outcome != "uncertain":
            with self.ledger.begin() as connection:
                connection.execute(
                    sa.update(wecom_tasks)
                    .where(wecom_tasks.c.task_id == task_id)
                    .values(
                        state="created" if outcome == "accepted" else "failed",
                        provider_task_id=delivery.reference,
                        changed_at=self.now(),
                    )
                )
        lost = [one for one in taken if addresses[one.contact_token] in answer.unreachable]
        ended = lost if outcome == "accepted" else taken
        results = [
            DeliveryResult(
                one.message_id,
                "rejected" if outcome == "accepted" else outcome,
                self.provider.name,
                called_at,
                reference=delivery.reference,
                detail="not_friend" if outcome == "accepted" else delivery.detail,
            )
            for one in ended
        ]
        if results:
            record(self.ledger, batch_id, results, now=self.now())
        if lost and outcome == "accepted":
            self._mark_members(task_id, lost)

    def _mark_members(self, task_id: str, lost: Sequence[Message]) -> None:
        with self.ledger.begin() as connection:
            connection.execute(
                sa.update(wecom_task_members)
                .where(
                    wecom_task_members.c.task_id == task_id,
                    wecom_task_members.c.claim_id.in_([one.message_id for one in lost]),
                )
                .values(state="not_friend")
            )


def poll_wecom_tasks(
    ledger: sa.Engine, vault_engine: sa.Engine, provider: WecomProvider, *, now: dt.datetime
) -> PollReport:
    """Asks WeCom what became of every open task, and settles its claims; may be repeated."""
    with ledger_needed(), ledger.connect() as connection:
        query = sa.select(wecom_tasks).where(wecom_tasks.c.state.in_(OPEN))
        tasks = connection.execute(query.order_by(wecom_tasks.c.task_id)).all()
    settled: Counter[str] = Counter()
    unanswered = 0
    for task in tasks:
        results = provider.read_task(task.provider_task_id, task.guide_id)
        if results is None:
            unanswered += 1
            continue
        with ledger_needed():
            settled.update(_settle(ledger, vault_engine, task, results, provider.name, now))
        failpoint("wecom_polled")
    return PollReport(len(tasks), unanswered, dict(settled))


def _settle(
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    task: sa.Row[Any],
    results: TaskResults,
    adapter: str,
    now: dt.datetime,
) -> Counter[str]:
    waiting = _read_waiting(ledger, task.task_id)
    addresses = read_addresses(vault_engine, [one.contact_token for one in waiting])
    news = {
        one.claim_id: results.members.get(addresses.get(one.contact_token, ""), "waiting")
        for one in waiting
    }
    known = {claim_id: state for claim_id, state in news.items() if state in OUTCOMES}
    with ledger.begin() as connection:
        for claim_id, state in sorted(known.items()):
            _settle_member(connection, task, claim_id, state, adapter, now)
        is_done = len(known) == len(waiting)
        state = "done" if is_done else "confirmed" if results.is_confirmed else task.state
        if state != task.state:
            connection.execute(
                sa.update(wecom_tasks)
                .where(wecom_tasks.c.task_id == task.task_id)
                .values(state=state, changed_at=now)
            )
    return Counter(known.values())


def _read_waiting(ledger: sa.Engine, task_id: str) -> Sequence[Any]:
    query = (
        sa.select(wecom_task_members.c.claim_id, claims.c.contact_token)
        .join_from(wecom_task_members, claims, claims.c.claim_id == wecom_task_members.c.claim_id)
        .where(wecom_task_members.c.task_id == task_id, wecom_task_members.c.state == "waiting")
    )
    with ledger.connect() as connection:
        return connection.execute(query).all()


def _settle_member(
    connection: sa.Connection,
    task: sa.Row[Any],
    claim_id: str,
    state: str,
    adapter: str,
    now: dt.datetime,
) -> None:
    """WeCom's word ends a claim that nobody knew the end of; it counts once."""
    outcome = OUTCOMES[state]
    changed = connection.execute(
        sa.update(wecom_task_members)
        .where(
            wecom_task_members.c.task_id == task.task_id,
            wecom_task_members.c.claim_id == claim_id,
            wecom_task_members.c.state == "waiting",
        )
        .values(state=state)
    )
    if changed.rowcount != 1:
        return
    connection.execute(
        sa.insert(deliveries).values(
            claim_id=claim_id,
            batch_id=task.batch_id,
            adapter=adapter,
            attempt=1,
            outcome=outcome,
            reference=task.provider_task_id,
            detail=state,
            called_at=now,
        )
    )
    connection.execute(
        sa.update(claims)
        .where(
            claims.c.claim_id == claim_id,
            claims.c.batch_id == task.batch_id,
            claims.c.state.in_(("claimed", "uncertain")),
        )
        .values(
            state=STATES[outcome],
            state_reason=f"wecom:{state}",
            sent_at=now if outcome == "accepted" else None,
        )
    )


def _task_id(taken: Sequence[Message], now: dt.datetime) -> str:
    """A new one whenever the same messages are asked for again."""
    parts = ("wecom_task", now.isoformat(), *sorted(one.message_id for one in taken))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
