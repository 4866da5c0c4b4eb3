"""The parsed dbt project that every process reads.

Add here: when it is parsed anew.
Not here: running models (``components/warehouse_models.py``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crm_pipeline.dbt_launcher import ask
from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.progress import step

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
SOURCES = (".sql", ".yml", ".yaml", ".md", ".csv")
PARSED = "partial_parse.msgpack"
MANIFEST = "manifest.json"
STAMP = "parsed.sha256"


def digest_project(project_dir: Path) -> str:
    """Hash of every file dbt reads, and of dbt's own version."""
    digest = hashlib.sha256(version("dbt-core").encode())
    for path in sorted(project_dir.rglob("*")):
        relative = path.relative_to(project_dir)
        if relative.parts[0] in ("target", "logs") or path.suffix not in SOURCES:
            continue
        digest.update(str(relative).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def ensure_manifest(project_dir: Path) -> Path:
    """Parses the project when its files have changed since the last time; returns the manifest."""
    target = project_dir / "target"
    wanted = digest_project(project_dir)
    if _is_fresh(target, wanted):
        return target / MANIFEST
    with step("dbt reads its project"):
        if ask(None) and _is_fresh(target, wanted):  # the run's own dbt process was reading it
            return target / MANIFEST
        scratch = target / f"parse-{os.getpid()}"
        scratch.mkdir(parents=True, exist_ok=True)
        try:
            _parse(project_dir, scratch)
            _install(scratch, target, wanted)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target / MANIFEST


def read_project_with(parse: Callable[[Path], Any], project_dir: Path, kept: Path) -> Any:
    """Parses the project by ``parse`` and keeps what others would parse for again.

    Args:
        parse: given a target folder; its result is returned, ``None`` means failure.
        project_dir: the dbt project; its own manifest is renewed if it is stale.
        kept: the folder of a home where the parsed project is kept from call to call.
    """
    target, wanted = project_dir / "target", digest_project(project_dir)
    scratch = kept / f"parse-{os.getpid()}"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        # A new home starts from what the last one parsed.
        known = target if _is_fresh(target, wanted) or not (kept / PARSED).exists() else kept
        if (known / PARSED).exists():
            shutil.copy(known / PARSED, scratch / PARSED)
        found = parse(scratch)
        if found is None:
            return None
        keep_parsed(scratch, kept)
        if not _is_fresh(target, wanted):
            target.mkdir(exist_ok=True)
            _install(scratch, target, wanted)
        return found
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def keep_parsed(scratch: Path, kept: Path) -> None:
    """Lets the next call start from what this one parsed."""
    if (scratch / PARSED).exists():
        fresh = kept / f".tmp-{os.getpid()}-{PARSED}"
        shutil.copy(scratch / PARSED, fresh)
        fresh.replace(kept / PARSED)


def _is_fresh(target: Path, wanted: str) -> bool:
    manifest, stamp = target / MANIFEST, target / STAMP
    return manifest.exists() and stamp.exists() and stamp.read_text() == wanted


def _install(scratch: Path, target: Path, wanted: str) -> None:
    """Makes what was parsed in ``scratch`` the project's own."""
    # Without a stamp the manifest vouches for nothing, so a crash between the lines is safe.
    (target / STAMP).unlink(missing_ok=True)
    for name in (PARSED, MANIFEST):
        fresh = target / f".tmp-{os.getpid()}-{name}"
        shutil.copy(scratch / name, fresh)
        fresh.replace(target / name)
    (target / STAMP).write_text(wanted)


def _parse(project_dir: Path, target: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "crm_pipeline.dbt_launcher",
            "parse",
            "--quiet",
            "--target-path",
            str(target),
            "--log-path",
            str(target),
        ],
        cwd=project_dir,
        env={
            **os.environ,
            "DBT_PROFILES_DIR": str(project_dir),
            "CRM_WAREHOUSE_PATH": os.environ.get("CRM_WAREHOUSE_PATH", str(target / "crm.duckdb")),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ConfigError(
            f"dbt cannot read the project:\n{done.stdout[-3000:]}{done.stderr[-3000:]}",
            where=str(project_dir),
            remedy="mend the model or YAML file named above",
        )


if __name__ == "__main__":  # part of the set-up, so that the first run does not wait for it
    ensure_manifest(PROJECT)
