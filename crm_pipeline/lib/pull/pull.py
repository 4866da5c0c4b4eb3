"""One pull: ask, land a file, remember how far.

Add here: the order of the steps.
Not here: a step's own work.

Every step can be killed and run again: what was pulled but not landed is pulled again, what was
landed but not remembered lands again and is a duplicate at the door.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crm_pipeline.lib.errors import PullError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.pull.landing_file import LandingFile, sweep
from crm_pipeline.lib.pull.pages import PageJudge, Record
from crm_pipeline.lib.pull.progress import Progress
from crm_pipeline.lib.pull.rest import read_rest
from crm_pipeline.lib.pull.secrets import Secrets
from crm_pipeline.lib.pull.session import CursorExpiredError, PullSession, Sleep
from crm_pipeline.lib.pull.spec import PullSpec
from crm_pipeline.lib.pull.sql import read_sql
from crm_pipeline.lib.pull.state import PullState, load_state, save_state
from crm_pipeline.lib.warehouse.lease import hold_lock

FOLDER_WAIT_SECONDS = 60.0  # it is held while one file is named, never while a source is asked
RESTARTS = 1  # a cursor that expires in two pulls running will expire in the third


@dataclass(frozen=True)
class PullReport:
    """What one pull did; no value of any record."""

    source: str
    records: int = 0
    pages: int = 0
    file_name: str | None = None
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    retries: int = 0
    token_refreshes: int = 0
    restarts: int = 0
    swept: int = 0
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing speaks against having read everything."""
        return not self.findings

    def describe(self) -> dict[str, Any]:
        """For asset metadata."""
        return {
            "records": self.records,
            "pages": self.pages,
            "file": self.file_name or "nothing new",
            "findings": list(self.findings),
            "notes": list(self.notes),
            "retries": self.retries,
            "token_refreshes": self.token_refreshes,
            "restarts": self.restarts,
            "seconds": round(self.seconds, 3),
        }


def pull_source(
    home: CrmHome,
    spec: PullSpec,
    feed: FeedSpec,
    landing_dir: Path,
    *,
    now: datetime,
    env: Mapping[str, str] | None = None,
    sleep: Sleep = time.sleep,
) -> PullReport:
    """Asks the source and lands what it sends as one file in the feed's folder.

    A pull that is not whole lands what came, tells why, and keeps its place, so that the next one
    asks for the same again.

    Args:
        home: where the place of the last pull is kept.
        spec: the source.
        feed: the feed that reads the files.
        landing_dir: the folder above all feeds' folders.
        now: the delivery time of the file, UTC.
        env: where secrets are looked up; default: the process's environment.
        sleep: how to wait between two attempts.

    Raises:
        PullError: nothing was landed.
    """
    lock = home.pull / f"{spec.source}.lock"
    what = f"the pull of {spec.source}"
    with hold_lock(lock, holder=_holder(), wait_seconds=0, what=what):
        return _Pull(home, spec, feed, landing_dir, _utc(now), Secrets(env), sleep).run()


def _holder() -> str:
    return f"process {os.getpid()}, pull {os.urandom(4).hex()}"


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass
class _Pull:
    home: CrmHome
    spec: PullSpec
    feed: FeedSpec
    landing_dir: Path
    now: datetime
    secrets: Secrets
    sleep: Sleep

    def run(self) -> PullReport:
        began = time.perf_counter()
        with self._folder_lock():
            swept = sweep(self._folder, self.spec.source)
        state = load_state(self.home, self.spec.source, self.spec.fingerprint)
        for restarts in itertools.count():
            try:
                report = self._once(state)
            except CursorExpiredError as error:
                if restarts >= RESTARTS:
                    raise PullError(
                        f"the source forgot the pull's place twice ({error})",
                        where=self._where,
                        remedy="ask for smaller ranges (incremental) or larger pages",
                    ) from None
            else:
                seconds = time.perf_counter() - began
                return replace(report, restarts=restarts, swept=swept, seconds=seconds)
        raise AssertionError

    @property
    def _folder(self) -> Path:
        return self.landing_dir / self.feed.landing_folder

    def _folder_lock(self) -> AbstractContextManager[None]:
        """Sources that land in one folder take turns at naming and clearing its files."""
        name = self.feed.landing_folder.replace("/", "-")
        return hold_lock(
            self.home.pull / f"folder-{name}.lock",
            holder=_holder(),
            wait_seconds=FOLDER_WAIT_SECONDS,
            what=f"the landing folder {self.feed.landing_folder}",
        )

    @property
    def _where(self) -> str:
        return f"pull source {self.spec.source}"

    def _once(self, state: PullState) -> PullReport:
        progress = self._progress(state)
        conversation = self._conversation()
        with LandingFile(self._folder, self.spec.source, self._where) as file:
            for record in self._records(progress, conversation):
                if progress:
                    progress.see(record)
                file.add(record)
            findings = list(conversation.judge.findings()) if conversation else []
            notes = self._judge_cursors(progress, findings)
            name = self._land(file, state)
        reached = progress.reached if progress and not findings else state.cursor
        new_state = PullState(
            self.spec.fingerprint,
            reached,
            name or state.file_name,
            file.sha256 if name else state.file_sha256,
        )
        if new_state != state:
            save_state(self.home, self.spec.source, new_state)
        report = PullReport(self.spec.source, file.records, 1, name, tuple(findings), notes)
        return conversation.tell(report) if conversation else report

    def _progress(self, state: PullState) -> Progress | None:
        cursor = self.spec.incremental
        return Progress(cursor, self.feed.timezone, self.now, state.cursor) if cursor else None

    def _judge_cursors(self, progress: Progress | None, findings: list[str]) -> tuple[str, ...]:
        """Adds what keeps the place to ``findings``; returns what is only worth telling."""
        if progress is None:
            return ()
        if progress.unreadable:
            findings.append(f"{progress.unreadable} records have no readable cursor")
        if not progress.missing:
            return ()
        if self.spec.sql:  # its query asks for them whatever the place
            return (f"{progress.missing} rows have no cursor; every pull asks for them again",)
        findings.append(f"{progress.missing} records have no cursor")
        return ()

    def _land(self, file: LandingFile, state: PullState) -> str | None:
        """A pull without a record leaves no file; the same bytes as last time need no second."""
        if file.records == 0:
            return None
        is_same = file.sha256 == state.file_sha256
        if is_same and state.file_name and (self._folder / state.file_name).is_file():
            return None
        with self._folder_lock():
            return file.land(self.feed.landing_folder, self.now, self.feed.timezone)

    def _conversation(self) -> _Conversation | None:
        if self.spec.rest is None:
            return None
        judge = PageJudge(self.spec.rest, self._where)
        session = PullSession(
            self.spec.rest, self.secrets, judge, where=self._where, sleep=self.sleep
        )
        return _Conversation(judge, session)

    def _records(
        self, progress: Progress | None, conversation: _Conversation | None
    ) -> Iterator[Record]:
        if conversation is not None:
            assert self.spec.rest is not None
            asked_with = progress.asked_with() if progress else None
            return read_rest(self.spec.rest, conversation.session, asked_with, where=self._where)
        assert self.spec.sql is not None
        return read_sql(self.spec.sql, progress, self.secrets, where=self._where)


@dataclass(frozen=True)
class _Conversation:
    """What is known after talking to a web interface."""

    judge: PageJudge
    session: PullSession

    def tell(self, report: PullReport) -> PullReport:
        return replace(
            report,
            pages=self.judge.page_count,
            retries=self.session.retry_count,
            token_refreshes=self.session.signer.refresh_count,
        )
