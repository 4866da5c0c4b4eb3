"""Who judges landed parts, and when.

Add here: how a verdict is kept, and the process that judges beside the door.
Not here: the expectations themselves (``expectations``).

Great Expectations takes seconds to import and a third of a second per feed. So a run may start a
process that judges each feed as soon as its files are in, on the other core. Its verdicts are
files; what it did not get to, because it was not started or was killed, is judged where the
verdict is wanted.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

import sqlalchemy as sa

from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import expectations, inbox
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.feeds import load_feeds

NICENESS = 10  # the run itself goes first
PATIENCE_SECONDS = 600  # for what was told, before the rest is judged here


@dataclass(frozen=True)
class Verdict:
    """The last verdict on a feed, and the active parts that have had one."""

    failed: Mapping[str, int] = field(default_factory=dict)
    is_error: bool = False
    expectations: int = 0
    judged: Sequence[str] = ()


def judge_feed(home: CrmHome, ledger: sa.Engine, spec: FeedSpec) -> Verdict:
    """Judges the feed's active parts that have had no verdict; without any, the last one stands."""
    active = inbox.active_parts(ledger, spec.feed)
    last = _read(home, spec)
    known = set(last.judged)
    new = [home.root / path for path in active if Path(path).name not in known]
    if not new:
        return last
    outcomes = expectations.validate_parts(home, spec, new)
    failed = [outcome for outcome in outcomes if not outcome.success]
    verdict = Verdict(
        {outcome.name: outcome.unexpected_count for outcome in failed},
        any(outcome.severity == "error" for outcome in failed),
        len(outcomes),
        sorted(Path(path).name for path in active),
    )
    with atomic_path(_path(home, spec)) as temporary:
        temporary.write_text(json.dumps(asdict(verdict)), encoding="utf-8")
    return verdict


def _path(home: CrmHome, spec: FeedSpec) -> Path:
    return home.data_docs / f"{spec.feed}.json"


def _read(home: CrmHome, spec: FeedSpec) -> Verdict:
    """A verdict that cannot be read is none: the parts are judged again."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Verdict(**json.loads(_path(home, spec).read_text(encoding="utf-8")))
    return Verdict()


# ----------------------------------------------------------------- the process beside the door

_beside: list[subprocess.Popen[str]] = []


def start(home: CrmHome, channels: Path) -> None:
    """Starts the process; ``finish`` ends it."""
    if not _beside:
        command = [sys.executable, "-m", "crm_pipeline.lib.ingestion.judge"]
        _beside.append(
            subprocess.Popen(
                [*command, str(home.root), str(channels)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )


def tell(feed: str) -> None:
    """The feed's files are in. Without the process this says nothing to nobody."""
    for process in _beside:
        with contextlib.suppress(OSError):  # it has died; the check judges for itself
            assert process.stdin is not None
            process.stdin.write(f"{feed}\n")
            process.stdin.flush()


def finish() -> None:
    """Waits until everything that was told has been judged."""
    while _beside:
        process = _beside.pop()
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_SECONDS)
        process.kill()
        process.wait()


def _judge_as_told(home: CrmHome, channels: Path, told: IO[str]) -> None:
    from crm_pipeline.lib.ledger import open_ledger

    gc.disable()  # a fifth of the import, which throws nothing away
    expectations.warm_up()
    gc.freeze()
    gc.enable()
    specs = {spec.feed: spec for spec in load_feeds(channels)}
    ledger = open_ledger(home)
    for line in told:
        judge_feed(home, ledger, specs[line.strip()])


def main() -> None:
    """``python -m crm_pipeline.lib.ingestion.judge <home> <channels>``, feeds by standard input."""
    from crm_pipeline.dbt_launcher import die_with_parent

    die_with_parent()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    _judge_as_told(CrmHome(Path(sys.argv[1])), Path(sys.argv[2]), sys.stdin)


if __name__ == "__main__":
    main()
