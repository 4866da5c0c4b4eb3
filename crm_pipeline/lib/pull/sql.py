"""Records of a database table, through dlt's SQL source.

Add here: what dlt is told, how a database value becomes text.
Not here: where the next pull begins (``progress``).

The table is read by one statement, so one pull sees one state of it. Nothing is ever written: only
databases are asked that let us say so when they are opened.
"""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from crm_pipeline.lib.errors import PullError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.pull.network import check_host
from crm_pipeline.lib.pull.pages import Record
from crm_pipeline.lib.pull.progress import Progress
from crm_pipeline.lib.pull.rest import quiet, unwrapped
from crm_pipeline.lib.pull.secrets import Secrets
from crm_pipeline.lib.pull.spec import SqlSpec

CONNECT_SECONDS = 10
POSTGRES_DRIVERS = ("psycopg", "psycopg2")


def read_sql(
    spec: SqlSpec, progress: Progress | None, secrets: Secrets, *, where: str
) -> Iterator[Record]:
    """Every row of the table that may have changed, as text and plain values.

    Raises:
        PullError: the database cannot be reached or read.
    """
    engine = _engine(secrets.read(spec.connection), where)
    try:
        with quiet(), unwrapped(where), _explained(where):
            from dlt.sources.sql_database import sql_table  # seconds to import

            def only_new(query: Any, table: sa.Table, *_: object) -> Any:
                return query if progress is None else _since(query, table, spec, progress)

            rows = sql_table(
                credentials=engine,
                table=spec.table,
                schema=spec.schema_name,
                included_columns=spec.columns,
                chunk_size=spec.chunk_rows,
                backend="sqlalchemy",
                reflection_level="minimal",
                query_adapter_callback=only_new,
            )
            for count, row in enumerate(rows):
                if count % spec.chunk_rows == 0:
                    failpoint("pull_page")
                yield {name: plain_value(value) for name, value in row.items()}
    finally:
        engine.dispose()


def _since(query: Any, table: sa.Table, spec: SqlSpec, progress: Progress) -> Any:
    """Rows changed since; a row without a cursor may have changed at any time."""
    assert spec.incremental is not None
    column = table.c[spec.incremental.field]
    try:
        kind = column.type.python_type
    except NotImplementedError:
        kind = str
    has_zone = bool(getattr(column.type, "timezone", False))
    begin = progress.asked_as(kind, has_zone=has_zone)
    return query.where(sa.or_(column >= begin, column.is_(None))).order_by(column)


def _engine(url_text: str, where: str) -> sa.Engine:
    try:
        url = sa.engine.make_url(url_text)
        if url.get_backend_name() == "sqlite":
            return _sqlite(url, where)
        return _postgres(url, where)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ValueError):
        raise PullError(
            "the connection is no SQLAlchemy URL of a known database",
            where=where,
            remedy="write for example postgresql+psycopg://user:password@host/database",
        ) from None
    except ImportError as error:
        raise PullError(
            f"the driver of this database is not installed ({error.name})",
            where=where,
            remedy=f"pip install {error.name}",
        ) from None


def _postgres(url: sa.URL, where: str) -> sa.Engine:
    """Every transaction is read-only; a server that is not there is noticed soon."""
    backend, driver = url.get_backend_name(), url.get_driver_name()
    if backend != "postgresql" or driver not in POSTGRES_DRIVERS:
        raise PullError(
            f"a pull cannot open {backend} with {driver} for reading only",
            where=where,
            remedy="pull SQLite or PostgreSQL (postgresql+psycopg://…); let another database "
            "export files into the landing folder",
        )
    for host in _hosts(url):
        check_host(host, url.port, allow=("loopback",), where=where)
    engine = sa.create_engine(
        url, connect_args={"connect_timeout": CONNECT_SECONDS}, hide_parameters=True
    )
    return engine.execution_options(postgresql_readonly=True)


def _hosts(url: sa.URL) -> list[str]:
    """Hosts the URL names, also as a parameter; a path is a socket of this machine."""
    said = url.query.get("host", ())
    named = [url.host or "", *((said,) if isinstance(said, str) else said)]
    hosts = [host.split(":")[0] for text in named for host in text.split(",")]
    return [host for host in hosts if host and not host.startswith("/")]


def _sqlite(url: sa.URL, where: str) -> sa.Engine:
    """Opened for reading only: a mistyped name must not become an empty database."""
    path = Path(url.database or "")
    if not path.is_file():
        raise PullError(
            "there is no such SQLite file", where=where, remedy="write sqlite:////full/path.db"
        )
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    return sa.create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, check_same_thread=False),
        hide_parameters=True,
    )


class _explained:  # noqa: N801  (a context manager, used as a function)
    """Says what a database error means, without its text: it may hold a password or a record."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        found = error
        while found is not None and not isinstance(found, sa.exc.SQLAlchemyError | KeyError):
            found = found.__cause__ or found.__context__
        if found is None:
            return
        if isinstance(found, sa.exc.NoSuchTableError):
            what, remedy = "there is no such table", "check table: and schema:"
        elif isinstance(found, sa.exc.OperationalError):
            what, remedy = "the database cannot be reached", "check the connection; try again later"
        elif isinstance(found, KeyError):
            what, remedy = "the table lacks a named column", "check columns: and incremental: field"
        else:
            what = f"the database refused the query ({type(found).__name__})"
            remedy = "check rights, columns and the kind of the cursor"
        raise PullError(what, where=self._where, remedy=remedy) from None


def plain_value(value: Any) -> Any:
    """A database value as JSON holds it, every digit kept."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, dict):
        return {str(key): plain_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    return str(value)
