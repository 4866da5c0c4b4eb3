"""One pulled file: whole and named, or absent.

Add here: how a pull's records become a file the door trusts.
Not here: where they come from.

The manifest is written first, then the file is moved in beside it: whoever sees the file sees what
proves it. A crash in between leaves a manifest without a file, which means nothing to the door and
is swept by the next pull.

Several sources may land in one folder. Unfinished files are named after their source; ``land`` and
``sweep`` look at all names, so whoever calls them holds the lock of the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from crm_pipeline.lib.errors import PullError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import atomic_path, fsync_dir
from crm_pipeline.lib.pull.spec import sample_name

MANIFEST = ".manifest.json"
UNFINISHED = ".tmp-pull-"
MANY = 1000  # files of one second


class LandingFile:
    """JSON lines, written beside their final place and counted and hashed on the way."""

    def __init__(self, folder: Path, source: str, where: str) -> None:
        self._folder, self._where = folder, where
        self._path = folder / f"{_unfinished(source)}{os.getpid()}-{os.urandom(4).hex()}"
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self.records = 0
        self.size_bytes = 0

    def __enter__(self) -> LandingFile:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")
        except OSError as error:
            raise PullError(
                f"the landing folder cannot be written: {error.strerror}",
                where=str(self._folder),
                remedy="let this user write it; a pull writes nowhere else in the landing folder",
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, record: dict[str, Any]) -> None:
        """Writes one record as a line."""
        assert self._file is not None
        line = _line(record)
        self._file.write(line)
        self._digest.update(line)
        self.records += 1
        self.size_bytes += len(line)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def land(self, folder_name: str, moment: datetime, zone: str) -> str:
        """Moves the file into place beside its manifest; returns its name."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        target = self._free(folder_name, moment, zone)
        said = {"size": self.size_bytes, "sha256": self.sha256, "records": self.records}
        failpoint("pull_land_before")
        with atomic_path(target.with_name(target.name + MANIFEST)) as temporary:
            temporary.write_text(json.dumps(said) + "\n", encoding="utf-8")
        failpoint("pull_land_between")
        self._path.replace(target)
        fsync_dir(self._folder)
        failpoint("pull_land_after")
        return target.name

    def _free(self, folder_name: str, moment: datetime, zone: str) -> Path:
        for number in range(1, MANY):
            target = self._folder / sample_name(folder_name, moment, zone, number)
            if not target.exists():
                return target
        raise PullError(
            f"{MANY} files of one second", where=str(self._folder), remedy="check the clock"
        )


def _unfinished(source: str) -> str:
    return f"{UNFINISHED}{source}-"  # the name of a source holds no dash


def sweep(folder: Path, source: str) -> int:
    """Removes what killed pulls left: the source's own unfinished files, and manifests of any
    source whose file never came.
    """
    removed = 0
    if not folder.is_dir():
        return 0
    for path in folder.iterdir():
        is_orphan = (
            path.name.endswith(".jsonl" + MANIFEST)
            and not path.with_name(path.name.removesuffix(MANIFEST)).exists()
        )
        if path.name.startswith(_unfinished(source)) or is_orphan:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _line(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half a character (a lone surrogate): kept as it was escaped
        return json.dumps(record, separators=(",", ":")).encode() + b"\n"
