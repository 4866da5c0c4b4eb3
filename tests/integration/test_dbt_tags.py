"""Tags from events, carts, visits and guides' words: got, kept, lost, and the same after a merge.

Add here: what needs several models at once. Not here: edges of one rule kind (dbt unit tests).
"""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt, order_line

MARTS = ("customer_tags", "customer_tag_changes")
MODELS = tuple(f"+{mart}" for mart in MARTS)
# All that changes when accounts are put together or apart.
OF_CUSTOMERS = tuple(f"source_customers+,+{mart}" for mart in MARTS)
TODAY = "2024-06-30"
CATALOGUE = [
    ("RICH", "护肤", True), ("CREAM", "护肤", False), ("MAT", "健身器材", False),
    ("BELL", "健身器材", False), ("ROPE", "健身器材", False), ("COT", "婴儿家具床品", False),
    ("ORGANIC OATS", "茶饮零食", False),
]  # fmt: skip
_NUMBERS = itertools.count(1)

Row = dict[str, Any]


def event(account: str, at: str, sku: str, kind: str = "product_view") -> Row:
    """An event of the app; ``at`` is in UTC, eight hours behind the shop's day."""
    return {
        "event_id": f"e{next(_NUMBERS)}", "source_customer_id": account,
        "occurred_at": f"2024-{at}", "event_type": kind, "sku": sku,
    }  # fmt: skip


def bought(account: str, at: str, sku: str) -> Row:
    return order_line(f"o{next(_NUMBERS)}", f"2024-{at}", source_customer_id=account, sku=sku)


def visit(account: str, at: str, *, is_purchase: bool) -> Row:
    return {
        "visit_id": f"v{next(_NUMBERS)}", "source_customer_id": account,
        "visited_at": f"2024-{at}", "store_id": "S1", "is_purchase": is_purchase,
    }  # fmt: skip


def noted(account: str, at: str, words: str, action: str = "added") -> Row:
    return {
        "source_customer_id": account, "tag_name": words, "action": action,
        "occurred_at": f"2024-{at}", "guide_id": "G1",
    }  # fmt: skip


def looks(account: str, *days: int, sku: str = "RICH") -> list[Row]:
    """A look at a product on these days of June."""
    return [event(account, f"06-{day:02} 04:00", sku) for day in days]


def browses(account: str, day: str, *skus: str) -> list[Row]:
    """Looks one after the other, an hour apart."""
    return [event(account, f"{day} {hour:02}:00", sku) for hour, sku in enumerate(skus, start=1)]


# Every account is a customer of its own; the names say what they do.
RECORDS: dict[str, list[Row]] = {
    "events": [
        *looks("premium", 10, 11, 12), *looks("premium_bought", 10, 11, 12),
        *looks("premium_later", 10, 11, 12), *looks("two_days", 10, 11), *looks("gap", 10, 11, 13),
        *looks("plain", 10, 11, 12, sku="CREAM"),
        *browses("fan", "05-01", "MAT", "BELL", "ROPE"),
        *browses("buyer", "05-01", "MAT", "BELL", "ROPE"),
        *browses("buyer", "06-01", "MAT", "BELL", "ROPE"),
        *browses("mixed", "05-01", "MAT", "BELL", "CREAM", "ROPE"),
        *(event(name, "06-25 04:00", "CREAM", "cart_added")
          for name in ("cart_left", "cart_emptied", "cart_bought", "cart_other_bought")),
        event("cart_emptied", "06-26 04:00", "CREAM", "cart_removed"),
        event("cart_tonight", "06-30 04:00", "CREAM", "cart_added"),
        event("cart_again", "06-25 09:00", "CREAM", "cart_added"),
        *looks("one", 3, 4, 5), *looks("two", 20, 21, 22),
        *looks("half", 10, 12), *looks("other_half", 11),
    ],
    "order_lines": [
        bought("premium_bought", "06-11 05:00", "RICH"), bought("premium", "06-11 05:00", "CREAM"),
        bought("premium_later", "06-20 05:00", "RICH"),
        bought("buyer", "05-20 05:00", "MAT"), bought("cold", "05-20 05:00", "MAT"),
        bought("cart_bought", "06-26 10:00", "CREAM"),
        bought("cart_other_bought", "06-26 10:00", "MAT"),
        bought("cart_again", "06-25 04:00", "CREAM"),
        bought("cycle", "05-01 05:00", "CREAM"), bought("cycle_again", "05-01 05:00", "CREAM"),
        bought("cycle_again", "06-10 05:00", "CREAM"), bought("cycle_soon", "05-20 05:00", "CREAM"),
        bought("green", "05-01 05:00", "ORGANIC OATS"),
        bought("greener", "05-01 05:00", "ORGANIC OATS"),
        bought("greener", "05-02 05:00", "ORGANIC OATS"),
        bought("visit_online", "06-29 06:00", "TEA"),
    ],
    "store_visits": [
        visit("visit_left", "06-29 04:00", is_purchase=False),
        visit("visit_bought", "06-29 04:00", is_purchase=True),
        visit("visit_online", "06-29 04:00", is_purchase=False),
    ],
    "contact_tags": [
        noted("noted", "01-05 04:00", "宝妈"), noted("taken_off", "01-05 04:00", "宝妈"),
        noted("taken_off", "02-05 04:00", "宝妈", "removed"),
    ],
    "accounts": [
        {"source_customer_id": name, "registered_at": "2023-05-01 00:00", "birth_date": day,
         "known_at": "2023-05-01"}
        for name, day in (("silver", "1964-12-31"), ("not_yet", "1965-01-01"),
                          ("starter", "2000-03-01"))
    ],
}  # fmt: skip


def run_day(dbt: ParsedDbt, path: Path, as_of: str) -> Path:
    dbt.run(path, "--select", *MODELS, as_of=as_of)
    return path


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> ParsedDbt:
    return ParsedDbt(tmp_path_factory.mktemp("tags"))


@pytest.fixture(scope="module")
def shop(dbt: ParsedDbt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of the records above, with its tags of today."""
    path = tmp_path_factory.mktemp("shop") / "crm.duckdb"
    dbt_support.create_sources(path)
    goods = [
        {"sku": sku, "product_name": sku, "category_name": category, "is_premium": is_premium,
         "known_at": "2024-01-01"}
        for sku, category, is_premium in CATALOGUE
    ]  # fmt: skip
    own = [Delivery(f"app_{name}", "app", name, rows) for name, rows in RECORDS.items()]
    dbt_support.deliver(path, [Delivery("erp_products", "erp", "products", goods), *own])
    dbt_support.identify_every_account(path)
    dbt.seed(path)
    return run_day(dbt, path, TODAY)


@pytest.fixture(scope="module")
def merged(dbt: ParsedDbt, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same warehouse after two pairs of accounts turned out to be one customer each."""
    path = tmp_path_factory.mktemp("merged") / "crm.duckdb"
    shutil.copyfile(shop, path)
    with duckdb.connect(str(path)) as connection:
        for kept, moved in (("one", "two"), ("half", "other_half")):
            connection.execute(
                "update identity.customer_accounts set customer_id = ? "
                "where source_customer_id = ?",
                [f"c-app-{kept}", moved],
            )
    dbt.run(path, "--select", *OF_CUSTOMERS, as_of=TODAY)
    return path


@pytest.fixture(scope="module")
def later(dbt: ParsedDbt, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The warehouse on the last day of the premium tag, and on the day after."""
    found = {}
    for day in ("2024-07-11", "2024-07-12"):
        path = tmp_path_factory.mktemp("later") / "crm.duckdb"
        shutil.copyfile(shop, path)
        found[day] = run_day(dbt, path, day)
    return found


def tags(path: Path) -> dict[str, dict[str, Row]]:
    """Tag -> customer -> what is told about it."""
    found: dict[str, dict[str, Row]] = {}
    for row in dbt_support.read(path, "from marts.customer_tags"):
        found.setdefault(row["tag"], {})[row["customer_id"].removeprefix("c-app-")] = row
    return found


def changes(path: Path, tag: str, *customers: str) -> list[tuple[str, str, str]]:
    """Who entered and left a tag, and when."""
    query = f"""
        select replace(customer_id, 'c-app-', '') as customer, change, changed_on::varchar as day
        from marts.customer_tag_changes where tag = '{tag}' order by all
    """
    told = [(row["customer"], row["change"], row["day"]) for row in dbt_support.read(path, query)]
    return [row for row in told if row[0] in customers]


def days(row: Row) -> tuple[str | None, str | None]:
    """The business days that begin at ``since_at`` and ``until_at``."""
    since, until = (row[name] and row[name] + dt.timedelta(hours=8)
                    for name in ("since_at", "until_at"))  # fmt: skip
    return str(since.date()), until and str(until.date())


@pytest.mark.requirement("CUS-8")
def test_three_days_at_the_premium_line_without_purchase_give_a_tag(shop: Path) -> None:
    held = tags(shop)["premium_line_browser"]
    assert set(held) == {"premium", "one", "two"}
    assert days(held["premium"]) == ("2024-06-12", "2024-07-12")
    assert held["premium"]["rule_id"] == "premium_line_3_days"
    assert held["premium"]["evidence"] == (
        "3 days 2024-06-10..2024-06-12, premium, not bought by 2024-06-12"
    )


@pytest.mark.requirement("CUS-8")
def test_a_purchase_at_the_premium_line_ends_the_tag_on_its_day(shop: Path) -> None:
    told = changes(shop, "premium_line_browser", "premium", "premium_later", "premium_bought")
    assert told == [
        ("premium", "entered", "2024-06-12"), ("premium_later", "entered", "2024-06-12"),
        ("premium_later", "left", "2024-06-20"),
    ]  # fmt: skip


@pytest.mark.requirement("CUS-8")
def test_a_tag_is_held_to_the_last_day_of_its_time_and_left_on_the_next(
    later: dict[str, Path],
) -> None:
    last, after = later.values()
    assert "premium" in tags(last)["premium_line_browser"]
    assert "premium" not in tags(after).get("premium_line_browser", {})
    entered = ("premium", "entered", "2024-06-12")
    assert changes(last, "premium_line_browser", "premium") == [entered]
    assert changes(after, "premium_line_browser", "premium") == [
        entered, ("premium", "left", "2024-07-12"),
    ]  # fmt: skip


@pytest.mark.requirement("CUS-8")
def test_a_fitness_fan_who_buys_becomes_a_dedicated_user_and_no_fan_again(shop: Path) -> None:
    held = tags(shop)
    assert set(held["fitness_fan"]) == {"fan"}
    assert set(held["dedicated_fitness_user"]) == {"buyer"}  # who never looked is not dedicated
    assert changes(shop, "fitness_fan", "fan", "buyer", "mixed") == [
        ("buyer", "entered", "2024-05-01"), ("buyer", "left", "2024-05-20"),
        ("fan", "entered", "2024-05-01"),
    ]  # fmt: skip


def test_a_cart_left_for_a_day_gives_a_tag_and_an_emptied_or_bought_one_does_not(
    shop: Path,
) -> None:
    held = tags(shop)["cart_leaver"]
    assert set(held) == {"cart_left", "cart_other_bought", "cart_again"}
    assert days(held["cart_left"])[0] == "2024-06-26"
    evidence = "cart_added 2024-06-25, CREAM, not bought by 2024-06-26"
    assert held["cart_left"]["evidence"] == evidence


@pytest.mark.requirement("CUS-12")
def test_the_beauty_pack_tells_when_the_cycle_of_45_days_is_over(shop: Path) -> None:
    held = tags(shop)["skin_care_due"]
    assert set(held) == {"cycle"}
    assert days(held["cycle"]) == ("2024-06-15", "2024-07-15")
    assert held["cycle"]["tag_kind"] == "industry"


@pytest.mark.requirement("CUS-14")
def test_organic_purchases_make_a_green_consumer(shop: Path) -> None:
    held = tags(shop)
    assert set(held["organic_buyer"]) == {"green"}
    assert set(held["green_consumer"]) == {"greener"}  # which replaces the lesser tag
    assert changes(shop, "organic_buyer", "greener") == [
        ("greener", "entered", "2024-05-01"), ("greener", "left", "2024-05-02"),
    ]  # fmt: skip


def test_a_visit_without_a_purchase_on_that_day_gives_a_tag(shop: Path) -> None:
    assert set(tags(shop)["store_visitor_without_purchase"]) == {"visit_left"}


@pytest.mark.requirement("CUS-9")
def test_a_guides_words_give_a_tag_until_the_guide_takes_them_off(shop: Path) -> None:
    held = tags(shop)["parent"]
    assert set(held) == {"noted"}
    assert days(held["noted"]) == ("2024-01-05", None)
    assert changes(shop, "parent", "taken_off") == [
        ("taken_off", "entered", "2024-01-05"), ("taken_off", "left", "2024-02-05"),
    ]  # fmt: skip


@pytest.mark.requirement("CUS-9")
def test_an_age_gives_a_scene_tag_from_the_year_it_is_reached(shop: Path) -> None:
    held = tags(shop)
    assert set(held["silver_generation"]) == {"silver"}
    assert days(held["silver_generation"]["silver"]) == ("2024-01-01", None)
    assert days(held["newcomer_at_work"]["starter"]) == ("2023-05-01", "2026-01-01")
    assert "1964" not in held["silver_generation"]["silver"]["evidence"]


@pytest.mark.requirement("CUS-8")
def test_a_merge_gives_one_spell_since_the_earlier_day_and_no_new_entry(
    shop: Path, merged: Path
) -> None:
    assert changes(shop, "premium_line_browser", "one", "two") == [
        ("one", "entered", "2024-06-05"), ("two", "entered", "2024-06-22"),
    ]  # fmt: skip
    assert changes(merged, "premium_line_browser", "one", "two") == [
        ("one", "entered", "2024-06-05")
    ]
    assert days(tags(merged)["premium_line_browser"]["one"]) == ("2024-06-05", "2024-07-22")


@pytest.mark.requirement("CUS-8")
def test_a_merge_that_completes_a_run_dates_it_on_the_last_day_of_the_run(
    shop: Path, merged: Path
) -> None:
    assert changes(shop, "premium_line_browser", "half", "other_half") == []
    assert changes(merged, "premium_line_browser", "half") == [("half", "entered", "2024-06-12")]


def test_a_later_run_tells_the_same_entries(shop: Path, later: dict[str, Path]) -> None:
    query = "from marts.customer_tag_changes where changed_on <= date '2024-06-30' order by all"
    told = dbt_support.read(shop, query)
    assert told and all(dbt_support.read(path, query) == told for path in later.values())
