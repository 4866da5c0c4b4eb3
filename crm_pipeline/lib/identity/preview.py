"""What decisions about accounts would change, before anybody takes them.

Add here: a figure people want to see first.
Not here: the rules that make it (dbt), what a decision does (``ml.identity``).

The warehouse is copied, the decisions are applied to the copy, and the models between the customer
and the tier are built there by dbt: what is shown is what the next run would make, percentiles and
all, and nothing of it stays.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity.customers import read_placed_accounts
from crm_pipeline.lib.identity.ids import preview_customer_ids
from crm_pipeline.lib.identity.overrides import OVERRIDE_SCHEMA, Override, standing_overrides
from crm_pipeline.lib.identity.resolution import resolve_accounts
from crm_pipeline.lib.identity.why import tell_reason
from crm_pipeline.lib.warehouse import open_warehouse, replace_table
from crm_pipeline.lib.warehouse.preview import copy_warehouse, run_dbt_in_copy
from ml.identity import IdentifierKind
from ml.identity.semantics import OVERRIDE_KIND

__all__ = ["CustomerFigures", "MergePreview", "preview_overrides"]

# From the customer to the tier and no further: nothing is scored, decided or published.
MODELS = "source_customers+,+int_customers_tiered"

_FIGURES = """
select
    t.customer_id,
    a.account_count,
    o.order_count,
    round_even(o.net_exact_amount, 2)::decimal(18, 2) as spend_amount,
    t.rfm_tier
from intermediate.int_customers_tiered as t
inner join intermediate.int_customer_orders as o using (customer_id)
inner join (
    select customer_id, count(*) as account_count
    from identity.customer_accounts
    group by customer_id
) as a using (customer_id)
"""


@dataclass(frozen=True)
class CustomerFigures:
    """A customer before or after."""

    customer_id: str
    account_count: int
    order_count: int
    spend_amount: Decimal | None  # reporting currency; None where nothing could be converted
    rfm_tier: str


@dataclass(frozen=True)
class MergePreview:
    """What would change.

    Attributes:
        as_of: the business day the figures are of.
        changes: accounts whose customer would change, as the history of ids would record them.
        before: the customers these accounts are in now.
        after: the customers they would be in.
        other_tier_changes: customers none of whose accounts move, and whose tier would change all
            the same, because percentiles shift.
        not_used: decisions that would have no effect, with the reason.
    """

    as_of: dt.date
    changes: tuple[Mapping[str, Any], ...]
    before: tuple[CustomerFigures, ...]
    after: tuple[CustomerFigures, ...]
    other_tier_changes: int
    not_used: tuple[str, ...]


def preview_overrides(
    home: CrmHome,
    ledger: sa.Engine,
    proposed: Sequence[Override],
    *,
    kinds: Sequence[IdentifierKind],
    key: bytes,
    run_dbt: Callable[[Path, dt.date], None],
) -> MergePreview:
    """What the proposed decisions would change in customers, tiers and spend.

    Args:
        home: its warehouse is read, never written.
        ledger: holds the ids and the standing decisions; nothing is written.
        proposed: decisions nobody has taken yet.
        kinds: the rule table.
        key: secret of the ids.
        run_dbt: builds ``MODELS`` in a warehouse file for a day.

    Raises:
        WarehouseError: there is no build to start from.
    """
    overrides = _together(standing_overrides(ledger), proposed)
    with copy_warehouse(home, holder="preview of decisions") as (copy, as_of):
        with open_warehouse(copy) as connection:
            before = _read_figures(connection)
            resolve_accounts(connection, kinds, overrides)
            placed = read_placed_accounts(connection, overrides)
            assigned, changes = preview_customer_ids(home, ledger, placed, key=key, as_of=as_of)
            account = ["channel", "source_customer_id"]
            linked = placed.select([*account, "linked_by"])
            replace_table(connection, "identity.customer_accounts", assigned.join(linked, account))
            not_used = _without_effect(connection, proposed)
        run_dbt(copy, as_of)
        with open_warehouse(copy, read_only=True) as connection:
            after = _read_figures(connection)
    moved = changes.to_pylist()
    ends = ("from_customer_id", "to_customer_id")
    touched = sorted({row[name] for row in moved for name in ends})
    others = [
        customer
        for customer in before.keys() & after.keys() - set(touched)
        if before[customer].rfm_tier != after[customer].rfm_tier
    ]
    return MergePreview(
        as_of,
        tuple(moved),
        tuple(before[customer] for customer in touched if customer in before),
        tuple(after[customer] for customer in touched if customer in after),
        len(others),
        not_used,
    )


def dbt_runner(project: Path, settings: Mapping[str, str]) -> Callable[[Path, dt.date], None]:
    """``run_dbt`` by dbt's own command.

    Args:
        project: folder of the dbt project.
        settings: what a run tells dbt by environment (``CRM_DBT_…``), but for the day.
    """

    def run(warehouse: Path, as_of: dt.date) -> None:
        chosen = ("run", "--select", MODELS)
        run_dbt_in_copy(warehouse, as_of, chosen, project=project, told=settings)

    return run


def _together(standing: pa.Table, proposed: Sequence[Override]) -> pa.Table:
    """The standing decisions with the proposed ones in their places."""
    rows = {(row["left"], row["right"]): row for row in standing.to_pylist()}
    for override in proposed:
        pair = str(override.left), str(override.right)
        rows[pair] = {
            "kind": override.kind,
            "left": pair[0],
            "right": pair[1],
            "reason": f"{override.author}: {override.reason}",
        }
    return pa.Table.from_pylist([rows[pair] for pair in sorted(rows)], OVERRIDE_SCHEMA)


def _without_effect(
    connection: duckdb.DuckDBPyConnection, proposed: Sequence[Override]
) -> tuple[str, ...]:
    """Proposed links the resolver refused, and decisions about accounts nobody has seen."""
    pairs = {(str(one.left), str(one.right)) for one in proposed}
    rows = connection.execute(
        "select distinct account_a, account_b, reason, detail from identity.dropped_edges "
        "where kind = ? order by all",
        [OVERRIDE_KIND],
    ).fetchall()
    return tuple(
        f"{left} and {right}: {tell_reason(reason, detail)}"
        for left, right, reason, detail in rows
        if (left, right) in pairs
    )


def _read_figures(connection: duckdb.DuckDBPyConnection) -> dict[str, CustomerFigures]:
    found = (CustomerFigures(*row) for row in connection.execute(_FIGURES).fetchall())
    return {customer.customer_id: customer for customer in found}
