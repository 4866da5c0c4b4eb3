"""Great Expectations judges the parts once more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.lib.ingestion import judge
from crm_pipeline.lib.ingestion.expectations import validate_parts
from crm_pipeline.lib.ingestion.feeds import COMPONENT

from .door import GOOD, ORDERS, OTHER, Door, csv

MakeDoor = Callable[..., Door]


def rewrite(path: Path, change: str) -> Path:
    """The part with some columns replaced, as if the door had failed."""
    target = path.with_name(f"wrong-{len(change)}.parquet")
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * replace ({change}) from read_parquet('{path}')) to '{target}' "
            f"(format parquet)"
        )
    return target


@pytest.mark.requirement("QLT-1")
def test_parts_of_the_door_meet_every_expectation_and_data_docs_are_written(door: Door) -> None:
    door.deliver(csv(GOOD, OTHER, "bad"))
    parts = door.ingest().part_paths(door.home)
    outcomes = validate_parts(door.home, door.spec, parts)
    assert outcomes and all(outcome.success for outcome in outcomes)
    assert (door.home.data_docs / "shop_orders" / "index.html").is_file()
    pages = "".join(p.read_text(errors="ignore") for p in door.home.data_docs.rglob("*.html"))
    assert "c1" not in pages.split() and "A1" not in pages.split()


@pytest.mark.requirement("QLT-1")
@pytest.mark.parametrize(
    ("change", "failed"),
    [
        (
            "case when order_id = 'A1' then null else order_id end as order_id",
            "order_id_length is never null",
        ),
        ("'lost' as order_status", "order_status is a declared value"),
        ("cast(-5 as decimal(18,6)) as paid_amount", "paid_amount is between 0.0 and 1000000000.0"),
        ("timestamp '1970-01-01' as ordered_at", "ordered_at is between"),
        ("repeat('x', 300) as payment_method", "payment_method_length is between 1 and 100"),
        ("cast(1 as bigint) as record_number", "row_count equals distinct_record_numbers"),
        ("'short' as record_id", "record_id_length is between 32 and 32"),
        ("'RMB' as currency", "currency is a declared value"),
    ],
)
def test_one_wrong_row_is_found(door: Door, change: str, failed: str) -> None:
    door.deliver(csv(GOOD, OTHER))
    (part,) = door.ingest().part_paths(door.home)
    outcomes = validate_parts(door.home, door.spec, [rewrite(part, change)])
    wrong = [outcome for outcome in outcomes if not outcome.success]
    assert len(wrong) == 1
    assert wrong[0].name.startswith(failed)
    assert (wrong[0].severity, wrong[0].unexpected_count >= 1) == ("error", True)


def test_a_part_has_one_verdict_which_stands_until_there_is_another_part(door: Door) -> None:
    first = judge.judge_feed(door.home, door.ledger, door.spec)
    assert (first.expectations, first.judged) == (0, ())
    door.deliver(csv(GOOD), "1.csv")
    (part,) = door.ingest().part_paths(door.home)
    verdict = judge.judge_feed(door.home, door.ledger, door.spec)
    assert (verdict.failed, verdict.judged) == ({}, [part.name])
    page = door.home.data_docs / "shop_orders" / "index.html"
    page.write_text("unchanged")
    assert judge.judge_feed(door.home, door.ledger, door.spec) == verdict
    assert page.read_text() == "unchanged", "nobody judged again"
    door.deliver(csv(OTHER), "2.csv")
    door.ingest()
    assert len(judge.judge_feed(door.home, door.ledger, door.spec).judged) == 2
    assert page.read_text() != "unchanged"


def test_a_wrong_part_fails_its_feed_until_a_right_one_comes(door: Door) -> None:
    door.deliver(csv(GOOD), "1.csv")
    (part,) = door.ingest().part_paths(door.home)
    rewrite(part, "'lost' as order_status").replace(part)
    for _ in range(2):  # the verdict stands
        verdict = judge.judge_feed(door.home, door.ledger, door.spec)
        assert list(verdict.failed) == ["order_status is a declared value"]
        assert verdict.is_error
    door.deliver(csv(OTHER), "2.csv")
    door.ingest()
    assert judge.judge_feed(door.home, door.ledger, door.spec).failed == {}


def test_the_process_beside_the_door_judges_what_it_is_told(door: Door, tmp_path: Path) -> None:
    channels = tmp_path / "channels" / "shop"
    channels.mkdir(parents=True)
    said = json.dumps(ORDERS)
    (channels / "defs.yaml").write_text(f"type: {COMPONENT}\nattributes: {said}\n")
    door.deliver(csv(GOOD, OTHER))
    door.ingest()
    judge.start(door.home, tmp_path / "channels")
    judge.tell(door.spec.feed)
    judge.finish()
    assert (door.home.data_docs / "shop_orders" / "index.html").is_file()
    told = json.loads((door.home.data_docs / "shop_orders.json").read_text())
    assert (told["failed"], len(told["judged"])) == ({}, 1)


def test_nothing_new_needs_no_judge(door: Door) -> None:
    assert validate_parts(door.home, door.spec, []) == []
