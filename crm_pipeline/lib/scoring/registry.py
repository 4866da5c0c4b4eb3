"""Model versions of a home: ``models/<score>/<version>/`` and what is known about each.

Add here: how a version is kept and found.
Not here: what stands in its folder (``ml.artifacts``), which version is in use (``promotion``).

Beside each folder lies ``<version>.json``: what the version was trained on, how it did in its
backtest, and how its inputs were distributed then. A folder is never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from crm_pipeline.lib.files import atomic_path
from crm_pipeline.lib.home import CrmHome
from ml.artifacts import ModelArtifact, read_artifact, write_artifact
from ml.drift import Reference
from ml.errors import ArtifactError


@dataclass(frozen=True)
class ModelRecord:
    """What is told about a version: in the UI, in reports and beside the scores.

    Args:
        name: The score, for example ``churn``.
        version: Name of the version, derived from its content.
        training_key: Hash of all a training depends on; the same key gives the same version.
        trained_until: Last day the training could know.
        training_data_sha256: Hash of the rows it learned from.
        code_version: Version of the training code.
        metrics: Figures measured while training.
        backtest: Figures out of time; empty when there was too little history for one.
        score_reference: Distribution of its scores on the newest customers it has learned from.
        feature_references: The same of each input.
    """

    name: str
    version: str
    training_key: str
    trained_until: str
    training_data_sha256: str
    code_version: str
    metrics: dict[str, float]
    backtest: dict[str, float]
    score_reference: dict[str, Any] | None = None
    feature_references: dict[str, Any] = field(default_factory=dict)

    def references(self) -> tuple[Reference | None, dict[str, Reference]]:
        """The distributions of scores and inputs at training."""
        stored = self.score_reference
        return (
            Reference.from_json(stored) if stored else None,
            {name: Reference.from_json(one) for name, one in self.feature_references.items()},
        )


def keep_version(home: CrmHome, artifact: ModelArtifact, record: ModelRecord) -> None:
    """Writes a version and then its record, which is renewed when the version was kept before.

    A folder without a record is what a crash has left, and one of other content is damaged: both
    are moved out of the way.
    """
    folder, record_path = _paths(home, record.name, artifact.version)
    if folder.exists() and not (record_path.exists() and _is_whole(folder, artifact)):
        _set_aside(folder, record_path)
    write_artifact(artifact, folder)
    with atomic_path(record_path) as temporary:
        temporary.write_text(json.dumps(asdict(record), indent=1, sort_keys=True))


def read_version(
    home: CrmHome, name: str, version: str, *, kind: str, features: Sequence[str]
) -> tuple[ModelArtifact, ModelRecord]:
    """A kept version.

    Raises:
        ArtifactError: it is gone, damaged, of another kind, or was trained on other inputs.
    """
    folder, record_path = _paths(home, name, version)
    artifact = read_artifact(folder, kind=kind, features=features)
    if artifact.version != version:
        raise ArtifactError(
            f"{folder} holds {artifact.version}", remedy="give the folder its own name back"
        )
    return artifact, _read_record(record_path)


def find_trained(home: CrmHome, name: str, training_key: str) -> ModelRecord | None:
    """The record of a version trained on exactly this, if one is kept."""
    for record in _list_records(home, name):
        if record.training_key == training_key:
            return record
    return None


def newest_records(home: CrmHome) -> dict[str, ModelRecord]:
    """Score → the record of the version trained on the latest data, kept last among equals."""
    newest: dict[str, ModelRecord] = {}
    for record in _list_records(home, "*"):
        known = newest.get(record.name)
        if known is None or record.trained_until >= known.trained_until:
            newest[record.name] = record
    return newest


def _list_records(home: CrmHome, name: str) -> list[ModelRecord]:
    """Records of a score, oldest file first; those of an older release are passed over."""
    found = []
    for path in sorted(home.models.glob(f"{name}/*.json"), key=lambda p: p.stat().st_mtime_ns):
        try:
            found.append(_read_record(path))
        except ArtifactError:
            continue  # it cannot be used; whoever asks for this version by name is told
    return found


def _read_record(path: Path) -> ModelRecord:
    try:
        stored: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return ModelRecord(**stored)
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{path} is no record of a model version: {error}",
            remedy="train this model again, or restore the file from a backup",
        ) from error


def _paths(home: CrmHome, name: str, version: str) -> tuple[Path, Path]:
    return home.models / name / version, home.models / name / f"{version}.json"


def _is_whole(folder: Path, artifact: ModelArtifact) -> bool:
    try:
        kept = read_artifact(folder, kind=artifact.kind, features=artifact.features)
    except ArtifactError:
        return False
    return kept.version == artifact.version


def _set_aside(folder: Path, record_path: Path) -> None:
    """Moves a damaged version out of the way; it stays on disk for whoever asks why."""
    number = 1
    while (damaged := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    folder.rename(damaged)
    record_path.unlink(missing_ok=True)
