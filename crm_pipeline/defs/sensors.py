"""Sensors: what an outside event starts.

Add here: a sensor on files or on Dagster itself.
Not here: journeys (each component brings its own sensor).
"""

import hashlib
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.ingestion.pending import list_pending
from crm_pipeline.reaper import reap_dead_runs
from crm_pipeline.resources import Deployment

FEEDS = load_feeds(Path(__file__).parent / "channels")


@dg.sensor(job_name="ingest_job", minimum_interval_seconds=30)
def landing_sensor(
    context: dg.SensorEvaluationContext, deployment: Deployment
) -> dg.RunRequest | dg.SkipReason:
    """Ingests only the feeds with files the inbox does not know.

    The inbox is the truth: a deleted cursor or a run that failed asks again, and known bytes are
    a no-op. The run key names the files as they were seen, so a corrected file starts a new run.
    """
    pending = {
        feed.feed: list_pending(deployment.ledger, feed, deployment.landing) for feed in FEEDS
    }
    feeds = sorted(feed for feed, files in pending.items() if files)
    if not feeds:
        return dg.SkipReason("no new file")
    seen = "\n".join(f"{feed} {work}" for feed in feeds for work in pending[feed])
    state = hashlib.sha256(seen.encode()).hexdigest()[:16]
    earlier = context.instance.get_runs(dg.RunsFilter(tags={"crm/landing": state}), limit=4)
    if any(not run.is_finished for run in earlier):
        return dg.SkipReason("these files are being ingested")
    if len(earlier) > 3:
        return dg.SkipReason("these files failed four times; see the last run's error")
    return dg.RunRequest(
        run_key=f"{state}-{len(earlier)}",
        asset_selection=[dg.AssetKey(["feeds", feed]) for feed in feeds],
        tags={"crm/landing": state},
    )


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def dead_runs_sensor(context: dg.SensorEvaluationContext, deployment: Deployment) -> dg.SkipReason:
    """Ends runs whose process is gone, so that they do not hold the queue."""
    reaped = reap_dead_runs(context.instance, deployment.crm_home)
    return dg.SkipReason(f"ended {len(reaped)} dead runs" if reaped else "every run is alive")
