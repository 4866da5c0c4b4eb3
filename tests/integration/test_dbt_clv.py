"""CLV in the marts: what was spent beside what is expected, of the newest slice by as_of."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

pytestmark = pytest.mark.requirement("SCO-3")

JUNE = "2024-06-30"


def score(customer: str, day: str, value: float) -> dict[str, Any]:
    return {
        "customer_id": customer, "as_of_date": day, "predicted_clv": value,
        "predicted_clv_low": value / 2, "predicted_clv_high": value * 2,
        "predicted_number_of_orders": value / 10, "predicted_order_value": 10.0,
        "probability_alive": 0.5, "horizon_days": 365, "model_version": "m1", "scored_at": day,
    }  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three buyers, one of them with a refund, and scores of several days."""
    work = tmp_path_factory.mktemp("clv")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    lines = [
        order_line("o1", "2024-06-10", source_customer_id="a1", unit_price_amount="30"),
        order_line("o2", "2024-06-20", source_customer_id="a1", unit_price_amount="20"),
        order_line("o3", "2024-06-10", source_customer_id="a2", unit_price_amount="20"),
        order_line("o4", "2024-06-11", source_customer_id="a3", unit_price_amount="99"),
    ]  # fmt: skip
    back = {"refund_id": "r1", "order_id": "o2", "source_customer_id": "a1",
            "refunded_at": "2024-06-25", "refund_amount": "20", "currency": "CNY"}  # fmt: skip
    dbt_support.deliver(path, [Delivery("shop", "shop", "order_lines", lines),
                               Delivery("refunds", "shop", "refunds", [back])])  # fmt: skip
    dbt_support.identify_every_account(path)
    dbt_support.insert(path, "scores.clv_scores", [
        score("c-shop-a1", JUNE, 80.0),
        score("c-shop-a2", JUNE, 40.0),
        score("gone", JUNE, 10.0),
        score("c-shop-a1", "2024-05-31", 1.0),
        score("c-shop-a1", "2024-07-01", 2.0),
    ])  # fmt: skip
    dbt_support.build(path, work, "--select", "+clv_scores", "--indirect-selection", "buildable")
    return work


def read(work: Path) -> dict[str, dict[str, Any]]:
    rows = dbt_support.read(work / "crm.duckdb", "from marts.clv_scores")
    return {row["customer_id"]: row for row in rows}


def test_each_buyer_has_the_past_net_of_refunds_and_the_newest_prediction_by_as_of(
    work: Path,
) -> None:
    rows = read(work)
    assert set(rows) == {"c-shop-a1", "c-shop-a2", "c-shop-a3"}
    first = rows["c-shop-a1"]
    assert first["historic_clv"] == Decimal("30.00")
    assert first["average_order_value"] == pytest.approx(15.0)
    assert (first["predicted_clv"], first["total_clv"]) == (80.0, 110.0)
    assert (first["predicted_clv_low"], first["predicted_clv_high"]) == (40.0, 160.0)
    assert (first["predicted_number_of_orders"], first["predicted_order_value"]) == (8.0, 10.0)
    assert (first["as_of_date"], first["is_stale"]) == (date(2024, 6, 30), False)
    unknown = rows["c-shop-a3"]
    assert (unknown["historic_clv"], unknown["average_order_value"]) == (Decimal("99.00"), 99.0)
    assert (unknown["predicted_clv"], unknown["total_clv"]) == (None, None)


def test_an_old_slice_stays_and_says_that_it_is_old(work: Path) -> None:
    with duckdb.connect(str(work / "crm.duckdb")) as connection:
        connection.execute("delete from scores.clv_scores where as_of_date = ?", [JUNE])
    dbt_support.build(work / "crm.duckdb", work, "--select", "clv_scores")
    row = read(work)["c-shop-a1"]
    assert (row["predicted_clv"], row["total_clv"], row["is_stale"]) == (1.0, 31.0, True)
