"""Model versions on disk: one folder each, JSON only, refused when anything is off.

Add here: the format of a stored version. Not here: which version is in use (the registry's task),
what a model writes into it (``to_artifact`` of the model).

A folder holds ``model.json`` (the model in its library's portable format, or its parameters) and
``metadata.json`` (what it is, how it was made, and the hashes of both).
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ml.errors import ArtifactError

__all__ = ["FORMAT_VERSION", "ModelArtifact", "read_artifact", "write_artifact"]

FORMAT_VERSION = 1
MODEL_FILE = "model.json"
METADATA_FILE = "metadata.json"
_RETRAIN = "train this model again, or restore the folder from a backup"


@dataclass(frozen=True)
class ModelArtifact:
    """Everything needed to predict with a model version and to say where it came from.

    Args:
        kind: Model kind, for example ``churn_xgboost_logistic``; a reader asks for it by name.
        features: Input columns in the order the model reads them.
        config: Every number the model was configured with.
        parameters: Small learned numbers that do not stand in ``model``.
        metrics: Figures measured while training; finite numbers or ``None``.
        training_data_sha256: Hash of the training rows.
        code_version: Version of the code that trained it, named by the caller.
        model: JSON text of the model, kept byte for byte.
    """

    kind: str
    features: tuple[str, ...]
    config: Mapping[str, Any]
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Any]
    training_data_sha256: str
    code_version: str
    model: bytes = field(repr=False)

    @property
    def version(self) -> str:
        """Name derived from the content: equal training gives an equal name."""
        return f"{self.kind}-{_sha256(_dump(self._metadata()))[:12]}"

    def _metadata(self) -> dict[str, Any]:
        metadata = {key: value for key, value in asdict(self).items() if key != "model"}
        return {
            **metadata,
            "features": list(self.features),
            "format_version": FORMAT_VERSION,
            "model_sha256": _sha256(self.model),
        }


def write_artifact(artifact: ModelArtifact, folder: Path) -> Path:
    """Write ``artifact`` to ``folder`` in one step; a reader sees the whole version or none.

    Writing the same version again changes nothing.

    Raises:
        ArtifactError: ``folder`` holds another version; versions are never overwritten.
    """
    metadata = artifact._metadata()
    metadata["metadata_sha256"] = _sha256(_dump(metadata))
    files = {MODEL_FILE: artifact.model, METADATA_FILE: _dump(metadata)}
    _load_json(artifact.model, where=f"{MODEL_FILE} to be written to {folder}")
    if folder.exists():
        _refuse_other_content(folder, files)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in files.items():
            _write_synced(scratch / name, content)
        _sync_folder(scratch)
        _rename_or_accept_equal(scratch, folder, files)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def read_artifact(folder: Path, *, kind: str, features: Sequence[str]) -> ModelArtifact:
    """Read the version in ``folder`` if it is whole and is what the caller expects.

    Args:
        folder: Folder of one model version.
        kind: Kind the caller can use.
        features: Columns the caller will pass, in order.

    Raises:
        ArtifactError: A file is absent, truncated or altered, the format or kind is another one,
            or the model was trained on other features.
    """
    metadata_bytes, model = (_read(folder / name) for name in (METADATA_FILE, MODEL_FILE))
    metadata = _load_json(metadata_bytes, where=str(folder / METADATA_FILE))
    _check_format(metadata, folder)
    claimed = metadata.pop("metadata_sha256", None)
    if claimed != _sha256(_dump(metadata)):
        raise ArtifactError(f"{folder / METADATA_FILE} was altered", remedy=_RETRAIN)
    if metadata["model_sha256"] != _sha256(model):
        raise ArtifactError(
            f"{folder / MODEL_FILE} is truncated or altered: its sha256 is not the recorded one",
            remedy=_RETRAIN,
        )
    _check_expectations(metadata, folder, kind=kind, features=features)
    fields = {
        key: value
        for key, value in metadata.items()
        if key not in ("format_version", "model_sha256", "features")
    }
    return ModelArtifact(**fields, features=tuple(metadata["features"]), model=model)


def _check_format(metadata: Mapping[str, Any], folder: Path) -> None:
    if metadata.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{folder} has format version {metadata.get('format_version')!r}; "
            f"this code reads {FORMAT_VERSION}",
            remedy="train this model again with the installed code",
        )


def _check_expectations(
    metadata: Mapping[str, Any], folder: Path, *, kind: str, features: Sequence[str]
) -> None:
    if metadata["kind"] != kind:
        raise ArtifactError(
            f"{folder} holds a model of kind {metadata['kind']!r}, not {kind!r}",
            remedy="point to a version of the right model",
        )
    stored, expected = list(metadata["features"]), list(features)
    if stored != expected:
        absent = [name for name in expected if name not in stored]
        surplus = [name for name in stored if name not in expected]
        raise ArtifactError(
            f"{folder} was trained on another feature list (not in it: {absent or 'none'}; "
            f"only in it: {surplus or 'none'}; the order counts too)",
            remedy="train this model again with the installed code",
        )


def _refuse_other_content(folder: Path, files: Mapping[str, bytes]) -> None:
    if any(not (folder / n).is_file() or (folder / n).read_bytes() != c for n, c in files.items()):
        raise ArtifactError(
            f"{folder} holds another model version, and versions are never overwritten",
            remedy="write to a folder named after artifact.version",
        )


def _rename_or_accept_equal(scratch: Path, folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        scratch.rename(folder)
    except OSError:
        # Another writer was faster; equal content is what this call wanted.
        if not folder.exists():
            raise
        _refuse_other_content(folder, files)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _dump(value: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"the metadata of this model is no plain JSON ({error})",
            remedy="use finite numbers, text, lists and None only",
        ) from error
    return text.encode()


def _load_json(content: bytes, *, where: str) -> dict[str, Any]:
    """Parse strictly: Python's reader would accept NaN and repeated keys."""

    def refuse_constant(name: str) -> None:
        raise ValueError(f"{name} is no JSON number")

    def refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("a key is repeated")
        return dict(pairs)

    try:
        value = json.loads(
            content, parse_constant=refuse_constant, object_pairs_hook=refuse_repeats
        )
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where} is no readable JSON: {error}", remedy=_RETRAIN) from error
    return value


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}", remedy=_RETRAIN) from error


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
