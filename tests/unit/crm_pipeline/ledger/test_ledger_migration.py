"""A ledger of an older version is brought to today's, whole or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger, schema
from crm_pipeline.lib.ledger.schema import batches, claims
from tests.postgres_support import fresh_database, open_postgres

# The tables of version 1 that changed since, as that version made them, and what it put there.
VERSION_1 = """
create table ledger_version (version integer not null primary key);
insert into ledger_version values (1);
create table consents (
    event_id varchar(32) not null primary key, channel varchar not null,
    source_customer_id varchar not null, contact_kind varchar not null,
    contact_token varchar not null, contact_mask varchar not null, purpose varchar not null,
    consent_channel varchar not null, is_granted boolean not null, occurred_at timestamp not null,
    known_at timestamp not null, notice_version varchar, evidence varchar, feed varchar not null,
    file_sha256 varchar(64) not null
);
insert into consents values
('e1', 'shop', '1', 'phone', 't2', 'm', 'marketing', '*', false, '2026-01-01 00:00:00.000000',
 '2026-01-01 00:00:00.000000', null, null, 'f', 'f'),
('e2', 'shop', '1', 'wechat_open_id', 't3', 'm', 'marketing', 'wecom', true,
 '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000', null, null, 'f', 'f');
create table identity_changes (
    change_id integer not null primary key, version bigint not null, as_of_date date not null,
    channel varchar not null, source_customer_id varchar not null,
    from_customer_id varchar not null, to_customer_id varchar not null,
    change_kind varchar not null, reason varchar, changed_at timestamp not null
);
create table claims (
    claim_id varchar(32) not null primary key, decision_id varchar(32) not null,
    batch_id varchar(32) not null, contact_token varchar not null, person_id varchar not null,
    journey varchar not null, step varchar not null, occurrence varchar not null,
    content_version varchar not null, state varchar not null, claimed_at timestamp not null,
    sent_at timestamp,
    constraint once_per_contact unique (contact_token, journey, step, occurrence),
    constraint once_per_person unique (person_id, journey, step, occurrence)
);
create index claims_by_batch on claims (batch_id);
insert into claims values
('c1', 'd1', 'b1', 't1', 'p1', 'wake_up', 'first', 'o', '1', 'sent',
 '2026-02-01 00:00:00.000000', '2026-02-01 00:05:00.000000'),
('c2', 'd2', 'b2', 't2', 'p2', 'wake_up', 'first', 'o', '1', 'claimed',
 '2026-02-02 00:00:00.000000', null),
('c3', 'd3', 'b1', 't3', 'p3', 'wake_up', 'first', 'o', '1', 'failed',
 '2026-02-01 00:00:00.000000', null);
create table batches (
    batch_id varchar(32) not null primary key, journey varchar not null, step varchar not null,
    as_of_date date not null, slice_sha256 varchar(64) not null, state varchar not null,
    path varchar, message_count bigint, file_sha256 varchar(64), created_at timestamp not null
);
insert into batches values
('b1', 'wake_up', 'first', '2026-01-31', 's', 'written', 'p', 1, 'f',
 '2026-02-01 00:00:00.000000'),
('b2', 'wake_up', 'first', '2026-02-01', 's', 'writing', null, null, null,
 '2026-02-02 00:00:00.000000');
"""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of the tests' own."""
    with open_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def old_home(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CrmHome]:
    """A home whose ledger an older program made."""
    home = CrmHome(tmp_path).ensure()
    if request.param == "sqlite":
        with sqlite3.connect(home.ledger_dir / "ledger.sqlite") as connection:
            connection.executescript(VERSION_1)
        yield home
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            for statement in VERSION_1.split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)
        engine.dispose()
        monkeypatch.setenv("CRM_LEDGER_URL", url)
        yield home


def read(ledger: sa.Engine, table: sa.Table) -> dict[str, dict[str, object]]:
    key = next(iter(table.primary_key)).name
    with ledger.connect() as connection:
        return {row[key]: dict(row) for row in connection.execute(sa.select(table)).mappings()}


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F44")
def test_a_ledger_of_version_1_keeps_every_claim(old_home: CrmHome) -> None:
    ledger = open_ledger(old_home)
    found = read(ledger, claims)
    assert {key: row["state"] for key, row in found.items()} == {
        "c1": "sent", "c2": "uncertain", "c3": "failed",
    }  # fmt: skip
    channels = {key: row["consent_channel"] for key, row in found.items()}
    assert channels == {"c1": "email", "c2": "sms", "c3": "wecom"}
    assert all(
        row["purpose"] == "marketing" and row["attempt_count"] == 1 for row in found.values()
    )
    assert found["c1"]["planned_send_at"] == found["c1"]["sent_at"]
    assert {key: row["state"] for key, row in read(ledger, batches).items()} == {
        "b1": "done", "b2": "stopped",
    }  # fmt: skip
    again = open_ledger(old_home)  # and stays so
    assert read(again, claims) == found
    for engine in (ledger, again):
        engine.dispose()


@pytest.mark.bad_input("F44")
def test_a_migrated_ledger_has_the_keys_and_indexes_of_a_new_one(old_home: CrmHome) -> None:
    ledger = open_ledger(old_home)
    inspector = sa.inspect(ledger)
    for table in (claims, batches, schema.identity_changes):
        names = {index["name"] for index in inspector.get_indexes(table.name)}
        assert names == {index.name for index in table.indexes}
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        assert columns == set(table.columns.keys())
    assert set(schema.metadata.tables) <= set(inspector.get_table_names())
    ledger.dispose()


@pytest.mark.bad_input("F44")
def test_a_migration_that_fails_leaves_the_old_ledger(
    old_home: CrmHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("crm_pipeline.lib.ledger.migrations._BATCHES_1_TO_2", "no sql at all")
        with pytest.raises((LedgerError, sa.exc.DatabaseError)):
            open_ledger(old_home)
    ledger = open_ledger(old_home)  # every step is done again
    assert len(read(ledger, claims)) == 3 and len(read(ledger, batches)) == 2
    ledger.dispose()


def test_a_newer_ledger_is_refused(old_home: CrmHome) -> None:
    ledger = open_ledger(old_home)
    with ledger.begin() as connection:
        connection.execute(sa.update(schema.ledger_version).values(version=99))
    with pytest.raises(LedgerError, match="has version 99, this program knows 2"):
        open_ledger(old_home)
    ledger.dispose()
