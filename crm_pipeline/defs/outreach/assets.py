"""Who is contacted, and who is not and why.

Add here: assets that decide, for all journeys together, and what must hold of them.
Not here: batches and delivery (each journey's component), audiences (dbt ``activation``).
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.outreach.balance import count_candidates, count_outcomes, find_imbalance
from crm_pipeline.lib.outreach.decisions import decide_all, drop_facts
from crm_pipeline.lib.outreach.inputs import keep_inputs
from crm_pipeline.lib.outreach.journey import load_journeys
from crm_pipeline.lib.outreach.moments import night_of
from crm_pipeline.lib.warehouse import refresh_history_views
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

JOURNEYS = load_journeys(Path(__file__).parent)

BACKFILL = "dagster/backfill"  # a backfill started in the UI decides nothing, whatever its day
AUDIENCES = [dg.AssetKey(journey.audience.split(".")) for journey in JOURNEYS]
RELIED_ON = sorted({score for journey in JOURNEYS for score in journey.scores})
CHECKS = [dg.AssetKey(["scores", f"{score}_checks"]) for score in RELIED_ON]
KEY = dg.AssetKey(["history", "outreach_decisions"])
# What the rules ask beside the audiences: dbt builds these before anything is decided.
ASKED = [
    dg.AssetKey(address.split("."))
    for address in (
        "activation.outreach_customers",
        "activation.outreach_contacts",
        "activation.outreach_sent_messages",
        "activation.outreach_offers",
        "rules.outreach_caps",
        "rules.channel_policies",
        "rules.outreach_budgets",
        "rules.outreach_gates",
        "rules.quiet_days",
        "rules.content_library",
    )
]


@dg.asset(
    key=KEY,
    deps=[dg.AssetKey(["marts", "rfm_tiers"]), *AUDIENCES, *ASKED, *CHECKS],
    group_name="outreach",
    kinds={"python", "duckdb", "parquet"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    check_specs=[
        dg.AssetCheckSpec("candidates_are_the_sum_of_the_outcomes", asset=KEY, blocking=True)
    ],
    code_version="2",
)
def outreach_decisions(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> Iterator[object]:
    """One outcome for every candidate of every journey. A run for the past decides nothing."""
    as_of, settings = date.fromisoformat(context.partition_key), deployment.settings
    plan = warehouse.plan(context.run_id, context.partition_key)
    made, problems = None, list[str]()
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        if not plan.is_backfill and BACKFILL not in context.run.tags:
            moment = night_of(as_of, settings.zone)
            decisions = decide_all(
                connection,
                JOURNEYS,
                moment=moment,
                zone=settings.zone,
                salt=settings.keys.holdout_salt,
            )
            keep_inputs(deployment.crm_home, deployment.ledger, connection, as_of)
            drop_facts(connection)
            made = write_slice(
                deployment.crm_home,
                deployment.ledger,
                table_name="outreach_decisions",
                as_of=as_of,
                data=decisions,
                reason="nightly decision",
            )
        refresh_history_views(connection, deployment.crm_home, deployment.ledger)
        if made is not None:
            problems = find_imbalance(
                count_outcomes(connection, "history.outreach_decisions", as_of),
                count_candidates(connection, JOURNEYS, moment=moment, zone=settings.zone),
            )
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
    yield dg.MaterializeResult(
        metadata={
            "dagster/row_count": shown,
            **{f"outcome_{outcome}": count for outcome, count in outcomes},
        }
    )
    yield dg.AssetCheckResult(
        check_name="candidates_are_the_sum_of_the_outcomes",
        asset_key=KEY,
        passed=not problems,
        metadata={"problems": problems},
        severity=dg.AssetCheckSeverity.ERROR,
    )
