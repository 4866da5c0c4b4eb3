"""The commands around the project.

Add here: preflight, bootstrap, make.
Not here: what crm does.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PREFLIGHT = ROOT / ".ci" / "preflight"
# The suite runs inside .venv: a test must never let make rebuild it.
NO_SETUP = ("-s", "-o", "setup")
TOOLS = ("sh", "awk", "df", "dirname")
Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="make and sh are for POSIX systems")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A PATH with the few tools the preflight needs and no Python at all."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (folder / tool).symlink_to(found)
    return folder


@pytest.fixture
def preflight(machine: Path) -> Run:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [shutil.which("sh") or "sh", str(PREFLIGHT), *arguments],
            cwd=ROOT,
            env={"PATH": str(machine), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def put(machine: Path, name: str, script: str) -> None:
    path = machine / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


def test_without_python_the_preflight_says_what_to_install(preflight: Run) -> None:
    answer = preflight()
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert "no python3" in answer.stderr
    assert "apt-get install python3 python3-venv" in answer.stderr


def test_a_python_of_the_wrong_version_is_named_with_its_version(
    preflight: Run, machine: Path
) -> None:
    put(machine, "python3", "echo 'range 3.9.18'")
    answer = preflight()
    assert answer.returncode == 1
    assert "python3 is Python 3.9.18; needed is at least 3.11 and below 3.14" in answer.stderr


def test_the_real_probe_refuses_a_version_outside_the_range(
    preflight: Run, machine: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "sitecustomize.py"
    fake.write_text("import sys\nsys.version_info = (3, 14, 0, 'final', 0)\n", encoding="utf-8")
    put(machine, "python3", f'PYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"')
    answer = preflight()
    assert answer.returncode == 1
    assert "python3 is Python 3.14.0" in answer.stderr


def test_a_python_without_venv_names_the_package_to_install(preflight: Run, machine: Path) -> None:
    put(machine, "python3", "echo 'venv 3.11.2'")
    answer = preflight()
    assert answer.returncode == 1
    assert "apt-get install python3.11-venv" in answer.stderr


def test_a_second_python_is_taken_when_the_first_does_not_fit(
    preflight: Run, machine: Path
) -> None:
    put(machine, "python3", "echo 'range 3.9.18'")
    put(machine, "python3.13", "exit 127")
    put(machine, "python3.12", "echo 'ok 3.12.4'")
    answer = preflight()
    assert (answer.returncode, answer.stdout.strip()) == (0, "python3.12")


def test_the_chosen_python_is_not_replaced_silently(preflight: Run, machine: Path) -> None:
    put(machine, "python3", "echo 'ok 3.12.4'")
    answer = preflight(PYTHON="python-of-mine")
    assert answer.returncode == 1
    assert "PYTHON=python-of-mine: there is no such command" in answer.stderr


def test_too_little_room_is_named_with_the_folder(preflight: Run, machine: Path) -> None:
    put(machine, "python3", "echo 'ok 3.12.4'")
    put(machine, "fake_df", "echo header; echo '/dev/x 100 50 2048000 5% /'")
    (machine / "df").unlink()
    (machine / "fake_df").rename(machine / "df")
    answer = preflight("3000")
    assert answer.returncode == 1
    assert "only 2000 MB free here; 3000 MB are needed" in answer.stderr
    assert str(ROOT) in answer.stderr


@pytest.fixture
def make() -> Run:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
        for name in ("CRM_HOME", "LANDING", "EXAMPLE", "JOB", "AS_OF"):
            outside.pop(name, None)
        return subprocess.run(
            ["make", *arguments],
            cwd=ROOT,
            env={**outside, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    "target", ["run", "test", "ui", "check", "bench", "soak", "lock", "docs", "clean"]
)
def test_every_command_is_listed_and_can_be_shown_without_running(make: Run, target: str) -> None:
    assert f"make {target} " in make("help").stdout
    assert make("-n", target).returncode == 0


def fake_crm(make: Run, tmp_path: Path, *options: str, **environment: str) -> list[str]:
    """What ``make run`` hands to ``crm``, found out with a stand-in for the environment."""
    folder = tmp_path / "bin"
    folder.mkdir()
    put(folder, "crm", 'printf "%s\\n" "$@"')
    answer = make(*NO_SETUP, "run", f"BIN={folder}", *options, **environment)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_make_run_leaves_the_choice_of_data_to_the_default_home(make: Run, tmp_path: Path) -> None:
    """A home remembers its landing folder; only a new one gets the example, by ``crm`` itself."""
    assert fake_crm(make, tmp_path) == ["run", "--home", f"{ROOT}/data"]


def test_an_example_gets_a_home_of_its_own(make: Run, tmp_path: Path) -> None:
    said = fake_crm(make, tmp_path, "EXAMPLE=own_channel")
    assert said == ["run", "--home", f"{ROOT}/data-own_channel", "--example", "own_channel"]


def test_a_landing_folder_with_spaces_gets_a_home_named_after_it(make: Run, tmp_path: Path) -> None:
    said = fake_crm(make, tmp_path, "LANDING=/somewhere else/my shop/", "AS_OF=2011-12-09")
    assert said[:3] == ["run", "--home", f"{ROOT}/data-my shop"]
    assert said[3:] == ["--landing", "/somewhere else/my shop/", "--as-of", "2011-12-09"]


def test_crm_home_wins_over_everything(make: Run, tmp_path: Path) -> None:
    said = fake_crm(make, tmp_path, "LANDING=x", "JOB=monthly", CRM_HOME=str(tmp_path / "home"))
    assert said[2] == str(tmp_path / "home")
    assert said[-2:] == ["--job", "monthly"]


def test_landing_and_example_together_are_refused(make: Run, tmp_path: Path) -> None:
    answer = make(*NO_SETUP, "run", f"BIN={tmp_path}", "LANDING=x", "EXAMPLE=y")
    assert answer.returncode == 2
    assert "exclude each other" in answer.stderr


def test_uv_gets_what_pip_is_told_and_the_users_own_words_win() -> None:
    module = runpy.run_path(str(ROOT / ".ci" / "uv_with_pip_settings.py"))
    translate = module["uv_environment"]
    pip = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "find-links": "/wheels /more",
        "cert": "/certs/ca.pem",
        "no-index": "true",
    }
    got = translate(pip, {"SSL_CERT_FILE": "/mine.pem"})
    assert got["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert got["UV_INDEX"] == "https://a.example/simple https://b.example/simple"
    assert got["UV_FIND_LINKS"] == "/wheels,/more"
    assert got["SSL_CERT_FILE"] == "/mine.pem"
    assert got["UV_NO_INDEX"] == "1"
    assert "UV_SYSTEM_CERTS" not in got
    assert translate({}, {})["UV_SYSTEM_CERTS"] == "1"
