"""Raw bytes, kept unchanged under their own SHA-256.

Add here: how they are kept and proven.
Not here: what they mean.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from crm_pipeline.lib import files
from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.landing import Sighting, sighting_of

# Arrow streams zstd at level 1: it keeps up with the disk; higher levels would cost more than the
# rest of the door.


class ChangedUnderneathError(Exception):
    """The file changed while it was copied; it is left for the next run."""


@dataclass(frozen=True)
class RawFile:
    """Bytes in the raw store."""

    sha256: str
    size_bytes: int
    path: Path


def raw_path(home: CrmHome, sha256: str) -> Path:
    """Where the bytes of ``sha256`` are kept."""
    return home.raw / sha256[:2] / f"{sha256}.zst"


def keep(home: CrmHome, sighting: Sighting) -> RawFile:
    """Copies a landed file into the store, hashing while copying; nothing is written twice.

    Raises:
        ChangedUnderneathError: size, time or inode differ from the sighting, before or after.
    """
    failpoint("raw_copy_before")
    with _open_plain(sighting) as source:
        digest, size, temporary = _compress(home, source)
        try:
            if (
                sighting_of(sighting.path, os.fstat(source.fileno())).own_state
                != sighting.own_state
            ):
                raise ChangedUnderneathError
            target = raw_path(home, digest)
            _move_into_place(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    failpoint("raw_copy_after")
    return RawFile(digest, size, target)


@contextmanager
def _open_plain(sighting: Sighting) -> Iterator[IO[bytes]]:
    """Opens without following a link and without waiting on a pipe put there since the scan."""
    flags = (
        os.O_RDONLY
        | getattr(os, "O_NOFOLLOW", 0)
        | getattr(os, "O_NONBLOCK", 0)
        | getattr(os, "O_BINARY", 0)
    )
    try:
        handle = os.open(sighting.path, flags)
    except FileNotFoundError as error:
        raise ChangedUnderneathError from error
    except OSError as error:
        raise LandingError(
            f"the file cannot be opened: {error.strerror}",
            reason_code="unreadable",
            where=sighting.shown_name,
            remedy="give this user the right to read it",
        ) from error
    with os.fdopen(handle, "rb", buffering=0) as source:
        if sighting_of(sighting.path, os.fstat(source.fileno())).own_state != sighting.own_state:
            raise ChangedUnderneathError
        yield source


def _compress(home: CrmHome, source: IO[bytes]) -> tuple[str, int, Path]:
    home.raw.mkdir(parents=True, exist_ok=True)
    temporary = home.raw / f".tmp-{os.getpid()}-{os.urandom(6).hex()}"
    digest, size = hashlib.sha256(), 0
    try:
        with (
            pa.OSFile(str(temporary), "wb") as sink,
            pa.CompressedOutputStream(sink, "zstd") as packed,
        ):
            while block := source.read(files.BLOCK_BYTES):
                failpoint("raw_copy_during")
                digest.update(block)
                size += len(block)
                packed.write(block)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return digest.hexdigest(), size, temporary


def _move_into_place(temporary: Path, target: Path) -> None:
    if target.exists():
        return
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.fsync_dir(target.parent.parent)
    files.fsync_file(temporary)
    temporary.replace(target)
    files.fsync_dir(target.parent)


@contextmanager
def open_raw(home: CrmHome, sha256: str) -> Iterator[IO[bytes]]:
    """The bytes kept under ``sha256``, as a stream that proves them at its end.

    Raises:
        LandingError: the raw file is missing or damaged.
    """
    path = raw_path(home, sha256)
    if not path.is_file():
        raise LandingError(
            f"the raw file {sha256[:12]}… is missing",
            reason_code="raw_missing",
            where=str(path),
            remedy="restore the raw folder from its backup, or deliver the file again",
        )
    with pa.OSFile(str(path), "rb") as packed, pa.CompressedInputStream(packed, "zstd") as plain:
        yield _Proven(plain, sha256, path)  # type: ignore[misc]


@contextmanager
def open_landed(sighting: Sighting, sha256: str) -> Iterator[IO[bytes]]:
    """The landed file itself, read in place while it still is what was kept; proven like raw bytes.

    It spares unpacking what was packed a moment ago.

    Raises:
        ChangedUnderneathError: it changed since it was seen.
        LandingError: its bytes are not those of ``sha256``.
    """
    with _open_plain(sighting) as source:
        yield _Proven(source, sha256, sighting.path)  # type: ignore[misc]


class _Proven:
    """A readable stream that compares the hash once everything was read."""

    def __init__(self, plain: Any, sha256: str, path: Path) -> None:
        self._plain, self._sha256, self._path = plain, sha256, path
        self._digest = hashlib.sha256()
        self._is_proven = False

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._plain.read(size if size >= 0 else None) or b""
        except OSError as error:
            raise self._damaged() from error
        self._digest.update(data)
        if (not data or size < 0) and not self._is_proven:
            if self._digest.hexdigest() != self._sha256:
                raise self._damaged()
            self._is_proven = True
        return bytes(data)

    def _damaged(self) -> LandingError:
        return LandingError(
            f"the raw file {self._sha256[:12]}… is damaged",
            reason_code="raw_damaged",
            where=str(self._path),
            remedy="restore it from its backup, or deliver the file again",
        )


def read_all(home: CrmHome, sha256: str, *, limit: int) -> bytes:
    """All bytes of ``sha256``, for formats that cannot be streamed.

    Raises:
        LandingError: larger than ``limit``.
    """
    with open_raw(home, sha256) as source:
        data = source.read(limit + 1)
        pieces = [data]
        total = len(data)
        while data and total <= limit:
            data = source.read(limit + 1 - total)
            pieces.append(data)
            total += len(data)
    if total > limit:
        raise LandingError(
            f"the file is larger than {limit} bytes",
            reason_code="too_large",
            remedy="deliver it as CSV, JSONL or Parquet, or split it",
        )
    return b"".join(pieces)
