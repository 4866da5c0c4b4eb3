"""Delivery by file: what somebody else sends, or loads into their own tool.

Add here: formats of a batch file, and the order that makes it safe.
Not here: calling a provider (the other adapters).

A file stands in the outbox only once its messages are on record as sent. The order: claim, write
the whole file under a hidden name, record, give it its name. A crash between any two steps is
mended by delivering again: a hidden file that is on record gets its name, any other goes; what was
claimed for a file and is not on record is written now, after asking for switches, batch, validity
and consent again. While the kill switch or the batch says stop, nothing is mended, named or
written.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import atomic_path, fsync_dir
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import batches, claims, deliveries
from crm_pipeline.lib.outreach.claims import (
    DeliveryResult,
    claim_messages,
    find_refused,
    find_stop,
    record,
    record_accepted,
)
from crm_pipeline.lib.outreach.dispatch import (
    DispatchReport,
    QuietHours,
    find_attempts,
    ledger_needed,
    read_addresses,
    why_not_now,
)
from crm_pipeline.lib.outreach.message import CUSTOMER, Message
from crm_pipeline.lib.spreadsheet import FORMULA_STARTS, write_private_csv

COLUMNS = (
    "message_id", "reader", "contact", "subject", "body", "content_id", "language",
    "planned_send_at", "valid_until", "guide_id", "customer",
)  # fmt: skip
FORMATS = ("csv", "jsonl")
CHUNK = 25_000  # one claim, one file: the ledger is locked for a second or two at a time
READY = ".ready-"
PHONE = re.compile(r"\+[0-9]+")


@dataclass(frozen=True)
class FileDelivery:
    """Writes the messages of a batch that are due into files of its folder in the outbox."""

    home: CrmHome
    ledger: sa.Engine
    vault_engine: sa.Engine
    folder: Path
    channel: str
    file_format: str
    quiet: QuietHours
    now: Callable[[], dt.datetime]

    @property
    def name(self) -> str:
        """The adapter's name in claims and deliveries."""
        return f"file:{self.file_format}"

    def dispatch(self, batch_id: str, messages: Sequence[Message]) -> DispatchReport:
        """Delivers what is due and allowed now; running it again writes nothing twice.

        Raises:
            LedgerError: the ledger or the vault cannot be reached; nothing more is written.
        """
        report = DispatchReport()
        with ledger_needed():
            journeys = {one.journey for one in messages}
            if stop := find_stop(self.ledger, batch_id, journeys):
                report.skipped[stop] += len(messages)
                return report
            self._publish_ready(batch_id)
            self._write_interrupted(batch_id, messages, report)
            attempts = find_attempts(self.ledger, messages)
            due = [one for one in messages if self._is_due(one, attempts, report)]
            for start in range(0, len(due), CHUNK):
                self._deliver(batch_id, due[start : start + CHUNK], report)
        return report

    def _is_due(
        self, message: Message, attempts: dict[str, int | None], report: DispatchReport
    ) -> bool:
        reason = why_not_now(message, attempts, self.quiet, self.now())
        if reason is None:
            return True
        kind = report.waiting if reason in ("not_due", "quiet_hours") else report.skipped
        kind[reason] += 1
        return False

    def _deliver(self, batch_id: str, messages: Sequence[Message], report: DispatchReport) -> None:
        addresses = self._read_addresses(messages)
        reachable = [one for one in messages if one.message_id in addresses]
        if len(reachable) < len(messages):
            report.skipped["no_address"] += len(messages) - len(reachable)
        found = claim_messages(
            self.home, self.ledger, batch_id, reachable, now=self.now(), by=self.name
        )
        report.skipped.update(found.skipped)
        taken = set(found.claimed)
        self._write(batch_id, [one for one in reachable if one.message_id in taken], addresses)
        report.delivered["accepted"] += len(taken)

    def _read_addresses(self, messages: Iterable[Message]) -> dict[str, str]:
        """By message what stands in the file as its contact; one to staff has none.

        An address a spreadsheet would run never leaves.
        """
        to_customers = [one for one in messages if one.reader == CUSTOMER]
        found = read_addresses(self.vault_engine, {one.contact_token for one in to_customers})
        contacts = {one.message_id: found.get(one.contact_token, "") for one in to_customers}
        safe = {name: address for name, address in contacts.items() if self._is_safe(address)}
        return safe | {one.message_id: "" for one in messages if one.reader != CUSTOMER}

    def _is_safe(self, address: str) -> bool:
        if not address:
            return False
        is_text = self.file_format == "jsonl" or PHONE.fullmatch(address) is not None
        return is_text or not address.startswith(FORMULA_STARTS)

    # ------------------------------------------------------------------------------- files

    def _write(
        self, batch_id: str, messages: Sequence[Message], addresses: Mapping[str, str]
    ) -> None:
        if not messages:
            return
        path = self._next_path(batch_id)
        rows = (self._row(one, addresses[one.message_id]) for one in messages)
        failpoint("batch_file_before")
        write = write_private_csv if self.file_format == "csv" else _write_private_jsonl
        write(path.with_name(READY + path.name), COLUMNS, rows)
        failpoint("batch_file_after")
        self._publish(batch_id, path, [one.message_id for one in messages])

    def _row(self, message: Message, address: str) -> dict[str, str]:
        # As a plain +86… a spreadsheet makes a number of it and loses digits.
        is_number = self.file_format == "csv" and PHONE.fullmatch(address) is not None
        return {
            "message_id": message.message_id,
            "reader": message.reader,
            "contact": f"tel:{address}" if is_number else address,
            "subject": message.subject or "",
            "body": message.body,
            "content_id": message.content_id,
            "language": message.language,
            "planned_send_at": f"{message.planned_send_at.isoformat(timespec='seconds')}+00:00",
            "valid_until": f"{message.valid_until.isoformat(timespec='seconds')}+00:00",
            "guide_id": message.guide_id or "",
            "customer": _customer(message),
        }

    def _next_path(self, batch_id: str) -> Path:
        """One name per file ever written for the batch, whether or not it was taken away."""
        query = sa.select(sa.func.count(sa.distinct(deliveries.c.reference))).where(
            deliveries.c.batch_id == batch_id,
            deliveries.c.reference.startswith(f"{self.channel}-"),
        )
        with self.ledger.connect() as connection:
            number = int(connection.execute(query).scalar_one()) + 1
        return self.folder / f"{self.channel}-{number:03}.{self.file_format}"

    def _publish(self, batch_id: str, path: Path, message_ids: Sequence[str]) -> None:
        """Records, then gives the file its name: whoever takes it away takes what is on record."""
        record_accepted(
            self.ledger,
            batch_id,
            message_ids,
            adapter=self.name,
            reference=path.name,
            now=self.now(),
        )
        failpoint("batch_recorded")
        path.with_name(READY + path.name).replace(path)
        fsync_dir(path.parent)
        failpoint("batch_file_named")

    # ---------------------------------------------------------------------- after a crash

    def _publish_ready(self, batch_id: str) -> None:
        """Whole files a crash left without a name.

        One without a record goes: nobody took it, and who stands in it may have withdrawn since.
        """
        for ready in sorted(self.folder.glob(f"{READY}{self.channel}-*")):
            path = ready.with_name(ready.name.removeprefix(READY))
            if self._is_recorded(batch_id, path):
                ready.replace(path)
            else:
                ready.unlink()
            fsync_dir(path.parent)

    def _is_recorded(self, batch_id: str, path: Path) -> bool:
        query = sa.select(deliveries.c.claim_id).where(
            deliveries.c.batch_id == batch_id, deliveries.c.reference == path.name
        )
        with self.ledger.connect() as connection:
            return connection.execute(query.limit(1)).first() is not None

    def _write_interrupted(
        self, batch_id: str, messages: Sequence[Message], report: DispatchReport
    ) -> None:
        """What was claimed for a file that was never written goes into one now."""
        query = sa.select(claims.c.claim_id).where(
            claims.c.batch_id == batch_id,
            claims.c.consent_channel == self.channel,
            claims.c.state == "claimed",
            claims.c.state_reason.in_([f"file:{one}" for one in FORMATS]),
        )
        with self.ledger.connect() as connection:
            open_ids = set(connection.execute(query).scalars())
        waiting = [one for one in messages if one.message_id in open_ids]
        if not waiting:
            return
        now = self.now()
        refused = find_refused(self.home, self.ledger, batch_id, waiting, now=now)
        addresses = self._read_addresses(waiting)
        kept = [
            one for one in waiting if one.message_id not in refused and one.message_id in addresses
        ]
        written = {one.message_id for one in kept}
        dropped = [
            DeliveryResult(one.message_id, "refused", self.name, now, detail="never_written")
            for one in waiting
            if one.message_id not in written
        ]
        record(self.ledger, batch_id, dropped, now=now)
        self._write(batch_id, kept, addresses)
        report.delivered["accepted"] += len(kept)


def list_unfinished(ledger: sa.Engine) -> list[tuple[str, str, dt.date]]:
    """Batches with messages that were claimed for a file and are not on record as written."""
    query = (
        sa.select(batches.c.batch_id, batches.c.journey, batches.c.as_of_date)
        .join(claims, claims.c.batch_id == batches.c.batch_id)
        .where(claims.c.state == "claimed", claims.c.state_reason.startswith("file:"))
        .distinct()
        .order_by(batches.c.as_of_date, batches.c.batch_id)
    )
    with ledger.connect() as connection:
        return [(row.batch_id, row.journey, row.as_of_date) for row in connection.execute(query)]


def parse_format(text: str, variable: str) -> str:
    """The format of ``file:csv`` or ``file:jsonl``.

    Raises:
        ConfigError: it is another.
    """
    found = text.removeprefix("file:")
    if found not in FORMATS:
        raise ConfigError(
            f"a batch file cannot be written as {found!r}",
            where=variable,
            remedy="write file:csv or file:jsonl",
        )
    return found


def write_dry_run(path: Path, messages: Iterable[Message]) -> None:
    """What would be sent, with masked contacts."""
    shown = (
        {
            "message_id": one.message_id,
            "reader": one.reader,
            "contact": one.contact_mask if one.reader == CUSTOMER else "",
            "subject": one.subject or "",
            "body": one.body,
            "content_id": one.content_id,
            "language": one.language,
            "planned_send_at": f"{one.planned_send_at.isoformat(timespec='seconds')}+00:00",
            "valid_until": f"{one.valid_until.isoformat(timespec='seconds')}+00:00",
            "guide_id": one.guide_id or "",
            "customer": _customer(one),
        }
        for one in messages
    )
    write_private_csv(path, COLUMNS, shown)


def _customer(message: Message) -> str:
    """Whom a message to staff is about; nobody needs to know it of one to the customer."""
    return "" if message.reader == CUSTOMER else message.customer_id


def _write_private_jsonl(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]
) -> None:
    """UTF-8 without a mark, one object a line, for the owner alone."""
    with atomic_path(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as target:
            for row in rows:
                target.write(json.dumps({name: row[name] for name in columns}, ensure_ascii=False))
                target.write("\n")
