"""Who is contacted, and who is not and why.

Add here: assets that decide, for all journeys together.
Not here: batches and delivery (each journey's component), audiences (dbt ``activation``).
"""

from datetime import date
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.outreach.decisions import decide_all
from crm_pipeline.lib.outreach.journey import load_journeys
from crm_pipeline.lib.warehouse import refresh_history_views
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

JOURNEYS = load_journeys(Path(__file__).parent)

BACKFILL = "dagster/backfill"  # a backfill started in the UI decides nothing, whatever its day
AUDIENCES = [dg.AssetKey(journey.audience.split(".")) for journey in JOURNEYS]
RELIED_ON = sorted({score for journey in JOURNEYS for score in journey.scores})
CHECKS = [dg.AssetKey(["scores", f"{score}_checks"]) for score in RELIED_ON]


@dg.asset(
    key=["history", "outreach_decisions"],
    deps=[dg.AssetKey(["marts", "rfm_tiers"]), *AUDIENCES, *CHECKS],
    group_name="outreach",
    kinds={"python", "duckdb", "parquet"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def outreach_decisions(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> dg.MaterializeResult:
    """One outcome for every candidate of every journey. A run for the past decides nothing."""
    as_of, settings = date.fromisoformat(context.partition_key), deployment.settings
    plan = warehouse.plan(context.run_id, context.partition_key)
    made = None
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        if not plan.is_backfill and BACKFILL not in context.run.tags:
            decisions = decide_all(
                connection,
                JOURNEYS,
                as_of=as_of,
                zone=settings.zone,
                salt=settings.keys.holdout_salt,
            )
            made = write_slice(
                deployment.crm_home,
                deployment.ledger,
                table_name="outreach_decisions",
                as_of=as_of,
                data=decisions,
                reason="nightly decision",
            )
        refresh_history_views(connection, deployment.crm_home, deployment.ledger)
        outcomes = connection.execute(
            "select outcome, count(*) from history.outreach_decisions "
            "where as_of_date = ? group by outcome order by outcome",
            [as_of],
        ).fetchall()
    shown = sum(count for _, count in outcomes)
    if made is not None and shown != made.row_count:
        raise OutreachError(
            f"{made.row_count} decisions are on record, but the warehouse shows {shown}",
            where=f"history.outreach_decisions at {as_of}",
            remedy="run again; nothing is published or sent from this build",
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": shown,
            **{f"outcome_{outcome}": count for outcome, count in outcomes},
        }
    )
