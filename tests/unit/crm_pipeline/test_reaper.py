import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.run_locks import hold_run_lock, is_dead
from crm_pipeline.reaper import reap_dead_runs

HOLD = """
import sys, time
from pathlib import Path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.run_locks import hold_run_lock
with hold_run_lock(CrmHome(Path(sys.argv[1])), sys.argv[2]):
    print("held", flush=True)
    time.sleep(60)
"""


@dg.job
def waiting_job() -> None:
    """A job whose run is only ever recorded, never executed."""


@contextmanager
def started_run(instance: dg.DagsterInstance, home: CrmHome) -> Iterator[subprocess.Popen[str]]:
    """A run on record as started, and the process that holds its lock."""
    run = instance.create_run_for_job(waiting_job, status=dg.DagsterRunStatus.STARTED)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home.root), run.run_id],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_run_that_ended_well_leaves_no_lock_to_be_dead_with(home: CrmHome) -> None:
    with hold_run_lock(home, "r1"):
        assert not is_dead(home, "r1")
    assert not is_dead(home, "r1")


@pytest.mark.requirement("SRV-3")
def test_a_killed_run_is_marked_as_failed_and_stops_blocking_the_queue(home: CrmHome) -> None:
    with dg.DagsterInstance.ephemeral() as instance, started_run(instance, home) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        (run,) = instance.get_runs()
        assert reap_dead_runs(instance, home) == [run.run_id]
        assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
        assert reap_dead_runs(instance, home) == []


def test_a_slow_run_is_left_alone(home: CrmHome) -> None:
    with dg.DagsterInstance.ephemeral() as instance, started_run(instance, home):
        assert reap_dead_runs(instance, home) == []
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.STARTED
