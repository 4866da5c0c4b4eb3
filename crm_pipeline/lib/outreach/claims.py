"""Who may be written to now, once.

Add here: taking a message before it leaves, and what became of it.
Not here: calling a provider (``dispatch``), the life of a batch (``life``).

One ledger transaction asks everything a message depends on and takes it: the switches, the batch,
its validity, the consent of the person as they are now, and both keys. Only then it may leave.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.consent.state import usable_contacts
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import read_accounts
from crm_pipeline.lib.ledger.schema import (
    batches,
    claims,
    deliveries,
    history_slices,
    id_versions,
    identity_changes,
    wecom_task_members,
    wecom_tasks,
)
from crm_pipeline.lib.ledger.statements import CHUNK_ROWS, fill_temporary, temporary_table
from crm_pipeline.lib.outreach.audit import write_audit
from crm_pipeline.lib.outreach.message import Message
from crm_pipeline.lib.outreach.switch import find_stopped

Outcome = Literal["accepted", "rejected", "refused", "uncertain"]
STATE_OF: dict[str, str] = {
    "accepted": "sent",
    "rejected": "failed",
    "refused": "refused",
    "uncertain": "uncertain",
}
NIGHTLY = "outreach_decisions"  # history of the nights
SENDING = ("canary", "released")  # states of a batch in which its messages may leave
# A task nobody confirmed for so long is forgotten; what it says later still counts.
STAFF_CONFIRMS_WITHIN = dt.timedelta(days=7)
# States in which a contact, and a person, has or may have the message. As literals, because a
# partial index serves only a condition that says the same as its own.
_NOT_REFUSED = claims.c.state != sa.literal_column("'refused'")
_TAKEN = claims.c.state.in_(
    [sa.literal_column(f"'{state}'") for state in ("claimed", "sent", "uncertain")]
)

# What is copied into a claim as it stands in the message.
_COPIED = (
    "decision_id", "contact_token", "journey", "step", "occurrence", "consent_channel", "purpose",
    "message_tag", "content_id", "content_version", "planned_send_at",
)  # fmt: skip
_KEY = ("journey", "step", "occurrence")
_ASKED = temporary_table(
    "asked_messages",
    sa.Column("claim_id", sa.String(32), primary_key=True),
    sa.Column("person_id", sa.String),
    sa.Column("place", sa.Integer),
    *(sa.Column(name, claims.c[name].type) for name in _COPIED),
    sa.Column("valid_until", sa.DateTime),
    sa.Column("reason", sa.String),
    sa.Index("asked_messages_by_person", "person_id"),
    sa.Index("asked_messages_by_contact", "contact_token"),
)
_OWNED = temporary_table("asked_accounts", "person_id", "channel", "source_customer_id")
_FORMER = temporary_table(
    "asked_former_ids",
    "person_id",
    "former_id",
    sa.Column("until", sa.DateTime),
)
_ACCEPTED = temporary_table(
    "accepted_messages", sa.Column("claim_id", sa.String(32), primary_key=True)
)
_RESULTS = temporary_table(
    "delivery_results",
    sa.Column("claim_id", sa.String(32), primary_key=True),
    "state",
    "detail",
    sa.Column("called_at", sa.DateTime),
)


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


# ------------------------------------------------------------------------------------ claiming


def claim_messages(
    home: CrmHome,
    ledger: sa.Engine,
    batch_id: str,
    messages: Sequence[Message],
    *,
    now: dt.datetime,
    by: str | None = None,
) -> ClaimReport:
    """Takes messages, each at most once per contact and per person, in one ledger transaction.

    Args:
        home: where the accounts of each person are.
        ledger: consents, switches, batches and claims.
        batch_id: the batch they leave in; it must be in canary or released.
        messages: of one batch.
        now: the wall clock, UTC without a zone.
        by: who takes them, kept as the reason of the state until it changes.

    Returns:
        What may leave now; nothing else may. Reasons of what may not: ``stopped`` (kill switch),
        ``batch_not_released``, ``decided_anew`` (by a later night, or the same one again),
        ``expired``, ``not_due``, ``withdrawn`` (no consent of this person now),
        ``claimed_before`` (either key).
    """
    if not messages:
        return ClaimReport()
    failpoint("claim_before")
    with _open(home, ledger, messages) as connection:
        _refuse_by_state(connection, batch_id, messages, now)
        _refuse_by_consent(connection)
        _refuse_by_claims(connection)
        _take(connection, batch_id, now, by)
        reasons = _read_reasons(connection)
        failpoint("claim_inserted")
    failpoint("claim_after")
    claimed = tuple(one.message_id for one in messages if reasons[one.message_id] is None)
    skipped = Counter(reason for reason in reasons.values() if reason)
    return ClaimReport(claimed, dict(sorted(skipped.items())))


def count_unclaimable(
    home: CrmHome, ledger: sa.Engine, messages: Sequence[Message], *, now: dt.datetime
) -> dict[str, int]:
    """What a claim would leave out now, by reason, without taking anything."""
    if not messages:
        return {}
    with _open(home, ledger, messages) as connection:
        _refuse_by_state(connection, None, messages, now)
        _refuse_by_consent(connection)
        _refuse_by_claims(connection)
        reasons = _read_reasons(connection)
    return dict(sorted(Counter(one for one in reasons.values() if one).items()))


def find_stop(ledger: sa.Engine, batch_id: str, journeys: Iterable[str]) -> str | None:
    """Why nothing of a batch may leave now, as of the kill switch and the batch's state."""
    with ledger.connect() as connection:
        if find_stopped(connection, sorted(journeys)):
            return "stopped"
        query = sa.select(batches.c.state).where(batches.c.batch_id == batch_id)
        is_sending = connection.execute(query).scalar() in SENDING
    return None if is_sending else "batch_not_released"


def find_refused(
    home: CrmHome,
    ledger: sa.Engine,
    batch_id: str,
    messages: Sequence[Message],
    *,
    now: dt.datetime,
) -> set[str]:
    """Claimed messages that may not leave any more: stopped, late, decided anew or withdrawn."""
    if not messages:
        return set()
    with _open(home, ledger, messages) as connection:
        _refuse_by_state(connection, batch_id, messages, now)
        _refuse_by_consent(connection)
        return {name for name, reason in _read_reasons(connection).items() if reason}


@contextmanager
def _open(home: CrmHome, ledger: sa.Engine, messages: Sequence[Message]) -> Iterator[sa.Connection]:
    """A transaction in which a person is who they are now, not who they were when decided.

    The accounts are in a file and cannot be read inside it, so it is left again when the ids
    changed in between. A customer who was merged away has no account, and so no consent.
    """
    people = pa.array(sorted({one.customer_id for one in messages}), pa.string())
    while True:
        with ledger.connect() as connection:
            version = _newest_ids(connection)
        owned = _accounts_of(home, ledger, version, people)
        with ledger.begin() as connection:
            _lock(connection)
            if _newest_ids(connection) != version:
                continue
            rows = [_asked_row(place, one) for place, one in enumerate(messages)]
            with (
                fill_temporary(connection, _ASKED, rows),
                fill_temporary(connection, _OWNED, owned),
            ):
                yield connection
            return


def _lock(connection: sa.Connection) -> None:
    """On SQLite the transaction began with the only write lock; PostgreSQL must be told."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("lock table id_versions, consents in share mode")
        connection.exec_driver_sql("lock table claims in share row exclusive mode")


def _newest_ids(connection: sa.Connection) -> int | None:
    newest: int | None = connection.execute(sa.select(sa.func.max(id_versions.c.version))).scalar()
    return newest


@lru_cache(maxsize=1)
def _read_accounts(home: CrmHome, ledger: sa.Engine, version: int | None) -> pa.Table:
    """The id file, once for all claims of a version; a newer one is asked for by its number."""
    return read_accounts(home, ledger)


def _accounts_of(
    home: CrmHome, ledger: sa.Engine, version: int | None, people: pa.Array
) -> list[dict[str, Any]]:
    accounts = _read_accounts(home, ledger, version)
    chosen = accounts.filter(pc.is_in(accounts.column("customer_id"), people))
    return chosen.rename_columns(["channel", "source_customer_id", "person_id"]).to_pylist()


def _asked_row(place: int, message: Message) -> dict[str, Any]:
    row = {name: getattr(message, name) for name in _COPIED}
    return {
        "claim_id": message.message_id,
        "person_id": message.customer_id,
        "place": place,
        "valid_until": message.valid_until,
        "reason": None,
        **row,
    }


def _refuse(connection: sa.Connection, reason: str, *conditions: sa.ColumnElement[bool]) -> None:
    """The first reason found stays."""
    connection.execute(
        sa.update(_ASKED).where(_ASKED.c.reason.is_(None), *conditions).values(reason=reason)
    )


def _refuse_by_state(
    connection: sa.Connection, batch_id: str | None, messages: Sequence[Message], now: dt.datetime
) -> None:
    stopped = find_stopped(connection, sorted({one.journey for one in messages}))
    if stopped:
        _refuse(connection, "stopped", _ASKED.c.journey.in_(sorted(stopped)))
    if batch_id is not None:
        query = sa.select(batches).where(batches.c.batch_id == batch_id)
        batch = connection.execute(query).one_or_none()
        if batch is None or batch.state not in SENDING:
            _refuse(connection, "batch_not_released", sa.true())
        elif _is_decided_anew(connection, batch):
            _refuse(connection, "decided_anew", sa.true())
        else:
            _refuse_by_other_version(connection, batch)
        _refuse(connection, "not_due", _ASKED.c.planned_send_at > now)
    _refuse(connection, "expired", _ASKED.c.valid_until <= now)


def _is_decided_anew(connection: sa.Connection, batch: sa.Row) -> bool:
    """Whether a later night, or the same one again, decided about everybody without counting what
    is left of this.

    Both together could be more than a cap allows.
    """
    night = history_slices.c.as_of_date
    is_later = night > batch.as_of_date
    if batch.run_kind != "nightly":
        is_later = night >= batch.as_of_date
    is_again = sa.and_(
        night == batch.as_of_date,
        history_slices.c.is_active.is_(True),
        history_slices.c.sha256 != batch.slice_sha256,
    )
    found = sa.exists().where(history_slices.c.table_name == NIGHTLY, sa.or_(is_later, is_again))
    return bool(connection.execute(sa.select(found)).scalar())


def _refuse_by_other_version(connection: sa.Connection, batch: sa.Row) -> None:
    """A night does not count its own claims: nobody gets messages of two versions of it."""
    others = sa.select(batches.c.batch_id).where(
        batches.c.run_kind == "nightly",
        batches.c.as_of_date == batch.as_of_date,
        batches.c.slice_sha256 != batch.slice_sha256,
    )
    found = list(connection.execute(others).scalars()) if batch.run_kind == "nightly" else []
    if not found:
        return
    of_other = claims.c.batch_id.in_(found)
    by_person = sa.exists().where(claims.c.person_id == _ASKED.c.person_id, _TAKEN, of_other)
    by_contact = sa.exists().where(
        claims.c.contact_token == _ASKED.c.contact_token, _NOT_REFUSED, _TAKEN, of_other
    )
    _refuse(connection, "decided_anew", sa.or_(by_person, by_contact))


def _refuse_by_consent(connection: sa.Connection) -> None:
    kinds = sa.select(_ASKED.c.purpose, _ASKED.c.consent_channel).distinct()
    for purpose, channel in connection.execute(kinds).all():
        of_kind = sa.and_(_ASKED.c.purpose == purpose, _ASKED.c.consent_channel == channel)
        asked = sa.select(_ASKED.c.person_id, _ASKED.c.contact_token).where(of_kind).distinct()
        usable = usable_contacts(asked.subquery(), _OWNED, purpose, channel)
        refused = sa.tuple_(_ASKED.c.person_id, _ASKED.c.contact_token).not_in(usable)
        _refuse(connection, "withdrawn", of_kind, refused)


def _refuse_by_claims(connection: sa.Connection) -> None:
    """Both keys; a person is also everybody who was merged into them."""
    same = [claims.c[name] == _ASKED.c[name] for name in _KEY]
    by_contact = sa.exists().where(
        claims.c.contact_token == _ASKED.c.contact_token, _NOT_REFUSED, *same
    )
    by_person = sa.exists().where(claims.c.person_id == _ASKED.c.person_id, _TAKEN, *same)
    _refuse(connection, "claimed_before", sa.or_(by_contact, by_person))
    with fill_temporary(connection, _FORMER, []):
        connection.execute(
            sa.insert(_FORMER).from_select(["person_id", "former_id", "until"], _former_ids())
        )
        by_former = sa.exists().where(
            _FORMER.c.person_id == _ASKED.c.person_id,
            claims.c.person_id == _FORMER.c.former_id,
            _TAKEN,
            sa.or_(_FORMER.c.until.is_(None), claims.c.claimed_at <= _FORMER.c.until),
            *same,
        )
        _refuse(connection, "claimed_before", by_former)
    _refuse(connection, "claimed_before", _ASKED.c.claim_id.in_(_repeated()))


def _former_ids() -> sa.Select:
    """The ids whose claims are this person's too: merged into them, or split from.

    What was claimed under an id that others live on with counts only up to the change. An id that
    a merge ended counts for ever, whatever the clock said, unless a split brought it back.
    """
    later = identity_changes.alias()
    returned = sa.exists().where(
        later.c.to_customer_id == identity_changes.c.from_customer_id,
        later.c.version > identity_changes.c.version,
    )
    until = sa.case(
        (
            sa.or_(identity_changes.c.change_kind == "split", returned),
            identity_changes.c.changed_at,
        )
    )
    step = (identity_changes.c.from_customer_id, identity_changes.c.version, until.label("until"))
    chain = (
        sa.select(_ASKED.c.person_id, *step)
        .join(identity_changes, identity_changes.c.to_customer_id == _ASKED.c.person_id)
        .distinct()
        .cte("former", recursive=True)
    )
    older = sa.select(chain.c.person_id, *step).join(
        chain,
        sa.and_(
            identity_changes.c.to_customer_id == chain.c.from_customer_id,
            identity_changes.c.version < chain.c.version,
        ),
    )
    chain = chain.union(older)
    return sa.select(chain.c.person_id, chain.c.from_customer_id, chain.c.until).distinct()


def _repeated() -> sa.Select:
    """Messages of this call to somebody, or a contact, an earlier one is for."""
    found = [
        sa.func.row_number()
        .over(partition_by=[_ASKED.c[who], *(_ASKED.c[k] for k in _KEY)], order_by=_ASKED.c.place)
        .label(who)
        for who in ("person_id", "contact_token")
    ]
    ranked = sa.select(_ASKED.c.claim_id, *found).where(_ASKED.c.reason.is_(None)).subquery()
    return sa.select(ranked.c.claim_id).where(
        sa.or_(ranked.c.person_id > 1, ranked.c.contact_token > 1)
    )


def _take(connection: sa.Connection, batch_id: str, now: dt.datetime, by: str | None) -> None:
    """What nobody accepted before is taken again; everything else is new."""
    free = sa.select(_ASKED.c.claim_id).where(_ASKED.c.reason.is_(None))
    taken = {"batch_id": batch_id, "state": "claimed", "state_reason": by, "claimed_at": now}
    mine = sa.select(_ASKED).where(_ASKED.c.claim_id == claims.c.claim_id)
    copied = {name: mine.with_only_columns(_ASKED.c[name]).scalar_subquery() for name in _COPIED}
    connection.execute(
        sa.update(claims)
        .where(claims.c.state == "refused", claims.c.claim_id.in_(free))
        .values(
            attempt_count=claims.c.attempt_count + 1, sent_at=None,
            **taken, **copied,
        )
    )  # fmt: skip
    values = {**{name: _ASKED.c[name] for name in ("claim_id", "person_id", *_COPIED)},
              **{name: sa.literal(value, claims.c[name].type) for name, value in taken.items()},
              "attempt_count": sa.literal(1)}  # fmt: skip
    known = sa.exists().where(claims.c.claim_id == _ASKED.c.claim_id)
    new = sa.select(*values.values()).where(_ASKED.c.reason.is_(None), ~known)
    connection.execute(sa.insert(claims).from_select(list(values), new.order_by(_ASKED.c.place)))


def _read_reasons(connection: sa.Connection) -> dict[str, str | None]:
    query = sa.select(_ASKED.c.claim_id, _ASKED.c.reason)
    return {row.claim_id: row.reason for row in connection.execute(query)}


# ------------------------------------------------------------------------------------ recording


def record(
    ledger: sa.Engine, batch_id: str, results: Sequence[DeliveryResult], *, now: dt.datetime
) -> int:
    """Writes down what calls came to; a state only moves forward. Returns how many moved.

    A message is moved from ``claimed``; from ``uncertain`` only by knowing better, to ``sent`` or
    ``failed``. A result for a claim of another batch is kept as a call and moves nothing.

    Args:
        ledger: holds the claims.
        batch_id: the batch the messages were claimed for.
        results: one per message.
        now: the wall clock; a call said to be later was made by a clock that jumped.
    """
    if not results:
        return 0
    failpoint("record_before")
    calls = [
        {
            "claim_id": one.message_id, "batch_id": batch_id, "adapter": one.adapter,
            "attempt": one.attempt, "outcome": one.outcome, "reference": one.reference,
            "detail": one.detail, "called_at": min(one.called_at, now),
        }
        for one in results
    ]  # fmt: skip
    moves = [
        {"claim_id": one.message_id, "state": STATE_OF[one.outcome],
         "called_at": min(one.called_at, now), "detail": one.detail}
        for one in results
    ]  # fmt: skip
    with ledger.begin() as connection:
        for start in range(0, len(calls), CHUNK_ROWS):
            connection.execute(sa.insert(deliveries), calls[start : start + CHUNK_ROWS])
        with fill_temporary(connection, _RESULTS, moves):
            moved = sum(_move(connection, batch_id, state) for state in STATE_OF.values())
    failpoint("record_after")
    return moved


def record_accepted(
    ledger: sa.Engine,
    batch_id: str,
    message_ids: Sequence[str],
    *,
    adapter: str,
    reference: str,
    now: dt.datetime,
) -> int:
    """:func:`record` for many messages that left together; returns how many moved to ``sent``."""
    if not message_ids:
        return 0
    failpoint("record_before")
    with (
        ledger.begin() as connection,
        fill_temporary(connection, _ACCEPTED, [{"claim_id": one} for one in message_ids]),
    ):
        said = {"batch_id": batch_id, "adapter": adapter, "attempt": 1, "outcome": "accepted",
                "reference": reference, "called_at": now}  # fmt: skip
        values = [sa.literal(value, deliveries.c[name].type) for name, value in said.items()]
        calls = sa.select(_ACCEPTED.c.claim_id, *values)
        connection.execute(sa.insert(deliveries).from_select(["claim_id", *said], calls))
        result = connection.execute(
            sa.update(claims)
            .where(
                claims.c.claim_id.in_(sa.select(_ACCEPTED.c.claim_id)),
                claims.c.batch_id == batch_id,
                claims.c.state.in_(("claimed", "uncertain")),
            )
            .values(state="sent", state_reason=None, sent_at=now)
        )
        moved = int(result.rowcount)
    failpoint("record_after")
    return moved


def _move(connection: sa.Connection, batch_id: str, state: str) -> int:
    mine = _RESULTS.c.claim_id == claims.c.claim_id
    said = sa.select(_RESULTS.c.claim_id).where(_RESULTS.c.state == state)
    before = ("claimed", "uncertain") if state in ("sent", "failed") else ("claimed",)
    values: dict[str, Any] = {
        "state": state,
        "state_reason": sa.select(_RESULTS.c.detail).where(mine).scalar_subquery(),
    }
    if state == "sent":
        values["sent_at"] = sa.select(_RESULTS.c.called_at).where(mine).scalar_subquery()
    result = connection.execute(
        sa.update(claims)
        .where(
            claims.c.claim_id.in_(said),
            claims.c.batch_id == batch_id,
            claims.c.state.in_(before),
        )
        .values(**values)
    )
    return int(result.rowcount)


def expire_claims(ledger: sa.Engine, *, now: dt.datetime, older_than: dt.timedelta) -> int:
    """Claims nobody recorded for so long may have left: uncertain from now on.

    What was claimed for a file of a batch that is being sent is left: releasing it again finds
    out whether it stands in the file. So is what waits for a member of staff in a task of WeCom.
    """
    sending = sa.select(batches.c.batch_id).where(batches.c.state.in_(SENDING))
    is_mended = sa.and_(claims.c.state_reason.startswith("file:"), claims.c.batch_id.in_(sending))
    waiting = (
        sa.select(wecom_task_members.c.claim_id)
        .join(wecom_tasks, wecom_tasks.c.task_id == wecom_task_members.c.task_id)
        .where(
            wecom_task_members.c.state == "waiting",
            wecom_tasks.c.state.in_(("created", "confirmed")),
            wecom_tasks.c.created_at >= now - STAFF_CONFIRMS_WITHIN,
        )
    )
    with ledger.begin() as connection:
        result = connection.execute(
            sa.update(claims)
            .where(
                claims.c.state == "claimed",
                claims.c.claimed_at < now - older_than,
                claims.c.claim_id.not_in(waiting),
                sa.or_(claims.c.state_reason.is_(None), ~is_mended),
            )
            .values(state="uncertain", state_reason="claimed and never recorded")
        )
        count = int(result.rowcount)
        if count:
            write_audit(connection, now, "schedule", "claims_expired", {"claims": count})
    return count
