from pathlib import Path

import pytest

from crm_pipeline.lib.files import atomic_path, sha256_of, sweep_temporaries


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("ne")
        assert target.read_text() == "old"
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "report.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_only_litter_older_than_the_limit_is_swept(tmp_path: Path) -> None:
    litter, target = tmp_path / "deep" / ".tmp-1-x", tmp_path / "kept"
    litter.parent.mkdir()
    litter.write_text("half")
    target.write_text("whole")
    made = litter.stat().st_mtime
    assert sweep_temporaries(tmp_path, older_than_seconds=60, now=made + 59) == 0
    assert sweep_temporaries(tmp_path, older_than_seconds=60, now=made + 61) == 1
    assert not litter.exists() and target.exists()


def test_the_hash_is_the_one_everybody_computes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path).startswith("ba7816bf8f01cfea")
