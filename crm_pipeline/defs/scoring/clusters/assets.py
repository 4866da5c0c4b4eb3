"""Clusters of customers.

Add here: assets writing one cluster per customer.
Not here: maths (``ml.clusters``), what a month decides (``lib/scoring/clusters``).
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pandas as pd
import pyarrow as pa

from crm_pipeline.lib.progress import say, step
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.partitions import OFFICIAL, ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

KEY = dg.AssetKey(["scores", "customer_clusters"])


@dg.asset(
    key=KEY,
    deps=[dg.AssetKey(["intermediate", "int_cluster_features"])],
    group_name="scoring",
    kinds={"python", "scikitlearn", "duckdb"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    check_specs=[dg.AssetCheckSpec("clusters_are_stable", asset=KEY)],
    code_version="1",
)
def customer_clusters(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """The cluster of each customer by the model in force; a month end fits anew and is judged."""
    from crm_pipeline.lib.scoring import clusters  # its libraries take seconds to import

    as_of = date.fromisoformat(context.partition_key)
    home, ledger = deployment.crm_home, deployment.ledger
    is_backfill = warehouse.plan(context.run_id, context.partition_key).is_backfill
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        features = connection.sql("from intermediate.int_cluster_features").df()
        with step("customer clusters"):
            # A month that is on record is never decided again by a run for the past.
            if OFFICIAL.items() <= context.run.tags.items() and not (
                is_backfill and clusters.is_on_record(home, ledger, as_of)
            ):
                clusters.decide_month(home, ledger, features, as_of)
            day = clusters.assign_day(home, ledger, features, as_of)
        rows = day.rows.assign(as_of_date=as_of, scored_at=pd.Timestamp(as_of))
        replace_table(connection, ".".join(KEY.path), pa.Table.from_pandas(rows))
    if day.note:
        say(f"    {day.note}")
    told = {name: str(value) for name, value in (day.decision or {}).items() if value is not None}
    yield dg.MaterializeResult(metadata={"dagster/row_count": len(rows), **told})
    # Only a fit that was refused is a finding; a shop too small for clusters has none to lose.
    fitted = day.decision is not None and day.decision["fitted_version"] is not None
    yield dg.AssetCheckResult(
        check_name="clusters_are_stable",
        asset_key=KEY,
        passed=not fitted or bool(day.decision and day.decision["is_published"]),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"reason": day.note or told.get("reason", ""), **told},
    )
