"""The lock file.

Add here: what must hold for the pins.
Not here: whether the code works with them.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
BOOTSTRAP_LOCK = ROOT / ".ci" / "bootstrap.lock"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.\-]+)==(?P<version>\S+?)(?: ;.*?)?(?: \\)?$", re.MULTILINE)


def locked_versions(path: Path) -> dict[str, set[str]]:
    """Name -> versions; a package may have one version per Python."""
    versions: dict[str, set[str]] = {}
    for match in PIN.finditer(path.read_text(encoding="utf-8")):
        versions.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    return versions


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [
        Requirement(text) for text in (*project["dependencies"], *itertools.chain(*extras.values()))
    ]


@pytest.mark.parametrize("path", [LOCK, BOOTSTRAP_LOCK], ids=lambda path: path.name)
def test_a_lock_names_no_registry_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|index-url|find-links|trusted-host|^-", text, re.MULTILINE)


@pytest.mark.parametrize("path", [LOCK, BOOTSTRAP_LOCK], ids=lambda path: path.name)
def test_every_locked_package_has_hashes(path: Path) -> None:
    blocks = re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8"))
    pins = [block for block in blocks if PIN.match(block)]
    assert pins
    assert [block.split()[0] for block in pins if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("requirement", declared(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_locked_inside_its_range(requirement: Requirement) -> None:
    versions = locked_versions(LOCK).get(canonicalize_name(requirement.name), set())
    assert versions, f"{requirement.name} is not in the lock: run make lock"
    outside = [version for version in versions if version not in requirement.specifier]
    assert not outside, f"{requirement}: the lock holds {outside}: run make lock"


def test_no_lock_that_records_hosts_is_in_the_project() -> None:
    assert [name for name in ("uv.lock", "pylock.toml") if (ROOT / name).exists()] == []
