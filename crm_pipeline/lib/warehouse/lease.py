"""One writer at a time.

Add here: locks between the processes of one host.
Not here: what is done while one is held.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.progress import say

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

POLL_SECONDS = 0.2
REMIND_SECONDS = 60.0
WAIT_SECONDS = 2 * 3600.0
LOCKED_BYTE = 1 << 30  # msvcrt locks bytes; one beyond the text leaves the text readable


@dataclass
class _Held:
    """A lock this process holds: the open file, who asked for it, and how many times."""

    handle: int
    holder: str
    depth: int = 1


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextmanager
def hold_lease(home: CrmHome, *, holder: str, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Holds the exclusive right to write the warehouse of ``home``, from staging to publish.

    The same ``holder`` (a run id) may take it again inside the same process; anybody else waits.
    The operating system frees the lease when the process ends, however it ends.

    Raises:
        WarehouseError: somebody else still holds it after ``wait_seconds``; the message names them.
    """
    path = home.warehouse_dir / "lease.lock"
    with hold_lock(path, holder=holder, wait_seconds=wait_seconds, what="the warehouse"):
        yield


@contextmanager
def hold_lock(path: Path, *, holder: str, wait_seconds: float, what: str) -> Iterator[None]:
    """Holds an exclusive advisory lock on ``path``; ``what`` names the thing in messages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    _acquire(path, holder, wait_seconds, what)
    try:
        yield
    finally:
        _release(path)


def read_holder(home: CrmHome) -> str | None:
    """Who wrote itself into the lease last (it may have ended since), as one readable line."""
    return _describe(home.warehouse_dir / "lease.lock")


def _acquire(path: Path, holder: str, wait_seconds: float, what: str) -> None:
    began = time.monotonic()
    next_word = began
    while not _try_acquire(path, holder):
        now = time.monotonic()
        if now - began >= wait_seconds:
            raise WarehouseError(
                f"{what} is held by {_describe(path) or 'another process'}",
                where=str(path),
                remedy="wait until that run ends, or end it: the lock goes with its process",
            )
        if now >= next_word:
            say(f"waiting for {what}: held by {_describe(path) or 'another process'}")
            next_word = now + REMIND_SECONDS
        time.sleep(min(POLL_SECONDS, wait_seconds))


def _try_acquire(path: Path, holder: str) -> bool:
    with _guard:
        mine = _held.get(path)
        if mine is not None:
            if mine.holder != holder:
                return False
            mine.depth += 1
            return True
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _lock(handle):
            os.close(handle)
            return False
        _write_holder(handle, holder)
        _held[path] = _Held(handle, holder)
        return True


def _release(path: Path) -> None:
    with _guard:
        mine = _held[path]
        mine.depth -= 1
        if mine.depth:
            return
        del _held[path]
        os.ftruncate(mine.handle, 0)
        os.close(mine.handle)  # closing frees the lock


def _lock(handle: int) -> bool:
    """Tries once. ``flock`` belongs to the open file; a child process does not inherit it."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            os.lseek(handle, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _write_holder(handle: int, holder: str) -> None:
    since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "holder": holder, "since": since})
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, text.encode())


def _describe(path: Path) -> str | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return f"{content['holder']} (process {content['pid']}, since {content['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return None
