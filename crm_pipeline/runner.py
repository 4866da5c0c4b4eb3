"""Runs jobs in this process, as ``crm run`` does.

Add here: the order of what one command does.
Not here: the work itself (assets) and how it is told (``lib/reporting``).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from crm_pipeline.definitions import defs
from crm_pipeline.lib.errors import ConfigError, CrmError
from crm_pipeline.lib.ingestion.entities import empty_relations
from crm_pipeline.lib.outreach.plan import list_batches
from crm_pipeline.lib.progress import say
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, resolve_as_of
from crm_pipeline.lib.warehouse.lease import hold_lock
from crm_pipeline.partitions import FIRST_DAY
from crm_pipeline.reaper import reap_dead_runs
from crm_pipeline.resources import Clock, Deployment

STORAGE_SECONDS = 120.0  # long enough for another first command to make its tables
# A person at a terminal reads our own progress; every event is in the UI all the same.
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class RunFailedError(CrmError):
    """A job did not end well; what was published before is still in place."""


@contextmanager
def open_instance(deployment: Deployment) -> Iterator[dg.DagsterInstance]:
    """The instance of this home, without runs of processes that are gone."""
    with _get_instance(deployment) as instance:
        for run_id in reap_dead_runs(instance, deployment.crm_home):
            say(f"run {run_id[:8]} had died; it is marked as failed")
        yield instance


def _get_instance(deployment: Deployment) -> dg.DagsterInstance:
    """Opens Dagster's storages one process at a time: two first commands would both make tables."""
    lock = deployment.crm_home.dagster / "instance.lock"
    holder = f"process {os.getpid()}"
    with hold_lock(lock, holder=holder, wait_seconds=STORAGE_SECONDS, what="Dagster's storage"):
        instance = dg.DagsterInstance.get()
        for storage in (
            instance.run_storage,
            instance.event_log_storage,
            instance.schedule_storage,
        ):
            assert storage is not None  # looking at it is what makes its tables
        return instance


def execute(
    instance: dg.DagsterInstance,
    job: str,
    *,
    partition_key: str | None = None,
    tags: dict[str, str] | None = None,
    only: dg.AssetSelection | None = None,
    run_config: Mapping[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """Runs ``job`` to its end.

    Args:
        instance: where the run is recorded.
        job: its name.
        partition_key: the business day, for jobs that have days.
        tags: of the run.
        only: the part of the job's assets and checks to run; default: all of them.
        run_config: of the run, as a sensor asks for it.

    Raises:
        RunFailedError: a step failed; the message carries its error.
    """
    definition = defs().resolve_job_def(job)
    if only:
        graph = defs().resolve_asset_graph()
        definition = definition.get_subset(
            asset_selection=only.resolve(graph), asset_check_selection=only.resolve_checks(graph)
        )
    log = Path(os.environ["DAGSTER_HOME"]) / "last_run.log"
    with log.open("a", encoding="utf-8") as stream, redirect_stdout(stream):
        result = definition.execute_in_process(
            instance=instance,
            partition_key=partition_key,
            tags=tags,
            run_config={**(run_config or {}), **QUIET},
            raise_on_error=False,
        )
    if not result.success:
        raise RunFailedError(
            f"{job} failed at {_first_failure(result)}",
            where=f"run {result.run_id}; dbt's own words are in {log}",
            remedy="mend the cause and run again; the last published build is untouched",
        )
    return result


def _first_failure(result: dg.ExecuteInProcessResult) -> str:
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            error = failure.user_failure_data or failure.error
            cause = getattr(error, "cause", None) or error
            text = getattr(cause, "message", None) or getattr(cause, "description", None) or ""
            return f"{event.step_key}: {text.strip()}"
    return "start-up"


def evaluate_trigger_sensors(
    instance: dg.DagsterInstance, deployment: Deployment, trigger: str | None = None
) -> dict[str, str]:
    """Evaluates each trigger's sensor once and runs what it asks for; trigger → what happened.

    One that fails does not hold the others back.
    """
    outcomes = {}
    for sensor in defs().sensors or []:
        name = sensor.name.removesuffix("_trigger_sensor")
        if name == sensor.name or trigger not in (None, name):
            continue
        resources = {"deployment": deployment, "clock": Clock()}
        with dg.build_sensor_context(
            instance=instance, resources=resources, definitions=defs()
        ) as context:
            tick = sensor.evaluate_tick(context)
        outcomes[name] = tick.skip_message or "decided"
        for request in tick.run_requests or []:
            tags, config = dict(request.tags), request.run_config
            try:
                execute(instance, "triggers_job", tags=tags, run_config=config)
            except RunFailedError as error:
                outcomes[name] = f"failed: {error}"
    return outcomes


def resolve_day(deployment: Deployment, wanted: str | None) -> str:
    """The business day to build: as asked, or by the home's ``as_of`` rule over what is kept."""
    settings, home = deployment.settings, deployment.crm_home
    rule = wanted or settings.as_of_rule
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        # Views in memory: looking for the day must not need the lease of the warehouse.
        snapshot = export_snapshot(deployment.ledger, Path(folder) / "snapshot")
        create_source_views(connection, home, snapshot, empty_relations())
        if rule == "latest":
            _refuse_no_orders(connection, deployment)
        day = resolve_as_of(connection, rule, settings.zone, datetime.now(UTC))
    if day < date.fromisoformat(FIRST_DAY):
        raise ConfigError(
            f"{day} is before {FIRST_DAY}, the first day there are partitions for",
            remedy="check the dates of the newest orders, or name a day with --as-of YYYY-MM-DD",
        )
    return day.isoformat()


def _refuse_no_orders(connection: duckdb.DuckDBPyConnection, deployment: Deployment) -> None:
    """A build of nothing would be dated today and make every later order a thing of the past."""
    orders = "select 1 from conformed.order_lines union all select 1 from conformed.orders limit 1"
    if not connection.execute(orders).fetchall():
        raise ConfigError(
            "no order has been accepted yet, so there is no latest business day to build",
            where=str(deployment.landing),
            remedy="put files into one subfolder per feed (refused files are named above), "
            "or name a day with --as-of YYYY-MM-DD",
        )


def evaluate_outreach_sensors(
    instance: dg.DagsterInstance, deployment: Deployment
) -> dict[str, str]:
    """Evaluates each journey's sensor once and plans what they ask for, in one run for a day.

    Returns:
        Journey → what waits for approval, or why nothing was planned.
    """
    outcomes: dict[str, str] = {}
    wanted: dict[str, list[str]] = {}
    for sensor in defs().sensors or []:
        if not sensor.name.endswith("_journey_sensor"):
            continue
        journey = sensor.name.removesuffix("_journey_sensor")
        with dg.build_sensor_context(
            instance=instance, resources={"deployment": deployment}, definitions=defs()
        ) as context:
            tick = sensor.evaluate_tick(context)
        for request in tick.run_requests or []:
            wanted.setdefault(str(request.partition_key), []).append(journey)
        outcomes[journey] = tick.skip_message or ""
    for day, journeys in sorted(wanted.items()):
        keys = [dg.AssetKey(["outbox", f"{journey}_batch"]) for journey in journeys]
        only = dg.AssetSelection.assets(*keys)
        execute(instance, "plan_batches_job", partition_key=day, only=only)
    waiting = list_batches(deployment.ledger, states=("planned",))
    for batch in waiting:
        outcomes[batch.journey] = (
            f"planned {batch.message_count:,} messages, read them with crm batch preview "
            f"{batch.batch_id[:8]}, approve them with crm batch approve {batch.batch_id[:8]}"
        )
    return {journey: outcome or "nothing to send" for journey, outcome in outcomes.items()}
