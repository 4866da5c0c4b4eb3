"""Features of a small shop at every cut-off: what they count, and that nothing later gets in."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ml.churn import CHURN_FEATURES
from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt, order_line

AS_OF = "2024-06-30"
CUTOFF = date(2024, 3, 2)  # 90 days before the end of May
LABELS = (
    "label_order_count", "label_spend_amount", "label_year_order_count", "label_year_spend_amount",
)  # fmt: skip
ACCOUNTS = tuple(f"a{number}" for number in range(1, 13))
SKUS = ("TEA", "CUP", "POT", "MAT")


def told_history() -> list[Delivery]:
    """One customer, z1, with one of everything, told by hand."""
    orders = [
        order_line("z-1", "2023-12-05 02:00", source_customer_id="z1", unit_price_amount="100"),
        order_line("z-2", "2024-01-05 02:00", source_customer_id="z1", unit_price_amount="60"),
        order_line("z-3", "2024-01-25 02:00", source_customer_id="z1", sku="CUP",
                   unit_price_amount="40"),
        order_line("z-4", "2023-03-05 02:00", source_customer_id="z1", unit_price_amount="10"),
    ]  # fmt: skip
    parcels = [  # late; in time; late and not here yet; promised after the cut-off
        ("p1", "2024-01-08 04:00", "2024-01-10 04:00"),
        ("p2", "2024-01-08 04:00", "2024-01-08 03:00"),
        ("p3", "2024-02-01 04:00", None),
        ("p4", "2024-03-04 04:00", None),
    ]
    return [
        Delivery("z_lines", "shop", "order_lines", orders),
        Delivery("z_parcels", "desk", "shipments", [
            {"shipment_id": name, "order_channel": "shop", "order_id": "z-2",
             "shipped_at": "2024-01-06", "promised_at": promised, "delivered_at": delivered}
            for name, promised, delivered in parcels
        ]),
        Delivery("z_events", "shop", "events", [
            event("z1", f"z{number}", moment, kind) for number, (moment, kind) in enumerate([
                ("2024-02-20 03:00", "product_view"), ("2024-02-20 03:10", "cart_added"),
                ("2024-02-20 05:00", "product_view"), ("2024-01-10 03:00", "favourite_added"),
            ])
        ]),
        Delivery("z_tickets", "desk", "tickets", [
            {"ticket_id": "z1", "account_channel": "shop", "source_customer_id": "z1",
             "ticket_kind": "complaint", "ticket_status": "open", "opened_at": "2023-10-01"},
            {"ticket_id": "z2", "account_channel": "shop", "source_customer_id": "z1",
             "ticket_kind": "question", "ticket_status": "open", "opened_at": "2024-02-10"},
        ]),
        Delivery("z_reviews", "desk", "reviews", [
            {"review_id": f"z{stars}", "account_channel": "shop", "source_customer_id": "z1",
             "rating": stars, "reviewed_at": "2024-01-12"} for stars in (2, 3)
        ]),
        Delivery("z_receipts", "mail", "message_receipts", [
            {"message_id": "z1", "account_channel": "shop", "source_customer_id": "z1",
             "receipt_kind": kind, "occurred_at": "2024-02-12"}
            for kind in ("delivered", "opened", "clicked")
        ]),
        Delivery("z_catalogue", "shop", "products", [
            {"sku": sku, "product_name": sku, "category_name": category}
            for sku, category in (("TEA", "drinks"), ("CUP", "table"), ("POT", "table"))
        ]),
    ]  # fmt: skip


def event(account: str, event_id: str, moment: str, kind: str) -> dict[str, Any]:
    return {"event_id": event_id, "source_customer_id": account, "device_id": "d",
            "occurred_at": moment, "event_type": kind, "sku": "TEA"}  # fmt: skip


def random_life(seed: int, first: date, last: date) -> list[Delivery]:
    """What twelve customers do on days from ``first`` to ``last``; ids never meet another life."""
    rng = random.Random(seed)
    names = iter(f"{first}-{seed}-{number}" for number in range(10_000))

    def moment() -> str:
        day = first + timedelta(days=rng.randint(0, (last - first).days))
        return f"{day} {rng.randint(0, 15):02}:{rng.randint(0, 59):02}"  # the same day in Shanghai

    def who() -> dict[str, Any]:
        return {"account_channel": "shop", "source_customer_id": rng.choice(ACCOUNTS)}

    orders = [
        order_line(next(names), moment(), sku=rng.choice(SKUS), quantity=str(rng.randint(1, 5)),
                   source_customer_id=rng.choice(ACCOUNTS))
        for _ in range(60)
    ]  # fmt: skip
    orders += [order | {"line_number": "2", "sku": rng.choice(SKUS)} for order in orders[::3]]
    heads = [
        {name: order[name] for name in ("order_id", "source_customer_id", "ordered_at", "currency")}
        | {"order_status": "paid", "discount_amount": str(rng.randint(1, 5))}
        for order in orders[40:60]
    ]
    parcels = []
    for order in orders[:30]:
        shipped = datetime.fromisoformat(order["ordered_at"])
        promised = min(shipped + timedelta(days=2), datetime.fromisoformat(f"{last} 15:00"))
        parcels.append({
            "shipment_id": next(names), "order_channel": "shop", "order_id": order["order_id"],
            "shipped_at": str(shipped), "promised_at": str(promised),
            "delivered_at": str(promised + timedelta(hours=rng.randint(-30, 60))),
        })  # fmt: skip
    back = [
        {"refund_id": next(names), "order_id": order["order_id"], "refund_amount": "3",
         "source_customer_id": order["source_customer_id"], "currency": "CNY",
         "refunded_at": order["ordered_at"]} for order in orders[:10]
    ]  # fmt: skip
    kinds = ("product_view", "cart_added", "favourite_added", "page_view", "live_entered")
    browsing = [
        event(rng.choice(ACCOUNTS), next(names), moment(), rng.choice(kinds)) for _ in range(200)
    ]
    files = {
        "order_lines": orders,
        "orders": heads,
        "shipments": parcels,
        "refunds": back,
        "events": browsing,
        "tickets": [
            {"ticket_id": next(names), "ticket_kind": rng.choice(("complaint", "question")),
             "ticket_status": "open", "opened_at": moment(), **who()} for _ in range(20)
        ],
        "reviews": [
            {"review_id": next(names), "rating": rng.randint(1, 5), "reviewed_at": moment(),
             **who()} for _ in range(20)
        ],
        "store_visits": [
            {"visit_id": next(names), "store_id": "s", "visited_at": moment(), **who()}
            for _ in range(20)
        ],
        "message_receipts": [
            {"message_id": next(names), "receipt_kind": rng.choice(("opened", "delivered")),
             "occurred_at": moment(), **who()} for _ in range(30)
        ],
        "community_posts": [
            {"post_id": next(names), "group_id": "g", "posted_at": moment(), "post_kind": "post",
             **who()} for _ in range(20)
        ],
        "survey_answers": [
            {"answer_id": next(names), "survey_kind": "nps", "score": rng.randint(0, 10),
             "answered_at": moment(), **who()} for _ in range(10)
        ],
    }  # fmt: skip
    return [
        Delivery(f"life-{first}-{entity}", "shop", entity, records)
        for entity, records in files.items()
    ]


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> ParsedDbt:
    return ParsedDbt(tmp_path_factory.mktemp("features"))


def build_features(dbt: ParsedDbt, folder: Path, files: list[Delivery], *, as_of: str) -> Path:
    folder.mkdir()
    warehouse = folder / "crm.duckdb"
    dbt_support.create_sources(warehouse)
    dbt_support.deliver(warehouse, files)
    dbt_support.identify_every_account(warehouse)
    dbt.seed(warehouse)
    dbt.run(warehouse, "--select", "+customer_features", as_of=as_of)
    return warehouse


def known_by(warehouse: Path, last: date) -> list[dict[str, Any]]:
    """Features, without outcomes, at every cut-off up to a day."""
    return dbt_support.read(
        warehouse,
        f"select * exclude ({', '.join(LABELS)}) from marts.customer_features "
        f"where cutoff_date <= date '{last}' order by cutoff_date, customer_id",
    )


@pytest.fixture(scope="module")
def history() -> list[Delivery]:
    return [*told_history(), *random_life(1, date(2023, 2, 1), CUTOFF)]


@pytest.fixture(scope="module")
def warehouse(
    dbt: ParsedDbt, history: list[Delivery], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    later = random_life(2, CUTOFF + timedelta(days=1), date(2024, 6, 30))
    folder = tmp_path_factory.mktemp("lived") / "shop"
    return build_features(dbt, folder, [*history, *later], as_of=AS_OF)


@pytest.mark.requirement("SCO-1")
def test_another_life_after_the_cutoff_changes_no_feature(
    dbt: ParsedDbt, history: list[Delivery], warehouse: Path, tmp_path: Path
) -> None:
    other = random_life(3, CUTOFF + timedelta(days=1), date(2024, 6, 30))
    changed = build_features(dbt, tmp_path / "other", [*history, *other], as_of=AS_OF)
    assert known_by(changed, CUTOFF) == known_by(warehouse, CUTOFF)
    # The other life is another one: what comes after the cut-off differs.
    outcomes = f"select {LABELS[0]}, {LABELS[1]} from marts.customer_features order by all"
    assert dbt_support.read(changed, outcomes) != dbt_support.read(warehouse, outcomes)
    assert known_by(changed, date(2024, 6, 30)) != known_by(warehouse, date(2024, 6, 30))


@pytest.mark.requirement("SCO-1")
def test_a_past_cutoff_is_told_as_it_was_on_its_own_day(
    dbt: ParsedDbt, history: list[Delivery], warehouse: Path, tmp_path: Path
) -> None:
    then = build_features(dbt, tmp_path / "then", history, as_of=str(CUTOFF))
    at_cutoff = [row for row in known_by(warehouse, CUTOFF) if row["cutoff_date"] == CUTOFF]
    assert len(at_cutoff) == len(ACCOUNTS) + 1
    on_its_day = [row for row in known_by(then, CUTOFF) if row["cutoff_date"] == CUTOFF]
    assert on_its_day == at_cutoff


@pytest.mark.requirement("SCO-1")
def test_the_random_lives_move_every_input_of_the_model(warehouse: Path) -> None:
    # An input that is the same for everybody would pass any leak test.
    distinct = ", ".join(f"count(distinct {name}) as {name}" for name in CHURN_FEATURES)
    [counts] = dbt_support.read(warehouse, f"select {distinct} from marts.customer_features")
    constant = {name for name, count in counts.items() if count < 2}
    assert constant == {"channel_count"}  # there is one shop


@pytest.mark.requirement("SCO-1")
def test_what_is_counted_of_a_customer_with_one_of_everything(warehouse: Path) -> None:
    [row] = [
        row for row in known_by(warehouse, CUTOFF)
        if row["cutoff_date"] == CUTOFF and row["customer_id"] == "c-shop-z1"
    ]  # fmt: skip
    told = {
        "order_count": 4,
        "last_order_amount": Decimal("40.00"),
        "median_days_between_orders": 31.0,  # 275, 31 and 20 days
        "usual_days_between_orders": 31.0,
        "usual_gap_basis": "own",
        "order_count_same_season": 1,  # 5 March 2023
        "channel_count": 1,
        "category_count": 2,
        "main_category_name": "drinks",
        "visit_count_30d": 2,
        "visit_count_90d": 3,
        "product_view_count_90d": 2,
        "cart_added_count_90d": 1,
        "favourite_added_count_90d": 1,
        "message_response_count_90d": 2,
        "ticket_count_90d": 1,
        "complaint_count_180d": 1,
        "low_rating_count_180d": 1,
        "late_parcel_count_180d": 2,
        "interaction_count_30d": 5,  # two visits, a ticket, a message opened and clicked
        "active_day_count_30d": 3,
        "days_since_last_interaction": 11,
        "days_since_last_order": 37,
        "is_playbook_churn_risk": False,
    }
    assert {name: row[name] for name in told} == told
    # A visit, two reviews and a complaint in the 180 days before the last 30.
    assert row["interaction_monthly_mean"] == pytest.approx(30 * 4 / 180)


@pytest.mark.requirement("SCO-3")
def test_a_year_ahead_is_counted_once_it_is_over(warehouse: Path) -> None:
    rows = dbt_support.read(
        warehouse,
        f"select cutoff_date, {', '.join(LABELS)} from marts.customer_features "
        "where customer_id = 'c-shop-z1'",
    )
    told = {row["cutoff_date"]: list(row.values())[1:] for row in rows}
    # Cut-offs are 90 days apart, back from the end of May.
    assert told[date(2023, 3, 8)] == [0, Decimal("0.00"), 3, Decimal("200.00")]
    assert told[date(2023, 6, 6)] == [0, Decimal("0.00"), None, None]
    assert told[date(2023, 12, 3)] == [3, Decimal("200.00"), None, None]
    assert told[CUTOFF] == [0, Decimal("0.00"), None, None]
    assert told[date(2024, 6, 30)] == [None, None, None, None]
