"""Opens DuckDB files.

Add here: what every connection must have.
Not here: queries.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.progress import say

T = TypeVar("T")

LOCK_WAIT_SECONDS = 30.0
POLL_SECONDS = 0.25
MEMORY_SHARE = 0.6  # the rest is for pandas and Arrow, which live in the same process

# DuckDB 2.0.0 folds sums after a left join with an empty side to 0; see test_dbt_engine_traps.
_UNSOUND = "statistics_propagation"
_LOCKED = re.compile(r"Could not set lock on file|being used by another process")
_PID = re.compile(r"PID (\d+)")
_DAMAGED = re.compile(
    r"not a valid DuckDB database file|Corrupt database file|Could not read enough bytes"
    r"|Failure while replaying WAL|Serialization Error|database file with version number"
    r"|Failed to deserialize|read out of range|INTERNAL Error",
    re.IGNORECASE,
)


def is_damage(message: str) -> bool:
    """Whether an error text (of DuckDB, or of dbt quoting it) says that the file is damaged."""
    return bool(_DAMAGED.search(message))


def is_locked(message: str) -> bool:
    """Whether an error text of DuckDB says that another process holds the file."""
    return bool(_LOCKED.search(message))


def locked_error(path: Path, message: str) -> WarehouseError:
    """The error to raise then, naming the process where the system tells it."""
    found = _PID.search(message)
    who = f"process {found.group(1)}" if found else "another process"
    return WarehouseError(
        f"the warehouse file is held by {who}",
        where=str(path),
        remedy="close that program; BI reads published/current, never the warehouse file",
    )


def fetch_row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: object = None
) -> tuple[Any, ...]:
    """The only row of a query, read to its end: DuckDB 2 refuses work beside an open result."""
    rows = connection.execute(query, parameters).fetchall()
    if len(rows) != 1:
        raise ValueError(f"one row expected, found {len(rows)}: {query}")
    row: tuple[Any, ...] = rows[0]
    return row


def retry_while_locked(path: Path, action: Callable[[], T], wait_seconds: float) -> T:
    """Runs ``action`` on a DuckDB file, again and again while another process holds the file."""
    began = time.monotonic()
    while True:
        try:
            return action()
        except duckdb.Error as error:
            if not is_locked(str(error)):
                raise
            if time.monotonic() - began >= wait_seconds:
                raise locked_error(path, str(error)) from error
            time.sleep(POLL_SECONDS)


@contextmanager
def open_warehouse(
    path: Path, read_only: bool = False, *, wait_seconds: float = LOCK_WAIT_SECONDS
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens the warehouse file, and closes it when the block ends, so that dbt can have it next.

    A damaged file is set aside and a new one started: the warehouse can be rebuilt from raw files,
    ledger and history. Opened read-only it is never touched.

    Raises:
        WarehouseError: another process holds the file, or a read-only file is absent or damaged.
    """
    connection = _connect(path, read_only, wait_seconds)
    try:
        configure(connection, path.parent)
        yield connection
    finally:
        connection.close()


def configure(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Sets zone, threads, memory and spill folder, so that results do not depend on the host."""
    threads = int(os.environ.get("CRM_THREADS") or os.cpu_count() or 1)
    spill = str(folder / ".spill").replace("'", "''")
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"set disabled_optimizers = '{_UNSOUND}'")
    connection.execute(f"set threads = {max(1, threads)}")
    connection.execute(f"set memory_limit = '{_memory_limit()}'")
    connection.execute(f"set temp_directory = '{spill}'")
    connection.execute("set enable_progress_bar = false")


@contextmanager
def joined_as_written(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Joins in the order of the query, and looks rows up in the right one of each two tables.

    For a query whose first table is much wider than the others and not longer: the optimiser counts
    rows alone, may look them up in the wide table, and copies all of it for that.
    """
    connection.execute(f"set disabled_optimizers = '{_UNSOUND},join_order,build_side_probe_side'")
    try:
        yield
    finally:
        connection.execute(f"set disabled_optimizers = '{_UNSOUND}'")


def set_aside(path: Path, why: str) -> Path:
    """Moves a damaged warehouse (and its write-ahead log) out of the way; returns the new name."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    log = path.with_name(f"{path.name}.wal")
    if log.exists():
        log.replace(kept.with_name(f"{kept.name}.wal"))
    path.replace(kept)
    say(f"the warehouse file was damaged and is rebuilt; kept as {kept.name} ({why})")
    return kept


def _connect(path: Path, read_only: bool, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    path.parent.mkdir(parents=True, exist_ok=True)

    def connect() -> duckdb.DuckDBPyConnection:
        return duckdb.connect(str(path), read_only=read_only)

    try:
        return retry_while_locked(path, connect, wait_seconds)
    except duckdb.Error as error:
        message = str(error)
        if read_only or not path.exists() or not is_damage(message):
            raise _unreadable(path, message) from error
        set_aside(path, message.splitlines()[0][:160])
    return connect()


def _unreadable(path: Path, message: str) -> WarehouseError:
    return WarehouseError(
        f"the warehouse file cannot be opened: {message.splitlines()[0]}",
        where=str(path),
        remedy="run the nightly job: it builds the warehouse anew from raw files and ledger",
    )


def _memory_limit() -> str:
    given = os.environ.get("CRM_MEMORY_LIMIT")
    if given:
        if not re.fullmatch(r"\d+(\.\d+)?\s*(KB|MB|GB|TB|KiB|MiB|GiB|TiB)", given):
            raise WarehouseError(
                f"CRM_MEMORY_LIMIT={given} is no size",
                remedy="write for example CRM_MEMORY_LIMIT=4GB",
            )
        return given
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return "4GB"
    return f"{max(512, int(total * MEMORY_SHARE) // 2**20)}MiB"
