import errno
import subprocess
import sys

import pytest

from crm_pipeline.lib.failpoints import InjectedFailureError, failpoint


def test_an_unnamed_point_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_FAIL", "somewhere_else:raise")
    failpoint("here_1")


def test_the_nth_pass_fails_and_only_that_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_FAIL", "here_2:raise@2")
    failpoint("here_2")
    with pytest.raises(InjectedFailureError):
        failpoint("here_2")
    failpoint("here_2")


def test_a_full_disk_looks_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_FAIL", "here_3:enospc")
    with pytest.raises(OSError, match="No space left") as caught:
        failpoint("here_3")
    assert caught.value.errno == errno.ENOSPC


def test_kill_leaves_no_time_for_cleanup() -> None:
    code = (
        "from crm_pipeline.lib.failpoints import failpoint\n"
        "try:\n    failpoint('here')\nfinally:\n    print('cleaned up')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"CRM_FAIL": "here:kill"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9
    assert "cleaned up" not in done.stdout


def test_an_unknown_action_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_FAIL", "here_4:explode")
    with pytest.raises(ValueError, match="use kill, raise, enospc or sleep"):
        failpoint("here_4")
