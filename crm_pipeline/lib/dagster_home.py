"""Dagster's own folder inside a home.

Add here: instance settings every deployment needs.
Not here: jobs and schedules.
"""

from __future__ import annotations

import os

from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome

SETTINGS = """\
# Written once by crm; yours to change.
telemetry:
  enabled: false
nux:
  enabled: false
freshness:
  enabled: true
# Dagster's own files, opened once instead of at every event.
event_log_storage:
  module: crm_pipeline.event_log
  class: SteadyEventLog
  config:
    base_dir:
      env: DAGSTER_HOME
concurrency:
  runs:
    max_concurrent_runs: 1
  pools:
    # By run, never by step: a run that waits for the warehouse's lease inside a step would hold the
    # step's slot, and the run that has the lease would wait for that slot for ever.
    granularity: run
    default_limit: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 300
  max_runtime_seconds: 14400
  free_slots_after_run_end_seconds: 60
retention:
  schedule:
    purge_after_days: 30
  sensor:
    purge_after_days:
      skipped: 3
      failure: 30
      success: 30
"""

QUIET = {
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
}


def prepare_environment(home: CrmHome) -> None:
    """Points this process and its children at ``home``, with telemetry off."""
    home.ensure()
    settings = home.dagster / "dagster.yaml"
    if not settings.exists():
        with atomic_path(settings) as temporary:
            temporary.write_text(SETTINGS, encoding="utf-8")
    os.environ.update(QUIET)
    os.environ["CRM_HOME"] = str(home.root)
    os.environ["DAGSTER_HOME"] = str(home.dagster)
    # dbt parses anew when its database path changes, so it is the same from the first look on.
    os.environ["CRM_WAREHOUSE_PATH"] = str(home.warehouse)
