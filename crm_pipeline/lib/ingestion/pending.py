"""What the door would do if it were opened now.

Add here: questions a sensor or a person asks.
Not here: doing it (``ingest``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import sqlalchemy as sa

from crm_pipeline.lib.ingestion import inbox, landing
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec


def has_files(spec: FeedSpec, landing_dir: Path) -> bool:
    """Whether the feed's folder holds any file of its pattern, taken in or not."""
    found = landing.scan(spec, landing_dir)
    return bool(found.complete or found.waiting)


def list_pending(
    ledger: sa.Engine, spec: FeedSpec, landing_dir: Path, *, stable_seconds: float = 0.0
) -> list[str]:
    """One mark per piece of work the door would do.

    That is a complete file not seen in this state, or a kept file the present contract has not
    read. A mark is stable while the work stays undone and changes with the file, so a run key may
    be made of it. It holds no name: names can be personal.
    """
    seen = inbox.sightings(ledger, spec.feed)
    marks = [
        _mark(inbox.path_key(found), *found.state)
        for found in landing.scan(spec, landing_dir, stable_seconds=stable_seconds).complete
        if seen.get(inbox.path_key(found), (None,))[0] != found.state
    ]
    settled = inbox.settled(ledger, spec) | inbox.held_by_manifest(ledger, spec.feed)
    marks += [
        _mark(sha256, spec.contract_hash)
        for sha256 in inbox.files_of(ledger, spec.feed)
        if sha256 not in settled
    ]
    return sorted(marks)


def _mark(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]
