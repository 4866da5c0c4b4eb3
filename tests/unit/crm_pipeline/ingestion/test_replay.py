"""Contracts change, files are read again, and a record stays itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion.pending import list_pending

from .door import GOOD, OTHER, Door, csv, feed
from .test_bad_values import LINES, LINES_HEADER

MakeDoor = Callable[..., Door]
THREE_DECIMALS = GOOD.replace("12.50", "12.505")
FINER = {"columns": {"paid_amount": {"from": "Amount", "scale": 3}}}
NUMBERED = {
    "columns": {"line_number": None},
    "key": {"document": "order_id", "lines": "numbered", "documents_are_whole": True},
}
HEADER = LINES_HEADER.replace("Line,", "")


def line(order: str, sku: str = "S1") -> str:
    return f"{order},2026-01-02 10:00:00,{sku},2,9.99"


@pytest.mark.requirement("ING-4")
def test_a_changed_contract_reads_kept_files_again_and_switches_the_pointer(door: Door) -> None:
    door.take(csv(THREE_DECIMALS, OTHER))
    assert door.reasons() == [(1, "decimals", "paid_amount")]
    (door.inbox / "file.csv").unlink()
    first, door.spec = door.spec, feed(FINER)
    assert len(list_pending(door.ledger, door.spec, door.landing)) == 1
    report = door.ingest()
    assert (report.received, report.written, report.quarantined) == (2, 2, 0)
    assert sorted(state for _, state, _ in door.states()) == ["active", "superseded"]
    door.spec = first
    door.ingest()
    assert door.reasons() == [(1, "decimals", "paid_amount")]
    assert sorted(state for _, state, _ in door.states()) == ["active", "superseded"]
    assert door.ingest().files == ()


@pytest.mark.requirement("ING-4")
def test_replay_reads_quarantined_and_refused_files_again(door: Door) -> None:
    door.take(csv(THREE_DECIMALS), "a.csv")
    door.deliver(csv(GOOD), "b.csv")
    door.deliver("<html>\n", "c.csv")
    door.ingest()
    before = door.result()
    report = door.replay()
    assert sorted(f.outcome for f in report.files) == ["refused", "written"]
    assert door.result() == before
    with pytest.raises(ConfigError, match="never received"):
        door.replay("0" * 64)


def test_a_contract_that_refuses_a_file_does_not_take_its_records_away(door: Door) -> None:
    door.take(csv(GOOD))
    door.spec = feed({"columns": {"store_id": "Store"}})
    report = door.ingest()
    assert [f.reason_code for f in report.refused] == ["header"]
    assert len(door.parts()) == 1
    assert door.ingest().files == (), "a settled refusal is not tried again and again"


def test_places_and_words_do_not_change_the_contract() -> None:
    same = feed({"folder": "elsewhere", "files": "*.txt", "description": "other words"})
    assert same.contract_hash == feed().contract_hash
    assert feed(FINER).contract_hash != feed().contract_hash
    assert len(feed().contract_hash) == 16


@pytest.mark.bad_input("B59")
@pytest.mark.bad_input("B60")
def test_b59_b60_an_id_keeps_its_record_id_and_its_content_its_hash(door: Door) -> None:
    door.deliver(csv(GOOD, OTHER), "a.csv")
    door.deliver(csv(GOOD, OTHER.replace("7.00", "8.00")), "b.csv")
    door.ingest()
    rows = {(r["order_id"], str(r["paid_amount"])): r for r in door.parts()}
    assert len(door.parts()) == 4
    ids = {
        (r["order_id"]): {s["record_id"] for s in door.parts() if s["order_id"] == r["order_id"]}
        for r in door.parts()
    }
    assert all(len(found) == 1 for found in ids.values()) and ids["A1"] != ids["A2"]
    changed = {rows["A2", "7.000000"]["content_hash"], rows["A2", "8.000000"]["content_hash"]}
    assert len(changed) == 2
    assert len({r["content_hash"] for r in door.parts() if r["order_id"] == "A1"}) == 1


def test_a_record_id_is_of_channel_and_entity_not_of_feed_and_file(make_door: MakeDoor) -> None:
    ids = {}
    for changes in ({}, {"feed": "other"}, {"channel": "elsewhere"}):
        door = make_door(changes, name=str(changes.get("feed")) + str(changes.get("channel")))
        door.take(csv(GOOD))
        ids[str(changes)] = door.parts()[0]["record_id"]
    first, other_feed, other_channel = ids.values()
    assert first == other_feed != other_channel


def test_absent_and_empty_neighbours_are_told_apart_in_the_hash(make_door: MakeDoor) -> None:
    door = make_door({"columns": {"store_id": "Store"}})
    door.take(
        csv(
            GOOD.replace(",card", ",x,"),
            GOOD.replace(",card", ",,x"),
            header="No,Buyer,At,Amount,Remark,Store",
        )
    )
    assert len({r["content_hash"] for r in door.parts()}) == 2


@pytest.mark.requirement("ING-5")
def test_equal_lines_of_a_document_are_numbered_and_the_larger_count_wins(
    make_door: MakeDoor,
) -> None:
    door = make_door(NUMBERED, base=LINES)
    twice = csv(line("A1"), line("A2"), line("A1"), header=HEADER)
    thrice = csv(line("A1"), line("A1"), line("A1"), header=HEADER)
    door.deliver(twice, "a.csv")
    door.deliver(thrice, "b.csv")
    door.ingest()
    assert len(door.parts()) == 6
    assert len({r["record_id"] for r in door.parts()}) == 4  # A1 three times, A2 once


@pytest.mark.requirement("ING-5")
def test_any_split_that_keeps_documents_whole_gives_the_same_records(tmp_path: Path) -> None:
    lines = {d: [line(d), line(d, "S2"), line(d)] for d in ("A1", "A2", "A3")}
    results = []
    for number, order in enumerate(itertools.permutations(lines)):
        door = Door(tmp_path / str(number), feed(NUMBERED, base=LINES))
        cut = number % 3
        first, second = order[:cut], order[cut:]
        for name, documents in (("1.csv", first), ("2.csv", second)):
            door.deliver(csv(*(x for d in documents for x in lines[d]), header=HEADER), name)
        door.ingest()
        results.append(sorted((r["record_id"], r["content_hash"]) for r in door.parts()))
    assert all(result == results[0] for result in results)


def test_a_batch_keeps_the_pieces_of_a_cut_document_apart(make_door: MakeDoor) -> None:
    key = {"document": "order_id", "lines": "numbered", "batch": "Batch"}
    door = make_door({**NUMBERED, "key": key}, base=LINES)
    door.take(csv(*(f"{line('A1')},{b}" for b in ("b1", "b1", "b2", "")), header=HEADER + ",Batch"))
    assert len({r["record_id"] for r in door.parts()}) == 3
    assert door.reasons() == [(4, "key", "batch")]


def test_the_delivery_can_be_the_version(make_door: MakeDoor) -> None:
    named = {"file_name": "_([0-9]{8})", "format": "%Y%m%d"}
    door = make_door({"version": "delivery", "known_at": named})
    door.take(csv(GOOD), "orders_20260210.csv")
    (record,) = door.parts()
    assert record["source_version"] == record["known_at"]
    assert str(record["known_at"]) == "2026-02-10 15:59:59", "the day's last second in Shanghai"


def test_a_version_column_is_read(make_door: MakeDoor) -> None:
    door = make_door({"version": {"from": "V", "format": "%Y-%m-%d %H:%M:%S"}})
    door.take(
        csv(f"{GOOD},2026-01-03 08:00:00", f"{OTHER},later", header="No,Buyer,At,Amount,Remark,V")
    )
    assert str(door.parts()[0]["source_version"]) == "2026-01-03 00:00:00"
    assert door.reasons() == [(2, "version", "source_version")]


CONSENTS: dict[str, Any] = {
    "feed": "agreed",
    "channel": "shop",
    "entity": "consents",
    "format": {"kind": "csv"},
    "timezone": "Europe/London",
    "known_at": {"event": "occurred_at"},
    "columns": {
        "source_customer_id": "Id",
        "contact_kind": {"value": "email"},
        "contact_value": {"from": "Mail", "case": "lower"},
        "purpose": "Purpose",
        "consent_channel": {"value": "email"},
        "action": "Action",
        "occurred_at": {"from": "At", "format": "%Y-%m-%d %H:%M:%S"},
    },
}


def test_consents_are_posted_before_the_file_counts(make_door: MakeDoor) -> None:
    door = make_door(base=CONSENTS)
    door.deliver(
        csv(
            "7,A@example.org,marketing,granted,2026-01-02 10:00:00",
            header="Id,Mail,Purpose,Action,At",
        )
    )
    with pytest.raises(ConfigError, match="post_consents"):
        door.ingest()

    def fail(*_: object, **__: object) -> None:
        raise OSError("the consent ledger is closed")

    with pytest.raises(OSError, match="closed"):
        door.ingest(fail)
    assert door.active() == []
    posted: list[pa.Table] = []
    door.ingest(lambda table, **_: posted.append(table))
    assert posted[0]["contact_value"].to_pylist() == ["a@example.org"]
    assert len(door.active()) == 1
    door.ingest(lambda *_, **__: pytest.fail("posted twice"))
