"""The models on a small shop in which every rule of the line has a case, built once."""

from __future__ import annotations

import json
import shutil
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, order_line

JUNE = "2024-06-30"


def lines(*records: dict[str, Any], feed: str = "shop", held: int = 0) -> Delivery:
    return Delivery(feed, "shop", "order_lines", list(records), held)


def shop() -> list[Delivery]:
    """a1 buys often, a2 gives all back, a3 pays in dollars, a4 cancels, a8 and a9 fell silent."""
    first = [
        order_line("o1", "2024-06-28 10:00", quantity="2", unit_price_amount="10.0025"),
        order_line(
            "o1", "2024-06-28 10:00", line_number="2", unit_price_amount="0", line_kind="gift"
        ),
        order_line("o2", "2024-06-30 15:59:59", sku="POST", item_class="fee"),
        order_line("o3", "2024-06-30 16:00:00"),  # midnight in Shanghai: the next day
        order_line("o4", "2024-06-28 10:00", source_customer_id=None, unit_price_amount="5"),
        order_line("o5", "2024-05-01", source_customer_id="a2", unit_price_amount="100"),
        order_line(
            "C5",
            "2024-05-02",
            source_customer_id="a2",
            quantity="-1",
            unit_price_amount="40",
            line_kind="refund",
        ),
        order_line("o6", "2024-06-01", source_customer_id="a3", currency="USD"),
        order_line("o7", "2024-06-01", source_customer_id="a4", unit_price_amount="70"),
        order_line(
            "o8", "2024-06-01", source_customer_id=None, quantity="-3", line_kind="adjustment"
        ),
        order_line("o10", "2024-06-01", source_customer_id="a7"),
    ]
    silent = [
        order_line("s1", "2023-10-01", source_customer_id="a8", unit_price_amount="200"),
        order_line("s2", "2023-12-25", source_customer_id="a8", unit_price_amount="200"),
        order_line("s3", "2024-03-01", source_customer_id="a8", unit_price_amount="300", sku="CUP"),
        order_line(
            "C3",
            "2024-03-10",
            source_customer_id="a8",
            quantity="-1",
            unit_price_amount="100",
            line_kind="refund",
        ),
        order_line("s4", "2024-03-01", source_customer_id="a9", unit_price_amount="600"),
    ]
    again = [
        first[0],
        first[1],
        order_line("o10", "2024-06-01", source_customer_id="a7", unit_price_amount="11"),
    ]
    return [
        lines(*first, held=2),
        lines(*silent),
        lines(*again, feed="shop_again"),
        Delivery("headers", "shop", "orders", [header("o7", "cancelled", "a4"),
                                               header("o9", "paid", "a5")]),
        *coupon_orders(),
        Delivery("refunds", "shop", "refunds", [
            refund("r1", "o5", "80"), refund("r2", "o5", "50"), refund("r3", "nowhere", "9"),
        ]),
        Delivery("accounts", "shop", "accounts", [
            {"source_customer_id": "a1", "registered_at": "2024-01-01", "city_name": "Suzhou",
             "display_name": "not to be seen", "birth_date": "1990-05-01"},
            {"source_customer_id": "a6", "registered_at": "2024-06-29"},
        ]),
        Delivery("catalogue", "shop", "products", [
            {"sku": "TEA", "product_name": "Tea, green", "category_name": "Drinks"},
        ]),
    ]  # fmt: skip


def coupon_orders() -> list[Delivery]:
    """a10 buys with coupons: k1 is paid back, k3 has no lines, k4 was paid another amount."""

    def coupon(order_id: str, paid: str, discount: str, shipping: str = "0") -> dict[str, Any]:
        return header(order_id, "paid", "a10", paid_amount=paid, discount_amount=discount,
                      shipping_amount=shipping)  # fmt: skip

    bought = [
        order_line(order_id, "2024-06-01", source_customer_id="a10", unit_price_amount=price)
        for order_id, price in (("k1", "100"), ("k2", "60"), ("k4", "60"))
    ]
    heads = [coupon("k1", "88", "20", "8"), coupon("k2", "50", "10"), coupon("k3", "38", "5", "8"),
             coupon("k4", "70", "10")]  # fmt: skip
    back = refund("k1", "k1", "88") | {"source_customer_id": "a10"}
    return [
        lines(*bought, feed="coupon_lines"),
        Delivery("coupon_headers", "shop", "orders", heads),
        Delivery("coupon_refunds", "shop", "refunds", [back]),
    ]


def header(order_id: str, status: str, account: str, **columns: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "source_customer_id": account,
        "ordered_at": "2024-06-01",
        "order_status": status,
        "paid_amount": "30",
        "currency": "CNY",
    } | columns


def refund(refund_id: str, order_id: str, amount: str) -> dict[str, Any]:
    return {
        "refund_id": refund_id,
        "order_id": order_id,
        "source_customer_id": "a2",
        "refunded_at": f"2024-06-0{refund_id[1]}",
        "refund_amount": amount,
        "currency": "CNY",
    }


def consent(account: str, token: str, granted: bool, occurred_at: str) -> dict[str, Any]:
    return {
        "event_id": f"{token} {occurred_at}",
        "channel": "shop",
        "source_customer_id": account,
        "contact_kind": "email",
        "contact_token": token,
        "contact_mask": f"{token[0]}***@example.org",
        "purpose": "marketing",
        "consent_channel": "email",
        "is_granted": granted,
        "occurred_at": occurred_at,
        "known_at": occurred_at,
        "feed": "consents",
        "file_sha256": "consents-1",
    }


def open_shop(path: Path, deliveries: list[Delivery]) -> None:
    dbt_support.create_sources(path)
    dbt_support.deliver(path, deliveries)
    dbt_support.insert(path, "ledger.consents", [
        consent("a8", "token-8", True, "2024-02-01"),
        consent("a9", "token-9", True, "2024-02-01"),
        consent("a9", "token-9", False, "2024-03-01"),
    ])  # fmt: skip
    dbt_support.insert(path, "ledger.inbox_files", [{
        "feed": "consents", "channel": "shop", "entity": "consents", "file_sha256": "consents-1",
        "inbox_seq": 99, "state": "active", "received_count": 5, "written_count": 4,
        "quarantined_count": 1,
    }])  # fmt: skip
    dbt_support.insert(path, "history.official_rfm_tiers", [
        {"as_of_date": day, "customer_id": "c-shop-a8", "rfm_tier": tier, "ladder": "playbook",
         "reason": "r"}
        for day, tier in (("2024-03-31", "new"), ("2024-04-30", "new"), ("2024-05-31", "dormant"),
                          ("2024-07-31", "churn_risk"))
    ])  # fmt: skip
    dbt_support.insert(path, "scores.churn_scores", [
        {"customer_id": who, "as_of_date": day, "churn_probability": value, "model_version": "1",
         "reason_1": "late_parcels", "reason_2": "single_purchase", "horizon_days": 90,
         "scored_at": "2024-07-01"}
        for who, day, value in (("c-shop-a1", JUNE, 0.25), ("gone", JUNE, 0.5),
                                ("c-shop-a8", "2024-05-31", 0.75))
    ])  # fmt: skip
    dbt_support.identify_every_account(path)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, with all data tests and unit tests of the project passed."""
    work = tmp_path_factory.mktemp("dbt_line")
    open_shop(work / "crm.duckdb", shop())
    dbt_support.build(work / "crm.duckdb", work)
    return work / "crm.duckdb"


def only(warehouse: Path, query: str) -> dict[str, Any]:
    [row] = dbt_support.read(warehouse, query)
    return row


def customer(warehouse: Path, account: str) -> dict[str, Any]:
    return only(warehouse, f"from marts.customer_360 where customer_id = 'c-shop-{account}'")


def test_the_files_balance_with_duplicates_conflicts_and_held_records(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse,
        "select feed, sum(received_count) r, sum(accepted_count) a, sum(quarantined_count) q, "
        "sum(duplicate_count) d from ops.feed_balance group by feed",
    )
    balance = {row["feed"]: (row["r"], row["a"], row["q"], row["d"]) for row in rows}
    assert balance["shop"] == (18, 15, 3, 0)
    assert balance["shop_again"] == (3, 0, 1, 2)
    assert balance["consents"] == (5, 3, 1, 1)
    assert only(warehouse, "select sum(record_count) n from ops.quarantine_summary "
                "where reason_code = 'conflict'") == {"n": 2}  # fmt: skip


def test_a_conflicting_line_stays_out_of_every_mart(warehouse: Path) -> None:
    assert dbt_support.read(warehouse, "from marts.fct_order_lines where order_id = 'o10'") == []
    assert dbt_support.read(warehouse, "from marts.source_customers "
                            "where source_customer_id = 'a7'") == []  # fmt: skip


def test_the_business_day_ends_at_midnight_of_the_business_zone(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse,
        "select order_id, business_date, business_hour from marts.fct_orders "
        "where order_id in ('o2', 'o3')",
    )
    assert rows == [{"order_id": "o2", "business_date": date(2024, 6, 30), "business_hour": 23}]


def test_money_is_rounded_half_to_even_once_after_summing(warehouse: Path) -> None:
    order = only(warehouse, "from marts.fct_orders where order_id = 'o1'")
    assert order["net_exact_amount"] == Decimal("20.005")
    assert order["net_amount"] == Decimal("20.00")  # 20.01 would be half up
    assert (order["line_count"], order["sale_line_count"]) == (2, 1)
    assert customer(warehouse, "a1")["spend_amount"] == Decimal("30.00")


def test_orders_count_sale_documents_and_gifts_fees_guests_keep_their_place(
    warehouse: Path,
) -> None:
    row = customer(warehouse, "a1")
    assert (row["order_count"], row["product_count"]) == (2, 1)
    guest = only(warehouse, "from marts.fct_orders where order_id = 'o4'")
    assert guest["customer_id"] is None
    adjustment = only(warehouse, "from marts.fct_orders where order_id = 'o8'")
    assert (adjustment["document_kind"], adjustment["net_amount"]) == ("adjustment", 0)


@pytest.mark.bad_input("B46")
def test_linked_refunds_reduce_their_order_and_never_below_nothing(warehouse: Path) -> None:
    order = only(warehouse, "from marts.fct_orders where order_id = 'o5'")
    assert (order["gross_amount"], order["refund_amount"], order["net_amount"]) == (100, 100, 0)
    assert order["is_refunded"]
    states = dbt_support.read(
        warehouse,
        "select refund_id, refund_state from intermediate.int_refunds_linked "
        "where refund_id like 'r_' order by 1",
    )
    assert [row["refund_state"] for row in states] == ["counted", "capped", "orphan_held"]


def test_a_header_takes_its_discount_off_and_shipping_is_no_spend(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse,
        "select order_id, gross_amount, discount_amount, refund_amount, net_amount "
        "from marts.fct_orders where order_id like 'k_' order by 1",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("k1", 100, 20, 80, 0),  # 88 came back: 80 for the goods, 8 for the parcel
        ("k2", 60, 10, 0, 50),
        ("k3", 35, 5, 0, 30),  # a header alone: 38 paid, 8 of it for the parcel
        ("k4", 60, 10, 0, 50),
    ]
    row = customer(warehouse, "a10")
    assert (row["gross_amount"], row["discount_amount"]) == (255, 45)
    assert (row["refund_amount"], row["spend_amount"]) == (80, 130)
    assert row["average_order_amount"] == 52.5
    assert row["refund_share_pct"] == pytest.approx(100 * 80 / 210)
    features = only(warehouse, "from marts.customer_features where customer_id = 'c-shop-a10'")
    assert (features["spend_amount"], features["average_order_amount"]) == (130, 52.5)
    assert features["refund_share_pct"] == row["refund_share_pct"]
    sold = only(warehouse, "select sum(discount_amount) d, sum(gross_amount - discount_amount "
                "- refund_amount - net_amount) rest from metrics.sales_daily")  # fmt: skip
    assert sold == {"d": 45, "rest": 0}


@pytest.mark.bad_input("B49")
def test_an_order_paid_otherwise_than_its_lines_say_is_listed_and_publishing_goes_on(
    warehouse: Path,
) -> None:
    listed = only(warehouse, "from ops.order_differences")
    assert (listed["order_id"], listed["difference_amount"]) == ("k4", 20)
    results = json.loads((warehouse.parent / "target" / "run_results.json").read_text("utf-8"))
    warned = [node["unique_id"] for node in results["results"] if node["status"] == "warn"]
    assert [name.split(".")[-1] for name in warned] == ["assert_paid_amounts_equal_order_lines"]


@pytest.mark.bad_input("B94")
def test_a_customer_who_gave_everything_back_has_a_defined_row(warehouse: Path) -> None:
    row = customer(warehouse, "a2")
    assert (row["order_count"], row["spend_amount"]) == (1, Decimal("-40.00"))
    assert row["refund_share_pct"] == 140.0
    assert row["rfm_tier"] == "general_value"


@pytest.mark.bad_input("B48")
def test_money_without_a_rate_is_null_and_its_order_still_counts(warehouse: Path) -> None:
    order = only(warehouse, "from marts.fct_orders where order_id = 'o6'")
    assert (order["net_amount"], order["currency"]) == (None, "USD")
    row = customer(warehouse, "a3")
    assert (row["order_count"], row["unconverted_order_count"]) == (1, 1)
    assert row["spend_amount"] is None


def test_a_cancelled_order_sells_nothing_and_a_header_alone_sells_what_was_paid(
    warehouse: Path,
) -> None:
    cancelled = customer(warehouse, "a4")
    assert (cancelled["order_count"], cancelled["spend_amount"]) == (0, 0)
    assert cancelled["days_since_last_order"] == 29  # since first seen
    header_only = customer(warehouse, "a5")
    assert (header_only["order_count"], header_only["spend_amount"]) == (1, Decimal("30.00"))


def test_a_customer_without_an_order_has_a_tier_and_no_invented_figures(warehouse: Path) -> None:
    row = customer(warehouse, "a6")
    assert (row["order_count"], row["spend_amount"], row["rfm_tier"]) == (0, 0, "new")
    assert row["average_order_amount"] is None
    assert row["churn_probability"] is None


def test_no_name_and_no_birth_day_leaves_the_private_part(warehouse: Path) -> None:
    columns = dbt_support.read(
        warehouse,
        "select table_name, column_name from information_schema.columns "
        "where column_name in ('display_name', 'birth_date', 'contact_value') "
        "and table_schema not in ('conformed')",
    )
    assert columns == []
    assert customer(warehouse, "a1")["birth_year"] == 1990


def test_the_catalogue_names_a_product_and_an_unlisted_one_keeps_its_line_name(
    warehouse: Path,
) -> None:
    names = {row["sku"]: row for row in dbt_support.read(warehouse, "from marts.dim_products")}
    assert names["TEA"]["product_name"] == "Tea, green"
    assert names["CUP"]["product_name"] == "Green tea"
    assert names["POST"]["item_class"] == "fee"


def test_dormant_customers_are_the_audience_with_or_without_consent(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse, "from activation.dormant_wake_up_audience order by customer_id"
    )
    assert [(row["customer_id"], row["occurrence"]) for row in rows] == [
        ("c-shop-a8", "2024-03-01"),
        ("c-shop-a9", "2024-03-01"),
    ]
    contacts = dbt_support.read(
        warehouse,
        "from activation.outreach_contacts where purpose = 'marketing' "
        "and consent_channel = 'email' and customer_id in ('c-shop-a8', 'c-shop-a9') "
        "order by customer_id",
    )
    assert [(row["customer_id"], row["is_usable"], row["contact_token"]) for row in contacts] == [
        ("c-shop-a8", True, "token-8"),
        ("c-shop-a9", False, "token-9"),
    ]
    assert contacts[1]["occurred_at"] == datetime(2024, 3, 1)  # noqa: DTZ001


def test_the_official_tier_is_the_last_month_end_known_and_changes_make_history(
    warehouse: Path,
) -> None:
    tier = only(warehouse, "from marts.rfm_tiers where customer_id = 'c-shop-a8'")
    assert (tier["official_rfm_tier"], tier["official_as_of_date"]) == (
        "dormant",
        date(2024, 5, 31),
    )
    stays = dbt_support.read(
        warehouse,
        "select valid_from, valid_until, previous_rfm_tier, rfm_tier from marts.tier_history "
        "order by valid_from",
    )
    assert [tuple(row.values()) for row in stays] == [
        (date(2024, 3, 31), date(2024, 5, 31), None, "new"),
        (date(2024, 5, 31), None, "new", "dormant"),
    ]


def test_scores_show_the_newest_slice_of_customers_that_exist(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse, "from marts.churn_scores where churn_probability is not null"
    )
    assert [(row["customer_id"], row["churn_probability"]) for row in rows] == [("c-shop-a1", 0.25)]


@pytest.mark.requirement("SCO-2")
def test_churn_reasons_have_words_and_the_trigger_needs_no_score(warehouse: Path) -> None:
    scored = only(warehouse, "from marts.churn_scores where customer_id = 'c-shop-a1'")
    assert (scored["reason_1_code"], scored["reason_1_en"]) == ("late_parcels", "Parcels came late")
    assert scored["reason_1_zh"] == "近期包裹延误"
    assert scored["reason_2_code"] == "single_purchase"
    assert (scored["reason_3_code"], scored["reason_3_en"]) == (None, None)
    assert (scored["is_stale"], scored["horizon_days"]) == (False, 90)
    # 121 days of silence against gaps of 85 and 67 days, and nothing else ever known.
    silent = only(warehouse, "from marts.churn_scores where customer_id = 'c-shop-a8'")
    assert (silent["churn_probability"], silent["reason_1_code"]) == (None, None)
    assert (silent["usual_days_between_orders"], silent["usual_gap_basis"]) == (76.0, "own")
    assert silent["is_playbook_churn_risk"]
    features = dbt_support.read(
        warehouse,
        "select customer_id, is_playbook_churn_risk from marts.customer_features "
        f"where cutoff_date = date '{JUNE}' order by customer_id",
    )
    beside = dbt_support.read(
        warehouse,
        "select customer_id, is_playbook_churn_risk from marts.churn_scores order by customer_id",
    )
    assert beside == features


@pytest.mark.requirement("CUS-3")
@pytest.mark.requirement("SCO-1")
def test_features_at_a_training_cutoff_know_nothing_of_the_days_after_it(
    warehouse: Path, tmp_path: Path
) -> None:
    cutoff = "2024-03-02"  # 90 days before the end of May
    earlier = tmp_path / "crm.duckdb"
    open_shop(earlier, shop())
    dbt_support.build(
        earlier, tmp_path, "--select", "+customer_features", "--exclude-resource-type",
        "unit_test", "test", as_of_date=cutoff,
    )  # fmt: skip
    query = (
        "select * exclude (label_order_count, label_spend_amount, label_year_order_count, "
        "label_year_spend_amount) from marts.customer_features "
        f"where cutoff_date = date '{cutoff}' order by customer_id"
    )
    then, now = dbt_support.read(earlier, query), dbt_support.read(warehouse, query)
    assert now == then
    [labelled] = dbt_support.read(
        warehouse,
        "select * from marts.customer_features "
        f"where cutoff_date = date '{cutoff}' and customer_id = 'c-shop-a8'",
    )
    assert labelled["label_order_count"] == 0
    assert labelled["label_spend_amount"] == Decimal("-100.00")  # the refund of 10 March


def test_features_follow_their_definitions(warehouse: Path) -> None:
    row = only(
        warehouse,
        "from marts.customer_features "
        f"where cutoff_date = date '{JUNE}' and customer_id = 'c-shop-a8'",
    )
    assert (row["order_count"], row["frequency_days"], row["product_count"]) == (3, 2, 2)
    assert (row["recency_days"], row["tenure_days"]) == (152, 273)
    assert (row["days_since_last_order"], row["days_since_first_order"]) == (121, 273)
    assert row["monetary_value"] == 250.0  # 200 and 300; the first day is left out
    assert row["spend_amount"] == Decimal("600.00")
    assert (row["spend_180d_amount"], row["order_count_180d"]) == (Decimal("200.00"), 1)
    assert row["average_days_between_orders"] == 76.0
    assert row["days_between_orders_stddev"] == pytest.approx(12.7279220613578)  # 85 and 67 days
    assert row["refund_share_pct"] == pytest.approx(100 / 7)
    assert (row["label_order_count"], row["label_spend_amount"]) == (None, None)


def test_marts_do_not_depend_on_the_order_or_the_split_of_files(
    warehouse: Path, tmp_path: Path
) -> None:
    deliveries = shop()
    split = [lines(*deliveries[0].records[:6]), lines(*deliveries[0].records[6:])]
    other = tmp_path / "crm.duckdb"
    open_shop(other, [*reversed(deliveries[1:]), *reversed(split)])
    dbt_support.build(other, tmp_path, "--exclude-resource-type", "unit_test", "test")
    tables = dbt_support.read(
        warehouse,
        "select table_schema || '.' || table_name as name from information_schema.tables "
        "where table_schema in ('marts', 'metrics')",
    )
    assert len(tables) > 15
    for table in tables:
        query = f"from {table['name']} order by all"
        assert dbt_support.read(other, query) == dbt_support.read(warehouse, query), table


@pytest.mark.bad_input("B93")
def test_an_empty_shop_builds(tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.build(path, tmp_path, "--exclude-resource-type", "unit_test")
    assert dbt_support.read(path, "from marts.customer_360") == []


def test_a_key_given_twice_is_an_error(warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    shutil.copy(warehouse, path)
    with duckdb.connect(str(path)) as connection:
        for table in ("staging.stg_accounts", "intermediate.int_customer_days"):
            connection.execute(f"insert into {table} from {table} limit 1")
    done = dbt_support.run_dbt(
        path, tmp_path, "test", "--select", "assert_staged_keys_are_unique",
        "assert_joined_keys_are_unique", as_of_date=JUNE, business_timezone="Asia/Shanghai",
        reporting_currency="CNY",
    )  # fmt: skip
    assert done.returncode != 0
    assert "ERROR=2" in done.stdout


def test_settings_no_model_could_answer_for_are_refused_with_a_remedy(
    warehouse: Path, tmp_path: Path
) -> None:
    done = dbt_support.run_dbt(
        warehouse, tmp_path, "compile", "--select", "stg_orders",
        as_of_date="2024-13", business_timezone="Asia/Shanghai", reporting_currency="CNY",
    )  # fmt: skip
    assert done.returncode != 0
    assert "var as_of_date is 2024-13; give a day as YYYY-MM-DD" in done.stdout
