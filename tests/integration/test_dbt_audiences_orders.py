"""People walk through the journeys of orders, carts, looks, questions, visits and parcels.

One small shop, four nights: before the facts, on their day (12 June), three days later, and a
month later.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt, order_line

pytestmark = pytest.mark.requirement("OUT-1")

BEFORE, DAY, LATER, LATE = "2024-06-10", "2024-06-12", "2024-06-15", "2024-07-15"
JOURNEYS = (
    "first_order_care", "free_shipping_rebuy", "repurchase_cadence", "cart_rescue", "browse_list",
    "question_offer", "visit_follow_up", "review_invitation",
)  # fmt: skip
MODELS = tuple(f"+{journey}_audience" for journey in JOURNEYS)
GOODS = {
    "DIAPER": ("Diapers L", "纸尿裤"),
    "BOOK": ("Novel", "Books"),
    "PEN": ("Pen", "Books"),
    "COT": ("Cot", "婴儿家具床品"),
    "SCARCE": ("Lamp", "Lamps"),
    "OUT": ("Sold out lamp", "Lamps"),
}
# Accounts of one person; everybody else has one at the shop.
PEOPLE = {
    "newbie": ("shop:newbie", "till:newbie2"),
    "regular": ("shop:regular", "till:regular2"),
    "cartier": ("shop:cartier", "mini:cartier2"),
}
Row = dict[str, Any]
Audiences = Mapping[str, Mapping[str, list[Row]]]


def at(text: str) -> dt.datetime:
    """A local time of June 2024 (``12 10:36``) as the UTC instant of the warehouse."""
    day, clock = text.split(" ")
    local = dt.datetime.fromisoformat(f"2024-06-{day} {clock}")
    return local - dt.timedelta(hours=8)


def bought(customer: str, text: str, sku: str = "BOOK", number: str = "", **more: Any) -> Row:
    order_id = number or f"{customer}-{text}"
    return order_line(order_id, str(at(text)), source_customer_id=customer, sku=sku,
                      product_name=None, **more)  # fmt: skip


def event(customer: str, text: str, kind: str, sku: str, price: str | None = None) -> Row:
    return {"event_id": f"{customer}-{text}-{kind}-{sku}", "source_customer_id": customer,
            "occurred_at": str(at(text)), "event_type": kind, "sku": sku,
            "unit_price_amount": price, "currency": "CNY", "quantity": "1"}  # fmt: skip


def parcel(order_id: str, number: str, status: str, delivered: str | None, known: str) -> Row:
    return {"shipment_id": f"{order_id}-{number}", "order_channel": "shop", "order_id": order_id,
            "shipment_status": status, "shipped_at": str(at("09 09:00")),
            "source_version": str(at(known)), "known_at": str(at(known)),
            "delivered_at": str(at(delivered)) if delivered else None}  # fmt: skip


def orders() -> list[Row]:
    return [
        # A basket the shop split into two orders, and the next purchase through the till.
        bought("newbie", "12 10:00", "BOOK", "N1", unit_price_amount="50"),
        bought("newbie", "12 10:01", "PEN", "N2"),
        bought("returner", "12 10:00", "BOOK", "R1"),
        bought("unheard", "12 23:00", "BOOK", "U1", known_at=str(at("14 03:00"))),
        *[bought("regular", f"{day:02} 09:00") for day in range(1, 5)],
        bought("regular", "12 09:00"),
        bought("regular", "14 09:00", number="REG14"),
        *[order_line(f"P{name}", "2024-05-22 04:00", source_customer_id=name, sku="DIAPER",
                     product_name=None) for name in ("parent", "refiller", "reader")],
        bought("refiller", "14 09:00", "DIAPER"),
        bought("reader", "14 09:00", "BOOK"),
        bought("reader", "15 09:00", "BOOK"),
        bought("nest_buyer", "11 12:00", "COT"),
        bought("asker", "14 09:00"),
        bought("visitor", "13 09:00"),
        *[bought(f"reviewer{number}", "08 09:00", "BOOK", f"V{number}") for number in range(1, 6)],
    ]  # fmt: skip


def till_orders() -> list[Row]:
    return [
        bought("newbie2", "14 15:00", "BOOK", "NT"),
        order_line("REGT", "2023-11-01 04:00", source_customer_id="regular2", sku="PEN"),
    ]


def events() -> list[Row]:
    looks = {"nester": range(10, 16), "nest_buyer": range(10, 13), "twice": (10, 12)}
    return [
        event("cartier", "12 09:00", "cart_added", "SCARCE", "99"),
        event("cartier", "12 10:00", "cart_added", "SCARCE", "95"),
        event("remover", "12 10:00", "cart_added", "SCARCE", "95"),
        event("remover", "12 11:00", "cart_removed", "SCARCE"),
        event("regretter", "12 10:00", "cart_added", "SCARCE", "95"),
        event("regretter", "14 11:00", "cart_removed", "SCARCE"),
        event("wavering", "12 20:00", "cart_added", "OUT", "95"),
        event("wavering", "14 20:00", "cart_added", "OUT", "95"),
        event("sitter", "05 10:00", "cart_added", "BOOK"),
        event("buyer", "12 10:00", "cart_added", "BOOK"),
        event("nameless", "12 10:00", "cart_added", "UNLISTED", "5"),
        *[event(who, f"{day:02} 21:00", "product_view", "COT")
          for who, days in looks.items() for day in days],
    ]  # fmt: skip


def stock() -> list[Row]:
    counts = [
        ("SCARCE", "east", "12 20:00", "4", "2"), ("SCARCE", "south", "12 18:00", "1", None),
        ("SCARCE", "closed", "01 20:00", "50", None), ("SCARCE", "east", "14 20:00", "0", None),
        ("OUT", "east", "11 20:00", "2", "2"),
    ]  # fmt: skip
    return [{"sku": sku, "location_id": place, "counted_at": str(at(text)),
             "quantity_on_hand": pieces, "quantity_reserved": promised}
            for sku, place, text, pieces, promised in counts]  # fmt: skip


def deliveries() -> list[Delivery]:
    visits = [("visitor", "12 15:00", False, "G2"), ("visitor", "12 11:00", False, "G1"),
              ("shopper", "12 11:00", True, "G1"), ("unsure", "12 11:00", None, "G1")]  # fmt: skip
    posts = [("asker", "question", "SCARCE"), ("doubter", "question", "OUT"),
             ("helper", "answer", "SCARCE")]  # fmt: skip
    products = [{"sku": sku, "product_name": name, "category_name": category, "currency": "CNY",
                 "list_price_amount": "120"}
                for sku, (name, category) in GOODS.items()]  # fmt: skip
    refunds = [
        {"refund_id": f"B{order}", "order_id": order, "refunded_at": str(at("14 09:00")),
         "source_customer_id": who, "refund_amount": "10", "currency": "CNY"}
        for who, order in (("returner", "R1"), ("reviewer5", "V5"))
    ]  # fmt: skip
    shipments = [
        parcel("V1", "a", "shipped", None, "09 09:00"),
        parcel("V1", "a", "delivered", "11 15:00", "11 16:00"),
        parcel("V2", "a", "delivered", "11 15:00", "11 16:00"),
        parcel("V2", "b", "shipped", None, "09 09:00"),
        parcel("V2", "b", "delivered", "14 15:00", "14 16:00"),
        parcel("V3", "a", "delivered", "11 15:00", "11 16:00"),
        parcel("V3", "b", "lost", None, "11 16:00"),
        parcel("V4", "a", "delivered", "11 15:00", "11 16:00"),
        parcel("V5", "a", "delivered", "11 15:00", "11 16:00"),
    ]
    reviews = [
        {"review_id": "1", "source_customer_id": "reviewer1", "order_id": "V1", "sku": "BOOK",
         "rating": 5, "reviewed_at": str(at("14 12:00"))},
        {"review_id": "4", "source_customer_id": "reviewer4", "sku": "BOOK", "rating": 5,
         "reviewed_at": str(at("11 20:00"))},
    ]  # fmt: skip
    return [
        Delivery("lines", "shop", "order_lines", orders()),
        Delivery("buyers", "shop", "order_lines", [bought("buyer", "12 10:00", "PEN", "CARTED")]),
        Delivery("till_lines", "till", "order_lines", till_orders()),
        # Placed and never paid: it neither answers a message nor is a first order.
        Delivery("orders", "shop", "orders", [
            {"order_id": f"U-{who}", "source_customer_id": who, "order_status": "unpaid",
             "ordered_at": str(at("12 11:00")), "paid_amount": "0", "currency": "CNY"}
            for who in ("cartier", "waverer")]),
        Delivery("refunds", "shop", "refunds", refunds),
        Delivery("catalogue", "erp", "products", products),
        Delivery("stock", "erp", "stock_levels", stock()),
        Delivery("events", "shop", "events", events()),
        Delivery("mini_events", "mini", "events",
                 [event("cartier2", "12 10:36", "cart_added", "SCARCE", "97")]),
        Delivery("shipments", "shop", "shipments", shipments),
        Delivery("reviews", "shop", "reviews", reviews),
        Delivery("visits", "shop", "store_visits", [
            {"visit_id": f"W{number}", "source_customer_id": who, "store_id": "S1",
             "visited_at": str(at(text)), "is_purchase": is_purchase, "guide_id": guide}
            for number, (who, text, is_purchase, guide) in enumerate(visits)]),
        Delivery("posts", "shop", "community_posts", [
            {"post_id": f"Q-{who}", "source_customer_id": who, "group_id": "g", "sku": sku,
             "posted_at": str(at("12 13:00")), "post_kind": kind} for who, kind, sku in posts]),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Audiences:
    """What each audience, and the offers, held on each night."""
    folder = tmp_path_factory.mktemp("audiences")
    path = folder / "crm.duckdb"
    dbt_support.create_sources(path)
    dbt_support.deliver(path, deliveries())
    dbt_support.insert(path, "identity.customer_accounts", [
        dict(zip(("channel", "source_customer_id"), account.split(":"), strict=True))
        | {"customer_id": f"c-shop-{person}"}
        for person, accounts in PEOPLE.items() for account in accounts
    ])  # fmt: skip
    dbt_support.identify_every_account(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRM_DBT_BUSINESS_TIMEZONE", "Asia/Shanghai")
        patch.setenv("CRM_DBT_REPORTING_CURRENCY", "CNY")
        dbt = ParsedDbt(folder)
        dbt.seed(path)
        return {night: _night(dbt, path, night) for night in (BEFORE, DAY, LATER, LATE)}


def _night(dbt: ParsedDbt, path: Path, night: str) -> Mapping[str, list[Row]]:
    dbt.run(path, "--select", *MODELS, as_of=night)
    found = {
        journey: dbt_support.read(path, f"from activation.{journey}_audience order by all")
        for journey in JOURNEYS
    }
    return found | {"offers": dbt_support.read(path, "from activation.outreach_offers")}


def of(rows: list[Row], customer: str) -> list[Row]:
    return [row for row in rows if row["customer_id"] == f"c-shop-{customer}"]


def only(rows: list[Row], customer: str) -> Row:
    (row,) = of(rows, customer)
    return row


def people(rows: list[Row]) -> set[str]:
    return {row["customer_id"].removeprefix("c-shop-") for row in rows}


def test_every_row_names_fact_moment_and_purpose_and_nothing_lasts(nights: Audiences) -> None:
    for night, audiences in nights.items():
        for journey in JOURNEYS:
            for row in audiences[journey]:
                assert row["purpose"] == "marketing" and row["occurrence"], (night, row)
                assert row["triggered_at"] < at("16 00:00") or night == LATE, (night, row)
    # A month later only what was bought in between is about to be used up.
    left = {(journey, row["customer_id"]) for journey in JOURNEYS for row in nights[LATE][journey]}
    assert left == {("repurchase_cadence", "c-shop-refiller")}


def test_first_order_is_one_purchase_of_one_person_however_many_orders_and_accounts(
    nights: Audiences,
) -> None:
    assert people(nights[BEFORE]["first_order_care"]) & {"newbie", "returner"} == set()
    row = only(nights[DAY]["first_order_care"], "newbie")
    assert (row["occurrence"], row["triggered_at"]) == (DAY, at("12 10:00"))
    assert (row["order_id"], row["category_name"], row["converted_at"]) == ("N1", "Books", None)
    # Not the second order of the day: the next purchase, through the till.
    row = only(nights[LATER]["first_order_care"], "newbie")
    assert (row["occurrence"], row["converted_at"]) == (DAY, at("14 15:00"))


def test_an_order_at_another_account_came_first_and_an_unpaid_one_is_none(
    nights: Audiences,
) -> None:
    for night in nights.values():
        assert not people(night["first_order_care"]) & {"regular", "waverer"}


def test_a_first_order_that_went_back_gets_no_tips(nights: Audiences) -> None:
    assert "returner" in people(nights[DAY]["first_order_care"])
    assert "returner" not in people(nights[LATER]["first_order_care"])
    assert "returner" not in people(nights[LATER]["free_shipping_rebuy"])


def test_an_order_counts_from_the_night_it_is_known_by_its_own_moment(nights: Audiences) -> None:
    assert "unheard" not in people(nights[DAY]["first_order_care"])
    row = only(nights[LATER]["first_order_care"], "unheard")
    assert (row["occurrence"], row["triggered_at"]) == (DAY, at("12 23:00"))


def test_free_shipping_is_worth_more_to_people_of_few_orders(nights: Audiences) -> None:
    rows = nights[DAY]["free_shipping_rebuy"]
    assert (only(rows, "newbie")["value_weight"], only(rows, "newbie")["order_count"]) == (1.05, 1)
    (row,) = [row for row in of(rows, "regular") if row["occurrence"] == DAY]
    # One order of last year at the till and five of June.
    assert (row["value_weight"], row["order_count"], row["converted_at"]) == (1.0, 6, None)
    assert not [row for row in nights[BEFORE]["free_shipping_rebuy"] if row["occurrence"] == DAY]
    later = of(nights[LATER]["free_shipping_rebuy"], "regular")
    assert {
        row["occurrence"]: row["converted_at"] for row in later if row["occurrence"] >= DAY
    } == {
        DAY: at("14 09:00"),
        "2024-06-14": None,
    }


def test_a_supply_is_due_once_per_purchase_with_its_name_and_the_festival_at_hand(
    nights: Audiences,
) -> None:
    assert nights[BEFORE]["repurchase_cadence"] == []
    for who in ("parent", "refiller", "reader"):
        row = only(nights[DAY]["repurchase_cadence"], who)
        # Diapers of 22 May last for 30 days; ten days before that is 11 June.
        assert (row["occurrence"], row["triggered_at"]) == ("diapers 2024-05-22", at("11 00:00"))
        assert (row["supply_zh"], row["supply_en"]) == ("纸尿裤", "diapers")
        assert (row["festival_en"], row["converted_at"]) == (None, None)
    later = nights[LATER]["repurchase_cadence"]
    row = only(later, "parent")
    assert (row["occurrence"], row["converted_at"]) == ("diapers 2024-05-22", None)
    # The sale begins on the day the message goes: nobody is told that it is near.
    assert (row["festival_zh"], row["festival_en"]) == (None, None)
    assert only(later, "reader")["converted_at"] == at("14 09:00")
    assert of(later, "refiller") == []  # a new supply, long before it is used up
    row = only(nights[LATE]["repurchase_cadence"], "refiller")
    assert row["occurrence"] == "diapers 2024-06-14"


def test_one_product_in_two_carts_of_a_person_is_one_candidate_with_stock_and_price(
    nights: Audiences,
) -> None:
    assert of(nights[BEFORE]["cart_rescue"], "cartier") == []
    row = only(nights[DAY]["cart_rescue"], "cartier")
    assert (row["occurrence"], row["triggered_at"]) == (f"SCARCE {DAY}", at("12 10:36"))
    assert (row["sku"], row["product_name"], row["category_name"]) == ("SCARCE", "Lamp", "Lamps")
    # Four less two promised, and one; the place that stopped counting is closed.
    assert (row["stock_left"], row["offered_price_amount"]) == ("3", Decimal(95))
    assert (row["converted_at"], row["expires_at"]) == (None, None)
    later = only(nights[LATER]["cart_rescue"], "cartier")
    assert later["stock_left"] == "1" and later["triggered_at"] == row["triggered_at"]


def test_a_cart_is_gone_when_emptied_and_over_when_filled_anew_or_ordered(
    nights: Audiences,
) -> None:
    assert "sitter" in people(nights[BEFORE]["cart_rescue"])  # five days old: it can expire
    assert "sitter" not in people(nights[DAY]["cart_rescue"])
    assert people(nights[DAY]["cart_rescue"]) == {"cartier", "regretter", "wavering", "buyer"}
    assert only(nights[DAY]["cart_rescue"], "buyer")["converted_at"] == at("12 10:00")
    # The price of the catalogue, where the cart told none.
    assert only(nights[DAY]["cart_rescue"], "buyer")["offered_price_amount"] == Decimal(120)
    assert of(nights[LATER]["cart_rescue"], "regretter") == []
    assert [(row["occurrence"], row["expires_at"], row["stock_left"])
            for row in of(nights[LATER]["cart_rescue"], "wavering")] == [
        ("OUT 2024-06-12", at("14 20:00"), None), ("OUT 2024-06-14", None, None),
    ]  # fmt: skip


def test_what_is_left_is_the_newest_count_of_each_place_as_fresh_as_the_oldest(
    nights: Audiences,
) -> None:
    def offer(night: str, sku: str) -> tuple[Any, ...]:
        (row,) = [row for row in nights[night]["offers"] if row["sku"] == sku]
        return row["available_quantity"], row["counted_at"], row["price_amount"]

    assert offer(BEFORE, "SCARCE")[0] == 50
    assert offer(DAY, "SCARCE") == (3, at("12 18:00"), 120)
    assert offer(LATER, "SCARCE") == (1, at("12 18:00"), 120)
    assert offer(DAY, "OUT")[0] == 0
    assert offer(DAY, "BOOK") == (None, None, 120)


def test_three_days_of_looking_are_one_sign_until_it_rests(nights: Audiences) -> None:
    assert nights[BEFORE]["browse_list"] == []
    assert people(nights[DAY]["browse_list"]) == {"nester"}  # not who bought, not two days
    for night in (DAY, LATER):
        row = only(nights[night]["browse_list"], "nester")
        assert (row["occurrence"], row["triggered_at"]) == (f"newborn {DAY}", at("12 21:00"))
        assert "diapers" in row["list_en"] and "纸尿裤" in row["list_zh"]
        assert row["converted_at"] is None


def test_a_question_is_answered_by_naming_only_what_is_there(nights: Audiences) -> None:
    assert nights[BEFORE]["question_offer"] == []
    assert people(nights[DAY]["question_offer"]) == {"asker", "doubter"}
    row = only(nights[DAY]["question_offer"], "asker")
    assert (row["occurrence"], row["triggered_at"]) == ("shop Q-asker", at("12 13:00"))
    assert (row["product_name"], row["converted_at"]) == ("Lamp", None)
    assert only(nights[DAY]["question_offer"], "doubter")["product_name"] is None
    assert only(nights[LATER]["question_offer"], "asker")["converted_at"] == at("14 09:00")


def test_two_visits_of_a_day_without_a_purchase_are_thanked_for_once(nights: Audiences) -> None:
    assert nights[BEFORE]["visit_follow_up"] == []
    assert people(nights[DAY]["visit_follow_up"]) == {"visitor"}
    row = only(nights[DAY]["visit_follow_up"], "visitor")
    assert (row["occurrence"], row["triggered_at"]) == (DAY, at("12 11:00"))
    assert (row["guide_id"], row["visit_id"], row["converted_at"]) == ("G1", "W1", None)
    assert only(nights[LATER]["visit_follow_up"], "visitor")["converted_at"] == at("13 09:00")


def test_a_review_is_asked_for_when_the_last_parcel_has_come_and_nothing_was_written(
    nights: Audiences,
) -> None:
    assert nights[BEFORE]["review_invitation"] == []
    # Not while a parcel is under way, nor when one is lost.
    assert people(nights[DAY]["review_invitation"]) == {"reviewer1", "reviewer4", "reviewer5"}
    # A review that does not name its order is one of the product.
    assert only(nights[DAY]["review_invitation"], "reviewer4")["converted_at"] == at("11 20:00")
    row = only(nights[DAY]["review_invitation"], "reviewer1")
    assert (row["occurrence"], row["triggered_at"]) == ("shop V1", at("11 15:00"))
    assert (row["product_name"], row["converted_at"]) == ("Novel", None)
    later = nights[LATER]["review_invitation"]
    assert only(later, "reviewer1")["converted_at"] == at("14 12:00")
    assert only(later, "reviewer2")["triggered_at"] == at("14 15:00")
    # What went back is not asked about.
    assert people(later) == {"reviewer1", "reviewer2", "reviewer4"}
