"""May this build be published?

Add here: what must hold across tables before BI sees them.
Not here: rules of one model (dbt tests), of one file (landing checks).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.outreach.balance import count_outcomes, find_imbalance

REQUIRED_TABLES = (
    "marts.source_customers",
    "marts.dim_customers",
    "marts.dim_products",
    "marts.fct_orders",
    "marts.fct_order_lines",
    "marts.rfm_tiers",
    "marts.customer_360",
    "ops.feed_balance",
)
# One row per customer, exactly the customers of dim_customers.
PER_CUSTOMER_TABLES = ("marts.customer_360", "marts.rfm_tiers")
OUTCOMES = (
    "send",
    "held",
    "capped",
    "no_consent",
    "holdout",
    "lost_to_higher_priority",
    "stock_gone",
    "open_complaint",
    "duplicate",
    "expired",
)
SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One reason why a build may not be published."""

    check: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.message}"


def check_build(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Checks the built warehouse; no finding means it may be published."""
    missing = [name for name in REQUIRED_TABLES if not _exists(connection, name)]
    if missing:
        return [Finding("required_tables_exist", f"missing: {', '.join(missing)}")]
    return [
        *_check_balance(connection),
        *_check_customers(connection),
        *_check_facts(connection),
        *_check_outcomes(connection),
    ]


def check_day(connection: duckdb.DuckDBPyConnection, as_of: dt.date) -> list[Finding]:
    """Checks that the marts are of the day they would be published as."""
    built = connection.execute("select as_of_date from ops.build").fetchall()
    if built == [(as_of,)]:
        return []
    found = ", ".join(str(day) for (day,) in built) or "nothing"
    message = f"the warehouse was built for {found}, not for {as_of}; run the whole job"
    return [Finding("the_build_is_of_its_day", message)]


def check_candidates(
    connection: duckdb.DuckDBPyConnection, as_of: dt.date, candidates: Mapping[str, int]
) -> list[Finding]:
    """Checks that the night's outcomes are as many as ``candidates`` of every journey.

    To be asked of a run that decided; one for the past does not.
    """
    if not _exists(connection, "marts.outreach_decisions"):
        return []
    found = count_outcomes(connection, "marts.outreach_decisions", as_of)
    problems = find_imbalance(found, candidates)
    message = "; ".join(problems)
    return [Finding("candidates_are_the_sum_of_the_outcomes", message)] if problems else []


def require_clean(findings: Sequence[Finding]) -> None:
    """Stops a run whose build has findings.

    Raises:
        PublishError: there is at least one.
    """
    if findings:
        listed = "\n".join(f"  - {finding}" for finding in findings)
        raise PublishError(
            f"the build is not published, {len(findings)} check(s) failed:\n{listed}",
            remedy="mend the cause and run again; the last good build is still published",
        )


def _check_balance(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """One in, one out: every record of every file is accounted for exactly once."""
    open_files = connection.sql(
        """
        select feed, left(file_sha256, 12)
        from ops.feed_balance
        where received_count is distinct from
            accepted_count + quarantined_count + duplicate_count
            or least(accepted_count, quarantined_count, duplicate_count) < 0
        order by all
        """
    ).fetchall()
    findings = [_listed("feed_balance_closes", "received is not the sum in", open_files)]
    if _exists(connection, "ledger.inbox_files"):
        lost = connection.sql(
            """
            select i.feed, left(i.file_sha256, 12)
            from ledger.inbox_files as i
            left join ops.feed_balance as b
                on i.feed = b.feed and i.file_sha256 = b.file_sha256
                and i.received_count = b.received_count
            where b.feed is null and i.state = 'active'
            order by all
            """
        ).fetchall()
        findings.append(
            _listed("every_file_is_balanced", "received count missing or other for", lost)
        )
    return [finding for finding in findings if finding]


def _check_customers(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    findings = []
    for name in PER_CUSTOMER_TABLES:
        strangers, repeats = _row(
            connection,
            f"""
            select
                count(*) filter (where t.customer_id is null or d.customer_id is null),
                count(t.customer_id) - count(distinct t.customer_id)
            from {name} as t
            full join marts.dim_customers as d using (customer_id)
            """,
        )
        if strangers or repeats:
            message = f"{strangers} customers differ from dim_customers, {repeats} repeated"
            findings.append(Finding(f"{name.split('.')[1]}_has_every_customer_once", message))
    accounts, distinct, nulls = _row(
        connection,
        """
        select count(*), count(distinct (channel, source_customer_id)),
            count(*) filter (where customer_id is null)
        from marts.source_customers
        """,
    )
    if accounts != distinct or nulls:
        message = f"{accounts - distinct} repeated accounts, {nulls} without a customer"
        findings.append(Finding("source_customers_maps_each_account_once", message))
    return findings


def _check_facts(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Lines make orders, and orders of accounts make customers: an empty table is a lost part."""
    customers, orders, lines = _row(
        connection,
        """
        select (select count(*) from marts.dim_customers),
            (select count(*) from marts.fct_orders), (select count(*) from marts.fct_order_lines)
        """,
    )
    findings = []
    if lines and not orders:
        findings.append(Finding("orders_exist_where_lines_do", f"{lines} lines, no order"))
    known = (
        _row(
            connection, "select count(*) from marts.fct_orders where source_customer_id is not null"
        )
        if _has_column(connection, "fct_orders", "source_customer_id")
        else (0,)
    )
    if known[0] and not customers:
        findings.append(Finding("customers_exist_where_orders_do", f"{known[0]} orders, none"))
    return findings


def _check_outcomes(connection: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Every candidate has exactly one outcome."""
    if not _exists(connection, "marts.outreach_decisions"):
        return []
    listed = ", ".join(f"'{name}'" for name in OUTCOMES)
    repeats, unknown = _row(
        connection,
        f"""
        select count(*) - count(distinct decision_id),
            count(*) filter (where outcome is null or outcome not in ({listed}))
        from marts.outreach_decisions
        """,
    )
    if repeats or unknown:
        message = f"{repeats} repeated decisions, {unknown} without a known outcome"
        return [Finding("every_candidate_has_one_outcome", message)]
    return []


def _exists(connection: duckdb.DuckDBPyConnection, address: str) -> bool:
    schema, name = address.split(".")
    found = connection.execute(
        "select 1 from information_schema.tables where table_catalog = current_database() "
        "and table_schema = ? and table_name = ?",
        [schema, name],
    ).fetchall()
    return bool(found)


def _has_column(connection: duckdb.DuckDBPyConnection, table: str, column: str) -> bool:
    found = connection.execute(
        "select 1 from information_schema.columns where table_catalog = current_database() "
        "and table_schema = 'marts' and table_name = ? and column_name = ?",
        [table, column],
    ).fetchall()
    return bool(found)


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


def _listed(check: str, message: str, rows: Sequence[tuple[str, ...]]) -> Finding | None:
    if not rows:
        return None
    shown = "; ".join(" ".join(row) for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return Finding(check, f"{message} {shown}{more}")
