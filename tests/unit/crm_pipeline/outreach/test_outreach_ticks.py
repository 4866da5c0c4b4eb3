"""Decisions between the nights: what starts one, and what it must leave alone."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import pytest

import crm_pipeline as package
from crm_pipeline.lib.errors import OutreachError, WarehouseError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.outreach.journey import TRIGGERS, load_journeys
from crm_pipeline.lib.outreach.ticks import ENTITIES, last_tick
from crm_pipeline.lib.warehouse import hold_lease
from tests.unit.crm_pipeline.outreach.tick_support import NIGHT, NOON, Between, cart, decide_send

JOURNEYS = load_journeys(Path(package.__file__).parent / "defs" / "outreach")
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def between(tmp_path: Path) -> Between:
    return Between(tmp_path / "home")


def state_of(between: Between) -> dict[str, str]:
    """Every file of the warehouse and of what is published, by its bytes."""
    folders = (between.home.warehouse_dir, between.home.published)
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lease.lock"
    }


@pytest.mark.requirement("OUT-2")
def test_every_trigger_of_a_journey_but_the_night_has_its_facts() -> None:
    assert set(ENTITIES) == set(TRIGGERS) - {"nightly"}


@pytest.mark.requirement("OUT-2")
def test_a_cart_of_this_morning_is_decided_without_waiting_for_the_night(between: Between) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    report = between.tick()
    assert between.decided() == [("ann", "first", "d1")]
    assert report.outcomes == {"send": 1}
    assert report.tick.as_of_date == NIGHT + DAY
    assert report.tick.decided_at == NOON


@pytest.mark.requirement("OUT-2")
def test_a_tick_changes_neither_the_warehouse_nor_what_is_published(between: Between) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    before = state_of(between)
    between.tick()
    assert state_of(between) == before
    assert not list((between.home.warehouse_dir / "scratch").iterdir())
    assert not list(between.home.snapshots.iterdir()), (
        "the nights' snapshots must not be crowded out"
    )


@pytest.mark.requirement("OUT-2")
def test_what_has_been_decided_since_the_night_is_not_decided_again(between: Between) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    between.tick()
    between.put_in_cart("bob", NOON - 2 * HOUR)
    report = between.tick(NOON + HOUR)
    assert report.tick.decision_count == 1
    assert between.decided() == [("ann", "first", "d1"), ("bob", "first", "d1")]


@pytest.mark.requirement("OUT-2")
def test_what_the_last_night_decided_waits_for_the_next(tmp_path: Path) -> None:
    between = Between(tmp_path / "home", night=NIGHT - DAY)
    between.carts.append(("ann", "d1", NOON - 20 * HOUR))
    mine = {"customer_id": "ann", "journey": "cart", "occurrence": "d1", "step": "first"}
    between.night(NIGHT, [{**mine, "outcome": "held"}])
    assert between.tick().tick.decision_count == 0
    between.night(NIGHT + DAY)
    assert between.tick(NOON + DAY).tick.decision_count == 2, "decided anew after the night"


@pytest.mark.requirement("OUT-2")
def test_a_step_that_falls_due_starts_a_tick_without_any_new_file(between: Between) -> None:
    between.put_in_cart("ann", NOON)
    assert between.tick().tick.decision_count == 0
    assert between.news(NOON + HOUR - dt.timedelta(seconds=1)) == "nothing new"
    assert between.news(NOON + HOUR) == "a step is due"
    assert between.tick(NOON + HOUR).tick.decision_count == 1
    assert between.news(NOON + HOUR) == "nothing new"


@pytest.mark.requirement("OUT-2")
def test_only_files_of_the_triggers_own_entities_that_were_taken_are_news(between: Between) -> None:
    between.tick()
    assert between.news() == "nothing new"
    between.deliver("orders", "an order")
    between.deliver("events", "a broken file", state="refused")
    assert between.news() == "nothing new"
    between.deliver("events", "an event")
    assert between.news() == "new files"
    between.tick()
    assert between.news() == "nothing new"
    between.deliver("events", "an event of a shop of another name", feed="another")
    assert between.news() == "new files"


@pytest.mark.requirement("OUT-2")
@pytest.mark.parametrize("entity", ["orders", "order_lines"])
def test_an_order_is_news_for_the_journey_of_first_orders_within_the_day(
    between: Between, entity: str
) -> None:
    (spec,) = [one for one in JOURNEYS if one.journey == "first_order_care"]
    first = cart(journey="first_order_care", trigger=spec.trigger)
    between.tick(NOON, first, trigger=spec.trigger)
    between.deliver("events", "an event")
    assert between.news(trigger=spec.trigger) == "nothing new"
    between.carts.append(("ann", "2026-03-02", NOON - HOUR))
    between.deliver(entity, "an order")
    assert between.news(trigger=spec.trigger) == "new files"
    report = between.tick(NOON + HOUR, first, trigger=spec.trigger)
    assert report.outcomes == {"send": 1}


@pytest.mark.requirement("OUT-2")
def test_tiers_and_scores_are_news_with_each_published_build(between: Between) -> None:
    for trigger in ("tier_change", "new_score"):
        assert between.news(trigger=trigger) == "never decided before"
        between.tick(NOON, cart(trigger=trigger), trigger=trigger)
        assert between.news(trigger=trigger) == "nothing new"
    between.night(NIGHT + DAY)
    assert between.news(NOON + DAY, "tier_change") == "a new build"
    assert between.news(NOON + DAY, "new_score") == "a new build"


@pytest.mark.requirement("OUT-2")
@pytest.mark.bad_input("F17")
def test_after_three_days_without_a_night_nothing_is_decided_until_one_is_made_up(
    between: Between,
) -> None:
    between.put_in_cart("ann", NOON + 2 * DAY)
    assert between.news(NOON + 3 * DAY) == (
        f"the published build is of {NIGHT}: the nights are made up first"
    )
    with pytest.raises(OutreachError, match="made up first"):
        between.tick(NOON + 3 * DAY)
    assert last_tick(between.ledger, "cart") is None


@pytest.mark.bad_input("F19")
def test_a_clock_that_jumped_back_decides_nothing(between: Between) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    between.tick(NOON)
    between.put_in_cart("bob", NOON - 2 * HOUR)
    assert between.news(NOON - HOUR) == "the last tick lies ahead of this clock"
    assert between.news(NOON - 2 * DAY).startswith("the published build is of 2026-03-01, after")


@pytest.mark.requirement("OUT-2")
def test_a_build_that_was_held_back_is_no_ground_to_stand_on(between: Between) -> None:
    between.publish(NIGHT, "decisions of another build")
    assert "held back" in between.news()
    with pytest.raises(OutreachError, match="held back"):
        between.tick()


@pytest.mark.requirement("OUT-2")
def test_a_warehouse_ahead_of_the_published_build_is_no_ground_to_stand_on(
    between: Between,
) -> None:
    from crm_pipeline.lib.warehouse import open_warehouse
    from crm_pipeline.lib.warehouse.plan import record_as_of

    with open_warehouse(between.home.warehouse) as connection:
        record_as_of(connection, NIGHT + DAY, run_id="a night that failed")
    with pytest.raises(OutreachError, match="not that of the published build"):
        between.tick()


@pytest.mark.bad_input("F13")
def test_a_tick_waits_for_the_night_and_then_gives_up_with_its_name(between: Between) -> None:
    with (
        hold_lease(between.home, holder="run nightly"),
        pytest.raises(WarehouseError, match="run nightly"),
    ):
        between.tick()


@pytest.mark.bad_input("F11")
def test_a_poisoned_journey_does_not_hold_the_others(between: Between) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    bad = cart(journey="bad", audience="activation.bad_audience")

    def decide(connection: Any, journeys: Any, moment: Any) -> Any:
        if any(spec.journey == "bad" for spec in journeys):
            raise OutreachError("the audience repeats a candidate")
        return decide_send(connection, journeys, moment)

    report = between.tick(NOON, bad, cart(), decide=decide)
    assert "repeats a candidate" in report.failed["bad"]
    assert between.decided() == [("ann", "first", "d1")]
    report = between.tick(
        NOON + HOUR, bad, cart(), build=lambda *it: between.build(*it) | {"bad": "dbt failed"}
    )
    assert dict(report.failed) == {"bad": "dbt failed"}


@pytest.mark.parametrize(
    "point", ["tick_copied", "tick_built", "tick_decided", "history_before", "history_after"]
)
@pytest.mark.bad_input("F11")
def test_a_tick_that_breaks_off_leaves_nothing_and_is_asked_for_again(
    between: Between, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    before = state_of(between)
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    with pytest.raises(InjectedFailureError):
        between.tick()
    monkeypatch.delenv("CRM_FAIL")
    assert state_of(between) == before
    assert (between.decided(), between.news()) == ([], "never decided before")
    between.tick()
    assert between.decided() == [("ann", "first", "d1")]


@pytest.mark.bad_input("F11")
@pytest.mark.parametrize("point", ["history_recorded", "tick_recorded"])
def test_a_tick_that_breaks_off_after_it_is_on_record_is_not_repeated(
    between: Between, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    with pytest.raises(InjectedFailureError):
        between.tick()
    monkeypatch.delenv("CRM_FAIL")
    assert between.news() == "nothing new"
    between.tick()
    assert between.decided() == [("ann", "first", "d1")]


@pytest.mark.requirement("OUT-3")
def test_what_is_to_be_sent_today_counts_before_it_is_claimed(tmp_path: Path) -> None:
    """Else a message of the night and one of a tick would both fit under a cap of one a day."""
    between = Between(tmp_path / "home", night=NIGHT - DAY)
    sent = {"decision_id": "d1", "customer_id": "ann", "journey": "other", "step": "first",
            "occurrence": "o1", "run_kind": "nightly", "contact_token": "t",
            "planned_send_at": NOON}  # fmt: skip
    between.night(NIGHT, [sent, {**sent, "decision_id": "d2", "outcome": "held"}])
    between.put_in_cart("bob", NOON - 2 * HOUR)
    seen: list[list[tuple[Any, ...]]] = []

    def decide(connection: Any, journeys: Any, moment: Any) -> Any:
        query = "select person_id, journey, state from ledger.claims order by person_id"
        seen.append(connection.execute(query).fetchall())
        return decide_send(connection, journeys, moment)

    between.tick(NOON, decide=decide)
    between.put_in_cart("eve", NOON - 2 * HOUR)
    between.tick(NOON + HOUR, decide=decide)
    assert seen[0] == [("ann", "other", "planned")]
    assert seen[1] == [("ann", "other", "planned"), ("bob", "cart", "planned")]
