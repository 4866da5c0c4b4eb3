"""Model versions on disk: whole, known and expected, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ml.artifacts import FORMAT_VERSION, ModelArtifact, read_artifact, write_artifact
from ml.errors import ArtifactError

pytestmark = pytest.mark.bad_input("F22")

ARTIFACT = ModelArtifact(
    kind="toy",
    features=("order_count", "spend_amount"),
    config={"seed": 1},
    parameters={"weights": [0.1, 0.2]},
    metrics={"auc": 0.8, "lift": None},
    training_data_sha256="0" * 64,
    code_version="1",
    model=b'{"weights": [0.1, 0.2]}',
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_artifact(ARTIFACT, tmp_path / "models" / ARTIFACT.version)


def read(folder: Path) -> ModelArtifact:
    return read_artifact(folder, kind="toy", features=ARTIFACT.features)


def test_what_is_written_is_read_back(folder: Path) -> None:
    assert read(folder) == ARTIFACT
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.json", "model.json"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_version_follows_the_content() -> None:
    assert ARTIFACT.version == replace(ARTIFACT).version
    assert ARTIFACT.version != replace(ARTIFACT, model=b"{}").version
    assert ARTIFACT.version != replace(ARTIFACT, config={"seed": 2}).version


def test_writing_the_same_version_again_changes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_artifact(ARTIFACT, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_another_version_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="never overwritten"):
        write_artifact(replace(ARTIFACT, code_version="2"), folder)
    assert read(folder) == ARTIFACT


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ml.artifacts._sync_folder", fail)
    with pytest.raises(OSError, match="No space"):
        write_artifact(ARTIFACT, tmp_path / "version")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.json", "metadata.json"])
def test_a_truncated_file_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=f"{name}.*(truncated|no readable JSON)"):
        read(folder)


@pytest.mark.parametrize("name", ["model.json", "metadata.json"])
def test_an_absent_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} cannot be read"):
        read(folder)


def test_an_altered_model_is_refused(folder: Path) -> None:
    (folder / "model.json").write_bytes(b'{"weights": [0.1, 0.3]}')
    with pytest.raises(ArtifactError, match="sha256"):
        read(folder)


def test_altered_metadata_are_refused(folder: Path) -> None:
    path = folder / "metadata.json"
    path.write_text(path.read_text().replace("0.8", "0.9"))
    with pytest.raises(ArtifactError, match="altered"):
        read(folder)


def test_another_format_version_is_refused(folder: Path) -> None:
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text()) | {"format_version": FORMAT_VERSION + 1}
    path.write_text(json.dumps(metadata))
    with pytest.raises(ArtifactError, match="format version 2"):
        read(folder)


def test_another_feature_list_is_refused_with_the_difference(folder: Path) -> None:
    with pytest.raises(ArtifactError, match=r"not in it: \['tenure_days'\]") as refusal:
        read_artifact(folder, kind="toy", features=("order_count", "tenure_days"))
    assert "only in it: ['spend_amount']" in str(refusal.value)
    with pytest.raises(ArtifactError, match="order counts"):
        read_artifact(folder, kind="toy", features=ARTIFACT.features[::-1])


def test_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ArtifactError, match="'toy', not 'churn'"):
        read_artifact(folder, kind="churn", features=ARTIFACT.features)


@pytest.mark.parametrize("content", [b"[1]", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\x80\x04."])
def test_what_is_no_strict_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / "metadata.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="no readable JSON"):
        read(folder)


def test_figures_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="plain JSON"):
        write_artifact(replace(ARTIFACT, metrics={"auc": float("nan")}), tmp_path / "version")
    assert list(tmp_path.iterdir()) == []
