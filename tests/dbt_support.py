"""Warehouses for dbt tests: typed source tables from a few rows; dbt by its command line.

Add here: what several dbt tests need. Not here: assertions, rules.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb

from crm_pipeline.dbt_launcher import read_alike
from crm_pipeline.lib.dbt_manifest import PARSED, ensure_manifest
from crm_pipeline.lib.ingestion.entities import ENTITIES, RECORD_COLUMNS, Entity, part_columns
from crm_pipeline.lib.warehouse.sources import CLEAR_ENTITIES, HISTORY_COLUMNS, PYTHON_TABLES

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
# Settings a night tells by environment; other variables have to be given to dbt by --vars.
SETTINGS = {"as_of_date", "business_timezone", "reporting_currency", "ladder", "industry"}
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

CONTRACT_HASH = "c1"
SHOWN = {name: entity for name, entity in ENTITIES.items() if name not in CLEAR_ENTITIES}
OTHER_TABLES: dict[str, dict[str, str]] = {
    "ledger.inbox_files": {
        "feed": "varchar",
        "channel": "varchar",
        "entity": "varchar",
        "file_sha256": "varchar",
        "contract_hash": "varchar",
        "inbox_seq": "bigint",
        "state": "varchar",
        "received_count": "bigint",
        "written_count": "bigint",
        "quarantined_count": "bigint",
        "reason_code": "varchar",
    },
    "ledger.consents": {
        "event_id": "varchar",
        "channel": "varchar",
        "source_customer_id": "varchar",
        "contact_kind": "varchar",
        "contact_token": "varchar",
        "contact_mask": "varchar",
        "purpose": "varchar",
        "consent_channel": "varchar",
        "is_granted": "boolean",
        "occurred_at": "timestamp",
        "known_at": "timestamp",
        "notice_version": "varchar",
        "evidence": "varchar",
        "feed": "varchar",
        "file_sha256": "varchar",
    },
    "ledger.claims": {
        "claim_id": "varchar",
        "decision_id": "varchar",
        "batch_id": "varchar",
        "contact_token": "varchar",
        "person_id": "varchar",
        "journey": "varchar",
        "step": "varchar",
        "occurrence": "varchar",
        "consent_channel": "varchar",
        "purpose": "varchar",
        "message_tag": "varchar",
        "content_id": "varchar",
        "content_version": "varchar",
        "planned_send_at": "timestamp",
        "state": "varchar",
        "state_reason": "varchar",
        "attempt_count": "bigint",
        "claimed_at": "timestamp",
        "sent_at": "timestamp",
        "as_of_date": "date",
        "run_kind": "varchar",
    },
    "ledger.identity_overrides": {
        "override_id": "bigint",
        "override_kind": "varchar",
        "left_channel": "varchar",
        "left_customer_id": "varchar",
        "right_channel": "varchar",
        "right_customer_id": "varchar",
        "decided_at": "timestamp",
    },
    "quarantine.records": {
        "feed": "varchar",
        "channel": "varchar",
        "entity": "varchar",
        "file_sha256": "varchar",
        "record_number": "bigint",
        "reason_code": "varchar",
        "column_name": "varchar",
    },
    **{f"history.{name}": columns for name, columns in HISTORY_COLUMNS.items()},
    **PYTHON_TABLES,
}


@dataclass(frozen=True)
class Delivery:
    """One delivered file of the test: its records in order, and how many were held at the door."""

    feed: str
    channel: str
    entity: str
    records: list[dict[str, Any]]
    quarantined_count: int = 0

    @cached_property
    def file_sha256(self) -> str:
        """A stand-in for the hash of the bytes: the hash of the records."""
        return _hash([self.feed, self.entity, self.records])


def create_sources(warehouse: Path) -> None:
    """Creates every source table of the dbt project, empty."""
    tables = {
        f"conformed.{name}": dict(part_columns(entity)) for name, entity in SHOWN.items()
    } | OTHER_TABLES
    with duckdb.connect(str(warehouse)) as connection:
        for name, columns in tables.items():
            connection.execute(f"create schema if not exists {name.split('.')[0]}")
            typed = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            connection.execute(f"create table {name} ({typed})")


def insert(warehouse: Path, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Inserts rows by column name; a column that a row lacks is null."""
    rows = list(rows)
    if not rows:
        return
    columns = sorted({column for row in rows for column in row})
    marks = ", ".join("?" for _ in columns)
    with duckdb.connect(str(warehouse)) as connection:
        connection.executemany(
            f"insert into {table} ({', '.join(columns)}) values ({marks})",
            [[row.get(column) for column in columns] for row in rows],
        )


def deliver(warehouse: Path, deliveries: Iterable[Delivery]) -> None:
    """Writes deliveries as the channel door would: records and inbox, in this order."""
    with duckdb.connect(str(warehouse)) as connection:
        row = connection.execute(
            "select coalesce(max(inbox_seq), 0) from ledger.inbox_files"
        ).fetchone()
    first = row[0] + 1 if row else 1
    for sequence, delivery in enumerate(deliveries, start=first):
        written = [
            _conformed(delivery, number, record)
            for number, record in enumerate(delivery.records, start=1)
        ]
        insert(warehouse, f"conformed.{delivery.entity}", written)
        insert(
            warehouse,
            "ledger.inbox_files",
            [
                {
                    "feed": delivery.feed,
                    "channel": delivery.channel,
                    "entity": delivery.entity,
                    "file_sha256": delivery.file_sha256,
                    "contract_hash": CONTRACT_HASH,
                    "inbox_seq": sequence,
                    "state": "active",
                    "received_count": len(written) + delivery.quarantined_count,
                    "written_count": len(written),
                    "quarantined_count": delivery.quarantined_count,
                }
            ],
        )


def identify_every_account(warehouse: Path) -> None:
    """One customer per source account, as the identity step would give before any link."""
    named = ["select channel, source_customer_id from ledger.consents"]
    named += [_accounts_in(entity) for entity in SHOWN.values()]
    query = f"""
        insert into identity.customer_accounts (channel, source_customer_id, customer_id)
        select distinct channel, source_customer_id, 'c-' || channel || '-' || source_customer_id
        from ({" union all ".join(filter(None, named))})
        where source_customer_id is not null
            and (channel, source_customer_id) not in (
                select channel, source_customer_id from identity.customer_accounts
            )
    """
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(query)


def start_from_parsed(work: Path) -> None:
    """Hands dbt the project as parsed for the code location: 3 s of CPU instead of 16."""
    parsed = ensure_manifest(PROJECT).with_name(PARSED)
    if parsed.exists() and not (work / "target" / PARSED).exists():
        (work / "target").mkdir(parents=True, exist_ok=True)
        shutil.copy(parsed, work / "target" / PARSED)


def run_dbt(
    warehouse: Path, work: Path, *arguments: str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Runs dbt in its own process, as the pipeline does; the caller looks at the return code.

    What a night tells by environment is told so here: with ``--vars`` dbt parses everything anew.
    """
    told = {f"CRM_DBT_{name.upper()}": variables.pop(name) for name in SETTINGS & variables.keys()}
    command = [
        *(sys.executable, "-m", "crm_pipeline.dbt_launcher"),
        *arguments,
        *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
        *("--target-path", str(work / "target"), "--log-path", str(work / "logs")),
        *(("--vars", json.dumps(variables)) if variables else ()),
    ]
    start_from_parsed(work)
    return subprocess.run(
        command,
        env=os.environ | told | {"CRM_WAREHOUSE_PATH": str(warehouse)},
        capture_output=True,
        text=True,
        check=False,
    )


def build(warehouse: Path, work: Path, *arguments: str, **variables: Any) -> None:
    """Builds the project and fails with dbt's own words when a model or a test does."""
    settings = {
        "as_of_date": "2024-06-30",
        "business_timezone": "Asia/Shanghai",
        "reporting_currency": "CNY",
    }
    done = run_dbt(warehouse, work, "build", *arguments, **(settings | variables))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


class ParsedDbt:
    """dbt inside this process, on a project parsed once: a build costs no start-up.

    Every warehouse must be called ``crm.duckdb``: the parsed project knows the database by it.
    """

    def __init__(self, work: Path) -> None:
        self._options = [
            *("--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)),
            *("--target-path", str(work / "target"), "--log-path", str(work / "logs")),
            *("--log-level-file", "none", "--quiet"),
        ]
        start_from_parsed(work)
        read_alike()
        self._manifest: Any = None
        self._manifest = self._invoke(work / "crm.duckdb", {}, "parse").result

    def run(self, warehouse: Path, *arguments: str, as_of: str) -> None:
        """``dbt run``; fails with the message of the first model that did."""
        done = self._invoke(warehouse, {"CRM_DBT_AS_OF_DATE": as_of}, "run", *arguments)
        failed = [node for node in getattr(done.result, "results", ()) if node.status == "error"]
        assert done.success, failed[0].message if failed else done.exception

    def seed(self, warehouse: Path) -> None:
        """``dbt seed``: the shipped rule tables."""
        done = self._invoke(warehouse, {"CRM_DBT_AS_OF_DATE": "2024-01-01"}, "seed")
        assert done.success, done.exception

    def entities_stepped_by(self) -> set[str]:
        """Every entity whose days a stepped table replaces."""
        nodes = self._manifest.nodes.values()
        return {entity for node in nodes for entity in node.config.get("touched_by") or ()}

    def _invoke(self, warehouse: Path, settings: Mapping[str, str], *arguments: str) -> Any:
        from dbt.adapters.duckdb import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        environment = {"CRM_WAREHOUSE_PATH": str(warehouse), "DO_NOT_TRACK": "1", **settings}
        with mock.patch.dict(os.environ, environment):
            try:
                return dbtRunner(manifest=self._manifest).invoke([*arguments, *self._options])
            finally:
                DuckDBConnectionManager.close_all_connections()  # or the file stays locked


def read(warehouse: Path, query: str) -> list[dict[str, Any]]:
    """Rows of a query as dictionaries."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def model_seconds(work: Path) -> dict[str, float]:
    """Execution time of every node of the last build."""
    results = json.loads((work / "target" / "run_results.json").read_text())["results"]
    return {result["unique_id"]: result["execution_time"] for result in results}


def order_line(order_id: str, ordered_at: str, **columns: Any) -> dict[str, Any]:
    """A sale line of one piece with sensible columns; ``columns`` overrides them."""
    return {
        "order_id": order_id,
        "line_number": "1",
        "source_customer_id": "a1",
        "ordered_at": ordered_at,
        "sku": "TEA",
        "product_name": "Green tea",
        "quantity": "1",
        "unit_price_amount": "10",
        "currency": "CNY",
        "line_kind": "sale",
        "item_class": "product",
    } | columns


def load_online_retail(warehouse: Path) -> None:
    """Both yearly files of Online Retail II as the channel door would write them."""
    folder = SHARED_DATA / "online_retail_ii"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for sequence, path in enumerate(sorted(folder.glob("*.csv")), start=1):
            connection.execute(_ONLINE_RETAIL_LINES.format(path=path, sha=path.stem))
            connection.execute(
                "insert into ledger.inbox_files "
                "select feed, channel, 'order_lines', file_sha256, 'c1', ?, 'active', "
                "count(*), count(*), 0, null "
                "from conformed.order_lines where file_sha256 = ? group by all",
                [sequence, path.stem],
            )


_ONLINE_RETAIL_LINES = """
insert into conformed.order_lines by name
with raw_lines as (
    select row_number() over () as record_number, *
    from read_csv('{path}', all_varchar = true, header = true, quote = '"', escape = '"')
), typed as (
    select
        record_number,
        trim("Invoice") as order_id,
        upper(trim("StockCode")) as sku,
        nullif(trim("Description"), '') as product_name,
        cast("Quantity" as decimal(18, 3)) as quantity,
        cast("Price" as decimal(18, 6)) as unit_price_amount,
        regexp_replace(nullif(trim("Customer ID"), ''), '[.]0$', '') as source_customer_id,
        trim("Country") as country_name,
        (cast("InvoiceDate" as timestamp) at time zone 'Europe/London') at time zone 'UTC'
            as ordered_at
    from raw_lines
), hashed as (
    select
        *,
        md5(concat_ws('|', order_id, sku, coalesce(product_name, ''), quantity, unit_price_amount,
            coalesce(source_customer_id, ''), country_name, ordered_at)) as content_hash
    from typed
), numbered as (
    select
        *,
        row_number() over (partition by order_id, content_hash order by record_number) as occurrence
    from hashed
)
select
    'online_retail' as feed,
    'online_retail' as channel,
    '{sha}' as file_sha256,
    record_number,
    md5(order_id || '|' || content_hash || '|' || occurrence) as record_id,
    content_hash,
    ordered_at as known_at,
    order_id,
    source_customer_id,
    ordered_at,
    sku,
    product_name,
    quantity,
    unit_price_amount,
    'GBP' as currency,
    case
        when starts_with(order_id, 'C') and quantity < 0 then 'refund'
        when starts_with(order_id, 'C') then 'adjustment'
        when quantity < 0 or unit_price_amount < 0 then 'adjustment'
        when unit_price_amount = 0 then 'gift'
        else 'sale'
    end as line_kind,
    case
        when starts_with(sku, 'TEST') then 'test'
        when sku in ('POST', 'DOT', 'M', 'C2', 'D', 'S', 'B', 'BANK CHARGES', 'ADJUST', 'ADJUST2',
            'AMAZONFEE', 'CRUK') then 'fee'
        else 'product'
    end as item_class,
    country_name
from numbered
"""


def _conformed(delivery: Delivery, number: int, record: dict[str, Any]) -> dict[str, Any]:
    """A record with the columns every entity has; version and known_at may be given in it."""
    entity = ENTITIES[delivery.entity]
    recorded = dict(RECORD_COLUMNS)
    content = {column: value for column, value in record.items() if column not in recorded}
    key = [record.get(column) for column in entity.natural_key]
    event_at = record.get(entity.event_time) if entity.event_time else None
    return {
        "feed": delivery.feed,
        "channel": delivery.channel,
        "file_sha256": delivery.file_sha256,
        "record_number": number,
        "record_id": _hash([delivery.channel, delivery.entity, key])[:32],
        "content_hash": _hash(content)[:32],
        "source_version": record.get("source_version"),
        "known_at": record.get("known_at") or event_at or "2024-01-01",
        **content,
    }


def _accounts_in(entity: Entity) -> str:
    """A query of the accounts an entity's records name; empty when they name none."""
    names = entity.column_names
    channel = "coalesce(account_channel, channel)" if "account_channel" in names else "channel"
    pairs = [
        (channel, "source_customer_id"),
        (channel, "to_customer_id"),
        (channel, "invitee_customer_id"),
        ("left_channel", "left_customer_id"),
        ("right_channel", "right_customer_id"),
    ]
    return " union all ".join(
        f"select {desk}, {account} from conformed.{entity.name}"
        for desk, account in pairs
        if account in names
    )


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
