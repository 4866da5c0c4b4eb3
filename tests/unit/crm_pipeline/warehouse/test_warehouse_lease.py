"""One writer at a time, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.warehouse.lease import hold_lease, read_holder

HOLD = """
import sys, time
from pathlib import Path
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.warehouse.lease import hold_lease
with hold_lease(CrmHome(Path(sys.argv[1])), holder="run other"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> CrmHome:
    return CrmHome(tmp_path).ensure()


def start_other_holder(home: CrmHome) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home.root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


@pytest.mark.requirement("SRV-3")
def test_a_second_process_is_refused_with_the_name_of_the_holder(home: CrmHome) -> None:
    other = start_other_holder(home)
    try:
        with (
            pytest.raises(WarehouseError, match=f"run other \\(process {other.pid}"),
            hold_lease(home, holder="run mine", wait_seconds=0.3),
        ):
            pass
    finally:
        other.kill()
        other.wait()


@pytest.mark.requirement("SRV-3")
def test_the_lease_of_a_killed_process_is_free_at_once(home: CrmHome) -> None:
    other = start_other_holder(home)
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with hold_lease(home, holder="run mine", wait_seconds=1):
        assert "run mine" in (read_holder(home) or "")
    assert read_holder(home) is None


@pytest.mark.requirement("SRV-3")
def test_a_second_process_waits_until_the_lease_is_free(home: CrmHome) -> None:
    other = start_other_holder(home)
    threading.Timer(0.5, other.kill).start()
    began = time.monotonic()
    with hold_lease(home, holder="run mine", wait_seconds=20):
        assert time.monotonic() - began >= 0.4
    other.wait()


def test_the_same_run_may_take_the_lease_again(home: CrmHome) -> None:
    with hold_lease(home, holder="run a"):
        with hold_lease(home, holder="run a", wait_seconds=0):
            pass
        assert "run a" in (read_holder(home) or "")
        with (
            pytest.raises(WarehouseError, match="run a"),
            hold_lease(home, holder="run b", wait_seconds=0),
        ):
            pass


def test_the_lease_is_given_back_when_the_holder_fails(home: CrmHome) -> None:
    with pytest.raises(ZeroDivisionError), hold_lease(home, holder="run a"):
        raise ZeroDivisionError
    with hold_lease(home, holder="run b", wait_seconds=0):
        pass


def test_a_child_process_does_not_keep_the_lease_of_its_parent(home: CrmHome) -> None:
    with hold_lease(home, holder="run a"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    try:
        with hold_lease(home, holder="run b", wait_seconds=0):
            pass
    finally:
        child.kill()
        child.wait()
