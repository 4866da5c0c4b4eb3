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
from pathlib import Path

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.progress import step

SOURCES = (".sql", ".yml", ".yaml", ".md", ".csv")


def digest_project(project_dir: Path) -> str:
    """Hash of every file dbt reads, and of dbt's own version."""
    from dbt.version import __version__

    digest = hashlib.sha256(__version__.encode())
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
    manifest, stamp = target / "manifest.json", target / "parsed.sha256"
    wanted = digest_project(project_dir)
    if manifest.exists() and stamp.exists() and stamp.read_text() == wanted:
        return manifest
    scratch = target / f"parse-{os.getpid()}"
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        with step("dbt reads its project"):
            _parse(project_dir, scratch)
        # Without a stamp the manifest vouches for nothing, so a crash between the lines is safe.
        stamp.unlink(missing_ok=True)
        for name in ("partial_parse.msgpack", "manifest.json"):
            (scratch / name).replace(target / name)
        stamp.write_text(wanted)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return manifest


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
            "CRM_WAREHOUSE_PATH": os.environ.get("CRM_WAREHOUSE_PATH", str(target / "none.duckdb")),
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
