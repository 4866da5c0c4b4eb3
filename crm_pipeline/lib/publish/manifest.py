"""The note beside a published build.

Add here: what a reader may want to know before opening the file.
Not here: how the build is made.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.home import CrmHome

MANIFEST = "manifest.json"
DATABASE = "crm.duckdb"
CURRENT = "current"


@dataclass(frozen=True)
class Manifest:
    """One published build: what it is, what it was made from, what is in it."""

    build_id: str
    as_of: dt.date
    created_at: dt.datetime  # UTC
    input_file_count: int
    input_files_sha256: str
    versions: dict[str, str]
    build_dir: Path
    schema_hash: str = ""
    result_hash: str = ""  # empty when it was not computed
    row_counts: dict[str, int] = field(default_factory=dict)
    parquet_files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The manifest as text, keys in order."""
        values = asdict(self)
        values["as_of"] = self.as_of.isoformat()
        values["created_at"] = self.created_at.isoformat(timespec="microseconds")
        values["build_dir"] = str(self.build_dir)
        return json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_manifest(build_dir: Path) -> Manifest:
    """Reads the manifest of a build folder.

    Raises:
        PublishError: the folder holds no whole build.
    """
    path = build_dir / MANIFEST
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values["as_of"] = dt.date.fromisoformat(values["as_of"])
        values["created_at"] = dt.datetime.fromisoformat(values["created_at"])
        values["build_dir"] = build_dir  # a home may have been moved since
        return Manifest(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PublishError(
            "a published build has no readable manifest",
            where=str(path),
            remedy="run the nightly job: it publishes a whole build beside it",
        ) from error


def current_manifest(home: CrmHome) -> Manifest | None:
    """The manifest of the build ``published/current`` points to; None before the first one."""
    link = home.published / CURRENT
    if not link.exists():
        return None
    return read_manifest(link.resolve())


def list_builds(home: CrmHome) -> list[Manifest]:
    """All whole builds of a home, newest first."""
    if not home.published.is_dir():
        return []
    folders = [
        path
        for path in home.published.iterdir()
        if path.is_dir() and not path.is_symlink() and (path / MANIFEST).is_file()
    ]
    builds = [read_manifest(path) for path in folders]
    return sorted(builds, key=lambda build: (build.created_at, build.build_id), reverse=True)
