"""Statements every ledger writer needs in both dialects.

Add here: SQL that differs between SQLite and PostgreSQL.
Not here: what a row means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

CHUNK_ROWS = 5_000


def insert_ignore(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> int:
    """Inserts ``rows``; one that breaks a unique key is left out. Returns how many went in."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing()
    before = _count(connection, table)
    for start in range(0, len(rows), CHUNK_ROWS):
        connection.execute(statement, list(rows[start : start + CHUNK_ROWS]))
    return _count(connection, table) - before


def temporary_table(name: str, *columns: str | sa.Column | sa.Index) -> sa.Table:
    """A table of this connection alone, with text columns where only a name is given."""
    made = [sa.Column(one, sa.String) if isinstance(one, str) else one for one in columns]
    return sa.Table(name, sa.MetaData(), *made, prefixes=["TEMPORARY"])


@contextmanager
def fill_temporary(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> Iterator[sa.Table]:
    """Lends ``table`` with ``rows`` for set-based statements of the caller's transaction."""
    table.create(connection, checkfirst=False)
    for start in range(0, len(rows), CHUNK_ROWS):
        connection.execute(sa.insert(table), list(rows[start : start + CHUNK_ROWS]))
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"analyze {table.name}")
    yield table
    table.drop(connection, checkfirst=False)  # after a failure the rollback has dropped it


def _count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
