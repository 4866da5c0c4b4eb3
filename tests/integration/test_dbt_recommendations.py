"""Recommendations of a shop with two tastes meet what is bought next, and know nothing of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

pytestmark = pytest.mark.requirement("SCO-6")

AS_OF, CUTOFF = dt.date(2024, 6, 30), dt.date(2024, 5, 31)
MODELS = ("--select", "+recommendations", "+recommendation_quality", "--indirect-selection",
          "buildable", "--exclude-resource-type", "unit_test")  # fmt: skip


def shop() -> list[Delivery]:
    """Gardeners buy garden things and cooks kitchen things; ten products of each, none twice."""
    rng = np.random.default_rng(11)
    lines = []
    for number in range(80):
        taste = "GARDEN" if number % 2 else "COOK"
        for place, product in enumerate(rng.permutation(10)[:6]):
            # Four are bought in spring, two in June.
            day = CUTOFF - dt.timedelta(days=int(rng.integers(0, 90)))
            if place > 3:
                day = AS_OF - dt.timedelta(days=int(rng.integers(0, 30)))
            lines.append(order_line(f"o{number}-{place}", f"{day} 02:00",
                                    source_customer_id=f"a{number}",
                                    sku=f"{taste}{product}"))  # fmt: skip
    products = [{"sku": f"{taste}{number}", "product_name": f"{taste} {number}",
                 "category_name": taste, "replenish_days": 0}
                for taste in ("GARDEN", "COOK") for number in range(10)]  # fmt: skip
    # The catalogue is silent about soap, and nobody comes back for it before June.
    products.append({"sku": "SOAP", "product_name": "Soap", "category_name": "BATH"})
    for day in (CUTOFF - dt.timedelta(days=40), CUTOFF + dt.timedelta(days=10)):
        lines += [order_line(f"s{number}-{day}", f"{day} 02:00", source_customer_id=f"a{number}",
                             sku="SOAP") for number in range(0, 60)]  # fmt: skip
    stock = [{"sku": "COOK0", "location_id": "w", "counted_at": "2024-06-29 10:00",
              "quantity_on_hand": "0", "quantity_reserved": "0"}]  # fmt: skip
    visitor = [{"source_customer_id": "visitor", "registered_at": "2024-01-01 02:00"}]
    return [Delivery("till", "shop", "order_lines", lines),
            Delivery("erp", "erp", "products", products),
            Delivery("stock", "erp", "stock_levels", stock),
            Delivery("accounts", "shop", "accounts", visitor)]  # fmt: skip


def build_as_of(folder: Path, day: dt.date) -> Path:
    path = folder / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, shop())
    dbt_support.identify_every_account(path)
    dbt_support.build(path, folder, *MODELS, as_of_date=str(day))
    return path


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_as_of(tmp_path_factory.mktemp("recommendations"), AS_OF)


def test_they_meet_what_is_bought_next_more_often_than_the_best_sellers(warehouse: Path) -> None:
    rows = dbt_support.read(warehouse, "from metrics.recommendation_quality")
    quality = {row["ranking"]: row for row in rows}
    assert {row["cutoff_date"] for row in rows} == {CUTOFF}
    assert {row["buyer_count"] for row in rows} == {80}
    # Everybody's next product is one of six left of the own taste, and ten places are shown.
    assert quality["recommendations"]["hit_rate_pct"] == 100.0
    assert quality["best_sellers"]["hit_rate_pct"] < 90.0
    assert quality["recommendations"]["catalogue_coverage_pct"] == 100.0


def test_quality_is_of_what_was_recommended_then_without_knowing_what_came_after(
    warehouse: Path, tmp_path: Path
) -> None:
    then = build_as_of(tmp_path, CUTOFF)
    columns = "customer_id, recommendation_rank, sku"
    told = dbt_support.read(
        warehouse,
        f"select {columns} from intermediate.int_products_recommended_before order by all",
    )
    assert told == dbt_support.read(
        then, f"select {columns} from marts.recommendations order by all"
    )
    assert len(told) > 700


def test_everybody_gets_a_list_of_things_to_be_had_and_not_owned(warehouse: Path) -> None:
    rows = dbt_support.read(warehouse, "from marts.recommendations")
    owned = {(row["customer_id"], row["sku"]) for row in dbt_support.read(
        warehouse, "from intermediate.int_customer_product_days")}  # fmt: skip
    assert not owned & {(row["customer_id"], row["sku"]) for row in rows}
    assert "COOK0" not in {row["sku"] for row in rows}
    reasons = {row["reason_code"] for row in rows if row["customer_id"] == "c-shop-visitor"}
    assert reasons == {"popular"}
    listed = [row["recommendation_rank"] for row in rows if row["customer_id"] == "c-shop-a1"]
    assert sorted(listed) == list(range(1, 11))
    assert {row["reason_zh"] for row in rows} <= {"买过相同商品的客户也买了它", "热销商品"}
