"""Ledgers to test on. Add here: fixtures the outreach tests share. Not here: builders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_support import People

from tests.postgres_support import fresh_database, open_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of the tests' own."""
    with open_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def people(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[People]:
    """Four people who agreed, in a ledger of either kind."""
    if request.param == "sqlite":
        yield People(tmp_path)
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        monkeypatch.setenv("CRM_LEDGER_URL", url)
        made = People(tmp_path)
        yield made
        made.ledger.dispose()
