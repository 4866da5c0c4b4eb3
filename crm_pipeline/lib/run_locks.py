"""Which runs are still alive.

Add here: how a run shows that its process lives.
Not here: what is done about a dead one (``crm_pipeline/reaper.py``).

A process that is killed leaves its run "started" for ever. A lock the operating system frees
with the process tells the two apart, on the same host, without a heartbeat.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_pipeline.lib.home import CrmHome


def _path(home: CrmHome, run_id: str) -> Path:
    return home.dagster / "alive" / f"{run_id}.lock"


_held: set[Path] = set()


@contextmanager
def hold_run_lock(home: CrmHome, run_id: str) -> Iterator[None]:
    """Shows that ``run_id`` is alive while the block runs; taking it again inside is a no-op."""
    path = _path(home, run_id)
    if path in _held:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Locked before it has its name: nobody may find it unlocked and take the run for dead.
    unnamed = path.with_suffix(f".{os.getpid()}")
    with unnamed.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.replace(path)
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)
            path.unlink(missing_ok=True)


def is_dead(home: CrmHome, run_id: str) -> bool:
    """True when the run took its lock once and no process holds it now."""
    path = _path(home, run_id)
    if not path.exists():
        return False
    with path.open("r+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def forget_run(home: CrmHome, run_id: str) -> None:
    """Removes the lock of a run that has been declared dead."""
    _path(home, run_id).unlink(missing_ok=True)
