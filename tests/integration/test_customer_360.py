"""The 360 view of a small shop: one readable scene per domain, each told by its own account."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt, order_line

TODAY = "2024-06-30"
MODELS = dbt_support.PROJECT / "models"
SENTENCES = Path(__file__).resolve().parents[1] / "fixtures" / "sentiment" / "sentences.csv"
# The share of labelled sentences the lexicon reads as people do. The file ends with four it does
# not: a comparison, a proverb, an understatement, a word it lacks. Whoever meets another adds it.
READ_RIGHT = 0.9


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def labelled() -> list[tuple[str, str]]:
    with SENTENCES.open(encoding="utf-8", newline="") as file:
        return [(row["label"], row["sentence"]) for row in csv.DictReader(file)]


def event(number: int, account: str | None, kind: str, at: str, **columns: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "source_customer_id": account,
        "device_id": "phone-1",
        "event_type": kind,
        "occurred_at": at,
    } | columns


def events() -> list[dict[str, Any]]:
    """A visitor over a year; two who fill carts; one who sits in live rooms."""
    told: list[tuple[str | None, str, str, dict[str, Any]]] = [
        ("visitor", "login", "2023-02-01 10:00", {}),
        ("visitor", "page_view", "2023-02-01 10:05", {"dwell_seconds": "5"}),
        ("visitor", "search", "2023-12-01 10:00", {"dwell_seconds": "20"}),
        # The last day before a window, and its first.
        ("visitor", "search", "2023-07-01 10:00", {}),
        ("visitor", "search", "2023-07-02 10:00", {}),
        ("visitor", "page_view", "2024-05-31 10:00", {}),
        ("visitor", "search", "2024-06-01 10:00", {}),
        ("visitor", "page_view", "2024-06-29 01:00", {"dwell_seconds": "30.5"}),
        ("visitor", "product_view", "2024-06-29 01:10", {"sku": "TEA", "dwell_seconds": "9.5"}),
        ("visitor", "product_view", "2024-06-29 05:00", {"sku": "TEA"}),
        ("visitor", "share", "2024-06-29 05:01", {"sku": "TEA"}),
        ("visitor", "check_in", "2024-06-29 05:02", {}),
        (None, "product_view", "2024-06-29 05:03", {"sku": "TEA"}),
        ("carts", "cart_added", "2024-06-20 01:00", {"sku": "LEFT"}),
        ("carts", "cart_added", "2024-06-20 01:01", {"sku": "TAKEN_OUT"}),
        ("carts", "cart_removed", "2024-06-20 01:02", {"sku": "TAKEN_OUT"}),
        ("carts", "cart_added", "2024-06-20 01:03", {"sku": "ORDERED"}),
        ("carts", "cart_added", "2024-05-01 01:00", {"sku": "FORGOTTEN"}),
        ("carts", "cart_added", "2024-06-22 01:00", {"sku": "AGAIN"}),
        ("carts", "favourite_added", "2024-06-01 01:00", {"sku": "LEFT"}),
        ("carts", "favourite_added", "2024-03-01 01:00", {"sku": "CUP"}),
        ("carts", "favourite_removed", "2024-04-01 01:00", {"sku": "CUP"}),
        ("social", "live_entered", "2024-06-10 12:00", {"live_room_id": "L1"}),
        ("social", "live_liked", "2024-06-10 12:01", {"live_room_id": "L1"}),
        ("social", "live_commented", "2024-06-10 12:02",
         {"live_room_id": "L1", "dwell_seconds": "60"}),
        ("social", "live_entered", "2024-06-11 12:00", {"live_room_id": "L2"}),
    ]  # fmt: skip
    return [event(n, who, kind, at, **columns) for n, (who, kind, at, columns) in enumerate(told)]


def sales() -> list[Delivery]:
    """A buyer with four documents, prices of six products, two who give back."""

    def line(order_id: str, at: str, account: str, price: str, **columns: Any) -> dict[str, Any]:
        return order_line(order_id, at, source_customer_id=account, unit_price_amount=price,
                          **columns)  # fmt: skip

    def head(order_id: str, at: str, paid: str, **columns: Any) -> dict[str, Any]:
        return {"order_id": order_id, "source_customer_id": "buyer", "order_status": "paid",
                "ordered_at": at, "paid_amount": paid, "currency": "CNY"} | columns  # fmt: skip

    # 2024-06-22 is a Saturday; 16:30 UTC is 0:30 of the next day in Shanghai.
    lines = [
        line("b1", "2024-06-22 02:00", "buyer", "40", sku="CUP"),
        line("b1", "2024-06-22 02:00", "buyer", "0", line_number="2", line_kind="gift"),
        line("b2", "2024-06-21 16:30", "buyer", "30", quantity="2"),
        line("b3", "2024-06-24 02:00", "buyer", "30"),
        line("b4", "2024-06-24 16:30", "buyer", "20", sku="PEN"),
        line("carts-1", "2024-06-21", "carts", "9", sku="ORDERED"),
        line("carts-2", "2024-06-21", "carts", "9", sku="AGAIN"),
        line("g1", "2024-06-01", "giver", "100"),
        line("g2", "2024-06-02", "giver", "50"),
        line("C9", "2024-06-09", "giver", "10", quantity="-1", line_kind="refund"),
    ]
    heads = [
        head("b1", "2024-06-22 02:00", "35", discount_amount="5", coupon_id="K1",
             payment_method="Alipay"),
        head("b2", "2024-06-21 16:30", "60", payment_method="WeChat"),
        head("b3", "2024-06-24 02:00", "30", payment_method="WeChat"),
        head("b4", "2024-06-24 16:30", "20", payment_method="Alipay"),
    ]  # fmt: skip
    others = [line(f"p{sku}", "2024-06-01", "others", price, sku=sku)
              for sku, price in (("T1", "10"), ("T2", "90"), ("T3", "95"))]  # fmt: skip
    products = [
        {"sku": sku, "product_name": sku, "category_name": category, "brand_name": brand}
        for sku, category, brand in (
            ("TEA", "Drinks", "Hill"), ("T1", "Drinks", "Hill"), ("T2", "Drinks", "Lake"),
            ("T3", "Drinks", "Lake"), ("CUP", "Cups", "Kiln"), ("PEN", None, None),
        )
    ]  # fmt: skip
    refund = {"refund_id": "r1", "order_id": "g1", "refunded_at": "2024-06-05",
              "refund_amount": "30", "currency": "CNY"}  # fmt: skip
    refunds = [
        refund,
        refund | {"refund_id": "r2"},
        refund | {"refund_id": "abroad", "order_id": "g2", "currency": "USD"},
        refund | {"refund_id": "lost", "order_id": "unknown", "source_customer_id": "giver"},
    ]
    return [
        Delivery("lines", "shop", "order_lines", [*lines, *others]),
        Delivery("heads", "shop", "orders", heads),
        Delivery("products", "shop", "products", products),
        Delivery("refunds", "shop", "refunds", refunds),
    ]


def words() -> list[Delivery]:
    """A customer of the desk, a critic, one labelled sentence per account."""

    def ticket(number: int, kind: str, status: str, opened: str, **columns: Any) -> dict[str, Any]:
        return {"ticket_id": f"t{number}", "source_customer_id": "asker", "ticket_kind": kind,
                "ticket_status": status, "opened_at": opened} | columns  # fmt: skip

    def review(number: int, rating: int, at: str, text: str | None) -> dict[str, Any]:
        return {"review_id": f"v{number}", "source_customer_id": "critic", "sku": "TEA",
                "rating": rating, "review_text": text, "reviewed_at": at}  # fmt: skip

    def answer(name: str, account: str, kind: str, score: int, text: str | None) -> dict[str, Any]:
        return {"answer_id": name, "source_customer_id": account, "survey_kind": kind,
                "score": score, "comment_text": text, "answered_at": "2024-06-12"}  # fmt: skip

    tickets = [
        ticket(1, "complaint", "resolved", "2024-06-01 01:00", satisfaction_score=2,
               first_responded_at="2024-06-01 01:10", resolved_at="2024-06-01 03:00"),
        ticket(2, "question", "closed", "2024-06-03 01:00", first_responded_at="2024-06-03 01:40",
               resolved_at="2024-06-03 02:00", satisfaction_score=5),
        ticket(3, "return", "pending", "2024-06-05 01:00", reopened_at="2024-06-06"),
    ]  # fmt: skip
    reviews = [review(1, 5, "2024-06-01", "很好"), review(2, 2, "2024-06-02", None),
               review(3, 3, "2024-06-03", "不好用，失望")]  # fmt: skip
    answers = [
        answer("a1", "critic", "nps", 9, None) | {"answered_at": "2024-05-01"},
        answer("a2", "critic", "nps", 6, None),
        answer("a3", "critic", "csat", 4, None),
        *[answer(f"s{n}", f"sentence-{n}", "csat", 3, text)
          for n, (_, text) in enumerate(labelled())],
    ]  # fmt: skip
    return [
        Delivery("desk", "shop", "tickets", tickets),
        Delivery("reviews", "shop", "reviews", reviews),
        Delivery("survey", "shop", "survey_answers", answers),
    ]


def contacts() -> list[Delivery]:
    """A reader of messages, a holder of coupons, a guest of groups and shops."""

    def receipt(way: str, message: str, *kinds: str) -> Delivery:
        records = [
            {"message_id": message, "account_channel": "shop", "source_customer_id": "reader",
             "receipt_kind": kind, "occurred_at": f"2024-06-{10 + n} 02:00"}
            for n, kind in enumerate(kinds)
        ]  # fmt: skip
        return Delivery(f"{way}-{message}", way, "message_receipts", records)

    def coupon(number: int, action: str, at: str) -> dict[str, Any]:
        return {"coupon_id": f"K{number}", "source_customer_id": "holder", "action": action,
                "occurred_at": at, "currency": "CNY"}  # fmt: skip

    def visit(number: int, is_purchase: bool | None) -> dict[str, Any]:
        return {"visit_id": f"w{number}", "source_customer_id": "social", "store_id": "S1",
                "visited_at": f"2024-06-0{number}", "is_purchase": is_purchase}  # fmt: skip

    def post(number: int, kind: str) -> dict[str, Any]:
        return {"post_id": f"m{number}", "source_customer_id": "social", "group_id": "G1",
                "posted_at": f"2024-06-1{number}", "post_kind": kind, "like_count": 2}  # fmt: skip

    opt_outs = [
        {"request_id": f"q-{account}", "source_customer_id": account, "request_status": status,
         "request_kind": "profiling_opt_out", "requested_at": "2024-03-15"}
        for account, status in (("reader", "open"), ("holder", "done"), ("asker", "refused"))
    ]  # fmt: skip
    return [
        Delivery("privacy", "shop", "privacy_requests", opt_outs),
        receipt("email", "m1", "sent", "delivered", "opened", "opened", "clicked"),
        receipt("email", "m2", "sent", "delivered"),
        receipt("sms", "m3", "sent", "failed"),
        receipt("push", "m4", "sent", "opened"),
        Delivery("coupons", "shop", "coupon_events", [
            coupon(1, "issued", "2024-06-01"), coupon(1, "redeemed", "2024-06-03"),
            coupon(2, "issued", "2024-06-01"), coupon(2, "expired", "2024-06-20"),
        ]),
        Delivery("visits", "shop", "store_visits", [visit(1, True), visit(2, False),
                                                    visit(3, None)]),
        Delivery("groups", "shop", "community_posts", [
            post(1, "post"), post(2, "question"), post(3, "share"), post(4, "answer"),
        ]),
        Delivery("accounts", "shop", "accounts", [
            {"source_customer_id": "silent", "registered_at": "2024-06-01", "city_name": "Suzhou",
             "guide_id": "G7", "store_id": "S1", "source_name": "poster"},
        ]),
    ]  # fmt: skip


def consent(account: str, way: str, purpose: str, granted: bool, at: str) -> dict[str, Any]:
    return {
        "event_id": f"{account} {way} {purpose} {at}",
        "channel": "shop",
        "source_customer_id": account,
        "contact_kind": "email" if way == "email" else "phone",
        "contact_token": f"{account}-{way}",
        "contact_mask": "*",
        "purpose": purpose,
        "consent_channel": way,
        "is_granted": granted,
        "occurred_at": at,
        "known_at": at,
        "feed": "consents",
        "file_sha256": "c",
    }


CONSENTS = [
    consent("reader", "email", "marketing", True, "2024-02-01"),
    consent("reader", "push", "marketing", True, "2024-02-01"),
    consent("reader", "sms", "marketing", True, "2024-02-01"),
    consent("reader", "sms", "marketing", False, "2024-03-01"),
    consent("reader", "sms", "service", True, "2024-02-01"),
    consent("reader", "push", "profiling", True, "2024-02-01"),
    consent("holder", "push", "profiling", True, "2024-04-01"),
    consent("asker", "push", "profiling", True, "2024-02-01"),
]


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop, with every data test of the models above the facts passed."""
    work = tmp_path_factory.mktemp("customer_360")
    path = work / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, [Delivery("app", "shop", "events", events()),
                               *sales(), *words(), *contacts()])  # fmt: skip
    dbt_support.insert(path, "ledger.consents", CONSENTS)
    dbt_support.identify_every_account(path)
    dbt_support.build(path, work, "--exclude-resource-type", "unit_test")
    return path


def customer(warehouse: Path, account: str) -> dict[str, Any]:
    [row] = dbt_support.read(
        warehouse, f"from marts.customer_360 where customer_id = 'c-shop-{account}'"
    )
    return row


def shown(warehouse: Path, account: str, *names: str) -> dict[str, Any]:
    row = customer(warehouse, account)
    return {name: row[name] for name in names}


@pytest.mark.requirement("CUS-1")
def test_behaviour_is_counted_ever_in_a_year_and_in_a_month(warehouse: Path) -> None:
    row = customer(warehouse, "visitor")
    windows = ("", "_in_window", "_recent")

    def three(measure: str) -> list[Any]:
        return [row[f"{measure}{window}"] for window in windows]

    assert three("session_count") == [8, 6, 3]  # the device before login is nobody's session
    assert three("active_day_count") == [7, 5, 2]
    assert three("page_view_count") == [3, 2, 1]
    assert three("product_view_count") == [2, 2, 2]
    assert three("search_count") == [4, 3, 1]
    assert three("dwell_seconds") == [Decimal(65), Decimal(60), Decimal(40)]
    assert (row["login_count"], row["share_count"], row["check_in_count"]) == (1, 1, 1)
    assert row["last_active_date"] == day("2024-06-29")
    assert row["days_since_last_active"] == 1


@pytest.mark.requirement("CUS-1")
def test_a_cart_holds_what_was_neither_taken_out_nor_ordered_nor_forgotten(
    warehouse: Path,
) -> None:
    row = customer(warehouse, "carts")
    assert row["open_cart_product_count"] == 2  # LEFT, and AGAIN put in after its order
    assert row["last_cart_date"] == day("2024-06-22")
    assert (row["cart_added_count"], row["cart_added_count_recent"]) == (5, 4)
    assert row["favourite_product_count"] == 1
    assert row["last_favourite_date"] == day("2024-06-01")
    assert row["favourite_added_count"] == 2


@pytest.mark.requirement("CUS-1")
def test_live_rooms_groups_and_shops_are_counted(warehouse: Path) -> None:
    assert shown(
        warehouse, "social", "live_room_count", "live_entered_count", "live_liked_count",
        "live_commented_count", "live_dwell_seconds", "last_live_date", "community_message_count",
        "community_question_count", "community_share_count", "community_like_count",
        "store_visit_count", "store_visit_with_purchase_count",
        "store_visit_without_purchase_count", "last_visit_without_purchase_date",
    ) == {
        "live_room_count": 2, "live_entered_count": 2, "live_liked_count": 1,
        "live_commented_count": 1, "live_dwell_seconds": Decimal(60),
        "last_live_date": day("2024-06-11"), "community_message_count": 4,
        "community_question_count": 1, "community_share_count": 1, "community_like_count": 8,
        "store_visit_count": 3, "store_visit_with_purchase_count": 1,
        "store_visit_without_purchase_count": 1,
        "last_visit_without_purchase_date": day("2024-06-02"),
    }  # fmt: skip


@pytest.mark.requirement("CUS-1")
def test_tickets_tell_how_fast_and_how_well_they_were_answered(warehouse: Path) -> None:
    assert shown(
        warehouse, "asker", "ticket_count", "open_ticket_count", "complaint_count",
        "reopened_ticket_count", "last_ticket_date", "last_complaint_date",
        "average_response_minutes", "average_resolution_hours", "average_satisfaction_score",
    ) == {
        "ticket_count": 3, "open_ticket_count": 1, "complaint_count": 1,
        "reopened_ticket_count": 1, "last_ticket_date": day("2024-06-05"),
        "last_complaint_date": day("2024-06-01"), "average_response_minutes": 25.0,
        "average_resolution_hours": 1.5, "average_satisfaction_score": 3.5,
    }  # fmt: skip


@pytest.mark.requirement("CUS-1")
def test_reviews_and_surveys_are_summed_up_and_the_last_answer_counts(warehouse: Path) -> None:
    row = customer(warehouse, "critic")
    assert (row["review_count"], row["low_rating_count"], row["last_rating"]) == (3, 1, 3)
    assert row["average_rating"] == pytest.approx(10 / 3)
    assert (row["nps_score"], row["nps_class"]) == (6, "detractor")
    assert (row["csat_score"], row["survey_answer_count"]) == (4, 3)


@pytest.mark.requirement("CUS-1")
def test_sentiment_is_the_mean_of_stars_and_words(warehouse: Path) -> None:
    row = customer(warehouse, "critic")
    # Five stars and good words: 1. Two stars, no word: -1/2. Three stars and bad words: -1/2.
    assert row["sentiment_statement_count"] == 3
    assert row["sentiment_score"] == pytest.approx((1 - 0.5 - 0.5) / 3)
    assert row["sentiment_class"] == "neutral"


@pytest.mark.requirement("CUS-1")
def test_the_lexicon_reads_labelled_sentences_as_people_do(warehouse: Path) -> None:
    read = {
        row["customer_id"]: row["sentiment_class"] or "neutral"
        for row in dbt_support.read(
            warehouse, "select customer_id, sentiment_class from marts.customer_360"
        )
    }
    sentences = labelled()
    wrong = {text for n, (label, text) in enumerate(sentences)
             if read[f"c-shop-sentence-{n}"] != label}  # fmt: skip
    assert len(wrong) <= (1 - READ_RIGHT) * len(sentences), wrong
    # A negation, a negation that praises, and a word inside another are never misread.
    never = {"不满意，和图片有差距", "Not bad at all, would recommend", "badge arrived"}
    assert wrong & never == set()


@pytest.mark.requirement("CUS-1")
def test_messages_count_once_however_often_they_were_opened(warehouse: Path) -> None:
    row = customer(warehouse, "reader")
    kinds = ("", "_delivered", "_opened", "_clicked", "_failed", "_unsubscribed")
    assert [row[f"message{kind}_count"] for kind in kinds] == [4, 2, 2, 1, 1, 0]
    # Three reached the customer: the push was opened, so it had arrived.
    assert row["message_open_rate_pct"] == pytest.approx(200 / 3)
    assert row["message_click_rate_pct"] == pytest.approx(100 / 3)
    assert row["last_opened_date"] == day("2024-06-13")
    assert (row["email_message_count"], row["email_opened_count"]) == (2, 1)
    assert (row["sms_message_count"], row["sms_opened_count"]) == (1, 0)
    assert (row["push_opened_count"], row["wecom_message_count"]) == (1, 0)


@pytest.mark.requirement("CUS-1")
def test_coupons_tell_what_became_of_them(warehouse: Path) -> None:
    assert shown(
        warehouse, "holder", "coupon_issued_count", "coupon_redeemed_count",
        "coupon_expired_count", "coupon_redemption_rate_pct", "last_coupon_redeemed_date",
    ) == {
        "coupon_issued_count": 2, "coupon_redeemed_count": 1, "coupon_expired_count": 1,
        "coupon_redemption_rate_pct": 50.0, "last_coupon_redeemed_date": day("2024-06-03"),
    }  # fmt: skip


@pytest.mark.requirement("CUS-1")
def test_the_basket_tells_categories_brand_payment_coupons_and_gifts(warehouse: Path) -> None:
    row = customer(warehouse, "buyer")
    assert (row["order_count"], row["spend_amount"]) == (4, Decimal("145.00"))
    # Drinks 90, cups 40, the pen has no category.
    assert (row["top_category_name"], row["second_category_name"]) == ("Drinks", "Cups")
    assert row["top_category_share_pct"] == pytest.approx(9000 / 130)
    assert row["second_category_share_pct"] == pytest.approx(4000 / 130)
    assert (row["category_count"], row["top_brand_name"]) == (2, "Hill")
    # Two means of payment with two orders each: the first of the alphabet.
    assert (row["preferred_payment_method"], row["payment_method_count"]) == ("Alipay", 2)
    assert (row["coupon_order_count"], row["coupon_order_share_pct"]) == (1, 25.0)
    assert (row["gift_order_count"], row["gift_order_share_pct"]) == (1, 25.0)


@pytest.mark.requirement("CUS-1")
def test_the_price_band_is_the_place_of_the_price_within_the_category(warehouse: Path) -> None:
    # Drinks are paid 10, about 38 (tea), 90 and 95 a piece; there are too few cups to compare.
    assert customer(warehouse, "buyer")["price_band"] == "middle"
    # One piece each of the cheapest, the third and the dearest: equal, so the lowest band.
    assert customer(warehouse, "others")["price_band"] == "low"
    assert customer(warehouse, "carts")["price_band"] is None


@pytest.mark.requirement("CUS-1")
def test_hours_and_weekdays_are_local_and_equals_go_to_the_earliest(warehouse: Path) -> None:
    # Saturday 10:00 and 0:30, Monday 10:00, Tuesday 0:30, on the clock of the shop.
    assert shown(
        warehouse, "buyer", "preferred_hour", "preferred_weekday", "preferred_channel",
        "weekend_order_share_pct", "night_order_share_pct",
    ) == {
        "preferred_hour": 0, "preferred_weekday": 6, "preferred_channel": "shop",
        "weekend_order_share_pct": 50.0, "night_order_share_pct": 50.0,
    }  # fmt: skip


@pytest.mark.requirement("CUS-1")
def test_returns_count_refunds_that_name_an_order_and_documents_of_returns(
    warehouse: Path,
) -> None:
    assert shown(
        warehouse, "giver", "refund_count", "refunded_order_count", "return_rate_pct",
        "last_refund_date", "refund_amount", "spend_amount",
    ) == {
        "refund_count": 4, "refunded_order_count": 2, "return_rate_pct": 200.0,
        "last_refund_date": day("2024-06-09"), "refund_amount": Decimal("70.00"),
        "spend_amount": Decimal("80.00"),
    }  # fmt: skip


@pytest.mark.requirement("CUS-1")
def test_consents_are_told_per_way_and_purpose(warehouse: Path) -> None:
    row = customer(warehouse, "reader")
    ways = {way: row[f"has_{way}_consent"] for way in ("email", "sms", "wecom", "push")}
    assert ways == {"email": True, "sms": False, "wecom": False, "push": True}
    assert row["marketing_channel_count"] == 2
    assert row["has_service_consent"] and row["has_withdrawn_consent"]
    # Asked not to be profiled since; another agreed again after that, a third was refused.
    profiled = {who: customer(warehouse, who)["has_profiling_consent"]
                for who in ("reader", "holder", "asker")}  # fmt: skip
    assert profiled == {"reader": False, "holder": True, "asker": True}
    assert row["last_consent_date"] == day("2024-03-01")


@pytest.mark.requirement("CUS-1")
def test_without_a_fact_a_count_is_0_a_flag_false_and_the_rest_null(warehouse: Path) -> None:
    row = customer(warehouse, "silent")
    known = {
        "customer_id", "as_of_date", "account_count", "channel_count", "first_seen_date",
        "last_seen_date", "registered_at", "city_name", "guide_id", "store_id", "source_name",
        "days_since_last_order", "currency", "rfm_tier", "lifecycle_stage", "aipl_stage",
    }  # fmt: skip
    assert {name for name in known if row[name] is None} == set()
    reserved = set(columns_waiting())
    for name, value in row.items():
        if name in known or name.startswith("recommended_"):
            continue  # a best seller is offered to anybody
        if name in reserved:
            expected: Any = None
        elif name.startswith("has_"):
            expected = False
        elif "_count" in name or "_seconds" in name or name.endswith("_amount"):
            expected = None if name.startswith("average_") else 0
        elif name.startswith("spend_amount"):
            expected = 0
        else:
            expected = None
        assert value == expected, name


def described() -> list[dict[str, Any]]:
    path = MODELS / "marts" / "customers" / "customer_360.yml"
    [model] = yaml.safe_load(path.read_text("utf-8"))["models"]
    return list(model["columns"])


def columns_waiting() -> list[str]:
    return [column["name"] for column in described() if "filled_by" in column["config"]["meta"]]


@pytest.mark.requirement("CUS-1")
def test_every_column_tells_its_meaning_its_unit_and_its_source() -> None:
    assert len(described()) > 150
    for column in described():
        meta = column["config"]["meta"]
        assert column["description"] and meta["unit"] and meta["source"], column["name"]


@pytest.mark.requirement("CUS-1")
def test_a_column_that_has_values_may_not_be_marked_as_waiting(
    warehouse: Path, tmp_path: Path
) -> None:
    path = tmp_path / "crm.duckdb"
    shutil.copy(warehouse, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("update marts.customer_360 set points_balance = 5")
    done = dbt_support.run_dbt(
        path, tmp_path, "test", "--select", "reserved_columns_are_empty_customer_360_",
        as_of_date=TODAY, business_timezone="Asia/Shanghai", reporting_currency="CNY",
    )  # fmt: skip
    assert "FAIL=1" in done.stdout or "ERROR=1" in done.stdout, done.stdout[-2000:]


@pytest.mark.requirement("CUS-1")
def test_a_sum_that_differs_from_its_facts_is_an_error(warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "crm.duckdb"
    shutil.copy(warehouse, path)
    with duckdb.connect(str(path)) as connection:
        connection.execute("update marts.customer_360 set ticket_count = 2 where ticket_count = 3")
    done = dbt_support.run_dbt(
        path, tmp_path, "test", "--select", "assert_customer_360_agrees_with_its_sources",
        as_of_date=TODAY, business_timezone="Asia/Shanghai", reporting_currency="CNY",
    )  # fmt: skip
    assert "Got 1 result" in done.stdout, done.stdout[-2000:]


@pytest.mark.requirement("CUS-2")
def test_the_timeline_names_the_customer_of_every_touch_and_no_visitor(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse,
        "select customer_id, source_customer_id, reference_id from marts.customer_timeline",
    )
    assert {row["customer_id"] for row in rows} >= {f"c-shop-{account}" for account in MERGED}
    assert all(row["customer_id"] == f"c-shop-{row['source_customer_id']}" for row in rows)
    [seen] = dbt_support.read(
        warehouse,
        "select sum(touch_count) as n from marts.customer_timeline where entity = 'events'",
    )
    assert seen["n"] == len(events()) - 1  # the visitor before login


MERGED = ("visitor", "carts", "social", "asker", "critic", "reader", "holder", "buyer", "giver")
SUMMED = (
    "session_count", "dwell_seconds", "cart_added_count", "open_cart_product_count",
    "favourite_product_count", "live_entered_count", "community_message_count",
    "store_visit_count", "ticket_count", "review_count", "survey_answer_count", "message_count",
    "email_opened_count", "coupon_issued_count", "refund_count", "order_count", "spend_amount",
    "coupon_order_count", "account_count",
)  # fmt: skip


@pytest.mark.requirement("CUS-1")
@pytest.mark.requirement("CUS-2")
def test_a_merged_customer_has_all_that_its_accounts_had(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_DBT_BUSINESS_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_DBT_REPORTING_CURRENCY", "CNY")
    path = tmp_path / "crm.duckdb"
    shutil.copy(warehouse, path)
    gone = ", ".join(f"'c-shop-{account}'" for account in MERGED[1:])
    touches = "select count(*) as n from marts.customer_timeline where customer_id = '{}'"
    together = f"select count(*) as n from marts.customer_timeline where customer_id in ({gone})"
    [apart] = dbt_support.read(path, together)
    [own] = dbt_support.read(path, touches.format("c-shop-visitor"))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update identity.customer_accounts set customer_id = 'c-shop-visitor' "
            f"where customer_id in ({gone})"
        )
    ParsedDbt(tmp_path).run(path, "--select", "source_customers+", as_of=TODAY)
    before = [customer(warehouse, account) for account in MERGED]
    after = customer(path, "visitor")
    assert {name: after[name] for name in SUMMED} == {
        name: sum(row[name] for row in before) for name in SUMMED
    }
    assert after["nps_class"] == "detractor"
    assert after["has_email_consent"] and not after["has_sms_consent"]
    assert after["preferred_channel"] == "shop"
    assert dbt_support.read(path, f"from marts.customer_360 where customer_id in ({gone})") == []
    [moved] = dbt_support.read(path, touches.format("c-shop-visitor"))
    assert moved["n"] == own["n"] + apart["n"] > own["n"]
    assert dbt_support.read(path, together) == [{"n": 0}]
