"""Schedules: what the calendar starts.

Add here: a cron line in business time.
Not here: what an outside event starts (``sensors.py``).
"""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import dagster as dg

from crm_pipeline.partitions import business_timezone


@dg.schedule(
    job_name="nightly_job", cron_schedule="0 2 * * *", execution_timezone=business_timezone()
)
def nightly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Builds the day that ended at midnight."""
    return _request(context)


@dg.schedule(
    job_name="monthly_job", cron_schedule="0 4 1 * *", execution_timezone=business_timezone()
)
def monthly_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Makes the tiers of the month that ended at midnight official."""
    return _request(context)


@dg.schedule(
    job_name="loose_links_job", cron_schedule="0 5 * * 1", execution_timezone=business_timezone()
)
def loose_links_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """On Monday the list of the day the last night was for; the next night publishes it."""
    return _request(context)


def _request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    # The tick's own date, not the machine's: a tick made up late still builds its own day.
    local = context.scheduled_execution_time.astimezone(ZoneInfo(business_timezone()))
    yesterday = (local.date() - timedelta(days=1)).isoformat()
    return dg.RunRequest(run_key=yesterday, partition_key=yesterday)
