"""The shape of the repository.

Add here: what must hold for tracked files.
Not here: what they do.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOP_LEVEL = {
    # given
    "crm_pipeline", "dbt_project", "ml", "tests", "workspace.yaml", "pyproject.toml", "README.md",
    "README.zh-CN.md",
    # what a stranger expects beside it
    "Makefile", "CHANGELOG.md", "CONTRIBUTING.md", "DECISIONS.md", "LICENSE", "requirements.lock",
    "docs", "simulation", "benchmarks", "examples", ".ci",
    ".gitignore", ".gitattributes", ".editorconfig", ".pre-commit-config.yaml",
}  # fmt: skip
BINARY = {".gz", ".png", ".parquet", ".xlsx"}
# Absolute paths of somebody's machine; container and documentation paths do not look like this.
MACHINE_PATH = re.compile(r"(?<![\w.$}>~-])/(?:root|work|Users|home/\w+|mnt|private)/[\w.]+")
LARGEST_FILE_BYTES = 1_000_000
COMPONENTS_FENCE = re.compile(r"Add here.*Not here", re.DOTALL)


@cache
def tracked_files() -> tuple[Path, ...]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return tuple(ROOT / name for name in listing.stdout.split("\0") if name)


def tracked_texts() -> list[tuple[Path, str]]:
    return [
        (path.relative_to(ROOT), path.read_bytes().decode("utf-8", errors="replace"))
        for path in tracked_files()
        if path.suffix not in BINARY and path.is_file()
    ]


def test_top_level_holds_only_what_a_stranger_expects() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert found - TOP_LEVEL == set()


def test_no_tracked_file_names_a_path_of_somebodys_machine() -> None:
    hits = [
        f"{path}: {match.group()}"
        for path, text in tracked_texts()
        for match in MACHINE_PATH.finditer(text)
        if path != Path("tests/unit/test_frame_tree.py")
    ]
    assert hits == []


def test_no_tracked_file_is_large() -> None:
    large = [str(path) for path in tracked_files() if path.stat().st_size > LARGEST_FILE_BYTES]
    assert large == []


def test_lib_and_ml_never_import_dagster_and_models_take_frames_not_duckdb() -> None:
    banned = {
        "crm_pipeline/lib": r"dagster\w*",
        "ml": r"(?:dagster\w*|crm_pipeline)",
        "ml/churn": "duckdb",
        "ml/clv": "duckdb",
    }
    hits = []
    for folder, names in banned.items():
        pattern = re.compile(rf"^\s*(?:import|from)\s+{names}\b", re.MULTILINE)
        for path in sorted((ROOT / folder).rglob("*.py")):
            if pattern.search(path.read_text(encoding="utf-8")):
                hits.append(str(path.relative_to(ROOT)))
    assert hits == []


def test_every_module_has_a_fence_that_says_what_belongs_there() -> None:
    modules = [
        path
        for folder in ("crm_pipeline", "ml", "benchmarks", "simulation")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    without = [
        str(path.relative_to(ROOT))
        for path in modules
        if not COMPONENTS_FENCE.search(path.read_text(encoding="utf-8")[:1500])
    ]
    assert without == []


def test_the_license_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "APPENDIX: How to apply the Apache License" in text


def test_ci_runs_the_test_command_and_nothing_else() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    commands = [line for line in script.splitlines() if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "${BASH_SOURCE[0]}")/.."', "make test"]
