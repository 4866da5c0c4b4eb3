"""One number for what a build says.

Add here: what counts as a result and what does not.
Not here: comparing builds table by table (tests do).

Covered are all tables of ``marts`` and ``metrics``. A customer id is replaced by the smallest
(channel, source_customer_id) of the customer, the order of rows does not matter, decimals count
digit by digit, floating numbers by six significant digits. Of a log that keeps every night, the
last night counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from crm_pipeline.lib.warehouse.connection import fetch_row

SCHEMAS = ("marts", "metrics")
ACCOUNTS = "source_customers"
CUSTOMER_COLUMNS = ("customer_id", "person_id")

# Run ids, clock times, what is derived from a customer id, and former ids of merged customers.
LEFT_OUT_COLUMNS = frozenset(
    {
        "build_id",
        "run_id",
        "created_at",
        "built_at",
        "published_at",
        "loaded_at",
        "ingested_at",
        "scored_at",
        "decision_id",
        "claim_id",
        "batch_id",
        "claimed_at",
        "sent_at",
        "customer_id_at_order",
    }
)
# How customers were merged and split, which depends on the order of arrival, and what was found
# when the list of loose links was last made, which no night makes anew.
LEFT_OUT_TABLES = frozenset({"marts.customer_id_history", "marts.loose_links"})
# Logs that grow by one part a night: which nights ran before is no result of this one.
LAST_NIGHT_OF = {"marts.outreach_decisions": "as_of_date"}

_FLOATS = ("DOUBLE", "FLOAT")
_Column = tuple[str, str]


@dataclass(frozen=True)
class ResultHash:
    """The hash of a whole build, and of each table for finding out where two builds differ."""

    total: str
    tables: dict[str, str]


def hash_published(path: Path) -> ResultHash:
    """Hashes a DuckDB file: a published build or a warehouse nobody has open."""
    alias = path.stem.replace('"', '""')
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        location = str(path).replace("'", "''")
        connection.execute(f"attach '{location}' as \"{alias}\" (read_only)")
        return hash_results(connection, path.stem)


def hash_results(connection: duckdb.DuckDBPyConnection, database: str) -> ResultHash:
    """Hashes the schemas ``marts`` and ``metrics`` of an attached database."""
    quoted = '"' + database.replace('"', '""') + '"'
    columns = _read_columns(connection, database)
    _make_representatives(connection, quoted, f"marts.{ACCOUNTS}" in columns)
    tables = {
        address: _hash_table(connection, _source(quoted, address), listed)
        for address, listed in columns.items()
    }
    connection.execute("drop table temp.representatives")
    whole = "\n".join(f"{address} {digest}" for address, digest in sorted(tables.items()))
    return ResultHash(hashlib.sha256(whole.encode()).hexdigest(), tables)


def _read_columns(
    connection: duckdb.DuckDBPyConnection, database: str
) -> dict[str, Sequence[_Column]]:
    rows = connection.execute(
        """
        select table_schema || '.' || table_name, column_name, data_type
        from information_schema.columns
        where table_catalog = ? and table_schema in ('marts', 'metrics')
        order by 1, 2
        """,
        [database],
    ).fetchall()
    found: dict[str, list[_Column]] = {}
    for address, name, kind in rows:
        if address in LEFT_OUT_TABLES:
            continue
        listed = found.setdefault(address, [])
        if name not in LEFT_OUT_COLUMNS:
            listed.append((name, kind))
    return {address: tuple(listed) for address, listed in found.items()}


def _make_representatives(
    connection: duckdb.DuckDBPyConnection, database: str, has_accounts: bool
) -> None:
    source = f"{database}.marts.{ACCOUNTS}" if has_accounts else None
    body = (
        f"""
        select customer_id, min(channel || chr(31) || source_customer_id) as account
        from {source} group by customer_id
        """
        if source
        else "select null::varchar as customer_id, null::varchar as account where false"
    )
    connection.execute(f"create or replace temp table representatives as {body}")


def _source(database: str, address: str) -> str:
    night = LAST_NIGHT_OF.get(address)
    table = f"{database}.{address}"
    if night is None:
        return table
    return f"(select * from {table} where {night} = (select max({night}) from {table}))"


def _hash_table(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[_Column]
) -> str:
    """Sums the two halves of each row's MD5: a sum does not depend on the order of rows."""
    keyed = [name for name, _ in columns if _is_customer(name)]
    joins = " ".join(
        f'left join temp.representatives as r{place} on t."{name}" = r{place}.customer_id'
        for place, name in enumerate(keyed)
    )
    pieces = [_as_text(name, kind, keyed) for name, kind in columns] or ["''"]
    line = f"concat_ws(chr(30), {', '.join(pieces)})"
    row = fetch_row(
        connection,
        f"""
        with digests as (select md5_number({line}) as digest from {table} as t {joins})
        select
            count(*),
            sum((digest >> 64)::hugeint),
            sum((digest & {2**64 - 1}::uhugeint)::hugeint)
        from digests
        """,
    )
    shape = ",".join(f"{name} {kind}" for name, kind in columns)
    return hashlib.sha256(f"{shape}|{row}".encode()).hexdigest()


def _is_customer(name: str) -> bool:
    if name == "source_customer_id":
        return False
    return name in CUSTOMER_COLUMNS or name.endswith("_customer_id")


def _as_text(name: str, kind: str, keyed: Sequence[str]) -> str:
    column = f't."{name}"'
    if name in keyed:
        # An id nobody knows stays as it is: it must not look like another unknown one.
        column = f"coalesce(r{keyed.index(name)}.account, {column}::varchar)"
    elif kind in _FLOATS:
        # Sums of floats differ in the last digits from run to run; adding 0 turns -0 into 0.
        column = f"format('{{:.5e}}', {column}::double + 0.0)"
    else:
        column = f"{column}::varchar"
    return f"coalesce({column}, chr(29))"
