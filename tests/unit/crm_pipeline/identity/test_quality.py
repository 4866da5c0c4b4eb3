"""Quality is measured on reviewed pairs, and unknown where there are none."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.identity.quality import measure_quality
from crm_pipeline.lib.identity.resolution import resolve_accounts
from crm_pipeline.lib.identity.sightings import Reading, make_identifiers, refresh_sightings
from crm_pipeline.lib.ledger import open_vault
from crm_pipeline.lib.rules.identity_floors import Floor
from tests.identity_support import AS_OF, NO_OVERRIDES, accounts, make_warehouse, shipped_kinds

ACCOUNTS = (
    accounts(
        "app",
        {"source_customer_id": "1", "phone": "13812340042", "member_number": "VIP001"},
        {"source_customer_id": "2", "phone": "13900001111", "email": "b@box.example.com"},
        {"source_customer_id": "4", "phone": "13711112222"},
    ),
    accounts(
        "pos",
        {"source_customer_id": "1", "phone": "+86 138 1234 0042", "member_number": "VIP001"},
        {"source_customer_id": "2", "phone": "13900001111"},
        {"source_customer_id": "3", "email": "B@box.example.com"},
    ),
)
FLOORS = (Floor("pairwise_recall", 0.9, None), Floor("cluster_size_max", None, 2))


@pytest.fixture
def warehouse(tmp_path: Path, home: CrmHome) -> Iterator[duckdb.DuckDBPyConnection]:
    """Six accounts: 1 and 1 by phone and member number, 2, 2 and 3 by phone and mailbox."""
    kinds = shipped_kinds()
    deliveries = [
        delivery.__class__(
            delivery.feed, delivery.channel, delivery.entity,
            [record | {"known_at": "2024-05-01"} for record in delivery.records],
        )
        for delivery in ACCOUNTS
    ]  # fmt: skip
    with make_warehouse(tmp_path / "crm.duckdb", *deliveries) as connection:
        reading = Reading(kinds, b"a key for tests", _zone())
        refresh_sightings(connection, open_vault(home), reading)
        make_identifiers(connection, AS_OF)
        resolve_accounts(connection, kinds, NO_OVERRIDES)
        yield connection


def _zone() -> Any:
    from zoneinfo import ZoneInfo

    return ZoneInfo("Asia/Shanghai")


def review(
    connection: duckdb.DuckDBPyConnection, left: str, right: str, verdict: str, day: int = 1
) -> None:
    (one, one_id), (other, other_id) = (end.split(":") for end in (left, right))
    connection.execute(
        "insert into staging.stg_identity_pairs values (?, ?, ?, ?, ?, ?, ?)",
        [f"{left}{right}{day}", one, one_id, other, other_id, verdict, dt.date(2024, 5, day)],
    )


def measured(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    found = measure_quality(connection, shipped_kinds(), FLOORS, AS_OF)
    return {row["rule_set"]: row for row in found.to_pylist()}


@pytest.mark.requirement("IDN-6")
def test_without_reviewed_pairs_precision_is_unknown_and_the_tail_is_not(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    found = measured(warehouse)
    assert found.keys() == {"full_rules"}
    full = found["full_rules"]
    names = ("pairwise_precision", "pairwise_recall", "pairwise_f1", "b_cubed_f1")
    assert [full[name] for name in names] == [None] * 4
    assert "no labelled pairs" in full["warnings"]
    assert (full["match_rate"], full["cluster_size_max"]) == (5 / 6, 3)
    assert full["breached_floors"] == "cluster_size_max is 3, at most 2 is asked for"


@pytest.mark.requirement("IDN-6")
def test_the_measures_are_those_of_the_reviewed_pairs(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    review(warehouse, "app:1", "pos:1", "same")
    review(warehouse, "app:2", "pos:3", "same")
    review(warehouse, "app:4", "pos:1", "same")  # nothing tells: missed
    review(warehouse, "app:2", "pos:2", "different")  # a phone says otherwise: wrong
    review(warehouse, "app:1", "app:2", "different")
    review(warehouse, "app:1", "pos:3", "unsure")
    full = measured(warehouse)["full_rules"]
    assert (full["reviewed_pair_count"], full["same_pair_count"]) == (5, 3)
    assert (full["pairwise_precision"], full["pairwise_recall"]) == (2 / 3, 2 / 3)
    assert "pairwise_recall is 0.6667, at least 0.9" in full["breached_floors"]


@pytest.mark.requirement("IDN-6")
def test_the_baseline_joins_texts_and_each_kind_shows_what_it_adds(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    review(warehouse, "app:1", "pos:1", "same")  # member number equal, phone spelled otherwise
    review(warehouse, "app:2", "pos:2", "same")  # phone equal
    review(warehouse, "app:2", "pos:3", "same")  # mailbox, in other letters
    review(warehouse, "app:4", "pos:2", "different")
    found = measured(warehouse)
    assert found["full_rules"]["pairwise_recall"] == 1
    assert found["exact_keys"]["pairwise_recall"] == 2 / 3
    gains = {
        row["identifier_kind"]: row["recall_gain"]
        for name, row in found.items()
        if name.startswith("without_")
    }
    assert gains.pop("phone") == pytest.approx(1 / 3)
    assert gains.pop("email") == pytest.approx(1 / 3)
    assert set(gains.values()) == {0}
    linking = {kind.name for kind in shipped_kinds() if kind.links}
    assert gains.keys() == linking - {"phone", "email"}


def test_of_two_verdicts_about_a_pair_the_later_counts(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    review(warehouse, "app:1", "pos:1", "different", day=2)
    review(warehouse, "pos:1", "app:1", "same", day=3)
    review(warehouse, "app:1", "app:2", "different")
    full = measured(warehouse)["full_rules"]
    assert (full["reviewed_pair_count"], full["pairwise_precision"]) == (2, 1)
