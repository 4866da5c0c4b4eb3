"""From source accounts to customers.

Add here: assets that decide which accounts are one customer.
Not here: normalisers and matching (``ml/identity``), what hangs on a customer (dbt marts).
"""

from datetime import date

import dagster as dg

from crm_pipeline.lib.identity.ids import assign_customer_ids
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse


@dg.asset(
    key=["identity", "customer_accounts"],
    deps=[dg.AssetKey(["intermediate", "int_accounts_seen"])],
    group_name="identity",
    kinds={"python", "duckdb"},
    owners=["team:data"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def customer_accounts(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> dg.MaterializeResult:
    """Customer of every source account. Ids are minted once and kept in the ledger."""
    as_of = context.partition_key
    with warehouse.connect(context.run_id, as_of) as connection:
        accounts = connection.sql(
            "select channel, source_customer_id from intermediate.int_accounts_seen"
        ).to_arrow_table()
        assigned = assign_customer_ids(
            deployment.crm_home,
            deployment.ledger,
            accounts,
            key=deployment.settings.keys.id_key,
            as_of=date.fromisoformat(as_of),
            mint=not warehouse.plan(context.run_id, as_of).is_backfill,
        )
        rows = replace_table(connection, "identity.customer_accounts", assigned)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})
