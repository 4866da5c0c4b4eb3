"""What dbt finds in the warehouse before its first model.

Add here: sources of the dbt project, as views or tables.
Not here: models, and what a part holds.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError, WarehouseError
from crm_pipeline.lib.history import active_slices
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.warehouse.connection import fetch_row

# Consents are a conformed entity too, but clear contacts stay out of the warehouse.
CLEAR_ENTITIES = ("consents",)

QUARANTINE_COLUMNS = {
    "feed": "varchar",
    "channel": "varchar",
    "entity": "varchar",
    "file_sha256": "varchar",
    "record_number": "bigint",
    "reason_code": "varchar",
    "column_name": "varchar",
}
_DECISIONS = {
    "decision_id": "varchar",
    "customer_id": "varchar",
    "journey": "varchar",
    "step": "varchar",
    "occurrence": "varchar",
    "run_kind": "varchar",
    "outcome": "varchar",
    "rule_id": "varchar",
    "purpose": "varchar",
    "message_tag": "varchar",
    "consent_channel": "varchar",
    "contact_token": "varchar",
    "contact_mask": "varchar",
    "language": "varchar",
    "content_id": "varchar",
    "content_version": "varchar",
    "sku": "varchar",
    "guide_id": "varchar",
    "priority": "integer",
    "unit_cost_amount": "decimal(18,6)",
    "triggered_at": "timestamp",
    "planned_send_at": "timestamp",
    "valid_until": "timestamp",
    "decided_at": "timestamp",
    "as_of_date": "date",
    "variables": "varchar",
    "evidence": "varchar",
}
HISTORY_COLUMNS = {
    "official_rfm_tiers": {
        "as_of_date": "date",
        "customer_id": "varchar",
        "rfm_tier": "varchar",
        "ladder": "varchar",
        "reason": "varchar",
    },
    "outreach_decisions": _DECISIONS,
    "outreach_trigger_decisions": _DECISIONS,
}
# What dbt sees of the ledger: all columns, but of decisions not who took them and the words why.
LEDGER_VIEWS = {
    "inbox_files": "*",
    "consents": "*",
    "claims": "*",
    "identity_overrides": (
        "override_id, override_kind, left_channel, left_customer_id, right_channel, "
        "right_customer_id, decided_at"
    ),
}
_SCORE_CHECKS = {
    "as_of_date": "date",
    "score": "varchar",
    "measure": "varchar",
    "feature": "varchar",
    "value": "double",
    "limits": "varchar",
    "is_passed": "boolean",
    "holds_outreach": "boolean",
    "note": "varchar",
    "model_version": "varchar",
}
PYTHON_TABLES = {
    "identity.customer_accounts": {
        "channel": "varchar",
        "source_customer_id": "varchar",
        "customer_id": "varchar",
        "linked_by": "varchar",
    },
    "identity.customer_id_changes": {
        "version": "bigint",
        "as_of_date": "date",
        "channel": "varchar",
        "source_customer_id": "varchar",
        "from_customer_id": "varchar",
        "to_customer_id": "varchar",
        "change_kind": "varchar",
        "reason": "varchar",
    },
    "identity.loose_links": {
        "as_of_date": "date",
        "channel": "varchar",
        "source_customer_id": "varchar",
        "customer_id": "varchar",
        "linked_channel": "varchar",
        "linked_source_customer_id": "varchar",
        "linked_customer_id": "varchar",
        "match_probability": "double",
        "confidence_class": "varchar",
        "rival_count": "bigint",
        "evidence": "varchar",
        "model_fingerprint": "varchar",
    },
    "identity.quality": {
        "rule_set": "varchar",
        "identifier_kind": "varchar",
        "pairwise_precision": "double",
        "pairwise_recall": "double",
        "pairwise_f1": "double",
        "b_cubed_precision": "double",
        "b_cubed_recall": "double",
        "b_cubed_f1": "double",
        "precision_gain": "double",
        "recall_gain": "double",
        "match_rate": "double",
        "cluster_size_p50": "bigint",
        "cluster_size_p99": "bigint",
        "cluster_size_max": "bigint",
        "account_count": "bigint",
        "customer_count": "bigint",
        "edge_count": "bigint",
        "dropped_count": "bigint",
        "reviewed_pair_count": "bigint",
        "same_pair_count": "bigint",
        "breached_floors": "varchar",
        "warnings": "varchar",
    },
    "scores.churn_scores": {
        "customer_id": "varchar",
        "as_of_date": "date",
        "churn_probability": "double",
        "reason_1": "varchar",
        "reason_2": "varchar",
        "reason_3": "varchar",
        "horizon_days": "integer",
        "model_version": "varchar",
        "scored_at": "timestamp",
    },
    "scores.clv_scores": {
        "customer_id": "varchar",
        "as_of_date": "date",
        "predicted_clv": "double",
        "predicted_clv_low": "double",
        "predicted_clv_high": "double",
        "predicted_number_of_orders": "double",
        "predicted_order_value": "double",
        "probability_alive": "double",
        "horizon_days": "integer",
        "model_version": "varchar",
        "scored_at": "timestamp",
    },
    "scores.churn_checks": _SCORE_CHECKS,
    "scores.clv_checks": _SCORE_CHECKS,
    "scores.customer_clusters": {
        "customer_id": "varchar",
        "as_of_date": "date",
        "cluster_number": "integer",
        "cluster_name": "varchar",
        "distance": "double",
        "model_version": "varchar",
        "fitted_as_of_date": "date",
        "scored_at": "timestamp",
    },
    "scores.sequence_rules": {
        "first_category": "varchar",
        "then_category": "varchar",
        "within_days": "integer",
        "as_of_date": "date",
        "status": "varchar",
        "is_leading": "boolean",
        "reason": "varchar",
        "since_on": "date",
        "retired_on": "date",
        "first_customer_count": "bigint",
        "exposure_count": "bigint",
        "support": "bigint",
        "confidence": "double",
        "base_rate": "double",
        "lift": "double",
        "lift_low": "double",
        "lift_high": "double",
        "p_value": "double",
        "q_value": "double",
        "holdout_first_customer_count": "bigint",
        "holdout_exposure_count": "bigint",
        "holdout_support": "bigint",
        "holdout_confidence": "double",
        "holdout_base_rate": "double",
        "holdout_lift": "double",
        "holdout_lift_low": "double",
        "holdout_lift_high": "double",
        "holdout_p_value": "double",
        "decided_as_of_date": "date",
        "scored_at": "timestamp",
    },
    "scores.sales_forecast": {
        "series": "varchar",
        "as_of_date": "date",
        "forecast_date": "date",
        "expected_amount": "double",
        "low_amount": "double",
        "high_amount": "double",
        "method": "varchar",
        "backtest_mase": "double",
        "baseline_mase": "double",
        "backtest_wape": "double",
        "backtest_coverage_pct": "double",
        "backtest_origin_count": "integer",
        "note": "varchar",
        "model_version": "varchar",
        "scored_at": "timestamp",
    },
}


@dataclass(frozen=True)
class InputFiles:
    """The set of active files a build was made from."""

    count: int
    sha256: str


def create_source_views(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    snapshot: Path,
    entities: Mapping[str, str],
) -> InputFiles:
    """Makes every dbt source: each always exists, typed, possibly empty.

    Args:
        connection: the warehouse, open for writing.
        home: the paths in the inbox are relative to it.
        snapshot: folder written by ``export_snapshot``.
        entities: name of each conformed entity and the SQL of its typed empty relation.

    Returns:
        How many active files the views read, and the hash of that set.
    """
    parts = json.loads((snapshot / "parts.json").read_text(encoding="utf-8"))
    connection.execute("begin")
    for name in ("conformed", "ledger", "quarantine", "history", "identity", "scores"):
        connection.execute(f"create schema if not exists {name}")
    _create_conformed(connection, home, parts, entities)
    _create_quarantine(connection, home, parts)
    _create_ledger(connection, snapshot)
    _create_history(connection, home, snapshot)
    for address, columns in PYTHON_TABLES.items():
        _create_table(connection, address, columns)
    connection.execute("commit")
    return describe_inputs(snapshot)


def describe_inputs(snapshot: Path) -> InputFiles:
    """Count and hash of the active files, independent of the order they came in."""
    parts = json.loads((snapshot / "parts.json").read_text(encoding="utf-8"))
    active = sorted(
        f"{part['feed']} {part['file_sha256']} {part['contract_hash']}"
        for part in parts
        if part["state"] == "active"
    )
    return InputFiles(len(active), hashlib.sha256("\n".join(active).encode()).hexdigest())


def refresh_history_views(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, ledger: sa.Engine
) -> None:
    """Lets the history views see slices this run has written since its snapshot."""
    with ledger.connect() as ledger_connection:
        for name, columns in HISTORY_COLUMNS.items():
            slices = active_slices(home, ledger_connection, name)
            paths = [found.path for found in slices]
            _create_view(connection, f"history.{name}", _empty_select(columns), paths)


def replace_table(connection: duckdb.DuckDBPyConnection, address: str, data: pa.Table) -> int:
    """Replaces the whole content of a Python-written table; returns its row count."""
    return _replace(connection, address, data, None)


def replace_slice(
    connection: duckdb.DuckDBPyConnection, address: str, data: pa.Table, *, as_of: dt.date
) -> int:
    """Replaces the rows of one ``as_of_date`` of a Python-written table; returns how many."""
    return _replace(connection, address, data, as_of)


@contextmanager
def replacing(
    connection: duckdb.DuckDBPyConnection, address: str, *, as_of: dt.date | None = None
) -> Iterator[Callable[[pa.Table], None]]:
    """Replaces a Python-written table (or one day of it) batch by batch, in one transaction.

    The rows of before stay to be seen until the block ends well, and for good when it does not.

    Args:
        connection: the warehouse, open for writing, with no transaction begun.
        address: a table of ``PYTHON_TABLES``.
        as_of: replaces the rows of this ``as_of_date`` only.

    Yields:
        Adds one batch, whose columns are found by name.
    """
    columns = PYTHON_TABLES[address]
    listed = ", ".join(columns)

    def append(rows: pa.Table) -> None:
        missing = [name for name in columns if name not in rows.column_names]
        if missing:
            raise WarehouseError(f"{address} needs columns {', '.join(missing)}", where=address)
        # Never by a registered name: the transaction would keep every batch in memory.
        connection.from_arrow(rows).project(listed).insert_into(address)

    connection.execute("begin")
    try:
        _create_table(connection, address, columns)
        if as_of is None:
            connection.execute(f"delete from {address}")
        else:
            connection.execute(f"delete from {address} where as_of_date = ?", [as_of])
        yield append
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def resolve_as_of(
    connection: duckdb.DuckDBPyConnection, rule: str, zone: ZoneInfo, now: dt.datetime
) -> dt.date:
    """The business date a run is for.

    ``latest`` is the last business date of an accepted order or order line: a record that has two
    contents at one version is no accepted order. Without any order it is yesterday.
    """
    yesterday = now.astimezone(zone).date() - dt.timedelta(days=1)
    if rule == "yesterday":
        return yesterday
    if rule != "latest":
        return dt.date.fromisoformat(rule)
    days = [_latest_day(connection, name, zone) for name in ("orders", "order_lines")]
    return max((day for day in days if day is not None), default=yesterday)


def _latest_day(
    connection: duckdb.DuckDBPyConnection, entity: str, zone: ZoneInfo
) -> dt.date | None:
    """Walks back from the last day until a day has one record whose version has one content."""
    day = f"cast(timezone('{zone.key}', timezone('UTC', ordered_at)) as date)"
    before = dt.date.max
    while True:
        query = f"select max({day}) from conformed.{entity} where {day} < ?"
        (last,) = fetch_row(connection, query, [before])
        if last is None:
            return None
        before = last
        (accepted_count,) = fetch_row(
            connection,
            f"""
            with that_day as (select record_id from conformed.{entity} where {day} = ?)
            select count(*) from (
                select record_id, source_version
                from conformed.{entity}
                where record_id in (select record_id from that_day)
                group by record_id, source_version
                having count(distinct content_hash) = 1 and max({day}) = ?
            )
            """,
            [before, before],
        )
        if accepted_count:
            return before


def _create_conformed(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    parts: Sequence[Mapping[str, str]],
    entities: Mapping[str, str],
) -> None:
    for entity, empty in entities.items():
        if entity in CLEAR_ENTITIES:
            continue
        paths = [
            home.root / part["part_path"]
            for part in parts
            if part["entity"] == entity and part["state"] == "active" and part["part_path"]
        ]
        _create_view(connection, f"conformed.{entity}", empty, paths)


def _create_quarantine(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, parts: Sequence[Mapping[str, str]]
) -> None:
    paths = [home.root / part["quarantine_path"] for part in parts if part["quarantine_path"]]
    empty = _empty_select(QUARANTINE_COLUMNS)
    _create_view(
        connection, "quarantine.records", empty, paths, columns=", ".join(QUARANTINE_COLUMNS)
    )


def _create_ledger(connection: duckdb.DuckDBPyConnection, snapshot: Path) -> None:
    for name, columns in LEDGER_VIEWS.items():
        path = _quote(snapshot / f"{name}.parquet")
        connection.execute(
            f"create or replace view ledger.{name} as select {columns} from read_parquet({path})"
        )


def _create_history(connection: duckdb.DuckDBPyConnection, home: CrmHome, snapshot: Path) -> None:
    slices = connection.execute(
        "select table_name, path from read_parquet(?) order by table_name, as_of_date",
        [str(snapshot / "history_slices.parquet")],
    ).fetchall()
    for name, columns in HISTORY_COLUMNS.items():
        paths = [home.root / path for table_name, path in slices if table_name == name]
        _create_view(connection, f"history.{name}", _empty_select(columns), paths)


def _create_view(
    connection: duckdb.DuckDBPyConnection,
    address: str,
    empty: str,
    paths: Iterable[Path],
    *,
    columns: str = "*",
) -> None:
    """A view on exactly these files; the empty relation gives names, order and types."""
    files = list(paths)
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise LedgerError(
            f"{len(missing)} Parquet file(s) behind {address} are gone",
            where=str(missing[0]),
            remedy="run `crm replay`: parts are rebuilt from the kept raw files; "
            "history is restored from its backup",
        )
    body = f"select * from ({empty}) as typed"
    if files:
        listed = ", ".join(_quote(path) for path in files)
        body += (
            f" union all by name select {columns} from read_parquet([{listed}], "
            "union_by_name = true, hive_partitioning = false)"
        )
    _drop_other_kind(connection, address, "VIEW")
    connection.execute(f"create or replace view {address} as {body}")


def _create_table(
    connection: duckdb.DuckDBPyConnection, address: str, columns: Mapping[str, str]
) -> None:
    """Keeps a table of these columns; one of another shape (an older release) starts anew."""
    schema, name = address.split(".")
    found = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and schema_name = ? and table_name = ? "
        "order by column_index",
        [schema, name],
    ).fetchall()
    if [(column, kind.lower()) for column, kind in found] == list(columns.items()):
        return
    _drop_other_kind(connection, address, "BASE TABLE")
    declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
    connection.execute(f"create or replace table {address} ({declared})")


def _drop_other_kind(connection: duckdb.DuckDBPyConnection, address: str, kind: str) -> None:
    schema, name = address.split(".")
    found = connection.execute(
        "select table_type from information_schema.tables "
        "where table_catalog = current_database() and table_schema = ? and table_name = ?",
        [schema, name],
    ).fetchall()
    if found and found[0][0] != kind:
        connection.execute(f"drop {'table' if found[0][0] == 'BASE TABLE' else 'view'} {address}")


def _replace(
    connection: duckdb.DuckDBPyConnection, address: str, data: pa.Table, as_of: dt.date | None
) -> int:
    with replacing(connection, address, as_of=as_of) as append:
        append(data)
    return int(data.num_rows)


def _empty_select(columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"null::{kind} as {name}" for name, kind in columns.items())
    return f"select {listed} where false"


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
