"""From decisions to a batch file, each person at most once.

Add here: claiming messages and writing the file of a journey step.
Not here: who is decided for (``decisions``), how a file is delivered.

The order of the steps is what keeps the promise: consent is read and the message claimed in one
ledger transaction; only claimed messages are written; only written messages are marked as sent.
A crash between any two steps is mended by running again: a batch file that exists is final, one
that does not is written from the claims.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.consent.state import Account, find_usable
from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import sha256_of
from crm_pipeline.lib.history import Slice, find_slice, find_slice_by_hash, read_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity import read_accounts
from crm_pipeline.lib.ledger.schema import batches, claims, history_slices, id_versions, vault
from crm_pipeline.lib.ledger.statements import insert_ignore
from crm_pipeline.lib.outreach.journey import JourneySpec, StepSpec
from crm_pipeline.lib.spreadsheet import FORMULA_STARTS, write_private_csv
from crm_pipeline.lib.warehouse.lease import hold_lock

DECISIONS = "outreach_decisions"
COLUMNS = ("message_id", "contact", "content_id", "language", "valid_until", "opt_out")
LOCK_SECONDS = 600.0
CHUNK = 400
# What a spreadsheet takes for a formula or a command when a cell begins with it.

_Decisions = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class StepReport:
    """What became of one step's decisions."""

    step: str
    batch_id: str
    path: Path | None
    message_count: int
    skipped: dict[str, int] = field(default_factory=dict)
    was_written_before: bool = False


@dataclass(frozen=True)
class BatchReport:
    """What became of a journey's decisions of one night."""

    journey: str
    as_of: dt.date
    steps: tuple[StepReport, ...]

    @property
    def batch_id(self) -> str:
        """The batch ids, one per step."""
        return ", ".join(step.batch_id for step in self.steps)

    @property
    def message_count(self) -> int:
        """Messages that stand in batch files."""
        return sum(step.message_count for step in self.steps)

    @property
    def skipped_count(self) -> int:
        """Decisions to send that were not sent, for a reason each step names."""
        return sum(sum(step.skipped.values()) for step in self.steps)

    @property
    def is_new(self) -> bool:
        """Whether this call wrote anything."""
        return not all(step.was_written_before for step in self.steps)


@dataclass(frozen=True)
class _Batch:
    """The batch of one journey step, made from one slice of decisions."""

    batch_id: str
    journey: JourneySpec
    step: StepSpec
    decided: Slice
    now: dt.datetime

    @property
    def relative_path(self) -> str:
        return f"outbox/{self.journey.journey}/{self.batch_id}.csv"


def batch_id_of(journey: str, step: str, as_of: dt.date, slice_sha256: str) -> str:
    """The same decisions always make the same batch."""
    return _digest("batch", journey, step, as_of.isoformat(), slice_sha256)


def is_written(ledger: sa.Engine, journey: JourneySpec, as_of: dt.date, slice_sha256: str) -> bool:
    """Whether every step's batch of these decisions is on record as written."""
    wanted = {batch_id_of(journey.journey, s.step, as_of, slice_sha256) for s in journey.steps}
    query = sa.select(batches.c.batch_id).where(
        batches.c.batch_id.in_(wanted), batches.c.state == "written"
    )
    with ledger.connect() as connection:
        return {row.batch_id for row in connection.execute(query)} == wanted


def write_batch(
    home: CrmHome,
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    journey: JourneySpec,
    *,
    as_of: dt.date,
    now: dt.datetime,
) -> BatchReport:
    """Writes the batch files of a journey for one night's decisions, once.

    Running it again, at the same time, or after a crash sends nobody a second message and leaves
    whole files.

    Args:
        home: where ``outbox`` is.
        ledger: consents, claims and batches.
        vault_engine: clear addresses, read at the moment of writing.
        journey: the journey.
        as_of: the night's business date; its active decisions are taken.
        now: the instant recorded beside claims (UTC).

    Raises:
        OutreachError: there are no decisions of that night, or later ones exist already.
    """
    with ledger.connect() as connection:
        decided = find_slice(home, connection, DECISIONS, as_of)
    if decided is None:
        raise OutreachError(
            f"nothing was decided for {as_of}",
            where=f"journey {journey.journey}",
            remedy="run the nightly job for that day first",
        )
    todo = [_make_batch(journey, step, decided, now) for step in journey.steps]
    todo = [*_find_interrupted(home, ledger, journey, decided, now), *todo]
    made = tuple(_write_step(home, ledger, vault_engine, batch) for batch in todo)
    return BatchReport(journey.journey, as_of, made)


def list_unfinished(ledger: sa.Engine) -> list[sa.Row]:
    """Batches that were claimed but are not on record as written."""
    with ledger.connect() as connection:
        query = sa.select(batches).where(batches.c.state == "writing").order_by(batches.c.batch_id)
        return list(connection.execute(query))


def _make_batch(journey: JourneySpec, step: StepSpec, decided: Slice, now: dt.datetime) -> _Batch:
    moment = now.astimezone(dt.UTC).replace(tzinfo=None) if now.tzinfo else now
    batch_id = batch_id_of(journey.journey, step.step, decided.as_of_date, decided.sha256)
    return _Batch(batch_id, journey, step, decided, moment)


def _find_interrupted(
    home: CrmHome, ledger: sa.Engine, journey: JourneySpec, decided: Slice, now: dt.datetime
) -> list[_Batch]:
    """Claimed batches of other decisions that a crash left without a record: they end first."""
    steps = {step.step: step for step in journey.steps}
    query = sa.select(batches).where(
        batches.c.state == "writing",
        batches.c.journey == journey.journey,
        batches.c.slice_sha256 != decided.sha256,
    )
    with ledger.connect() as connection:
        rows = connection.execute(query.order_by(batches.c.as_of_date, batches.c.batch_id)).all()
        found = []
        for row in rows:
            old = find_slice_by_hash(home, connection, DECISIONS, row.as_of_date, row.slice_sha256)
            if old is not None and row.step in steps:
                found.append(_make_batch(journey, steps[row.step], old, now))
    return found


def _write_step(
    home: CrmHome, ledger: sa.Engine, vault_engine: sa.Engine, batch: _Batch
) -> StepReport:
    with _one_at_a_time(home, batch):
        known = _read_batch(ledger, batch)
        if known is not None and known.state == "written":
            path = home.root / known.path if known.path else None
            return StepReport(batch.step.step, batch.batch_id, path, known.message_count, {}, True)
        decisions = _read_decisions(batch)
        guard = _Guard(home, ledger, batch, decisions)
        skipped: dict[str, int] = {}
        if known is None:
            _refuse_stale(home, ledger, batch)
            failpoint("claim_before")
            skipped = _claim(vault_engine, batch, decisions, guard)
            failpoint("claim_after")
        count = _finish(home, ledger, vault_engine, batch, decisions, guard)
        failpoint("batch_recorded")
        late = len(decisions) - count - sum(skipped.values())
        if late:
            skipped["not_claimed_or_withdrawn_since"] = late
        path = home.root / batch.relative_path if count else None
        return StepReport(batch.step.step, batch.batch_id, path, count, skipped)


def _one_at_a_time(home: CrmHome, batch: _Batch) -> AbstractContextManager[None]:
    """Two runs of one journey take turns; the second finds the batch written."""
    return hold_lock(
        home.ledger_dir / "locks" / f"journey-{batch.journey.journey}.lock",
        holder=f"batch {batch.batch_id} (thread {threading.get_ident()})",
        wait_seconds=LOCK_SECONDS,
        what=f"the outbox of {batch.journey.journey}",
    )


def _read_batch(ledger: sa.Engine, batch: _Batch) -> sa.Row | None:
    with ledger.connect() as connection:
        query = sa.select(batches).where(batches.c.batch_id == batch.batch_id)
        return connection.execute(query).one_or_none()


def _read_decisions(batch: _Batch) -> dict[str, dict[str, Any]]:
    """The decisions to send of this step, by the id their message gets."""
    table = read_slice(batch.decided)
    wanted = pc.and_(
        pc.and_(
            pc.equal(table.column("journey"), batch.journey.journey),
            pc.equal(table.column("step"), batch.step.step),
        ),
        pc.equal(table.column("outcome"), "send"),
    )
    rows = table.filter(wanted).sort_by("decision_id").to_pylist()
    return {_message_id(row): row for row in rows}


def _message_id(decision: Mapping[str, str]) -> str:
    """The same for every attempt at the same message, whatever night it is decided in."""
    parts = (decision[name] for name in ("customer_id", "journey", "step", "occurrence"))
    return _digest("message", *parts)


class _Guard:
    """Reads consent again, in the transaction that claims or writes."""

    def __init__(
        self, home: CrmHome, ledger: sa.Engine, batch: _Batch, decisions: _Decisions
    ) -> None:
        self._home, self._ledger = home, ledger
        self._purpose = batch.journey.purpose
        self._channel = batch.step.channel
        self._customers = sorted({row["customer_id"] for row in decisions.values()})
        self._accounts: dict[str, list[Account]] = {}

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction in which a person is who they are now, not who they were when decided.

        The ids cannot be read inside it, so it is left again when they changed in between.
        """
        while True:
            with self._ledger.connect() as connection:
                version = _newest_ids(connection)
            self._accounts = self._read_accounts()
            with self._ledger.begin() as connection:
                if _newest_ids(connection) == version:
                    yield connection
                    return

    def allowed(self, connection: sa.Connection, decisions: _Decisions) -> set[str]:
        """Messages whose contact the person agreed to, and withdrew by no account since.

        A customer who was merged away since the decision has no account, and so no consent.
        """
        usable = find_usable(
            connection,
            [(row["customer_id"], row["contact_token"]) for row in decisions.values()],
            self._accounts,
            self._purpose,
            self._channel,
        )
        return {
            message_id
            for message_id, row in decisions.items()
            if (row["customer_id"], row["contact_token"]) in usable
        }

    def _read_accounts(self) -> dict[str, list[Account]]:
        found: dict[str, list[Account]] = {}
        if self._customers:
            accounts = read_accounts(self._home, self._ledger)
            wanted = pa.array(self._customers, pa.string())
            chosen = pc.is_in(accounts.column("customer_id"), wanted)
            for row in accounts.filter(chosen).to_pylist():
                account = (row["channel"], row["source_customer_id"])
                found.setdefault(row["customer_id"], []).append(account)
        return found


def _newest_ids(connection: sa.Connection) -> int | None:
    newest: int | None = connection.execute(sa.select(sa.func.max(id_versions.c.version))).scalar()
    return newest


def _refuse_stale(home: CrmHome, ledger: sa.Engine, batch: _Batch) -> None:
    """A backfill never sends, and a ledger that forgot a batch must not make it again."""
    path = home.root / batch.relative_path
    if path.exists():
        raise OutreachError(
            "the outbox holds a batch the ledger does not know",
            where=str(path),
            remedy="the ledger was restored from an older state: restore the newest backup, "
            "or move the file away once you know that it was never delivered",
        )
    newer = sa.select(sa.func.max(history_slices.c.as_of_date)).where(
        history_slices.c.table_name == DECISIONS
    )
    with ledger.connect() as connection:
        newest = connection.execute(newer).scalar()
    if newest is not None and newest > batch.decided.as_of_date:
        raise OutreachError(
            f"the decisions of {batch.decided.as_of_date} are stale: {newest} was decided since",
            where=f"journey {batch.journey.journey}",
            remedy=f"write the batch of {newest}; a past night is never sent",
        )


def _claim(
    vault_engine: sa.Engine,
    batch: _Batch,
    decisions: _Decisions,
    guard: _Guard,
) -> dict[str, int]:
    """Claims, in one transaction with reading consent; returns what was skipped and why."""
    addresses = _read_addresses(vault_engine, decisions)
    with guard.begin() as connection:
        allowed = guard.allowed(connection, decisions)
        reachable = {
            message_id
            for message_id in allowed
            if _is_safe(addresses.get(decisions[message_id]["contact_token"]))
        }
        connection.execute(sa.insert(batches).values(_batch_row(batch)))
        rows = [_claim_row(batch, key, decisions[key]) for key in sorted(reachable)]
        claimed = insert_ignore(connection, claims, rows)
        failpoint("claim_inserted")
    skipped = {
        "withdrawn": len(decisions) - len(allowed),
        "no_address": len(allowed) - len(reachable),
        "claimed_before": len(reachable) - claimed,
    }
    return {reason: count for reason, count in skipped.items() if count}


def _batch_row(batch: _Batch) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "journey": batch.journey.journey,
        "step": batch.step.step,
        "as_of_date": batch.decided.as_of_date,
        "slice_sha256": batch.decided.sha256,
        "state": "writing",
        "created_at": batch.now,
    }


def _claim_row(batch: _Batch, message_id: str, decision: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "claim_id": message_id,
        "decision_id": decision["decision_id"],
        "batch_id": batch.batch_id,
        "contact_token": decision["contact_token"],
        "person_id": decision["customer_id"],
        "journey": decision["journey"],
        "step": decision["step"],
        "occurrence": decision["occurrence"],
        "content_version": batch.step.content_version,
        "state": "claimed",
        "claimed_at": batch.now,
    }


def _finish(
    home: CrmHome,
    ledger: sa.Engine,
    vault_engine: sa.Engine,
    batch: _Batch,
    decisions: _Decisions,
    guard: _Guard,
) -> int:
    """Writes the file unless it is there, then records what stands in it; returns how many."""
    path = home.root / batch.relative_path
    if not path.exists():
        addresses = _read_addresses(vault_engine, decisions)
        with guard.begin() as connection:
            mine = _claimed_in(connection, batch)
            allowed = guard.allowed(connection, {key: decisions[key] for key in mine})
        messages = [
            _message(batch, key, decisions[key], addresses[decisions[key]["contact_token"]])
            for key in sorted(allowed)
            if _is_safe(addresses.get(decisions[key]["contact_token"]))
        ]
        failpoint("batch_file_before")
        if messages:
            write_private_csv(path, COLUMNS, messages)
        failpoint("batch_file_after")
    return _record(ledger, batch, path)


def _record(ledger: sa.Engine, batch: _Batch, path: Path) -> int:
    """What stands in the file was sent; what was claimed and does not stand there never will be."""
    written = _read_message_ids(path) if path.exists() else []
    mine = claims.c.batch_id == batch.batch_id
    with ledger.begin() as connection:
        for start in range(0, len(written), CHUNK):
            some = claims.c.claim_id.in_(written[start : start + CHUNK])
            connection.execute(
                sa.update(claims)
                .where(mine, some, claims.c.state == "claimed")
                .values(state="sent", sent_at=batch.now)
            )
        connection.execute(
            sa.update(claims).where(mine, claims.c.state == "claimed").values(state="failed")
        )
        connection.execute(
            sa.update(batches)
            .where(batches.c.batch_id == batch.batch_id)
            .values(
                state="written",
                path=batch.relative_path if written else None,
                message_count=len(written),
                file_sha256=sha256_of(path) if written else None,
            )
        )
    return len(written)


def _claimed_in(connection: sa.Connection, batch: _Batch) -> list[str]:
    query = sa.select(claims.c.claim_id).where(
        claims.c.batch_id == batch.batch_id, claims.c.state == "claimed"
    )
    return [row.claim_id for row in connection.execute(query)]


def _read_addresses(vault_engine: sa.Engine, decisions: _Decisions) -> dict[str, str]:
    tokens = sorted({row["contact_token"] for row in decisions.values()})
    found: dict[str, str] = {}
    with vault_engine.connect() as connection:
        for start in range(0, len(tokens), CHUNK):
            query = sa.select(vault.c.token, vault.c.clear_value).where(
                vault.c.token.in_(tokens[start : start + CHUNK])
            )
            found |= {row.token: row.clear_value for row in connection.execute(query)}
    return found


def _is_safe(address: str | None) -> bool:
    """There is an address, and no spreadsheet would take it for a formula."""
    if not address:
        return False
    return _is_phone(address) or not address.startswith(FORMULA_STARTS)


def _is_phone(address: str | None) -> bool:
    return address is not None and re.fullmatch(r"\+[0-9]+", address) is not None


def _message(
    batch: _Batch, message_id: str, decision: Mapping[str, Any], address: str
) -> dict[str, str]:
    """One line of the file; a blank cell would be a message with a hole."""
    valid_until = decision["valid_until"].replace(tzinfo=dt.UTC)
    message = {
        "message_id": message_id,
        # As a plain +86… a spreadsheet makes a number of it and loses digits.
        "contact": f"tel:{address}" if _is_phone(address) else address,
        "content_id": decision["content_id"],
        "language": batch.step.language,
        "valid_until": valid_until.isoformat(timespec="seconds"),
        "opt_out": batch.step.opt_out,
    }
    blank = [name for name in COLUMNS if not message[name]]
    if blank:
        raise OutreachError(
            f"a message has no {', '.join(blank)}",
            where=f"batch {batch.batch_id}, message {message_id}",
            remedy="correct the journey's YAML; the batch stays claimed and is written then",
        )
    return message


def _read_message_ids(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as source:
        return [row["message_id"] for row in csv.DictReader(source)]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
