"""Two published builds, table by table: the same rows, as often, or which ones differ.

Add here: what may differ between two builds that say the same.
Not here: a hash of one build (``crm_pipeline.lib.publish.result_hash``).

Customer ids are minted by each side in its own way, so they are replaced by the smallest
(channel, source_customer_id) of the customer. Types must be equal, columns of both sides too.

Run: ``python -m benchmarks.compare <crm.duckdb of one build> <crm.duckdb of the other>``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

SCHEMAS = ("marts", "metrics", "ops")
SHOWN_ROWS = 3

# Ids each side makes in its own way; that they are unique is compared instead of their text.
OWN_KEYS = {
    "marts.fct_order_lines": "order_line_id",
    "marts.outreach_decisions": "decision_id",
}
# What one side alone has: the inputs of a decision as JSON, and what scores say of a customer.
LEFT_OUT_COLUMNS = {
    "marts.outreach_decisions": ("evidence",),
    "marts.customer_360": (
        "churn_probability",
        "churn_reason",
        "churn_reason_zh",
        "churn_reason_en",
        "is_playbook_churn_risk",
        "historic_clv",
        "predicted_clv",
        "predicted_clv_low",
        "predicted_clv_high",
        "total_clv",
        "predicted_number_of_orders",
        "average_order_value",
        "probability_alive",
        "expected_date_of_next_order",
        "next_order_status",
        "recommended_sku",
        "recommended_category_name",
    ),
}
# What a build says about itself: its name, when it was made, its hashes.
LEFT_OUT_TABLES = frozenset({"ops.build", "ops.build_tables"})
# What the script for one shop has no use for: made of columns it does not keep, or scores.
PIPELINE_ALONE = frozenset(
    {
        "marts.churn_causes",
        "marts.churn_scores",
        "marts.clv_scores",
        "marts.customer_features",
        "marts.customer_timeline",
        "marts.next_orders",
        "marts.outreach_results",
        "marts.recommendations",
        "marts.replenishment_dues",
        "marts.sales_forecast",
        "marts.sequence_rules",
        "metrics.recommendation_quality",
        "ops.score_checks",
        "ops.late_records",
        "ops.order_differences",
        "ops.unconverted_amounts",
        "ops.unmatched_receipts",
    }
)


@dataclass(frozen=True)
class Difference:
    """How one table differs, in words."""

    table: str
    text: str


def compare_builds(left: Path, right: Path) -> Iterator[Difference]:
    """Yields what differs between two DuckDB files; nothing when they say the same."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for alias, path in (("left_build", left), ("right_build", right)):
            connection.execute(f"attach '{path.resolve()}' as {alias} (read_only)")
            _make_representatives(connection, alias)
        lefts, rights = (_list_columns(connection, a) for a in ("left_build", "right_build"))
        for table in sorted(lefts.keys() ^ rights.keys()):
            alias, place = ("left_build", "first") if table in lefts else ("right_build", "second")
            if table not in PIPELINE_ALONE and _count(connection, f"{alias}.{table}"):
                yield Difference(table, f"only in the {place} build")
        for table in sorted(lefts.keys() & rights.keys()):
            yield from _compare_table(connection, table, lefts[table], rights[table])


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of a table: one side need not make a table that stays empty on the other."""
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0


def _make_representatives(connection: duckdb.DuckDBPyConnection, alias: str) -> None:
    connection.execute(
        f"create temp table {alias}_customers as "
        "select customer_id, min((channel, source_customer_id))::varchar as account "
        f"from {alias}.marts.source_customers group by customer_id"
    )


def _list_columns(connection: duckdb.DuckDBPyConnection, alias: str) -> dict[str, dict[str, str]]:
    rows = connection.execute(
        "select table_schema || '.' || table_name, column_name, data_type "
        "from information_schema.columns where table_catalog = ? "
        "and list_contains(?, table_schema) order by table_schema, table_name, ordinal_position",
        [alias, list(SCHEMAS)],
    ).fetchall()
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in rows:
        if table not in LEFT_OUT_TABLES:
            tables.setdefault(table, {})[column] = kind
    return tables


def _compare_table(
    connection: duckdb.DuckDBPyConnection, table: str, left: dict[str, str], right: dict[str, str]
) -> Iterator[Difference]:
    left_out = {OWN_KEYS.get(table), *LEFT_OUT_COLUMNS.get(table, ())}
    odd = {name for name, _ in set(left.items()) ^ set(right.items())} - left_out
    if odd:
        yield Difference(table, f"columns or types differ: {sorted(map(str, odd))}")
    shared = [name for name in left if name in right and name not in left_out]
    queries = [_select(alias, table, shared) for alias in ("left_build", "right_build")]
    for place, (one, other) in enumerate((queries, queries[::-1])):
        missing = f"({one}) except all ({other})"
        row = connection.execute(f"select count(*) from ({missing})").fetchone()
        if row and row[0]:
            shown = connection.execute(f"{missing} order by all limit {SHOWN_ROWS}").fetchall()
            examples = "".join(f"\n      {line}" for line in shown)
            yield Difference(
                table, f"{row[0]} rows only in the {('first', 'second')[place]}:{examples}"
            )
    yield from _compare_keys(connection, table)


def _compare_keys(connection: duckdb.DuckDBPyConnection, table: str) -> Iterator[Difference]:
    key = OWN_KEYS.get(table)
    for alias in ("left_build", "right_build") if key else ():
        row = connection.execute(
            f"select count(*) - count(distinct {key}) from {alias}.{table}"
        ).fetchone()
        if row and row[0]:
            yield Difference(table, f"{row[0]} repeated {key} in {alias}")


def _select(alias: str, table: str, columns: list[str]) -> str:
    listed = [
        f"coalesce(c.account, t.{name}) as {name}" if name == "customer_id" else f"t.{name}"
        for name in columns
    ]
    join = (
        f" left join temp.{alias}_customers as c using (customer_id)"
        if "customer_id" in columns
        else ""
    )
    return f"select {', '.join(listed)} from {alias}.{table} as t{join}"


def main() -> int:
    """Prints every difference; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    differences = list(compare_builds(arguments.first, arguments.second))
    for difference in differences:
        print(f"{difference.table}: {difference.text}")
    print(f"{len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
