"""Pulling a table of a real database twice, with changes in between, through the real door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_pipeline.lib.errors import PullError
from crm_pipeline.lib.ingestion import FeedSpec
from crm_pipeline.lib.pull import PullSpec
from crm_pipeline.lib.pull.sql import plain_value
from tests.integration.pull_support import FEED, NOW, Puller
from tests.postgres_support import PASSWORD, open_postgres

TABLE: dict[str, Any] = {
    "connection": "env:TILL_URL",
    "table": "till_orders",
    "incremental": {"field": "updated_at", "start": "2025-01-01 00:00:00"},
    "chunk_rows": 2,
}
TILL_FEED: dict[str, Any] = {
    **FEED,
    "feed": "till_orders",
    "channel": "till",
    "version": {"from": "updated_at", "format": "%Y-%m-%d %H:%M:%S"},
    "columns": {
        "order_id": "id",
        "source_customer_id": {"from": "member", "optional": True},
        "ordered_at": {"from": "at", "format": "%Y-%m-%d %H:%M:%S"},
        "order_status": {"from": "state", "map": {"paid": "paid", "closed": "cancelled"}},
        "paid_amount": {"from": "amount", "scale": 2},
    },
}


def till_table(engine: sa.Engine) -> sa.Table:
    """The till's own table, made anew."""
    table = sa.Table(
        "till_orders",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("member", sa.String(40)),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("amount", sa.Numeric(18, 2), nullable=False),
        sa.Column("updated_at", sa.DateTime),
    )
    table.drop(engine, checkfirst=True)
    table.create(engine)
    return table


def row(number: int, **more: Any) -> dict[str, Any]:
    at = datetime(2026, 1, number, 9, 30)  # noqa: DTZ001  (a till knows no zones)
    found = {"id": number, "member": f"会员{number}", "at": at, "state": "paid"}
    return {**found, "amount": Decimal(f"{number}.10"), "updated_at": at, **more}


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of the tests' own."""
    with open_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the till's database is."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres"))
    return f"sqlite:///{tmp_path / 'till.db'}"


@pytest.fixture
def till(url: str) -> Iterator[tuple[sa.Engine, sa.Table]]:
    """The till at work: who writes into it."""
    engine = sa.create_engine(url)
    table = till_table(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [row(number) for number in range(1, 8)])
    yield engine, table
    engine.dispose()


def till_puller(folder: Path, url: str, changes: dict[str, Any] | None = None) -> Puller:
    sql = {key: value for key, value in {**TABLE, **(changes or {})}.items() if value is not None}
    spec = PullSpec.model_validate({"source": "till_orders", "feed": "till_orders", "sql": sql})
    puller = Puller(folder, spec, FeedSpec.model_validate(TILL_FEED))
    puller.env = {"TILL_URL": url}
    return puller


@pytest.mark.requirement("ING-7")
def test_a_table_is_pulled_twice_with_changes_in_between_and_passes_the_door(
    till: tuple[sa.Engine, sa.Table], url: str, tmp_path: Path
) -> None:
    engine, table = till
    shop = till_puller(tmp_path, url)
    first = shop.pull()
    assert (first.records, first.findings) == (7, ())
    taken = shop.ingest()
    assert (taken.received, taken.written, taken.quarantined) == (7, 7, 0)
    assert sum(r["paid_amount"] for r in shop.parts()) == Decimal("28.70")
    assert {r["source_customer_id"] for r in shop.parts()} == {f"会员{n}" for n in range(1, 8)}

    late = row(8, updated_at=datetime(2026, 1, 7, 9, 0))  # noqa: DTZ001  written late, in the overlap
    changed = datetime(2026, 1, 9, 10, 0)  # noqa: DTZ001
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [late, row(9)])
        connection.execute(
            sa.update(table).where(table.c.id == 2).values(state="closed", updated_at=changed)
        )
    second = shop.pull(now=NOW.replace(hour=5))
    assert second.records == 4, "the new one, the late one, the changed one, and the overlap"
    shop.ingest()
    newest = shop.newest()
    assert len(newest) == 9
    assert newest["2"][1] == "cancelled"
    third = shop.pull(now=NOW.replace(hour=6))
    shop.ingest()
    assert third.records == 2, "what is newer than an hour before the newest change"
    assert shop.newest() == newest


@pytest.mark.requirement("ING-7")
def test_rows_without_a_cursor_are_pulled_every_time_and_do_not_hold_up_the_others(
    till: tuple[sa.Engine, sa.Table], url: str, tmp_path: Path
) -> None:
    engine, table = till
    shop = till_puller(tmp_path, url)
    shop.pull()
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [row(8), row(20, updated_at=None)])
    second = shop.pull(now=NOW.replace(hour=5))
    assert second.notes == ("1 rows have no cursor; every pull asks for them again",)
    assert second.is_complete
    assert second.records == 3, "the new one, the overlap, and the one without a cursor"
    assert shop.state()["cursor"] == "2026-01-08T01:30:00+00:00"

    with engine.begin() as connection:
        connection.execute(sa.insert(table), [row(9)])
        connection.execute(sa.update(table).where(table.c.id == 20).values(state="closed"))
    third = shop.pull(now=NOW.replace(hour=6))
    assert (third.records, third.is_complete) == (3, True)
    assert shop.state()["cursor"] == "2026-01-09T01:30:00+00:00"
    changed = [json.loads(line) for line in (shop.folder / str(third.file_name)).open()]
    assert [line["state"] for line in changed if line["id"] == 20] == ["closed"]


@pytest.mark.requirement("ING-7")
def test_a_cursor_that_cannot_be_read_keeps_the_place(
    till: tuple[sa.Engine, sa.Table], url: str, tmp_path: Path
) -> None:
    engine, table = till
    cursor = {"field": "member", "start": "2025-01-01"}  # a text: its order is not that of time
    with engine.begin() as connection:
        connection.execute(sa.update(table).values(member="2026-01-05"))
        connection.execute(sa.update(table).where(table.c.id == 3).values(member="soon"))
    shop = till_puller(tmp_path, url, {"incremental": cursor})
    report = shop.pull()
    assert report.findings == ("1 records have no readable cursor",)
    assert (report.records, shop.state()["cursor"]) == (7, None)


@pytest.mark.requirement("ING-7")
@pytest.mark.parametrize(
    ("incremental", "begin"),
    [
        ({"field": "id", "kind": "number", "start": 0, "overlap_count": 2}, "7"),
        (None, None),
    ],
    ids=["by number", "whole"],
)
def test_a_table_can_be_pulled_by_number_or_whole(
    till: tuple[sa.Engine, sa.Table],
    url: str,
    tmp_path: Path,
    incremental: dict[str, Any] | None,
    begin: str | None,
) -> None:
    engine, table = till
    shop = till_puller(tmp_path, url, {"incremental": incremental})
    shop.pull()
    assert shop.state()["cursor"] == begin
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [row(8)])
    assert shop.pull(now=NOW.replace(hour=5)).records == (4 if incremental else 8)


@pytest.mark.requirement("ING-7")
def test_a_pull_never_writes_the_database(
    till: tuple[sa.Engine, sa.Table], url: str, tmp_path: Path
) -> None:
    from crm_pipeline.lib.pull.sql import _engine

    engine, table = till
    reader = _engine(url, "here")
    with pytest.raises(sa.exc.DBAPIError), reader.begin() as connection:
        connection.execute(sa.delete(table))
    reader.dispose()
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 7


@pytest.mark.bad_input("F38")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"table": "no_such_table"}, "no such table"),
        (
            {"incremental": {"field": "no_such_column", "start": "2025-01-01"}},
            "lacks a named column",
        ),
        ({"columns": ["id", "no_such_column"]}, "lacks|could not be read|refused"),
    ],
)
def test_f38_errors_of_the_database_are_told_without_password_or_record(
    till: tuple[sa.Engine, sa.Table],
    url: str,
    tmp_path: Path,
    changes: dict[str, Any],
    words: str,
) -> None:
    shop = till_puller(tmp_path, url, changes)
    with pytest.raises(PullError, match=words) as caught:
        shop.pull()
    assert PASSWORD not in str(caught.value)
    assert caught.value.__suppress_context__
    assert shop.files() == []


@pytest.mark.bad_input("F38")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:////nowhere/at/all.db", "no such SQLite file"),
        ("no url at all", "no SQLAlchemy URL"),
        (f"nosuchdb://till:{PASSWORD}@localhost/db", "no SQLAlchemy URL"),
        (f"mysql+pymysql://till:{PASSWORD}@localhost/db", "cannot open mysql with pymysql for rea"),
        (f"mssql://till:{PASSWORD}@localhost/db", "cannot open mssql"),
        (f"postgresql+pg8000://till:{PASSWORD}@localhost/db", "cannot open postgresql with pg8000"),
        (f"postgresql+psycopg://till:{PASSWORD}@127.0.0.1:1/db", "cannot be reached"),
        (f"postgresql+psycopg://till:{PASSWORD}@169.254.169.254/db", "leads to an address"),
        (f"postgresql+psycopg://till:{PASSWORD}@/db?host=169.254.169.254", "leads to an address"),
    ],
)
def test_f38_a_database_that_is_not_there_is_told_without_its_address(
    tmp_path: Path, url: str, words: str
) -> None:
    shop = till_puller(tmp_path, url)
    with pytest.raises(PullError, match=words) as caught:
        shop.pull()
    assert PASSWORD not in str(caught.value)
    assert not list(tmp_path.rglob("all.db"))


@pytest.mark.requirement("ING-7")
def test_database_values_keep_every_digit() -> None:
    assert plain_value(Decimal("1E+3")) == "1000"
    assert plain_value(Decimal("12.10")) == "12.10"
    assert plain_value(datetime(2026, 1, 2, 3, 4, 5)) == "2026-01-02 03:04:05"  # noqa: DTZ001
    assert plain_value({"a": [Decimal("0.10"), None, True]}) == {"a": ["0.10", None, True]}
    assert plain_value(b"\x00\xff") == "AP8="
