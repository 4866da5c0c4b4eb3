"""Files that are whole or absent.

Add here: ways to write and hash files safely.
Not here: what stands in them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

BLOCK_BYTES = 4 * 1024 * 1024
PARQUET_ROW_GROUP = 122_880  # DuckDB's own size: one row group is one unit of parallel work

Compression = Literal["zstd", "snappy", "none"]


def fsync_dir(folder: Path) -> None:
    """Makes renames inside ``folder`` survive a power loss, where folders can be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows does not open folders; NTFS journals the rename itself
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_file(path: Path) -> None:
    """Forces the bytes of ``path`` to the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``target`` and moves it there, durably, at success.

    A reader sees the old file or the whole new one. A crash leaves at most a ``.tmp-`` file,
    which :func:`sweep_temporaries` removes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".tmp-{os.getpid()}-{os.urandom(4).hex()}-{target.name[-80:]}"
    try:
        yield temporary
        fsync_file(temporary)
        temporary.replace(target)
        fsync_dir(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporaries(folder: Path, *, older_than_seconds: float, now: float) -> int:
    """Removes what crashed writers left below ``folder``; returns how many files went."""
    removed = 0
    for path in folder.rglob(".tmp-*"):
        if path.is_file() and now - path.stat().st_mtime > older_than_seconds:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of the file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_parquet(table: pa.Table, target: Path, *, compression: Compression = "zstd") -> None:
    """Writes ``table`` to ``target`` atomically."""
    with atomic_path(target) as temporary:
        pq.write_table(
            table,
            temporary,
            compression=compression,
            compression_level=1 if compression == "zstd" else None,
            row_group_size=PARQUET_ROW_GROUP,
        )
