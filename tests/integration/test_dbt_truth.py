"""The models on the whole of Online Retail II, against its published known truth."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support

SETTINGS = {
    "as_of_date": "2011-12-09",
    "business_timezone": "Europe/London",
    "reporting_currency": "GBP",
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (dbt_support.SHARED_DATA / "online_retail_ii").is_dir(),
        reason="the yearly files of Online Retail II are not beside the project",
    ),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse built from the two yearly files, with every data test passed."""
    work = tmp_path_factory.mktemp("dbt_truth")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.load_online_retail(path)
    dbt_support.identify_every_account(path)
    dbt_support.build(path, work, "--exclude-resource-type", "unit_test", **SETTINGS)
    seconds = dbt_support.model_seconds(work)
    models = {name: spent for name, spent in seconds.items() if name.startswith("model.")}
    print(f"{len(models)} models in {sum(models.values()):.2f} s")
    return path


def one(warehouse: Path, query: str) -> dict[str, Any]:
    [row] = dbt_support.read(warehouse, query)
    return row


def test_every_row_of_the_two_files_is_accepted_or_a_duplicate(warehouse: Path) -> None:
    balance = one(
        warehouse,
        "select sum(received_count) received, sum(accepted_count) accepted, "
        "sum(quarantined_count) quarantined, sum(duplicate_count) duplicates from ops.feed_balance",
    )
    assert balance == {
        "received": 1_067_371,
        "accepted": 1_044_848,
        "quarantined": 0,
        "duplicates": 22_523,
    }
    assert one(warehouse, "select count(*) n from marts.fct_order_lines") == {"n": 1_044_848}


def test_money_of_known_customers_equals_the_known_truth_exactly(warehouse: Path) -> None:
    lines = one(
        warehouse,
        "select sum(gross_exact_amount) gross, sum(refund_exact_amount) refunds, "
        "sum(net_exact_amount) net from marts.fct_order_lines "
        "where source_customer_id is not null",
    )
    assert lines == {
        "gross": Decimal("17431551.178"),
        "refunds": Decimal("1087882.14"),
        "net": Decimal("16343669.038"),
    }
    orders = one(
        warehouse,
        "select sum(net_exact_amount) net from marts.fct_orders where customer_id is not null",
    )
    assert orders["net"] == Decimal("16343669.038")


def test_customers_buyers_and_sale_documents_equal_the_known_truth(warehouse: Path) -> None:
    assert one(
        warehouse,
        "select count(*) customers, count(*) filter (where order_count > 0) buyers, "
        "sum(order_count) orders from marts.customer_360",
    ) == {"customers": 5_942, "buyers": 5_878, "orders": 36_969}
    assert one(warehouse, "select count(*) n from marts.fct_orders") == {"n": 53_628}


def test_rounding_once_per_customer_moves_the_total_by_less_than_half_a_cent_each(
    warehouse: Path,
) -> None:
    total = one(warehouse, "select sum(spend_amount) spend from marts.rfm_tiers")["spend"]
    assert abs(total - Decimal("16343669.038")) <= Decimal("0.005") * 5_942


def test_every_customer_has_a_tier_and_the_summary_counts_each_once(warehouse: Path) -> None:
    assert one(warehouse, "select sum(customer_count) n from metrics.tier_summary") == {"n": 5_942}
    tiers = {row["rfm_tier"] for row in dbt_support.read(warehouse, "from metrics.tier_summary")}
    assert {"core", "dormant", "new", "potential"} <= tiers


@pytest.mark.requirement("CUS-5")
def test_the_limits_of_the_ladder_are_the_engines_own_percentiles(warehouse: Path) -> None:
    wrong = dbt_support.read(
        warehouse,
        """
        with limits as (
            select
                quantile_cont(spend_amount_in_window, 0.8) as top_fifth,
                avg(spend_amount_in_window) as mean_spend
            from marts.rfm_tiers where order_count_in_window > 0
        )
        select customer_id from marts.rfm_tiers cross join limits
        where (rfm_tier = 'core') <> (
            days_since_last_order <= 7 and order_count_in_window >= 5
            and spend_amount_in_window >= top_fifth
        ) or (rfm_tier = 'dormant') <> (
            days_since_last_order >= 90 and order_count_in_window >= 1
            and spend_amount_in_window >= mean_spend
        )
        """,
    )
    assert wrong == []


def test_the_days_add_up_to_the_lines_guests_included(warehouse: Path) -> None:
    days = one(
        warehouse,
        "select sum(gross_amount) gross, sum(refund_amount) refunds, count(*) n "
        "from metrics.sales_daily",
    )
    lines = one(
        warehouse,
        "select sum(gross_exact_amount) gross, sum(refund_exact_amount) refunds "
        "from marts.fct_order_lines",
    )
    slack = Decimal("0.005") * days["n"]
    assert abs(days["gross"] - lines["gross"]) <= slack
    assert abs(days["refunds"] - lines["refunds"]) <= slack


def test_feature_rows_of_every_cutoff_count_the_buyers_known_by_then(warehouse: Path) -> None:
    wrong = dbt_support.read(
        warehouse,
        """
        with counted as (
            select cutoff_date, count(*) as customers, sum(order_count) as orders
            from marts.customer_features group by cutoff_date
        )
        select counted.* from counted where (customers, orders) <> (
            select (count(distinct customer_id), count(*)) from marts.fct_orders
            where document_kind = 'sale' and customer_id is not null
                and business_date <= counted.cutoff_date
        )
        """,
    )
    assert wrong == []
    assert one(
        warehouse,
        "select count(*) n, count(label_order_count) labels from marts.customer_features "
        "where cutoff_date = date '2011-12-09'",
    ) == {"n": 5_878, "labels": 0}
