"""The landing folder, read in place.

Add here: what makes a file complete.
Not here: keeping or reading its bytes.

Nothing here is ever moved, renamed or changed: the folder may belong to somebody else and be
read-only.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.text import printable

UNFINISHED = (".tmp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")
COMPANIONS = (".done", ".manifest.json", ".control.json")
MANIFEST_LIMIT = 100_000


@dataclass(frozen=True)
class Manifest:
    """What the source says about its own file, in ``<name>.manifest.json``."""

    size: int | None = None
    sha256: str | None = None
    records: int | None = None
    control_totals: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sighting:
    """A file as the folder shows it: equal sightings of a path mean an unchanged file."""

    path: Path
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: str
    companion_ns: int = 0  # when its manifest was written: a corrected manifest is news too

    @property
    def shown_name(self) -> str:
        return printable(self.path.name)

    @property
    def own_state(self) -> tuple[int, int, int, str]:
        """The file itself, without its manifest."""
        return (self.size_bytes, self.mtime_ns, self.ctime_ns, self.inode)

    @property
    def state(self) -> tuple[int, int, int, str]:
        """What the inbox remembers."""
        mark = f"{self.inode}+{self.companion_ns}" if self.companion_ns else self.inode
        return (self.size_bytes, self.mtime_ns, self.ctime_ns, mark)


@dataclass(frozen=True)
class Refusal:
    """Something in the folder that is no plain file and was not opened."""

    name: str
    reason_code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Scan:
    """What a look into the folder found."""

    complete: tuple[Sighting, ...]
    waiting: tuple[str, ...]
    refused: tuple[Refusal, ...]


def scan(spec: FeedSpec, landing_dir: Path, *, stable_seconds: float = 0.0) -> Scan:
    """Looks for the feed's files; names only, in a fixed order, no file is opened.

    A file is complete when its companion says so (``.done``, ``.manifest.json``), else when it
    has not changed for ``stable_seconds``.
    """
    folder = landing_dir / spec.landing_folder
    complete: list[Sighting] = []
    waiting: list[str] = []
    refused: list[Refusal] = []
    names = sorted(_names(spec, folder))
    for name in names:
        if name.startswith(".") or name.endswith((*UNFINISHED, *COMPANIONS)):
            if name.endswith(UNFINISHED) and not name.startswith("."):
                waiting.append(printable(name))
            continue
        if not fnmatch.fnmatchcase(name, spec.files):
            continue
        found = look_at(folder / name)
        if isinstance(found, Refusal):
            refused.append(found)
        elif found is not None and _is_complete(spec, found, stable_seconds):
            manifest = look_at(_companion(found.path, ".manifest.json"))
            written = manifest.mtime_ns if isinstance(manifest, Sighting) else 0
            complete.append(replace(found, companion_ns=written))
        else:
            waiting.append(printable(name))
    return Scan(tuple(complete), tuple(waiting), tuple(refused))


def _names(spec: FeedSpec, folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)
    except FileNotFoundError:
        return
    except (NotADirectoryError, PermissionError) as error:
        raise LandingError(
            f"the landing folder of {spec.feed} cannot be read: {error.strerror}",
            reason_code="landing_folder",
            where=str(folder),
            remedy="make it a folder this user may read",
        ) from error


def look_at(path: Path) -> Sighting | Refusal | None:
    """The state of ``path`` without opening it; ``None`` when it has just gone."""
    try:
        found = path.lstat()
    except OSError:  # gone, or a companion's name too long to exist
        return None
    if stat.S_ISLNK(found.st_mode):
        kind = "a symbolic link"
    elif stat.S_ISDIR(found.st_mode):
        kind = "a folder"
    elif stat.S_ISREG(found.st_mode):
        return sighting_of(path, found)
    else:
        kind = "a pipe, socket or device"
    return Refusal(
        printable(path.name),
        "not_a_file",
        f"{kind} was found where a file belongs; it was not opened",
        "deliver plain files",
    )


def sighting_of(path: Path, found: os.stat_result) -> Sighting:
    """A sighting from an ``lstat`` or ``fstat`` result."""
    return Sighting(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, str(found.st_ino))


def _is_complete(spec: FeedSpec, found: Sighting, stable_seconds: float) -> bool:
    is_done = look_at(_companion(found.path, ".done")) is not None
    has_manifest = look_at(_companion(found.path, ".manifest.json")) is not None
    if spec.completion == "done":
        return is_done
    if spec.completion == "manifest":
        return has_manifest
    if is_done or has_manifest or stable_seconds <= 0:
        return True
    newest = max(found.mtime_ns, found.ctime_ns) / 1e9
    return time.time() - newest >= stable_seconds


def _companion(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest beside ``path``, if there is one.

    Raises:
        LandingError: the manifest cannot be understood.
    """
    companion = _companion(path, ".manifest.json")
    found = look_at(companion)
    if found is None:
        return None
    try:
        if isinstance(found, Refusal) or found.size_bytes > MANIFEST_LIMIT:
            raise ValueError("it is no small plain file")
        return _manifest(json.loads(companion.read_text(encoding="utf-8-sig")))
    except (ValueError, OSError, RecursionError) as error:
        raise LandingError(
            f"the manifest cannot be understood: {printable(str(error))}",
            reason_code="manifest",
            where=printable(companion.name),
            remedy='write {"size": bytes, "sha256": hex, "records": count, '
            '"control_totals": {column: "sum"}}',
        ) from error


def _manifest(said: Any) -> Manifest:
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")
    unknown = set(said) - {"size", "sha256", "records", "control_totals"}
    if unknown:
        raise ValueError(f"unknown keys {sorted(unknown)}")
    for key in ("size", "records"):
        if said.get(key) is not None and (type(said[key]) is not int or said[key] < 0):
            raise ValueError(f"{key} is no count")
    digest = said.get("sha256")
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
        raise ValueError("sha256 is not 64 lower-case hex digits")
    totals = {str(k): str(v) for k, v in (said.get("control_totals") or {}).items()}
    return Manifest(said.get("size"), digest, said.get("records"), totals)
