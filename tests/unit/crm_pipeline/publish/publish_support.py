"""A small warehouse to publish. Add here: builders several publish tests share. Not here: tests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish import Manifest, publish_build
from crm_pipeline.lib.warehouse import InputFiles, open_warehouse

AS_OF = dt.date(2011, 12, 9)
INPUTS = InputFiles(3, "f" * 64)
NOON = dt.datetime(2011, 12, 10, 12, tzinfo=dt.UTC)


def build_warehouse(path: Path, *, customers: int = 20, lines: int = 200) -> None:
    """Makes the marts a build needs: ``customers`` customers with ``lines`` order lines."""
    with open_warehouse(path) as connection:
        fill_warehouse(connection, customers=customers, lines=lines)


def fill_warehouse(
    connection: duckdb.DuckDBPyConnection, *, customers: int = 20, lines: int = 200
) -> None:
    """The same on an open connection; every table is replaced."""
    for schema in ("ledger", "staging", "marts", "metrics", "ops"):
        connection.execute(f"create schema if not exists {schema}")
    people = f"range({customers}) as t(i)"
    for address, query in {
        "marts.source_customers": "select 'shop' as channel, (100 + i)::varchar as "
        f"source_customer_id, 'c' || left(sha256(i::varchar), 20) as customer_id from {people}",
        "marts.dim_customers": "select distinct customer_id from marts.source_customers",
        "marts.rfm_tiers": "select customer_id, 'new' as rfm_tier from marts.dim_customers",
        "marts.dim_products": "select 'sku' as sku",
        "marts.fct_order_lines": "select i as line_id, (i // 4)::varchar as order_id, "
        "(100 + (i // 4) % greatest(1, " + str(customers) + "))::varchar as source_customer_id, "
        f"(i * 1.25)::decimal(18, 6) as line_amount from range({lines}) as t(i)",
        "marts.fct_orders": "select order_id, source_customer_id, sum(line_amount)::decimal(18, 2) "
        "as order_amount from marts.fct_order_lines group by all",
        "marts.customer_360": "select customer_id, 0.25::double as churn_probability, "
        "timestamp '2011-12-10' as scored_at from marts.dim_customers",
        "staging.daily": "select date '2011-12-09' as business_date, count(*) as line_count "
        "from marts.fct_order_lines",
        "ops.build": "select date '2011-12-09' as as_of_date, 'GBP' as reporting_currency",
        "ops.feed_balance": f"select 'lines' as feed, 'abc' as file_sha256, {lines} as "
        f"received_count, {lines} as accepted_count, 0 as quarantined_count, 0 as duplicate_count",
        "ledger.inbox_files": f"select 'lines' as feed, 'abc' as file_sha256, 'active' as state, "
        f"{lines} as received_count",
    }.items():
        connection.execute(f"create or replace table {address} as {query}")
    connection.execute(
        "create or replace view metrics.daily as select business_date, line_count from "
        f'"{connection.execute("select current_database()").fetchone()[0]}".staging.daily'
    )


def publish(home: CrmHome, build_id: str, **overrides: object) -> Manifest:
    """Publishes the home's warehouse with plain defaults."""
    plain: dict = {"as_of": AS_OF, "inputs": INPUTS, "created_at": NOON, "with_result_hash": False}
    values = {**plain, **overrides}
    return publish_build(home, home.warehouse, build_id=build_id, **values)
