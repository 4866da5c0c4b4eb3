"""dbt ends with its run, whether it was started or kept in memory, and says the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc to see whether a process lives"
)
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
time.sleep(60)
"""
CHILD = """
import time
from crm_pipeline.dbt_launcher import die_with_parent
die_with_parent()
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text()  # a zombie nobody waits for counts as ended
    return stat.rpartition(")")[2].split()[0] != "Z"


@linux
@pytest.mark.requirement("SRV-3")
def test_dbt_ends_with_the_run_that_started_it() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(1)
    assert is_running(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 10
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


PROJECT = Path(__file__).resolve().parents[3]
# A run: starts the process, then calls crm-dbt as Dagster does, and says who is who.
RUN = """
import subprocess, sys
from pathlib import Path
from crm_pipeline import dbt_server
from crm_pipeline.lib.home import CrmHome
started = dbt_server.start(CrmHome(Path(sys.argv[1])).ensure())
call = subprocess.Popen([sys.executable, "-m", "crm_pipeline.dbt_launcher", *sys.argv[2:]])
print(started.pid, call.pid, flush=True)
code = call.wait()
dbt_server.stop(started)
sys.exit(code)
"""
BUILD = ("parse", "--project-dir", str(PROJECT / "dbt_project"), "--no-partial-parse")


def run(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            "DBT_PROFILES_DIR": str(PROJECT / "dbt_project"),
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home / "target"),
            "CRM_WAREHOUSE_PATH": str(home / "other.duckdb"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def forked_by(server: int) -> list[int]:
    children = Path(f"/proc/{server}/task/{server}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in pids if is_running(pid)] == []


@linux
@pytest.mark.slow
@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("victim", ["run", "caller"])
def test_a_call_of_dbt_ends_with_its_run_and_with_its_caller(tmp_path: Path, victim: str) -> None:
    process = run(tmp_path, *BUILD)
    assert process.stdout is not None
    server, caller = map(int, process.stdout.readline().split())
    deadline = time.monotonic() + 120
    while not (forked := forked_by(server)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(forked) == 1
    if victim == "run":
        process.kill()
        wait_until_gone([server, caller, *forked])
    else:
        os.kill(caller, 9)
        wait_until_gone([caller, *forked])
    process.communicate(timeout=60)


@linux
@pytest.mark.slow
def test_it_says_what_dbt_says_and_ends_as_dbt_ends(tmp_path: Path) -> None:
    good = run(tmp_path, "--version")
    told, _ = good.communicate(timeout=180)
    assert (good.returncode, "installed" in told) == (0, True)
    bad = run(tmp_path, "build", "--no-such-option")
    _, errors = bad.communicate(timeout=180)
    assert (bad.returncode, "no-such-option" in errors) == (2, True)
    assert list((tmp_path / "dagster" / "dbt").glob("*.sock")) == []


def test_without_it_crm_dbt_runs_dbt_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "crm_pipeline.dbt_launcher", "--version"],
        env={**os.environ, "CRM_DBT_SERVER": str(tmp_path / "gone.sock")},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert (done.returncode, "installed" in done.stdout) == (0, True)
