"""From identifiers in the warehouse to clusters of accounts.

Add here: how a resolution is stored and stepped from night to night.
Not here: what identifiers prove (``ml.identity``), the ids of customers (``ids``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

import ml.identity
from crm_pipeline.lib.warehouse.connection import fetch_row
from ml.identity import (
    IdentifierKind,
    Resolution,
    ResolveConfig,
    Semantics,
    resolve,
    resolve_increment,
)

__all__ = [
    "ACCOUNT_KIND",
    "ResolutionSummary",
    "read_resolution",
    "resolve_accounts",
    "resolving_kinds",
]

# An account is known by itself, so that people can decide about one that shows no identifier.
ACCOUNT_KIND = IdentifierKind("account", Semantics.EQUALITY_ONLY, 1)
CONFIG = ResolveConfig()
# Above this share of changed identifiers a step costs more than starting anew.
STEP_SHARE = 0.3

_EMPTY_TABLES = """
create schema if not exists identity;
create table if not exists identity.resolved_keys (
    account varchar, kind varchar, value varchar, seen_from timestamp, seen_to timestamp
);
create table if not exists identity.resolved_by (rules_sha256 varchar);
"""

# A value that never links is told only where somebody may wonder why it did not.
_KEYS = """
create or replace temp table fresh_keys as
with keys as (
    select
        channel || ':' || source_customer_id as account,
        identifier_kind as kind,
        identifier_token as value,
        seen_from,
        seen_to
    from identity.identifiers
    where identifier_state = 'key'
),
shared_values as (
    select kind, value
    from keys
    where kind in (select unnest($silent))
    group by kind, value
    having count(distinct account) > 1
)
select * from keys where kind not in (select unnest($silent))
union all
select keys.* from keys semi join shared_values using (kind, value)
union all
select
    a.channel || ':' || a.source_customer_id, $account_kind,
    a.channel || ':' || a.source_customer_id, a.first_seen_date, a.last_seen_date
from intermediate.int_accounts_seen as a
where a.channel || ':' || a.source_customer_id in (select unnest($decided))
"""

_CHANGED = """
select distinct account, kind, value
from (
    (from fresh_keys except all from identity.resolved_keys)
    union all
    (from identity.resolved_keys except all from fresh_keys)
)
"""


@dataclass(frozen=True)
class ResolutionSummary:
    """What a resolution came to, for whoever watches the run."""

    account_count: int
    cluster_count: int
    edge_count: int
    dropped_count: int
    changed_count: int | None  # identifiers that changed; None: resolved anew
    touched_count: int | None  # accounts that were resolved for it; None: all of them


def resolving_kinds(kinds: Sequence[IdentifierKind]) -> tuple[IdentifierKind, ...]:
    """The kinds as tokens are judged by: patterns have looked at the clear values before."""
    return (*(replace(kind, exclude_patterns=()) for kind in kinds), ACCOUNT_KIND)


def resolve_accounts(
    connection: duckdb.DuckDBPyConnection, kinds: Sequence[IdentifierKind], overrides: pa.Table
) -> ResolutionSummary:
    """Finds which accounts are one customer and keeps the answer with its evidence.

    Writes ``identity.clusters``, ``edges``, ``dropped_edges`` and ``applied_overrides``, together
    with the identifiers they follow from. When the rules are those of the last time, only
    components a change can touch are resolved; the result is the same.

    Args:
        connection: the warehouse with ``identity.identifiers``.
        kinds: the rule table.
        overrides: ``kind, left, right``, accounts as ``channel:source_customer_id``.
    """
    used = resolving_kinds(kinds)
    actions = _actions(overrides)
    connection.execute(_EMPTY_TABLES)
    connection.execute(
        _KEYS,
        {
            "silent": [kind.name for kind in used if not kind.links],
            "account_kind": ACCOUNT_KIND.name,
            "decided": sorted({*overrides["left"].to_pylist(), *overrides["right"].to_pylist()}),
        },
    )
    rules = _rules_sha256(used)
    changed = _find_changed(connection, rules)
    keys = connection.table("fresh_keys")
    if changed is None:
        found = resolve(keys, used, overrides=actions, config=CONFIG)
    else:
        found = resolve_increment(
            read_resolution(connection, kinds), keys, changed, overrides=actions
        )
    _keep(connection, found, rules)
    changed_count = None if changed is None else changed.num_rows
    return _summary(connection, changed_count, found.touched_count)


def read_resolution(
    connection: duckdb.DuckDBPyConnection,
    kinds: Sequence[IdentifierKind],
    *,
    around: Sequence[str] | None = None,
) -> Resolution:
    """The resolution the warehouse holds; ``around`` some accounts, only what touches theirs."""
    conditions = dict.fromkeys(("clusters", "edges", "dropped_edges", "applied_overrides"), "true")
    if around is not None:
        components = (
            "select component from identity.clusters "
            "where account in (select unnest($around::varchar[]))"
        )
        members = f"select account from identity.clusters where component in ({components})"
        touching = f"(account_a in ({members}) or account_b in ({members}))"
        conditions = dict.fromkeys(conditions, touching)
        conditions["clusters"] = f"component in ({components})"
    clusters, edges, dropped, overrides = (
        connection.sql(
            f"from identity.{name} where {condition}",
            params=None if around is None else {"around": list(around)},
        ).to_arrow_table()
        for name, condition in conditions.items()
    )
    return Resolution.from_tables(
        clusters, edges, dropped, overrides, kinds=resolving_kinds(kinds), config=CONFIG
    )


def _actions(overrides: pa.Table) -> pa.Table:
    return pa.table(
        {
            "account_a": overrides["left"],
            "account_b": overrides["right"],
            "action": overrides["kind"],
        }
    )


def _find_changed(connection: duckdb.DuckDBPyConnection, rules: str) -> pa.Table | None:
    """Identifiers that differ from the kept resolution's; None where it cannot be stepped."""
    if connection.execute("from identity.resolved_by").fetchall() != [(rules,)]:
        return None
    changed = connection.sql(_CHANGED).to_arrow_table()
    (count,) = fetch_row(connection, "select count(*) from fresh_keys")
    return changed if changed.num_rows <= STEP_SHARE * count else None


def _keep(connection: duckdb.DuckDBPyConnection, found: Resolution, rules: str) -> None:
    tables = {
        "clusters": found.clusters,
        "edges": found.edges,
        "dropped_edges": found.dropped,
        "applied_overrides": found.overrides,
    }
    connection.execute("begin")
    try:
        for name, table in tables.items():
            connection.register("found", table)
            connection.execute(f"create or replace table identity.{name} as from found")
            connection.unregister("found")
        connection.execute("create or replace table identity.resolved_keys as from fresh_keys")
        connection.execute("delete from identity.resolved_by")
        connection.execute("insert into identity.resolved_by values (?)", [rules])
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _summary(
    connection: duckdb.DuckDBPyConnection, changed_count: int | None, touched_count: int | None
) -> ResolutionSummary:
    accounts, clusters, edges, dropped = fetch_row(
        connection,
        """
        select
            (select count(*) from identity.clusters),
            (select count(distinct cluster) from identity.clusters),
            (select count(*) from identity.edges),
            (select count(*) from identity.dropped_edges)
        """,
    )
    return ResolutionSummary(accounts, clusters, edges, dropped, changed_count, touched_count)


def _rules_sha256(kinds: Sequence[IdentifierKind]) -> str:
    said = f"{_code_sha256()} {kinds!r} {CONFIG!r}"
    return hashlib.sha256(said.encode()).hexdigest()


@cache
def _code_sha256() -> str:
    """Another way to resolve makes what was kept worthless for a step."""
    digest = hashlib.sha256()
    for path in sorted(Path(ml.identity.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
