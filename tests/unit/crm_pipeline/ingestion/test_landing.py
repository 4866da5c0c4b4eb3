"""What counts as a file, when it is complete, and what its manifest says."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_pipeline.lib.ingestion import raw_store
from crm_pipeline.lib.ingestion.leftovers import sweep_leftovers
from crm_pipeline.lib.ingestion.pending import has_files, list_pending

from .door import GOOD, OTHER, Door, csv, feed

MakeDoor = Callable[..., Door]
DATA = csv(GOOD, OTHER)


def manifest(door: Door, name: str = "file.csv", **said: object) -> None:
    (door.inbox / f"{name}.manifest.json").write_text(json.dumps(said))


@pytest.mark.requirement("ING-4")
@pytest.mark.bad_input("B26")
def test_b26_a_manifest_that_agrees_lets_the_file_in(door: Door) -> None:
    totals = {"Amount": "19.50"}
    manifest(
        door,
        size=len(DATA) - 1,
        sha256=hashlib.sha256(DATA[:-1]).hexdigest(),
        records=2,
        control_totals=totals,
    )
    # The manifest proves the file whole, so the missing last line end is no cut.
    assert door.take(DATA[:-1]).written == 2


@pytest.mark.bad_input("B25")
@pytest.mark.bad_input("B26")
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"size": 999}, "size_differs"),
        ({"sha256": "0" * 64}, "sha256_differs"),
        ({"records": 3}, "records_differ"),
        ({"control_totals": {"Amount": "19.51"}}, "control_total"),
        ({"control_totals": {"Colour": "1"}}, "manifest"),
        ({"sizes": 1}, "manifest"),
        ({"size": "many"}, "manifest"),
    ],
)
def test_b26_a_manifest_that_differs_refuses_the_file(
    door: Door, said: dict[str, object], reason: str
) -> None:
    manifest(door, **said)
    report = door.take(DATA)
    assert (report.outcome, report.reason_code) == ("refused", reason)
    assert door.parts() == [] and not list(door.home.conformed.rglob("*.parquet"))


@pytest.mark.bad_input("B26")
def test_b26_a_refused_file_is_held_until_its_manifest_is_corrected(door: Door) -> None:
    manifest(door, records=3)
    assert door.take(DATA).reason_code == "records_differ"
    assert door.ingest().files == () and door.replay().files == ()
    door.spec = feed({"format": {"comment": "#"}})
    assert door.ingest().files == (), "another contract does not let it in either"
    assert list_pending(door.ledger, door.spec, door.landing) == []
    manifest(door, records=2, size=len(DATA))
    assert len(list_pending(door.ledger, door.spec, door.landing)) == 1
    assert door.ingest().written == 2


@pytest.mark.bad_input("B27")
@pytest.mark.parametrize("ending", [".tmp", ".part", ".crdownload", "~"])
def test_b27_an_unfinished_file_waits_and_is_taken_when_renamed(door: Door, ending: str) -> None:
    path = door.deliver(DATA, "file.csv" + ending)
    assert [f.outcome for f in door.ingest().files] == ["waiting"]
    path.rename(door.inbox / "file.csv")
    assert [f.outcome for f in door.ingest().files] == ["written"]


@pytest.mark.bad_input("B27")
def test_b27_a_file_without_companion_must_be_at_rest(door: Door) -> None:
    door.deliver(DATA)
    assert [f.outcome for f in door.ingest(stable_seconds=60).files] == ["waiting"]
    (door.inbox / "file.csv.done").touch()
    assert [f.outcome for f in door.ingest(stable_seconds=60).files] == ["written"]


@pytest.mark.bad_input("B27")
@pytest.mark.parametrize(
    ("completion", "ending"), [("done", ".done"), ("manifest", ".manifest.json")]
)
def test_b27_a_declared_companion_is_waited_for(
    make_door: MakeDoor, completion: str, ending: str
) -> None:
    door = make_door({"completion": completion})
    door.deliver(DATA)
    assert [f.outcome for f in door.ingest().files] == ["waiting"]
    (door.inbox / f"file.csv{ending}").write_text("{}")
    assert [f.outcome for f in door.ingest().files] == ["written"]


@pytest.mark.bad_input("B27")
def test_b27_a_file_that_changes_while_it_is_copied_is_left_for_the_next_run(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = door.deliver(DATA)
    real = raw_store._compress

    def grow(*args: object) -> object:
        found = real(*args)  # type: ignore[arg-type]
        with path.open("ab") as more:
            more.write(b"A3,c3,2026-01-02 12:00:00,1.00,x\n")
        return found

    monkeypatch.setattr(raw_store, "_compress", grow)
    assert [f.outcome for f in door.ingest().files] == ["waiting"]
    assert door.inbox_rows() == 0 and door.leftovers() == []
    monkeypatch.setattr(raw_store, "_compress", real)
    assert door.ingest().written == 3


@pytest.mark.requirement("ING-5")
@pytest.mark.bad_input("B28")
def test_b28_same_bytes_under_another_name_are_no_news(door: Door) -> None:
    door.take(DATA)
    before = door.result()
    door.deliver(DATA, "again.csv")
    report = door.ingest()
    assert [f.outcome for f in report.files] == ["duplicate"]
    assert (report.received, door.inbox_rows(), door.result()) == (0, 1, before)
    assert door.ingest().unchanged_count == 2


@pytest.mark.bad_input("B29")
def test_b29_other_bytes_under_the_same_name_are_processed(door: Door) -> None:
    door.take(csv(GOOD))
    door.deliver(csv(OTHER))
    assert door.ingest().written == 1
    assert sorted(r["order_id"] for r in door.parts()) == ["A1", "A2"]


def test_an_unchanged_file_is_not_even_opened(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.take(DATA)

    def fail(*_: object) -> None:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(raw_store, "keep", fail)
    report = door.ingest()
    assert (report.unchanged_count, report.files) == (1, ())


@pytest.mark.bad_input("B33")
@pytest.mark.parametrize(
    "name",
    [
        ";rm -rf ~.csv",
        "a\nb.csv",
        "%00.csv",
        "'; drop table x;--.csv",
        "🙂.csv",
        "a\u202evsc.csv",
        "x" * 251 + ".csv",
        "$(id).csv",
        " .csv",
    ],
)
def test_b33_hostile_names_are_only_names(door: Door, name: str) -> None:
    report = door.take(DATA, name)
    assert report.written == 2
    assert report.part_path == (
        f"conformed/orders/shop/shop_orders-{report.file_sha256}-{door.spec.contract_hash}.parquet"
    )
    stored = {p.name for p in door.home.root.rglob("*")}
    assert not any("rm -rf" in n or "\n" in n for n in stored)


@pytest.mark.bad_input("B33")
def test_b33_a_name_of_broken_bytes_is_only_a_name(door: Door) -> None:
    path = os.path.join(os.fsencode(door.inbox), b"\xff\xfe.csv")  # noqa: PTH118 - bytes
    with open(path, "wb") as target:  # noqa: PTH123 - bytes
        target.write(DATA)
    assert door.ingest().written == 2
    assert door.ingest().unchanged_count == 1


@pytest.mark.bad_input("B34")
def test_b34_links_pipes_and_folders_are_refused_and_never_opened(
    door: Door, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(DATA)
    (door.inbox / "link.csv").symlink_to(secret)
    os.mkfifo(door.inbox / "pipe.csv")
    (door.inbox / "folder.csv").mkdir()
    door.deliver(DATA.replace(b"A1", b"A9"), "good.csv")
    report = door.ingest()
    assert sorted(f.outcome for f in report.files) == ["refused", "refused", "refused", "written"]
    assert {f.reason_code for f in report.refused} == {"not_a_file"}
    assert {r["order_id"] for r in door.parts()} == {"A9", "A2"}


@pytest.mark.bad_input("B34")
def test_b34_a_link_swapped_in_after_the_scan_is_not_followed(door: Door, tmp_path: Path) -> None:
    from crm_pipeline.lib.ingestion import landing

    path = door.deliver(DATA)
    (sighting,) = landing.scan(door.spec, door.landing).complete
    path.unlink()
    secret = tmp_path / "secret.csv"
    secret.write_bytes(DATA)
    path.symlink_to(secret)
    with pytest.raises((raw_store.ChangedUnderneathError, Exception)) as caught:
        raw_store.keep(door.home, sighting)
    assert (
        "cannot be opened" in str(caught.value) or caught.type is raw_store.ChangedUnderneathError
    )
    assert not list(door.home.raw.rglob("*.zst"))


def test_one_broken_file_does_not_stop_the_others(door: Door) -> None:
    door.deliver(b"", "1.csv")
    door.deliver("<html>", "2.csv")
    door.deliver(DATA, "3.csv")
    report = door.ingest()
    assert sorted(f.outcome for f in report.files) == ["refused", "refused", "written"]
    assert report.written == 2


@pytest.mark.bad_input("B30")
def test_b30_an_older_file_is_taken_in_with_its_older_version(make_door: MakeDoor) -> None:
    door = make_door({"version": {"from": "V", "format": "%Y-%m-%d"}})
    header = "No,Buyer,At,Amount,Remark,V"
    door.take(csv(f"{GOOD},2026-02-02", header=header), "new.csv")
    door.deliver(csv(f"{GOOD},2026-02-01", header=header), "old.csv")
    assert door.ingest().written == 1
    first, second = sorted(door.parts(), key=lambda row: row["source_version"])
    assert first["record_id"] == second["record_id"], "staging orders the versions of one record"


def test_what_a_crash_left_is_swept_when_it_is_old(door: Door) -> None:
    for folder in (door.home.raw, door.home.conformed, door.home.quarantine):
        (folder / ".tmp-1-ab").write_bytes(b"x")
    (door.home.conformed / ".spill-1-ab").mkdir()
    assert sweep_leftovers(door.home, older_than_seconds=3600, now=time.time()) == 0
    assert sweep_leftovers(door.home, older_than_seconds=3600, now=time.time() + 7200) == 4
    assert door.leftovers() == []


def test_what_is_pending_is_known_without_doing_it(door: Door) -> None:
    assert (
        not has_files(door.spec, door.landing)
        and list_pending(door.ledger, door.spec, door.landing) == []
    )
    door.deliver(DATA)
    marks = list_pending(door.ledger, door.spec, door.landing)
    assert len(marks) == 1 and marks == list_pending(door.ledger, door.spec, door.landing)
    door.ingest()
    assert list_pending(door.ledger, door.spec, door.landing) == []
    assert has_files(door.spec, door.landing)


def test_raw_bytes_are_kept_and_proven(door: Door) -> None:
    report = door.take(DATA)
    assert report.file_sha256 == hashlib.sha256(DATA).hexdigest()
    with raw_store.open_raw(door.home, report.file_sha256) as source:
        assert source.read() == DATA
    path = raw_store.raw_path(door.home, report.file_sha256)
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(bytes(packed))
    (again,) = door.replay(report.file_sha256).files
    assert (again.outcome, again.reason_code) == ("refused", "raw_damaged")
    assert len(door.parts()) == 2, "the active part stays"
