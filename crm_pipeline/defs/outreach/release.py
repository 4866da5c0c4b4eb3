"""Approved batches go out.

Add here: what Dagster is told about releasing.
Not here: what a release does (``lib/outreach/release.py``), approving (``crm batch``).
"""

import os
from datetime import UTC, datetime, timedelta

import dagster as dg

from crm_pipeline.lib.outreach.life import SENDABLE, expire_batches
from crm_pipeline.lib.outreach.operators import SCHEDULE
from crm_pipeline.lib.outreach.plan import Batch, list_batches
from crm_pipeline.lib.outreach.quiet import read_quiet_hours
from crm_pipeline.lib.outreach.release import Rules, delivery_mode, is_due_again, release_batch
from crm_pipeline.lib.outreach.switch import find_stopped
from crm_pipeline.resources import DBT_PROJECT, Clock, Deployment

BATCH_TAG, ROUND_TAG = "crm/batch", "crm/batch_round"
MAX_ATTEMPTS = 3
STALE_AFTER = timedelta(hours=2)


class ReleaseConfig(dg.Config):
    """Which batch."""

    batch_id: str
    is_whole: bool = False  # whether a canary that went out is followed by the rest


@dg.op
def release(
    context: dg.OpExecutionContext, config: ReleaseConfig, deployment: Deployment, clock: Clock
) -> None:
    """Sends what is due of an approved batch; a dry run unless CRM_DELIVERY says live."""
    report = release_batch(
        deployment.crm_home,
        deployment.ledger,
        deployment.vault,
        config.batch_id,
        environment=os.environ,
        rules=Rules(deployment.settings.zone, read_quiet_hours(DBT_PROJECT / "seeds")),
        now=clock.now,
        actor=SCHEDULE,
        is_whole=config.is_whole,
    )
    context.add_output_metadata(
        {
            "state": report.batch.state,
            "is_dry_run": report.is_dry_run,
            **{f"delivered_{name}": count for name, count in report.delivered.items()},
            **{f"skipped_{name}": count for name, count in report.skipped.items()},
            **{f"waiting_{name}": count for name, count in report.waiting.items()},
        }
    )


@dg.job(
    description="Sends what is due of one approved batch. A backfill never starts it.",
    tags={"dagster/max_runtime": "14400"},
)
def release_job() -> None:
    """One batch, by its id."""
    release()


@dg.sensor(
    job_name=release_job.name,
    minimum_interval_seconds=60,
    description="Starts the canary of an approved batch, and sends what fell due of a released "
    "one. Only a person lets a canary become the whole. The ledger is the truth.",
)
def release_sensor(
    context: dg.SensorEvaluationContext, deployment: Deployment, clock: Clock
) -> dg.SensorResult | dg.SkipReason:
    """One run for every batch of which something may go now."""
    if delivery_mode(os.environ) != "live":
        return dg.SkipReason("dry run: nothing is delivered unless CRM_DELIVERY says live")
    now = clock.now()
    expire_batches(deployment.ledger, now=now)
    found = list_batches(deployment.ledger, states=SENDABLE)
    with deployment.ledger.connect() as connection:
        stopped = find_stopped(connection, sorted({one.journey for one in found}))
    requests = [
        request
        for one in found
        if one.journey not in stopped
        and (request := _request(context, deployment, one, now)) is not None
    ]
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("nothing is due")


def _request(
    context: dg.SensorEvaluationContext, deployment: Deployment, batch: Batch, now: datetime
) -> dg.RunRequest | None:
    """A run key counts for ever: it names the state, the round in it and the attempt."""
    rounds, is_due = is_due_again(deployment.ledger, batch.batch_id, batch.state, now=now)
    if not is_due:
        return None
    tags = {BATCH_TAG: batch.batch_id, ROUND_TAG: f"{batch.state}-{rounds}"}
    records = context.instance.get_run_records(dg.RunsFilter(tags=tags), limit=MAX_ATTEMPTS)
    # A process that was killed leaves a run that never ends; the batch's own lock keeps two apart.
    oldest = datetime.now(UTC) - STALE_AFTER
    is_running = any(
        not one.dagster_run.is_finished and one.create_timestamp > oldest for one in records
    )
    if is_running or len(records) >= MAX_ATTEMPTS:
        return None
    return dg.RunRequest(
        run_key=f"{batch.batch_id[:16]}-{batch.state}-{rounds}-{len(records)}",
        run_config={"ops": {"release": {"config": {"batch_id": batch.batch_id}}}},
        tags=tags,
    )
