"""Nine journeys about states: who enters on which day, with what, and who leaves again.

One shop, looked at on four evenings. What happens after an evening is in the data already, and
must not show.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import dbt_support
from tests.dbt_support import Delivery, ParsedDbt, order_line

pytestmark = pytest.mark.requirement("OUT-1")

BEFORE, FIRST, AFTER, LATE = EVENINGS = ("2024-06-05", "2024-06-06", "2024-06-08", "2024-06-11")
JOURNEYS = (
    "advisor_task", "birthday_care", "churn_retention", "co_creation", "dormant_wake_up",
    "festival_care", "vip_preorder", "weather_care", "win_back",
)  # fmt: skip


def utc(text: str) -> dt.datetime:
    """An instant as the warehouse holds it: without a zone, in UTC."""
    return dt.datetime.fromisoformat(text)


MIDNIGHT = utc("2024-06-05 16:00")  # the start of 6 June in Shanghai


def noon(day: str) -> str:
    return f"{day} 04:00"


def bought(account: str, *days: str, amount: int = 100, sku: str = "TEA") -> list[dict[str, Any]]:
    return [
        order_line(f"{account}-{day}", noon(day), source_customer_id=account, sku=sku,
                   unit_price_amount=str(amount))
        for day in days
    ]  # fmt: skip


def days_before(day: str, step: int, count: int) -> list[str]:
    """Days so far apart that end with ``day``."""
    last = dt.date.fromisoformat(day)
    return [str(last - dt.timedelta(days=step * number)) for number in range(count)]


def orders() -> Iterator[dict[str, Any]]:
    # Silent for 90 days on the second evening, and for 180 on the third; both spent much.
    yield from bought("sleeper", "2024-03-08", "2024-06-10", amount=2000, sku="MAT")
    yield from bought("fading", "2023-12-11", "2024-06-09", amount=2000)
    yield from bought("long_gone", "2023-09-04")  # lost for 96 days on the second evening
    # A rhythm of 20 days: 26 days of silence are unusual, which is the second evening.
    yield from bought("faithful", *days_before("2024-05-11", 20, 6), "2024-06-10")
    yield from bought("scored", *days_before("2024-05-11", 20, 6), amount=600)
    yield from bought("scored_cheap", *days_before("2024-05-11", 20, 6), amount=1)
    yield from bought("scored_low", *days_before("2024-05-11", 20, 6), amount=600)
    for account in ("celebrant", "pekinger"):
        yield from bought(account, "2023-07-01", "2024-06-07")
    yield from bought("greeted", "2024-03-20", "2024-06-07")
    yield from bought("collector", "2024-05-01", "2024-06-08", amount=900)
    yield from bought("window_shopper", "2024-05-01", amount=1)
    yield from bought("maker", *days_before("2024-05-30", 25, 10), "2024-06-06", "2024-06-10")
    yield from bought("patron", "2024-05-01")
    yield from bought("patron", "2024-06-06", "2024-06-10", amount=9000)
    yield from bought("patron_alone", "2024-06-06", amount=9000)
    for number in range(20):  # the crowd that makes the others stand out
        yield from bought(f"crowd{number}", "2024-04-01", amount=10 + number)


def accounts() -> list[dict[str, Any]]:
    told: dict[str, dict[str, Any]] = {
        "celebrant": {"birth_date": "1990-06-09"},
        "turning_15": {"birth_date": "2009-06-09"},
        "turning_14": {"birth_date": "2010-06-09"},
        "two_years": {"birth_date": "1990-06-09"},
        "pekinger": {"city_name": "北京"},
        "shanghaier": {"city_name": "上海"},
        "patron": {"guide_id": "G7"},
    }
    return [
        {"source_customer_id": account, "registered_at": "2023-01-01", **columns}
        for account, columns in told.items()
    ]


def looks() -> Iterator[dict[str, Any]]:
    def look(account: str, sku: str, at: str) -> dict[str, Any]:
        return {"event_id": f"{account}-{sku}-{at}", "source_customer_id": account, "sku": sku,
                "event_type": "product_view", "occurred_at": at}  # fmt: skip

    for account in ("collector", "window_shopper"):
        for day in ("2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07", "2024-06-08"):
            yield look(account, "RICH", noon(day))
        yield look(account, "TEA", noon("2024-06-06"))
        yield look(account, "RICHER", "2024-06-06 09:00")
    # Two days, a pause, and the third: no three days within three.
    for day in ("2024-06-01", "2024-06-02", "2024-06-06"):
        yield look("patron", "RICH", noon(day))
    # Lively in spring and silent in the last month: the playbook's sign.
    for day in days_before("2024-04-20", 2, 30):
        yield look("faithful", "TEA", noon(day))
    for account in ("scored", "scored_cheap", "scored_low"):
        for day in days_before("2024-06-11", 2, 60):
            yield look(account, "TEA", noon(day))


def deliveries() -> list[Delivery]:
    goods: list[dict[str, Any]] = [
        {"sku": "TEA", "product_name": "Green tea", "category_name": "tea"},
        {"sku": "MAT", "product_name": "Mat", "category_name": "sports"},
        {"sku": "RICH", "product_name": "Rich tea", "is_premium": True},
        {"sku": "RICHER", "product_name": "Richer tea", "is_premium": True},
    ]
    alert = {"alert_id": "W1", "city_name": "北京", "alert_kind": "heat", "alert_level": "orange",
             "issued_at": "2024-06-06 06:00", "starts_at": "2024-06-06 07:00",
             "ends_at": "2024-06-08 02:00"}  # fmt: skip
    second_account = {"source_customer_id": "two_years_2", "birth_date": "2012-06-09",
                      "registered_at": "2023-01-01"}  # fmt: skip
    return [
        Delivery("shop", "shop", "order_lines", list(orders())),
        Delivery("accounts", "shop", "accounts", [*accounts(), second_account]),
        Delivery("events", "shop", "events", list(looks())),
        Delivery("goods", "shop", "products", goods),
        Delivery("weather", "reference", "weather_alerts", [alert]),
    ]


def scores() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Both predictions of the day before the first evening."""
    day = {"as_of_date": "2024-06-04", "model_version": "m1", "scored_at": "2024-06-04 18:00"}
    chances = {"scored": 0.9, "scored_cheap": 0.9, "scored_low": 0.4}
    values = {"patron": 9000.0, "scored": 600.0, "faithful": 10.0, "sleeper": 100.0,
              "greeted": 100.0}  # fmt: skip
    churn = [
        {"customer_id": f"c-shop-{account}", "churn_probability": chance, "horizon_days": 90, **day}
        for account, chance in chances.items()
    ]
    clv = [
        {"customer_id": f"c-shop-{account}", "predicted_clv": value, **day}
        for account, value in values.items()
    ]
    return churn, clv


@pytest.fixture(scope="module")
def evenings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shop's warehouse on each evening, made from the same records."""
    work = tmp_path_factory.mktemp("audiences_states")
    shop = work / "crm.duckdb"
    dbt = ParsedDbt(work)
    dbt_support.create_sources(shop)
    dbt_support.deliver(shop, deliveries())
    merged = [{"channel": "shop", "source_customer_id": account, "customer_id": "c-shop-two_years"}
              for account in ("two_years", "two_years_2")]  # fmt: skip
    dbt_support.insert(shop, "identity.customer_accounts", merged)
    dbt_support.identify_every_account(shop)
    churn, clv = scores()
    dbt_support.insert(shop, "scores.churn_scores", churn)
    dbt_support.insert(shop, "scores.clv_scores", clv)
    dbt.seed(shop)
    models = [f"+{journey}_audience" for journey in JOURNEYS]
    made = {}
    for evening in EVENINGS:
        made[evening] = work / evening / "crm.duckdb"
        made[evening].parent.mkdir()
        shutil.copy(shop, made[evening])
        dbt.run(made[evening], "--select", *models, as_of=evening)
    return made


class Audiences:
    """Who is in the audiences on which evening."""

    def __init__(self, evenings: dict[str, Path]) -> None:
        self._evenings = evenings

    def rows(self, journey: str, evening: str) -> dict[str, dict[str, Any]]:
        query = f"from activation.{journey}_audience order by customer_id, occurrence"
        rows = dbt_support.read(self._evenings[evening], query)
        return {row["customer_id"].removeprefix("c-shop-"): row for row in rows}

    def days_of(self, journey: str, account: str) -> list[str]:
        return [day for day in EVENINGS if account in self.rows(journey, day)]


@pytest.fixture(scope="module")
def audiences(evenings: dict[str, Path]) -> Audiences:
    return Audiences(evenings)


def shown(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def test_the_dormant_enter_after_90_days_and_leave_with_an_order(audiences: Audiences) -> None:
    assert audiences.days_of("dormant_wake_up", "sleeper") == [FIRST, AFTER]
    row = audiences.rows("dormant_wake_up", AFTER)["sleeper"]
    assert shown(row, "occurrence", "triggered_at", "favourite_category", "purpose") == (
        "2024-03-08", MIDNIGHT, "sports", "marketing",
    )  # fmt: skip
    assert row["expires_at"] == utc("2024-09-03 16:00")


def test_who_stays_silent_passes_from_the_dormant_to_the_lost_and_back(
    audiences: Audiences,
) -> None:
    assert audiences.days_of("dormant_wake_up", "fading") == [BEFORE, FIRST]
    assert audiences.days_of("win_back", "fading") == [AFTER]
    row = audiences.rows("win_back", AFTER)["fading"]
    lost_at = utc("2024-06-07 16:00")
    assert shown(row, "occurrence", "triggered_at") == ("2023-12-11", lost_at)
    assert row["value_weight"] == 1  # no prediction


def test_who_has_been_lost_for_long_is_left_alone(audiences: Audiences) -> None:
    assert audiences.days_of("win_back", "long_gone") == [BEFORE, FIRST]


def test_somebody_at_risk_enters_when_the_silence_becomes_unusual(audiences: Audiences) -> None:
    assert audiences.days_of("churn_retention", "faithful") == [FIRST, AFTER]
    row = audiences.rows("churn_retention", FIRST)["faithful"]
    assert shown(row, "occurrence", "triggered_at", "risk_basis", "favourite_category") == (
        "2024-05-11", MIDNIGHT, "playbook", "tea",
    )  # fmt: skip
    assert row["value_weight"] == pytest.approx(0.95 + 0.1 * 0.1 / 1.1)  # a tenth of the median


def test_a_high_score_counts_only_for_somebody_worth_an_offer(audiences: Audiences) -> None:
    assert audiences.days_of("churn_retention", "scored") == [FIRST, AFTER, LATE]
    row = audiences.rows("churn_retention", FIRST)["scored"]
    assert shown(row, "triggered_at", "risk_basis") == (MIDNIGHT, "score")
    assert row["value_weight"] == pytest.approx(0.95 + 0.1 * 6 / 7)  # six times the median
    assert audiences.days_of("churn_retention", "scored_cheap") == []
    assert audiences.days_of("churn_retention", "scored_low") == []


def test_a_birthday_is_thought_of_three_days_before_and_over_at_its_end(
    audiences: Audiences,
) -> None:
    assert audiences.days_of("birthday_care", "celebrant") == [FIRST, AFTER]
    first, after = (audiences.rows("birthday_care", day)["celebrant"] for day in (FIRST, AFTER))
    ends = utc("2024-06-09 16:00")
    assert shown(first, "occurrence", "triggered_at", "expires_at", "converted_at") == (
        "2024", MIDNIGHT, ends, None,
    )  # fmt: skip
    assert after["converted_at"] == utc("2024-06-07 04:00")


def test_nobody_under_14_is_congratulated_whichever_account_says_so(audiences: Audiences) -> None:
    assert audiences.days_of("birthday_care", "turning_15") == [FIRST, AFTER]
    assert audiences.days_of("birthday_care", "turning_14") == []
    assert audiences.days_of("birthday_care", "two_years") == []


def test_a_festival_greets_the_customers_of_the_quarter_until_it_ends(
    audiences: Audiences,
) -> None:
    assert audiences.days_of("festival_care", "greeted") == [FIRST, AFTER, LATE]
    first, after, late = (
        audiences.rows("festival_care", day)["greeted"] for day in (FIRST, AFTER, LATE)
    )
    assert shown(first, "occurrence", "triggered_at", "festival_zh", "festival_en") == (
        "dragon_boat 2024", MIDNIGHT, "端午节", "Dragon Boat Festival",
    )  # fmt: skip
    assert first["converted_at"] is None
    assert after["converted_at"] == utc("2024-06-07 04:00")
    assert after["expires_at"] == utc("2024-06-10 16:00")
    assert late["occurrence"] == "fathers_day 2024"  # the next one is near
    assert "sleeper" in audiences.rows("festival_care", FIRST)  # 90 days ago
    assert "sleeper" not in audiences.rows("festival_care", AFTER)
    assert "turning_15" not in audiences.rows("festival_care", FIRST)  # never bought


def test_a_weather_warning_reaches_its_city_while_it_holds(audiences: Audiences) -> None:
    assert audiences.days_of("weather_care", "pekinger") == [FIRST, AFTER]
    assert audiences.days_of("weather_care", "shanghaier") == []
    first, after = (audiences.rows("weather_care", day)["pekinger"] for day in (FIRST, AFTER))
    issued, ends = utc("2024-06-06 06:00"), utc("2024-06-08 02:00")
    assert shown(first, "occurrence", "triggered_at", "expires_at", "converted_at") == (
        "W1", issued, ends, None,
    )  # fmt: skip
    assert shown(first, "alert_zh", "alert_en", "care_zh") == (
        "高温", "extreme heat", "注意防暑，多喝水",
    )  # fmt: skip
    assert after["converted_at"] == utc("2024-06-07 04:00")


def test_three_days_at_premium_products_count_once_for_a_good_customer(
    audiences: Audiences,
) -> None:
    assert audiences.days_of("vip_preorder", "collector") == [FIRST, AFTER, LATE]
    first, after = (audiences.rows("vip_preorder", day)["collector"] for day in (FIRST, AFTER))
    third_look = utc("2024-06-06 04:00")
    assert shown(first, "occurrence", "triggered_at", "product_name", "converted_at") == (
        "2024-06-06", third_look, "Rich tea", None,
    )  # fmt: skip
    # The looks went on: it is still the same sign, and the order ended it.
    assert shown(after, "occurrence", "triggered_at", "converted_at") == (
        "2024-06-06", third_look, utc("2024-06-08 04:00"),
    )  # fmt: skip
    assert audiences.days_of("vip_preorder", "window_shopper") == []
    assert audiences.days_of("vip_preorder", "patron") == []


def test_the_eleventh_order_of_the_year_makes_somebody_loyal(audiences: Audiences) -> None:
    assert audiences.days_of("co_creation", "maker") == [FIRST, AFTER, LATE]
    first, late = (audiences.rows("co_creation", day)["maker"] for day in (FIRST, LATE))
    assert shown(first, "occurrence", "triggered_at", "order_count") == (
        "2024", utc("2024-06-06 04:00"), "11",
    )  # fmt: skip
    assert shown(late, "occurrence", "order_count") == ("2024", "12")


def test_an_advisor_gets_one_task_a_quarter_for_a_great_customer(audiences: Audiences) -> None:
    assert audiences.days_of("advisor_task", "patron") == [FIRST, AFTER, LATE]
    first, late = (audiences.rows("advisor_task", day)["patron"] for day in (FIRST, LATE))
    assert shown(first, "occurrence", "triggered_at", "guide_id", "value_weight") == (
        "2024Q2", utc("2024-06-06 04:00"), "G7", pytest.approx(0.95 + 0.1 * 90 / 91),
    )  # fmt: skip
    assert first["task_zh"] and first["task_en"]
    assert late["occurrence"] == "2024Q2"
    assert audiences.days_of("advisor_task", "patron_alone") == []  # nobody would do it


@pytest.mark.parametrize("journey", JOURNEYS)
def test_every_fact_that_triggers_lies_before_the_end_of_the_evening(
    audiences: Audiences, journey: str
) -> None:
    for evening in EVENINGS:
        ends = dt.datetime.fromisoformat(evening) + dt.timedelta(hours=16)
        rows = audiences.rows(journey, evening).values()
        assert all(row["triggered_at"] < ends for row in rows)
        assert all((row.get("converted_at") or row["triggered_at"]) < ends for row in rows)
