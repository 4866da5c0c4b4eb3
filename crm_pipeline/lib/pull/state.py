"""Where the last pull of a source ended.

Add here: what a pull must know of the one before.
Not here: records; nothing in here is worth a backup.

Losing a state file means that the next pull begins from ``start`` again: the door knows the records
that come twice. A state of other settings is not used.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import PRIVATE, CrmHome


@dataclass(frozen=True)
class PullState:
    """What is kept of a source between pulls."""

    fingerprint: str
    cursor: str | None = None
    file_name: str | None = None
    file_sha256: str | None = None


def state_path(home: CrmHome, source: str) -> Path:
    """The file of one source."""
    return home.pull / f"{source}.json"


def load_state(home: CrmHome, source: str, fingerprint: str) -> PullState:
    """The state of the same settings, or an empty one: lost, damaged and outdated are alike."""
    try:
        said = json.loads(state_path(home, source).read_text(encoding="utf-8"))
        found = PullState(**said)
        texts = (found.cursor, found.file_name, found.file_sha256)
        if found.fingerprint == fingerprint and all(isinstance(t, str | None) for t in texts):
            return found
    except (OSError, ValueError, TypeError):
        pass
    return PullState(fingerprint)


def save_state(home: CrmHome, source: str, state: PullState) -> None:
    """Replaces the state; the file it speaks of has landed before."""
    home.pull.mkdir(parents=True, exist_ok=True)
    home.pull.chmod(PRIVATE)
    failpoint("pull_state_before")
    with atomic_path(state_path(home, source)) as temporary:
        temporary.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    failpoint("pull_state_after")
