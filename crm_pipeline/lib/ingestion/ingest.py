"""The door: landed files in, conformed parts out, once.

Add here: the order of the steps.
Not here: a step's own work.

Every step can be killed and run again. Raw bytes come first, then the part, then one ledger
transaction that makes the part count; whoever comes second finds the work done and changes nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.errors import ConfigError, CrmError, LandingError
from crm_pipeline.lib.failpoints import InjectedFailureError, failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import inbox, landing, parts, raw_store, readers
from crm_pipeline.lib.ingestion.conform import FileFacts, is_day
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.inbox import InboxFile, PartRow
from crm_pipeline.lib.ingestion.landing import Manifest, Sighting

_NOT_THE_FILE = (
    OSError,
    MemoryError,
    InjectedFailureError,
    sa.exc.SQLAlchemyError,
    duckdb.IOException,
    duckdb.OutOfMemoryException,
    duckdb.InternalException,
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
)
PostConsents = Callable[..., Any]
# Entities the consent ledger hears of too: consents, and receipts for the opt-outs in them.
LEDGER_ENTITIES = ("consents", "message_receipts")


@dataclass(frozen=True)
class FileReport:
    """What happened to one file. Its name may be personal, so it is told by its hash."""

    file_id: str  # first 12 digits of the sha256; a file that was never opened has none
    outcome: str  # written · refused · duplicate · waiting
    received: int = 0
    written: int = 0
    quarantined: int = 0
    file_sha256: str | None = None
    part_path: str | None = None
    quarantine_path: str | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    reason_code: str | None = None
    message: str | None = None
    remedy: str | None = None
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_balanced(self) -> bool:
        """One record in is exactly one record out."""
        return self.received == self.written + self.quarantined


@dataclass(frozen=True)
class FeedReport:
    """What one look into a feed's folder did."""

    feed: str
    channel: str
    entity: str
    contract_hash: str
    files: tuple[FileReport, ...] = ()
    unchanged_count: int = 0
    seconds: float = 0.0

    @property
    def received(self) -> int:
        return sum(file.received for file in self.files)

    @property
    def written(self) -> int:
        return sum(file.written for file in self.files)

    @property
    def quarantined(self) -> int:
        return sum(file.quarantined for file in self.files)

    @property
    def refused(self) -> tuple[FileReport, ...]:
        return tuple(file for file in self.files if file.outcome == "refused")

    @property
    def is_balanced(self) -> bool:
        """Every file's records are accounted for."""
        return all(file.is_balanced for file in self.files)

    @property
    def has_news(self) -> bool:
        """Whether anything was written or refused."""
        return any(file.outcome in ("written", "refused") for file in self.files)

    def part_paths(self, home: CrmHome) -> list[Path]:
        """The parts written now."""
        return [
            home.root / f.part_path for f in self.files if f.outcome == "written" and f.part_path
        ]

    def describe(self) -> dict[str, Any]:
        """Counts and reasons for asset metadata; no name, no value of any record."""
        reasons: dict[str, int] = {}
        for file in self.files:
            for code, count in file.reasons.items():
                reasons[code] = reasons.get(code, 0) + count
        return {
            "received": self.received,
            "written": self.written,
            "quarantined": self.quarantined,
            "quarantined_by_reason": reasons,
            "files_written": sum(f.outcome == "written" for f in self.files),
            "files_refused": {f.file_id: f"{f.reason_code}: {f.message}" for f in self.refused},
            "files_duplicate": sum(f.outcome == "duplicate" for f in self.files),
            "files_waiting": sum(f.outcome == "waiting" for f in self.files),
            "files_unchanged": self.unchanged_count,
            "warnings": sorted({w for f in self.files for w in f.warnings}),
            "seconds": round(self.seconds, 3),
            "contract_hash": self.contract_hash,
        }


def ingest_feed(
    home: CrmHome,
    ledger: sa.Engine,
    spec: FeedSpec,
    landing_dir: Path,
    *,
    received_at: datetime,
    post_consents: PostConsents | None = None,
    stable_seconds: float = 0.0,
) -> FeedReport:
    """Takes in what is new in the feed's landing folder.

    Kept files are read again if the contract changed. One broken file never stops the others: it
    is refused with a reason and the rest go on.

    Args:
        home: where raw files, parts and quarantine are kept.
        ledger: holds the inbox.
        spec: the feed.
        landing_dir: the folder above all feeds' folders; it is never changed.
        received_at: the inbox time of new files, UTC.
        post_consents: receives the records of a consent feed before they count.
        stable_seconds: how long a file without companion must have been at rest.
    """
    if spec.entity in LEDGER_ENTITIES and post_consents is None:
        raise ConfigError(
            f"{spec.feed} delivers consents or opt-outs; post_consents is needed",
            remedy="pass the consent ledger's function",
        )
    began = time.perf_counter()
    door = _Door(home, ledger, spec, _utc(received_at), post_consents)
    found = landing.scan(spec, landing_dir, stable_seconds=stable_seconds)
    reports = [_not_a_file(refusal) for refusal in found.refused]
    reports += [FileReport("", "waiting") for _ in found.waiting]
    with parts.lazy_engine(home) as engine:
        unchanged, news = door.take_in(engine, found.complete)
        reports += news
        reports += door.catch_up(engine)
    return FeedReport(
        spec.feed,
        spec.channel,
        spec.entity,
        spec.contract_hash,
        tuple(reports),
        unchanged,
        time.perf_counter() - began,
    )


def replay(
    home: CrmHome,
    ledger: sa.Engine,
    spec: FeedSpec,
    file_sha256: str | None = None,
    *,
    post_consents: PostConsents | None = None,
) -> FeedReport:
    """Processes kept raw files again under the feed's present contract.

    Args:
        home: where raw files, parts and quarantine are kept.
        ledger: holds the inbox.
        spec: the feed.
        post_consents: receives the records of a consent feed before they count.
        file_sha256: one file, even against its manifest; default: every file with quarantined
            records, or refused whole for another reason than its manifest, and every file
            whose part is no longer on disk.
    """
    began = time.perf_counter()
    door = _Door(home, ledger, spec, None, post_consents)
    known = inbox.files_of(ledger, spec.feed)
    held = inbox.held_by_manifest(ledger, spec.feed)
    chosen = [sha for sha in inbox.with_quarantine(ledger, spec.feed) if sha not in held]
    chosen = sorted({*chosen, *inbox.with_lost_part(home, ledger, spec.feed)})
    chosen = [file_sha256] if file_sha256 else chosen
    if file_sha256 and file_sha256 not in known:
        raise ConfigError(
            f"{spec.feed} never received the file {file_sha256[:12]}…",
            remedy="check feed and hash in the inbox",
        )
    with parts.lazy_engine(home) as engine:
        reports = [door.process(engine, known[sha256], None, None) for sha256 in chosen]
    return FeedReport(
        spec.feed,
        spec.channel,
        spec.entity,
        spec.contract_hash,
        tuple(reports),
        0,
        time.perf_counter() - began,
    )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _not_a_file(refusal: landing.Refusal) -> FileReport:
    return FileReport(
        "",
        "refused",
        reason_code=refusal.reason_code,
        message=refusal.message,
        remedy=refusal.remedy,
    )


@dataclass
class _Door:
    """One feed's door."""

    home: CrmHome
    ledger: sa.Engine
    spec: FeedSpec
    received_at: datetime | None
    post_consents: PostConsents | None

    def take_in(
        self, engine: Callable[[], duckdb.DuckDBPyConnection], found: Sequence[Sighting]
    ) -> tuple[int, list[FileReport]]:
        """Processes the files whose sighting is new.

        Returns how many were unchanged, and the news.
        """
        seen = inbox.sightings(self.ledger, self.spec.feed)
        fresh = [s for s in found if seen.get(inbox.path_key(s), (None,))[0] != s.state]
        if not fresh:
            return len(found), []
        known = inbox.files_of(self.ledger, self.spec.feed)
        held = inbox.held_by_manifest(self.ledger, self.spec.feed)
        settled = inbox.settled(self.ledger, self.spec) - held
        reports, duplicates = [], []
        for sighting in fresh:
            kept, report = self._keep(sighting)
            if kept is None:
                reports.append(report)
            elif kept.sha256 in settled:
                duplicates.append((sighting, kept.sha256))
                reports.append(FileReport(kept.sha256[:12], "duplicate", file_sha256=kept.sha256))
            else:
                file = known.get(kept.sha256) or self._new_file(sighting, kept)
                reports.append(self.process(engine, file, sighting, sighting))
                settled.add(kept.sha256)
        inbox.record_sightings(self.ledger, self.spec.feed, duplicates)
        return len(found) - len(fresh), reports

    def _keep(self, sighting: Sighting) -> tuple[raw_store.RawFile | None, FileReport]:
        try:
            return raw_store.keep(self.home, sighting), FileReport("", "waiting")
        except raw_store.ChangedUnderneathError:
            return None, FileReport("", "waiting", message="the file changed while it was copied")
        except LandingError as error:
            return None, _refused("", error)

    def _new_file(self, sighting: Sighting, kept: raw_store.RawFile) -> InboxFile:
        assert self.received_at is not None
        return InboxFile(kept.sha256, sighting.shown_name, kept.size_bytes, self.received_at)

    def catch_up(self, engine: Callable[[], duckdb.DuckDBPyConnection]) -> list[FileReport]:
        """Kept files that the present contract has not read yet."""
        settled = inbox.settled(self.ledger, self.spec)
        settled |= inbox.held_by_manifest(self.ledger, self.spec.feed)
        known = inbox.files_of(self.ledger, self.spec.feed)
        return [
            self.process(engine, file, None, None)
            for sha, file in known.items()
            if sha not in settled
        ]

    def process(
        self,
        engine: Callable[[], duckdb.DuckDBPyConnection],
        file: InboxFile,
        sighting: Sighting | None,
        companion: Sighting | None,
    ) -> FileReport:
        """Reads one kept file and makes the result count."""
        began = time.perf_counter()
        report, row = self._attempt(engine, file, companion)
        is_first = inbox.settle(self.ledger, self.spec, file, row, sighting)
        if not is_first and sighting is not None:
            report = FileReport(report.file_id, "duplicate", file_sha256=file.file_sha256)
        return replace(report, seconds=time.perf_counter() - began)

    def _attempt(
        self,
        engine: Callable[[], duckdb.DuckDBPyConnection],
        file: InboxFile,
        companion: Sighting | None,
    ) -> tuple[FileReport, PartRow]:
        try:
            manifest = landing.read_manifest(companion.path) if companion else None
            _check_manifest(file, manifest)
            done = self._convert_anywhere(engine(), file, manifest, companion)
        except LandingError as error:
            return self._refuse(file, error)
        except _NOT_THE_FILE:
            raise  # the machine's trouble or ours: the run fails, loudly, and is repeated
        except (
            pa.ArrowException,
            duckdb.Error,
            ValueError,
            TypeError,
            KeyError,
            RecursionError,
        ) as error:
            if isinstance(error, CrmError):
                raise
            return self._refuse(file, _unexpected(error))
        row = PartRow(
            self.spec.contract_hash,
            "active",
            done.received,
            done.written,
            done.quarantined,
            done.part_path,
            done.quarantine_path,
        )
        return _written(file, done), row

    def _convert_anywhere(
        self,
        engine: duckdb.DuckDBPyConnection,
        file: InboxFile,
        manifest: Manifest | None,
        landed: Sighting | None,
    ) -> parts.Conformed:
        """Reads the landed file in place; if that fails in any way, the kept bytes decide."""
        if landed is not None:
            try:
                return self._convert(engine, file, manifest, landed)
            except (LandingError, raw_store.ChangedUnderneathError):
                pass
        return self._convert(engine, file, manifest, None)

    def _convert(
        self,
        engine: duckdb.DuckDBPyConnection,
        file: InboxFile,
        manifest: Manifest | None,
        landed: Sighting | None,
    ) -> parts.Conformed:
        facts = FileFacts(file.file_sha256, file.received_at, _known_at(self.spec, file.file_name))
        proven = manifest is not None and (manifest.sha256 is not None or manifest.size is not None)
        opened = readers.opener(
            self.home, self.spec, file.file_sha256, is_proven_whole=proven, landed=landed
        )
        done = parts.write_parts(self.home, engine, self.spec, facts, opened, manifest)
        if self.spec.entity in LEDGER_ENTITIES and self.post_consents and done.part_path:
            failpoint("consents_before")
            table = pq.read_table(self.home.root / done.part_path, partitioning=None)
            self.post_consents(table, feed=self.spec.feed, file_sha256=file.file_sha256)
            failpoint("consents_after")
        return done

    def _refuse(self, file: InboxFile, error: LandingError) -> tuple[FileReport, PartRow]:
        message = error.what if not error.remedy else f"{error.what}; {error.remedy}"
        row = PartRow(
            self.spec.contract_hash, "refused", reason_code=error.reason_code, message=message
        )
        return _refused(file.file_sha256, error), row


def _written(file: InboxFile, done: parts.Conformed) -> FileReport:
    return FileReport(
        file.file_sha256[:12],
        "written",
        done.received,
        done.written,
        done.quarantined,
        file.file_sha256,
        done.part_path,
        done.quarantine_path,
        dict(done.reasons),
        warnings=done.warnings,
    )


def _refused(sha256: str, error: LandingError) -> FileReport:
    return FileReport(
        sha256[:12],
        "refused",
        file_sha256=sha256 or None,
        reason_code=error.reason_code,
        message=error.what,
        remedy=error.remedy,
    )


def _unexpected(error: Exception) -> LandingError:
    # The text of the error may quote the record, so only its kind is kept.
    return LandingError(
        f"the parser failed on this file ({type(error).__name__})",
        reason_code="unexpected",
        remedy="keep the file and report the defect; the raw bytes are safe",
    )


def _check_manifest(file: InboxFile, manifest: Manifest | None) -> None:
    if manifest is None:
        return
    if manifest.size is not None and manifest.size != file.size_bytes:
        raise LandingError(
            f"{file.size_bytes} bytes; the manifest says {manifest.size}",
            reason_code="size_differs",
            remedy="ask the source for the whole file",
        )
    if manifest.sha256 is not None and manifest.sha256 != file.file_sha256:
        raise LandingError(
            "the hash differs from the manifest",
            reason_code="sha256_differs",
            remedy="deliver it again",
        )


def _known_at(spec: FeedSpec, file_name: str) -> datetime | None:
    """The delivery time in the file's name, UTC; a day without a time ends with its last second."""
    known = spec.known_at
    if known.file_name is None or known.format is None:
        return None
    match = re.search(known.file_name, file_name)
    try:
        local = datetime.strptime(match.group(1) if match else "", known.format)  # noqa: DTZ007
    except ValueError as error:
        raise LandingError(
            "the file's name does not hold its delivery time",
            reason_code="known_at",
            remedy=f"name files so that {known.file_name!r} finds a {known.format!r} in them",
        ) from error
    if is_day(known.format):
        local += timedelta(seconds=86399)
    return local.replace(tzinfo=ZoneInfo(spec.timezone)).astimezone(UTC).replace(tzinfo=None)


def total_of(reports: Iterable[FeedReport]) -> dict[str, int]:
    """Sums over feeds, for a summary."""
    reports = list(reports)
    return {
        "received": sum(r.received for r in reports),
        "written": sum(r.written for r in reports),
        "quarantined": sum(r.quarantined for r in reports),
        "refused": sum(len(r.refused) for r in reports),
    }
