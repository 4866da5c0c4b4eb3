"""Facts that were decided or published and are never recomputed.

Add here: how a dated slice is appended, found and read.
Not here: what a tier or a decision means.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import sha256_of, write_parquet
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import history_slices


@dataclass(frozen=True)
class Slice:
    """One revision of one table at one date."""

    table_name: str
    as_of_date: dt.date
    revision: int
    path: Path
    sha256: str
    row_count: int
    is_new: bool = False


def write_slice(
    home: CrmHome,
    ledger: sa.Engine,
    *,
    table_name: str,
    as_of: dt.date,
    data: pa.Table,
    reason: str,
    also: Callable[[sa.Connection, Slice], None] | None = None,
) -> Slice:
    """Appends the slice of ``as_of``; the same content again is a no-op.

    Other content becomes a new revision with its ``reason``; the older file stays. File and
    pointer are written inside one ledger transaction, so two writers cannot take one number.
    ``also`` writes to the ledger in the same transaction: both are on record, or neither.
    """
    with ledger.begin() as connection:
        current = find_slice(home, connection, table_name, as_of)
        if current is not None and read_slice(current).equals(data):
            if also is not None:
                also(connection, current)
            return current
        revision = _next_revision(connection, table_name, as_of)
        folder = home.history / table_name / f"as_of={as_of.isoformat()}"
        path = folder / f"{table_name}-r{revision}.parquet"
        failpoint("history_before")
        write_parquet(data, path)
        failpoint("history_after")
        made = Slice(table_name, as_of, revision, path, sha256_of(path), data.num_rows, True)
        _point_to(connection, home, made, reason)
        if also is not None:
            also(connection, made)
    failpoint("history_recorded")
    return made


def active_slices(home: CrmHome, connection: sa.Connection, table_name: str) -> list[Slice]:
    """The active slice of every date of a table, oldest date first."""
    query = (
        sa.select(history_slices)
        .where(history_slices.c.table_name == table_name, history_slices.c.is_active.is_(True))
        .order_by(history_slices.c.as_of_date)
    )
    return [_to_slice(home, row) for row in connection.execute(query)]


def find_slice(
    home: CrmHome, connection: sa.Connection, table_name: str, as_of: dt.date
) -> Slice | None:
    """The active slice of one date, or None."""
    query = sa.select(history_slices).where(
        history_slices.c.table_name == table_name,
        history_slices.c.as_of_date == as_of,
        history_slices.c.is_active.is_(True),
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _to_slice(home, row)


def find_slice_by_hash(
    home: CrmHome, connection: sa.Connection, table_name: str, as_of: dt.date, sha256: str
) -> Slice | None:
    """Any revision of one date, active or not, by the hash of its bytes."""
    query = sa.select(history_slices).where(
        history_slices.c.table_name == table_name,
        history_slices.c.as_of_date == as_of,
        history_slices.c.sha256 == sha256,
    )
    row = connection.execute(query.order_by(history_slices.c.revision).limit(1)).one_or_none()
    return None if row is None else _to_slice(home, row)


def read_slice(found: Slice) -> pa.Table:
    """Reads a slice after checking its bytes against the pointer.

    Raises:
        LedgerError: the file is gone or is not what was written.
    """
    if not found.path.is_file() or sha256_of(found.path) != found.sha256:
        state = "changed" if found.path.is_file() else "gone"
        raise LedgerError(
            f"a history slice is {state}: {found.table_name} at {found.as_of_date}",
            where=str(found.path),
            remedy="restore the file from its backup; history is never recomputed",
        )
    return pq.ParquetFile(found.path).read()


def _next_revision(connection: sa.Connection, table_name: str, as_of: dt.date) -> int:
    newest = sa.select(sa.func.max(history_slices.c.revision)).where(
        history_slices.c.table_name == table_name, history_slices.c.as_of_date == as_of
    )
    return int(connection.execute(newest).scalar() or 0) + 1


def _point_to(connection: sa.Connection, home: CrmHome, made: Slice, reason: str) -> None:
    connection.execute(
        sa.update(history_slices)
        .where(
            history_slices.c.table_name == made.table_name,
            history_slices.c.as_of_date == made.as_of_date,
        )
        .values(is_active=False)
    )
    connection.execute(
        sa.insert(history_slices).values(
            table_name=made.table_name,
            as_of_date=made.as_of_date,
            revision=made.revision,
            path=made.path.relative_to(home.root).as_posix(),
            sha256=made.sha256,
            row_count=made.row_count,
            reason=reason,
            is_active=True,
        )
    )


def _to_slice(home: CrmHome, row: sa.Row) -> Slice:
    return Slice(
        row.table_name,
        row.as_of_date,
        row.revision,
        home.root / row.path,
        row.sha256,
        row.row_count,
    )
