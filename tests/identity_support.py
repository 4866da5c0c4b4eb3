"""A warehouse with just what the identity steps read, made from a few accounts.

Add here: what several identity tests need. Not here: assertions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from crm_pipeline.lib.identity.customers import read_placed_accounts
from crm_pipeline.lib.identity.overrides import OVERRIDE_SCHEMA
from crm_pipeline.lib.identity.resolution import ResolutionSummary, resolve_accounts
from crm_pipeline.lib.rules.identifier_kinds import load_identifier_kinds
from ml.identity import IdentifierKind, read_kinds
from tests import dbt_support

SEEDS = Path(__file__).resolve().parents[1] / "dbt_project" / "seeds"
AS_OF = dt.date(2024, 6, 30)
NO_OVERRIDES = OVERRIDE_SCHEMA.empty_table()

_STAGED = """
create schema if not exists staging;
create schema if not exists intermediate;
create table if not exists staging.stg_repeats (
    entity varchar, feed varchar, file_sha256 varchar, record_number bigint, outcome varchar
);
create table if not exists staging.stg_identity_pairs (
    pair_id varchar, left_channel varchar, left_customer_id varchar, right_channel varchar,
    right_customer_id varchar, verdict varchar, reviewed_at timestamp
);
create or replace table intermediate.int_accounts_seen as
select channel, source_customer_id, min(day) as first_seen_date, max(day) as last_seen_date
from (
    select channel, source_customer_id, known_at::date as day from conformed.accounts
    union all
    select channel, source_customer_id, ordered_at::date from conformed.orders
    union all
    select channel, source_customer_id, occurred_at::date from conformed.events
)
where source_customer_id is not null
group by all
"""


def shipped_kinds() -> tuple[IdentifierKind, ...]:
    """The rule table as it is shipped."""
    return load_identifier_kinds(SEEDS)


def kinds(*rows: tuple[str, str, int]) -> tuple[IdentifierKind, ...]:
    """Kinds of (name, semantics, strength; 0: it never links) without limits."""
    names = ("name", "semantics", "strength")
    cells = (dict(zip(names, row, strict=True)) for row in rows)
    return read_kinds({**row, "strength": row["strength"] or None} for row in cells)


def make_warehouse(path: Path, *deliveries: dbt_support.Delivery) -> duckdb.DuckDBPyConnection:
    """An open warehouse with these files staged; nothing is identified yet."""
    dbt_support.create_sources(path)
    dbt_support.deliver(path, deliveries)
    connection = duckdb.connect(str(path))
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(_STAGED)
    return connection


def accounts(
    channel: str, *records: Mapping[str, Any], feed: str | None = None
) -> dbt_support.Delivery:
    """A file of account records: ``source_customer_id`` and what else the test says."""
    return dbt_support.Delivery(
        feed or f"{channel}_accounts", channel, "accounts", [dict(record) for record in records]
    )


def show(
    connection: duckdb.DuckDBPyConnection,
    rows: Iterable[tuple[str, str, str]],
    *,
    seen: tuple[str, str] = ("2024-01-01", "2024-06-01"),
) -> None:
    """Replaces the identifiers by (account, kind, value): tokens and accounts as a test likes."""
    connection.execute(
        """
        create schema if not exists identity;
        create schema if not exists intermediate;
        create or replace table identity.identifiers (
            channel varchar, source_customer_id varchar, identifier_kind varchar,
            identifier_state varchar, identifier_token varchar, identifier_mask varchar,
            seen_from timestamp, seen_to timestamp
        )
        """
    )
    for account, kind, value in rows:
        channel, _, source = account.partition(":")
        connection.execute(
            "insert into identity.identifiers values (?, ?, ?, 'key', ?, ?, ?, ?)",
            [channel, source, kind, value, f"{value[:1]}***", *seen],
        )
    connection.execute(
        """
        create or replace table intermediate.int_accounts_seen as
        select distinct channel, source_customer_id, date '2024-01-01' as first_seen_date,
            date '2024-06-01' as last_seen_date
        from identity.identifiers
        """
    )


def overrides(*rows: tuple[str, str, str]) -> pa.Table:
    """Standing decisions (kind, left, right), all by one clerk."""
    listed = [
        {"kind": kind, "left": left, "right": right, "reason": "clerk: looked"}
        for kind, left, right in rows
    ]
    return pa.Table.from_pylist(listed, OVERRIDE_SCHEMA)


def clusters(
    connection: duckdb.DuckDBPyConnection,
    used: tuple[IdentifierKind, ...],
    decided: pa.Table = NO_OVERRIDES,
) -> tuple[set[frozenset[str]], ResolutionSummary]:
    """Resolves, and tells the customers of every account seen as sets of accounts."""
    summary = resolve_accounts(connection, used, decided)
    found: dict[str, set[str]] = {}
    for row in read_placed_accounts(connection, decided).to_pylist():
        account = f"{row['channel']}:{row['source_customer_id']}"
        found.setdefault(row["cluster"] or account, set()).add(account)
    return {frozenset(members) for members in found.values()}, summary
