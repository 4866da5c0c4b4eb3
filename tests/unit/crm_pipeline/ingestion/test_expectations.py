"""Great Expectations judges the parts once more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from crm_pipeline.lib.ingestion.expectations import validate_parts

from .door import GOOD, OTHER, Door, csv

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


def test_nothing_new_needs_no_judge(door: Door) -> None:
    assert validate_parts(door.home, door.spec, []) == []
