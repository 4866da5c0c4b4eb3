"""Opens the ledger and the vault. Add here: what every connection must have. Not here: queries."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import schema
from crm_pipeline.lib.ledger.migrations import migrate

BUSY_TIMEOUT_MS = 30_000


def open_ledger(home: CrmHome) -> sa.Engine:
    """Opens the ledger: SQLite in ``home``, or PostgreSQL by ``CRM_LEDGER_URL``.

    One of an older version is migrated first.

    Raises:
        LedgerError: the ledger was there before and is gone, is damaged, or is of a newer version.
    """
    url = os.environ.get("CRM_LEDGER_URL")
    if url:
        engine = sa.create_engine(url, hide_parameters=True)
        migrate(engine)
        schema.metadata.create_all(engine)
    else:
        path = home.ledger_dir / "ledger.sqlite"
        _refuse_a_lost_ledger(home, path)
        engine = _open_sqlite(path, schema.metadata)
    _check_version(engine)
    return engine


def open_vault(home: CrmHome) -> sa.Engine:
    """Opens the identifier vault, a file apart from the ledger."""
    url = os.environ.get("CRM_VAULT_URL")
    if url:
        engine = sa.create_engine(url, hide_parameters=True)
        schema.vault_metadata.create_all(engine)
        return engine
    return _open_sqlite(home.ledger_dir / "vault.sqlite", schema.vault_metadata)


def _refuse_a_lost_ledger(home: CrmHome, path: Path) -> None:
    """An empty ledger would forget consents and claims: one that vanished is never recreated."""
    if path.exists() or not home.published.exists():
        return
    if any(home.published.iterdir()):
        raise LedgerError(
            "the ledger is missing although this home has published builds",
            where=str(path),
            remedy="restore ledger.sqlite from its backup; nothing is ingested or sent without it",
        )


def _open_sqlite(path: Path, tables: sa.MetaData) -> sa.Engine:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # What a failed statement was given may be an address, and an error is logged.
    engine = sa.create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy opens transactions itself, see _begin
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that reads first and writes later fails at once with SQLITE_BUSY
        # instead of waiting; taking the write lock at the start makes the timeout count.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        migrate(engine)
        tables.create_all(engine)
        with engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except sa.exc.DatabaseError as error:
        raise LedgerError(
            f"{path.name} cannot be opened: {error.orig}",
            where=str(path),
            remedy="restore it from its backup; a damaged ledger is never used",
        ) from error
    if verdict != "ok":
        raise LedgerError(
            f"{path.name} is damaged: {verdict}",
            where=str(path),
            remedy="restore it from its backup; a damaged ledger is never used",
        )
    path.chmod(0o600)
    return engine


def _check_version(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        found = connection.execute(sa.select(schema.ledger_version.c.version)).scalar()
        if found is None:
            connection.execute(
                sa.insert(schema.ledger_version).values(version=schema.LEDGER_VERSION)
            )
        elif found != schema.LEDGER_VERSION:
            raise LedgerError(
                f"the ledger has version {found}, this program knows {schema.LEDGER_VERSION}",
                remedy="install the matching version of crm_pipeline, or migrate the ledger",
            )
