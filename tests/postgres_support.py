"""A PostgreSQL of a test's own. Add here: how one is started. Not here: tests."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

POSTGRES_URL = os.environ.get("CRM_TEST_POSTGRES")  # read before a fixture hides CRM_ variables
PASSWORD = "password-of-the-till"
WITHOUT = "no PostgreSQL: set CRM_TEST_POSTGRES=postgresql+psycopg://…, or install one"


@contextmanager
def open_postgres() -> Iterator[str]:
    """The server of CRM_TEST_POSTGRES, else one started here; skips where there is none."""
    if POSTGRES_URL:
        yield POSTGRES_URL
        return
    initdb, server = shutil.which("initdb"), shutil.which("postgres")
    if not (initdb and server):
        pytest.skip(WITHOUT)
    with start_postgres(initdb, server) as url:
        yield url


@contextmanager
def start_postgres(initdb: str, server: str) -> Iterator[str]:
    """A server of its own, in a short path: its socket's name may have no more than 100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="crm-pg-"))
    user = "nobody" if os.getuid() == 0 else None  # the server refuses to run as root
    if user:
        shutil.chown(folder, user)
    data = str(folder / "data")
    try:
        made = subprocess.run(
            [initdb, "-D", data, "-U", "till", "-A", "trust", "--no-sync", "-E", "UTF8"],
            user=user, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"PostgreSQL cannot be started here: {made.stderr.strip()[-200:]}")
        process = subprocess.Popen(
            [server, "-D", data, "-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"],
            user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            url = f"postgresql+psycopg://till:{PASSWORD}@/postgres?host={folder}"
            _wait(url)
            yield url
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str) -> None:
    engine = sa.create_engine(url)
    for _ in range(300):
        try:
            with engine.connect():
                engine.dispose()
                return
        except sa.exc.OperationalError:
            time.sleep(0.1)
    pytest.fail("PostgreSQL did not start")


@contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """An empty database beside the one of ``url``, dropped afterwards."""
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    name = f"crm_test_{secrets.token_hex(6)}"
    with server.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    try:
        yield sa.make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"drop database {name} with (force)")
        server.dispose()
