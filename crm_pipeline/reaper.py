"""Ends runs whose process is gone, so that a crashed host does not block the queue.

Add here: what happens to a dead run.
Not here: how death is told (``lib/run_locks.py``).
"""

from __future__ import annotations

import dagster as dg

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.run_locks import forget_run, is_dead

UNFINISHED = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def reap_dead_runs(instance: dg.DagsterInstance, home: CrmHome) -> list[str]:
    """Marks dead runs as failed and frees their pool slots; returns their ids."""
    reaped = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if not is_dead(home, run.run_id):
            continue
        instance.report_run_failed(run, "its process ended without a word; run it again")
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        forget_run(home, run.run_id)
        reaped.append(run.run_id)
    return reaped
