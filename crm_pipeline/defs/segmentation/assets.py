"""Tiers made official.

Add here: assets that turn a provisional fact into one on record.
Not here: which tier a customer has (dbt, ``int_official_tiers_proposed``).
"""

from datetime import date

import dagster as dg

from crm_pipeline.lib.history import find_slice, write_slice
from crm_pipeline.lib.warehouse import refresh_history_views
from crm_pipeline.partitions import OFFICIAL, ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

TIERS = """
    select cast(? as date) as as_of_date, customer_id, rfm_tier, ladder, reason
    from intermediate.int_official_tiers_proposed
    order by customer_id
"""
TABLE = "official_rfm_tiers"


@dg.asset(
    key=["history", TABLE],
    deps=[dg.AssetKey(["intermediate", "int_official_tiers_proposed"])],
    group_name="segmentation",
    kinds={"python", "duckdb", "parquet"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="2",
)
def official_rfm_tiers(
    context: dg.AssetExecutionContext,
    deployment: Deployment,
    warehouse: Warehouse,
) -> dg.MaterializeResult:
    """The tier each customer holds for a month: decided once, corrected only by a new revision."""
    as_of = context.partition_key
    written = 0
    with warehouse.connect(context.run_id, as_of) as connection:
        if OFFICIAL.items() <= context.run.tags.items() and _is_open(
            deployment, warehouse, context
        ):
            tiers = connection.execute(TIERS, [as_of]).to_arrow_table()
            made = write_slice(
                deployment.crm_home,
                deployment.ledger,
                table_name=TABLE,
                as_of=date.fromisoformat(as_of),
                data=tiers,
                reason="monthly job",
            )
            written = made.row_count if made.is_new else 0
        refresh_history_views(connection, deployment.crm_home, deployment.ledger)
        rows = connection.sql("select count(*) from history.official_rfm_tiers").fetchall()[0][0]
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "written": written})


def _is_open(
    deployment: Deployment, warehouse: Warehouse, context: dg.AssetExecutionContext
) -> bool:
    """A month that is on record is never decided again by a run for the past."""
    as_of = date.fromisoformat(context.partition_key)
    if not warehouse.plan(context.run_id, context.partition_key).is_backfill:
        return True
    with deployment.ledger.connect() as connection:
        return find_slice(deployment.crm_home, connection, TABLE, as_of) is None
