"""Versions of a model on disk, found by what they were trained on.

Add here: finding, keeping and describing versions.
Not here: the format of a version (``ml.artifacts``) and training.

``models/<name>/<key>/`` is one version and ``<key>.json`` its record: what was trained when, and
how it did out of time. The key is a hash of panel, settings and code, so that equal data finds
the version it would train (DECISIONS 5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from ml.artifacts import ModelArtifact, read_artifact, write_artifact
from ml.errors import ArtifactError

KEY_LENGTH = 16


@dataclass(frozen=True)
class ModelRecord:
    """What is told about a version: in the UI, in the summary and beside the scores."""

    name: str
    version: str
    trained_until: str
    metrics: dict[str, float]
    backtest: dict[str, float]


def key_of(panel: pd.DataFrame, *, settings: Any, code_version: str) -> str:
    """Hash of everything a training depends on; the panel's row order does not count."""
    rows = pd.util.hash_pandas_object(panel.astype("string"), index=False)
    digest = hashlib.sha256(rows.sort_values().to_numpy().tobytes())
    digest.update(json.dumps([list(panel.columns), repr(settings), code_version]).encode())
    return digest.hexdigest()[:KEY_LENGTH]


def find_or_train(
    home: CrmHome,
    name: str,
    key: str,
    *,
    kind: str,
    features: Sequence[str],
    train: Callable[[], tuple[ModelArtifact, dict[str, float]]],
    trained_until: date,
) -> tuple[ModelArtifact, ModelRecord]:
    """The version with this key, trained now when there is none or the kept one is damaged.

    Args:
        home: whose ``models`` folder is used.
        name: the score, for example ``churn``.
        key: from :func:`key_of`.
        kind: artifact kind the caller can use.
        features: input columns the caller will pass, in order.
        train: makes the artifact and its out-of-time figures.
        trained_until: last day the training could know.
    """
    folder, record_path = _paths(home, name, key)
    if record_path.exists():
        try:
            artifact = read_artifact(folder, kind=kind, features=features)
            return artifact, ModelRecord(**json.loads(record_path.read_text(encoding="utf-8")))
        except ArtifactError:
            _set_aside(folder, record_path)
    artifact, backtest = train()
    record = ModelRecord(
        name, artifact.version, trained_until.isoformat(), dict(artifact.metrics), backtest
    )
    if folder.exists():  # a crash came between the version and its record
        _set_aside(folder, record_path)
    write_artifact(artifact, folder)
    with atomic_path(record_path) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=2, sort_keys=True))
    return artifact, record


def newest_records(home: CrmHome) -> dict[str, ModelRecord]:
    """Score → the record of the version trained on the latest data."""
    newest: dict[str, ModelRecord] = {}
    for path in sorted(home.models.glob("*/*.json"), key=lambda path: path.stat().st_mtime_ns):
        record = ModelRecord(**json.loads(path.read_text(encoding="utf-8")))
        known = newest.get(record.name)
        if known is None or record.trained_until >= known.trained_until:
            newest[record.name] = record
    return newest


def _paths(home: CrmHome, name: str, key: str) -> tuple[Path, Path]:
    return home.models / name / key, home.models / name / f"{key}.json"


def _set_aside(folder: Path, record_path: Path) -> None:
    """Moves a damaged version out of the way; it stays on disk for whoever asks why."""
    number = 1
    while (damaged := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    if folder.exists():
        folder.rename(damaged)
    record_path.unlink(missing_ok=True)
