"""Runs between the nights: small ones, on what changed.

Add here: what Dagster is told about triggers.
Not here: what counts as news (``lib/outreach/ticks.py``), deciding (``lib/outreach/tick_run.py``).

Outreach is never ``eager``: nothing here materialises because something upstream did.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa

from crm_pipeline.components.warehouse_models import target_folder
from crm_pipeline.lib.errors import ConfigError, OutreachError
from crm_pipeline.lib.outreach.decisions import decide_all, drop_facts
from crm_pipeline.lib.outreach.journey import JourneySpec, load_journeys
from crm_pipeline.lib.outreach.moments import Moment
from crm_pipeline.lib.outreach.tick_run import TickRun
from crm_pipeline.lib.outreach.ticks import ENTITIES, find_news
from crm_pipeline.lib.settings import HomeSettings
from crm_pipeline.resources import POOL, Clock, Deployment, dbt_environment
from crm_pipeline.tick_build import build_audiences

JOURNEYS = load_journeys(Path(__file__).parent)
BACKFILL = "dagster/backfill"
STATE_TAG, TRIGGER_TAG = "crm/tick", "crm/trigger"
MAX_ATTEMPTS = 3
STALE_AFTER = timedelta(hours=2)
# A journey's delays are hours; asking the ledger is cheap, so five minutes after a file is soon.
INTERVAL_SECONDS = 300
LEASE_SECONDS = 7200.0  # a night may be building; it is worth waiting for
KEY = dg.AssetKey(["history", "outreach_trigger_decisions"])


class TickConfig(dg.Config):
    """Which trigger decides."""

    trigger: str


def journeys_of(trigger: str) -> list[JourneySpec]:
    """The journeys a trigger starts."""
    return [journey for journey in JOURNEYS if journey.trigger == trigger]


@dg.asset(
    key=KEY,
    deps=[
        dg.AssetKey(journey.audience.split("."))
        for journey in JOURNEYS
        if journey.trigger in ENTITIES
    ],
    group_name="outreach_triggers",
    kinds={"python", "duckdb", "parquet"},
    owners=["team:crm"],
    pool=POOL,
    code_version="1",
)
def outreach_trigger_decisions(
    context: dg.AssetExecutionContext, config: TickConfig, deployment: Deployment, clock: Clock
) -> dg.MaterializeResult:
    """Decisions between the nights: the journeys of one trigger, on a copy of the warehouse."""
    if BACKFILL in context.run.tags:
        raise OutreachError(
            "a backfill decides nothing",
            where=f"run {context.run_id}",
            remedy="nothing is to be done: the sensors ask for what is new",
        )
    if config.trigger not in ENTITIES:
        raise ConfigError(
            f"no trigger is called {config.trigger!r}", remedy=f"use one of: {', '.join(ENTITIES)}"
        )
    settings = deployment.settings
    with target_folder(deployment.crm_home, context.run_id) as target:
        report = TickRun(
            home=deployment.crm_home,
            ledger=deployment.ledger,
            trigger=config.trigger,
            journeys=journeys_of(config.trigger),
            zone=settings.zone,
            build=partial(build_audiences, settings=dbt_environment(settings), target=target),
            decide=partial(_decide, settings),
        ).run(clock.now, run_id=context.run_id, wait_seconds=LEASE_SECONDS)
    if report.failed:  # on record are the others: a poisoned journey holds nobody else
        journey, why = min(report.failed.items())
        raise OutreachError(
            f"{len(report.failed)} journeys were not decided; {journey}: {why}",
            where=f"trigger {config.trigger}",
            remedy="mend the journey; the next night decides for it",
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": report.tick.decision_count,
            "tick_id": report.tick.tick_id,
            **{f"outcome_{outcome}": count for outcome, count in report.outcomes.items()},
        }
    )


def _decide(
    settings: HomeSettings,
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    moment: Moment,
) -> pa.Table:
    salt = settings.keys.holdout_salt
    made = decide_all(connection, journeys, moment=moment, zone=settings.zone, salt=salt)
    drop_facts(connection)
    return made


triggers_job = dg.define_asset_job(
    "triggers_job",
    selection=dg.AssetSelection.assets(KEY),
    description="Decides between the nights for the journeys of one trigger: order, cart, "
    "ticket_closed, store_visit, community_question, file, tier_change or new_score. Changes "
    "neither the warehouse nor what is published.",
    tags={"dagster/max_runtime": "14400"},
)


def _sensor(trigger: str) -> dg.SensorDefinition:
    looked_at = " and ".join(ENTITIES[trigger]) or "the published build"

    @dg.sensor(
        name=f"{trigger}_trigger_sensor",
        job_name=triggers_job.name,
        minimum_interval_seconds=INTERVAL_SECONDS,
        description=f"Starts decisions when {looked_at} changed, a build was published or a step "
        "fell due. The ledger is the truth, never the cursor.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, deployment: Deployment, clock: Clock
    ) -> dg.RunRequest | dg.SkipReason:
        return _next_tick(context, deployment, clock, trigger)

    return sensor


def _next_tick(
    context: dg.SensorEvaluationContext, deployment: Deployment, clock: Clock, trigger: str
) -> dg.RunRequest | dg.SkipReason:
    if not journeys_of(trigger):
        return dg.SkipReason(f"no journey has the trigger {trigger}")
    zone, now = deployment.settings.zone, clock.now()
    news = find_news(deployment.crm_home, deployment.ledger, trigger, now=now, zone=zone)
    if isinstance(news, str):
        return dg.SkipReason(news)
    tags = {STATE_TAG: news.state, TRIGGER_TAG: trigger}
    records = context.instance.get_run_records(dg.RunsFilter(tags=tags), limit=MAX_ATTEMPTS + 1)
    # A process killed before its first step leaves a run that never ends; an old one is not
    # waited for, because the lease keeps two runs apart.
    oldest = datetime.now(UTC) - STALE_AFTER
    if any(not r.dagster_run.is_finished and r.create_timestamp > oldest for r in records):
        return dg.SkipReason("a run for this news is under way")
    if len(records) >= MAX_ATTEMPTS:
        return dg.SkipReason(f"gave up after {len(records)} attempts; the night decides")
    return dg.RunRequest(
        run_key=f"{trigger}-{news.state}-{len(records)}",
        run_config={"ops": {KEY.to_python_identifier(): {"config": {"trigger": trigger}}}},
        tags=tags,
    )


@dg.definitions
def triggers() -> dg.Definitions:
    """The asset, its job and one sensor per trigger."""
    return dg.Definitions(
        assets=[outreach_trigger_decisions],
        jobs=[triggers_job],
        sensors=[_sensor(trigger) for trigger in ENTITIES],
    )
