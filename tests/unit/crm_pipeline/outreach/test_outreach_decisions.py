"""Every candidate has exactly one outcome, and each outcome its rule."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from outreach_support import (
    AS_OF,
    SALT,
    SHANGHAI,
    TRIGGERED,
    World,
    cap,
    journey,
    step,
)

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.files import write_parquet
from crm_pipeline.lib.outreach import candidates
from crm_pipeline.lib.outreach.balance import count_candidates, require_balance
from crm_pipeline.lib.outreach.decisions import DECISION_SCHEMA, decide_all
from crm_pipeline.lib.outreach.journey import load_journeys
from crm_pipeline.lib.outreach.moments import Moment, night_of, tick_of
from crm_pipeline.lib.warehouse import open_warehouse

LONDON = ZoneInfo("Europe/London")
LOW = journey(journey="low", priority=10, audience="activation.low_audience")
HIGH = journey(journey="high", priority=90, audience="activation.high_audience")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def at(*parts: int) -> dt.datetime:
    """A naive UTC instant, as stored."""
    return dt.datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001


def found(decided: pa.Table) -> set[tuple[str, str]]:
    """Outcomes and their rules."""
    return {(row["outcome"], row["rule_id"]) for row in decided.to_pylist()}


def only(decided: pa.Table) -> dict[str, Any]:
    [row] = decided.to_pylist()
    return row


def rules(world: World, decided: pa.Table) -> dict[str, str]:
    """Rule by person."""
    names = {customer: source for source, customer in world.ids.items()}
    return {names[row["customer_id"]]: row["rule_id"] for row in decided.to_pylist()}


@pytest.mark.requirement("OUT-3")
def test_candidates_are_the_sum_of_the_outcomes(world: World) -> None:
    world.say(["1", "2"], "granted")
    world.say(["2"], "withdrawn", 5)
    table = world.decide()
    assert table.schema.equals(DECISION_SCHEMA)
    assert rules(world, table) == {
        "1": "send.allowed", "2": "consent.withdrawn", "3": "consent.no_contact",
        "4": "consent.no_contact",
    }  # fmt: skip
    assert world.outcomes(table)["1"] == "send"


@pytest.mark.requirement("OUT-3")
@pytest.mark.parametrize("change", ["lost", "doubled"])
def test_a_candidate_that_is_lost_or_doubled_is_seen(world: World, change: str) -> None:
    table = world.decide()
    changed = table.slice(1) if change == "lost" else pa.concat_tables([table, table.slice(3)])
    with world.opened(journey()) as connection:
        counts = count_candidates(
            connection, [journey()], moment=night_of(AS_OF, SHANGHAI), zone=SHANGHAI
        )
    require_balance(table, counts)
    with pytest.raises(OutreachError, match=f"wake_up: 4 candidates, {changed.num_rows} outcomes"):
        require_balance(changed, counts)
    replaced = pa.concat_tables([table.slice(1), table.slice(3)])
    with pytest.raises(OutreachError, match="4 outcomes, 3 of them distinct"):
        require_balance(replaced, counts)


@pytest.mark.requirement("OUT-3")
def test_the_count_of_candidates_knows_steps_zones_and_single_entries(world: World) -> None:
    spec = journey(
        steps=[step("first"), step("second", delay_hours=24), step("third", delay_hours=48)],
        re_entry="never",
    )
    moments = [night_of(AS_OF + dt.timedelta(days=days), SHANGHAI) for days in range(3)]
    for moment, count in zip(moments, (8, 12, 12), strict=True):
        assert world.decide(spec, moment=moment).num_rows == count
    # 16:30 UTC of the 9th is the 10th in Shanghai and the 9th in London.
    late = {"triggered_at": "timestamp '2011-12-10 16:30:00'"}
    people = {"1": {"timezone": "'Europe/London'"}}
    table = world.decide(journey(), customers=people, **late)
    assert rules(world, table) == {"1": "consent.no_contact"}


@pytest.mark.requirement("OUT-3")
def test_deciding_a_past_day_again_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    world.say(world.sources, "granted")
    spec = journey(holdout_pct=30)
    world.rules["outreach_caps"] = [cap("week", 7, 1)]
    first = world.decide(spec)
    world.claim("1", days_ago=0, journey="wake_up")  # what this very night claimed
    world.claim("2", days_ago=-1, journey="wake_up")  # and a later one
    world.claim("3", days_ago=0)
    again = world.decide(spec)
    for name, table in (("first", first), ("again", again)):
        write_parquet(table, tmp_path / f"{name}.parquet")
    first_bytes, again_bytes = (
        (tmp_path / f"{n}.parquet").read_bytes() for n in ("first", "again")
    )
    assert first_bytes == again_bytes
    assert pq.read_table(tmp_path / "first.parquet").num_rows == 4


@pytest.mark.requirement("OUT-3")
def test_a_decision_carries_its_inputs_and_no_clear_contact(world: World) -> None:
    world.say(["1"], "granted")
    for row in world.decide().to_pylist():
        evidence = json.loads(row["evidence"])
        assert evidence["holdout_pct"] == 0 and 0 <= evidence["holdout_draw"] < 1
        assert not any("p1@" in str(value) for value in row.values())


@pytest.mark.requirement("OUT-5")
def test_moments_follow_the_logical_clock_in_the_business_zone(world: World) -> None:
    world.say(["1"], "granted")
    row = only(world.decide(people=["1"]))
    assert row["decided_at"] == at(2011, 12, 9, 18)  # 02:00 in Shanghai
    assert row["planned_send_at"] == at(2011, 12, 10, 2)  # 10:00 there
    assert row["valid_until"] == at(2011, 12, 12, 4)  # 72 hours after it was due


def test_a_moment_needs_a_zone_and_a_trigger_is_not_the_night() -> None:
    with pytest.raises(OutreachError, match="with a zone"):
        tick_of(dt.datetime(2011, 12, 9, 4), "cart", SHANGHAI)  # noqa: DTZ001 - the mistake
    with pytest.raises(OutreachError, match="not the nightly run"):
        tick_of(dt.datetime(2011, 12, 9, 4, tzinfo=dt.UTC), "nightly", SHANGHAI)
    tick = tick_of(dt.datetime(2011, 12, 9, 17, tzinfo=dt.UTC), "cart", SHANGHAI)
    assert (tick.as_of, tick.send_date) == (dt.date(2011, 12, 10), dt.date(2011, 12, 10))


# Consent


@pytest.mark.requirement("PRV-1")
@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("contact_token = null", "consent.no_contact"),
        ("contact_token = 'k1x_00'", "consent.unusable_contact"),
        ("is_granted = null", "consent.never_given"),
        ("is_granted = false", "consent.withdrawn"),
        ("is_usable = false", "consent.not_usable"),
        ("is_usable = null", "consent.not_usable"),
        ("reach_rule = 'reach.bounced'", "reach.bounced"),
        ("purpose = 'service'", "consent.no_contact"),
    ],
)
def test_without_usable_consent_nothing_is_sent(world: World, change: str, rule: str) -> None:
    world.say(["1"], "granted")
    statement = f"update activation.outreach_contacts set {change}"
    assert found(world.decide(people=["1"], contacts=[statement])) == {("no_consent", rule)}


@pytest.mark.requirement("PRV-1")
def test_an_audience_for_another_purpose_is_not_written_to(world: World) -> None:
    world.say(["1"], "granted")
    world.say(["1"], "granted", purpose="service")
    decided = world.decide(people=["1"], purpose="'service'")
    assert found(decided) == {("no_consent", "consent.other_purpose")}


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("F31")
@pytest.mark.parametrize(
    "changes",
    [{}, {"purpose": "*", "consent_channel": "*"}, {"consent_channel": "*"}],
    ids=["this", "everything", "every channel"],
)
def test_a_withdrawal_after_the_day_counts_at_once(world: World, changes: dict[str, str]) -> None:
    world.say(["1", "2"], "granted")
    world.say(["1"], "withdrawn", at=at(2011, 12, 9, 17), **changes)
    assert rules(world, world.decide(people=["1", "2"])) == {
        "1": "consent.withdrawn", "2": "send.allowed"
    }  # fmt: skip


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("F31")
def test_a_late_withdrawal_by_another_contact_of_the_person_counts(world: World) -> None:
    world.say(["1", "2"], "granted")
    world.say(["1"], "withdrawn", at=at(2011, 12, 9, 17), contact_value="other@example.org")
    assert world.outcomes(world.decide(people=["1", "2"])) == {"1": "no_consent", "2": "send"}


@pytest.mark.requirement("PRV-1")
def test_who_is_suppressed_or_unknown_is_not_written_to(world: World) -> None:
    world.say(world.sources, "granted")
    people = {"1": {"suppression_rule": "'suppression.minor'"}, "2": {"customer_id": "'gone'"}}
    table = world.decide(customers=people)
    assert rules(world, table) == {
        "1": "suppression.minor", "2": "suppression.unknown_customer", "3": "send.allowed",
        "4": "send.allowed",
    }  # fmt: skip
    assert world.outcomes(table)["1"] == world.outcomes(table)["2"] == "no_consent"


# Channels and claims


@pytest.mark.requirement("OUT-4")
def test_the_first_channel_that_is_allowed_and_reachable_is_taken(world: World) -> None:
    world.say(["1", "2", "3"], "granted")
    world.say(["1", "3"], "granted", consent_channel="sms")
    spec = journey(steps=[step("first", "sms", "email")])
    statement = (
        "update activation.outreach_contacts set reach_rule = 'reach.bounced' "
        f"where customer_id = '{world.ids['3']}' and consent_channel = 'sms'"
    )
    table = world.decide(spec, contacts=[statement])
    chosen = {row["customer_id"]: row["consent_channel"] for row in table.to_pylist()}
    assert [chosen[world.ids[person]] for person in "123"] == ["sms", "email", "email"]
    assert rules(world, table)["4"] == "consent.no_contact"


@pytest.mark.requirement("OUT-4")
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("claimed", ("duplicate", "claim.person", "sms")),
        ("sent", ("duplicate", "claim.person", "sms")),
        ("uncertain", ("duplicate", "claim.person", "sms")),
        ("failed", ("send", "send.allowed", "email")),
        ("refused", ("send", "send.allowed", "sms")),
    ],
)
def test_another_channel_is_tried_only_after_a_definite_failure(
    world: World, state: str, expected: tuple[str, str, str]
) -> None:
    world.say(["1"], "granted")
    world.say(["1"], "granted", consent_channel="sms")
    world.claim("1", days_ago=1, channel="sms", journey="wake_up", state=state)
    row = only(world.decide(journey(steps=[step("first", "sms", "email")]), people=["1"]))
    assert (row["outcome"], row["rule_id"], row["consent_channel"]) == expected


@pytest.mark.requirement("OUT-4")
def test_after_every_channel_failed_nothing_is_left(world: World) -> None:
    world.say(["1"], "granted")
    world.claim("1", days_ago=1, journey="wake_up", state="failed")
    assert found(world.decide(people=["1"])) == {("duplicate", "claim.failed")}


@pytest.mark.requirement("OUT-4")
def test_who_was_claimed_on_an_earlier_night_is_a_duplicate(world: World) -> None:
    world.say(world.sources, "granted")
    world.claim("1", days_ago=3, journey="wake_up")
    world.claim("somebody else", days_ago=3, journey="wake_up", contact=world.token("2"))
    world.claim("3", days_ago=3, journey="wake_up", occurrence="2010-01-01")
    assert rules(world, world.decide()) == {
        "1": "claim.person", "2": "claim.contact", "3": "send.allowed", "4": "send.allowed"
    }  # fmt: skip


@pytest.mark.requirement("OUT-3")
@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F29")
def test_a_merge_or_a_split_makes_nobody_new_to_a_journey(world: World) -> None:
    world.say(["1", "2", "3"], "granted")
    world.claim("c-former", days_ago=3, contact="k1_of-another-account", journey="wake_up")
    before = world.decide(people=["1", "2", "3"])
    assert set(world.outcomes(before).values()) == {"send"}
    after = world.decide(people=["1", "2", "3"], former={"1": "c-former", "2": "c-former"})
    assert world.outcomes(after) == {"1": "duplicate", "2": "duplicate", "3": "send"}


@pytest.mark.bad_input("F29")
def test_what_somebody_got_before_a_wrong_merge_is_not_the_others(world: World) -> None:
    world.say(["1"], "granted")
    world.claim("c-former", days_ago=5, contact="k1_of-another-account", journey="wake_up")
    for days_ago, outcome in ((2, "send"), (9, "duplicate")):
        joined = AS_OF - dt.timedelta(days=days_ago)
        decided = world.decide(people=["1"], former={"1": "c-former"}, joined=joined)
        assert world.outcomes(decided) == {"1": outcome}


def test_two_people_with_one_mailbox_get_one_message(world: World) -> None:
    world.say(world.sources, "granted")
    shared = f"update activation.outreach_contacts set contact_token = '{world.token('1')}'"
    table = world.decide(contacts=[shared])
    assert sorted(world.outcomes(table).values()) == ["duplicate"] * 3 + ["send"]
    assert set(rules(world, table).values()) == {"claim.shared_contact", "send.allowed"}


def test_who_gets_no_message_takes_it_from_nobody_behind_the_same_contact(world: World) -> None:
    world.say(world.sources, "granted")
    shared = f"update activation.outreach_contacts set contact_token = '{world.token('1')}'"
    for person in world.sources:
        others = {p: {"suppression_rule": "'suppression.minor'"} for p in world.sources}
        del others[person]
        table = world.decide(contacts=[shared], customers=others)
        assert world.outcomes(table)[person] == "send"


def test_who_is_there_for_another_purpose_takes_it_from_nobody_either(world: World) -> None:
    for purpose in ("marketing", "service"):
        world.say(world.sources, "granted", purpose=purpose)
    shared = f"update activation.outreach_contacts set contact_token = '{world.token('1')}'"
    for person in world.sources:
        purpose = f"if(customer_id = '{world.ids[person]}', 'marketing', 'service')"
        table = world.decide(contacts=[shared], purpose=purpose)
        assert world.outcomes(table)[person] == "send"


@pytest.mark.requirement("OUT-4")
def test_a_journey_without_re_entry_addresses_a_person_once_for_ever(world: World) -> None:
    world.say(world.sources, "granted")
    spec = journey(re_entry="never")
    assert set(world.outcomes(world.decide(spec)).values()) == {"send"}
    for person in world.sources:
        world.claim(person, days_ago=1, journey="wake_up", occurrence="once")
    table = world.decide(spec, occurrence="2012-03-01")
    assert set(world.outcomes(table).values()) == {"duplicate"}
    table = world.decide(occurrence="2012-03-01")
    assert set(world.outcomes(table).values()) == {"send"}


def test_what_this_days_triggers_claimed_counts_at_night_and_the_other_way_round(
    world: World,
) -> None:
    world.say(world.sources, "granted")
    world.claim("1", days_ago=0, journey="wake_up", run_kind="cart")
    world.claim("2", days_ago=0, journey="wake_up")
    world.claim("3", days_ago=-1, journey="wake_up", run_kind="cart")
    assert world.outcomes(world.decide()) == {
        "1": "duplicate", "2": "send", "3": "send", "4": "send"
    }  # fmt: skip
    tick = tick_of(dt.datetime(2011, 12, 10, 4, tzinfo=dt.UTC), "cart", SHANGHAI)
    assert world.outcomes(world.decide(moment=tick)) == {
        "1": "duplicate", "2": "duplicate", "3": "duplicate", "4": "send"
    }  # fmt: skip


# Time


def test_a_trigger_that_is_over_has_expired(world: World) -> None:
    world.say(["1"], "granted")
    for moment, expected in (
        ("2011-12-10 01:59:59", ("expired", "trigger.expired")),
        ("2011-12-10 02:00:00", ("send", "send.allowed")),
    ):
        assert found(world.decide(people=["1"], expires_at=f"timestamp '{moment}'")) == {expected}
    short = journey(steps=[step("first", valid_hours=21)])
    assert found(world.decide(short, people=["1"])) == {("expired", "trigger.expired")}
    assert found(world.decide(journey(steps=[step("first", valid_hours=22)]), people=["1"])) == {
        ("send", "send.allowed")
    }


def test_who_did_what_the_journey_wanted_leaves_it(world: World) -> None:
    world.say(["1"], "granted")
    bought = {"converted_at": "timestamp '2011-12-09 10:00:00'"}
    assert found(world.decide(people=["1"], **bought)) == {("expired", "exit.converted")}
    stays = journey(exit_on_conversion=False)
    assert found(world.decide(stays, people=["1"], **bought)) == {("send", "send.allowed")}


def test_a_step_waits_for_its_day_and_no_message_goes_before_it_is_due(world: World) -> None:
    world.say(["1"], "granted")
    spec = journey(steps=[step("first"), step("second", delay_hours=72)])
    for days, steps in ((0, {"first"}), (1, {"first"}), (2, {"first", "second"})):
        table = world.decide(spec, people=["1"], as_of=AS_OF + dt.timedelta(days=days))
        assert set(table.column("step").to_pylist()) == steps
    # Due at noon of the day of sending: the message asked for at 10:00 goes at noon.
    second = [row for row in table.to_pylist() if row["step"] == "second"]
    assert second[0]["planned_send_at"] == at(2011, 12, 12, 4)


@pytest.mark.requirement("OUT-5")
def test_a_londoner_of_a_shop_in_shanghai_is_written_to_at_ten_in_london(world: World) -> None:
    world.say(["1"], "granted")
    people = {"1": {"timezone": "'Europe/London'", "language": "'en'"}}
    row = only(world.decide(people=["1"], customers=people))
    assert row["planned_send_at"] == at(2011, 12, 10, 10)
    assert (row["language"], row["content_id"]) == ("en", "wake_up_first_email_en")


@pytest.mark.requirement("OUT-5")
@pytest.mark.parametrize(
    ("send_day", "hour"),
    [((2012, 3, 24), 10), ((2012, 3, 25), 9), ((2012, 10, 27), 9), ((2012, 10, 28), 10)],
)
def test_the_local_hour_holds_on_the_days_the_clocks_change(
    world: World, send_day: tuple[int, int, int], hour: int
) -> None:
    world.say(["1"], "granted")
    world.rules["outreach_gates"] = []
    as_of = dt.date(*send_day) - dt.timedelta(days=1)
    row = only(
        world.decide(
            people=["1"], as_of=as_of, zone=LONDON,
            customers={"1": {"timezone": "'Europe/London'"}},
            triggered_at=f"timestamp '{as_of} 12:00:00'",
        )
    )  # fmt: skip
    assert row["planned_send_at"] == at(*send_day, hour)
    assert row["outcome"] == "send"


@pytest.mark.requirement("OUT-10")
def test_a_step_without_an_hour_goes_at_the_best_hour_of_the_customer(world: World) -> None:
    world.say(["1", "2"], "granted")
    spec = journey(steps=[step("first", send_at=None)])
    best = (
        "update activation.outreach_contacts set best_hour = 20 "
        f"where customer_id = '{world.ids['1']}'"
    )
    rows = {
        r["customer_id"]: r
        for r in world.decide(spec, people=["1", "2"], contacts=[best]).to_pylist()
    }
    assert rows[world.ids["1"]]["planned_send_at"] == at(2011, 12, 10, 12)
    assert rows[world.ids["2"]]["planned_send_at"] == at(2011, 12, 10, 2)


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("F35")
@pytest.mark.parametrize(
    ("now", "outcome", "rule", "planned"),
    [
        ((2011, 12, 9, 13, 59), "send", "send.allowed", (2011, 12, 9, 13, 59)),
        ((2011, 12, 9, 14, 0), "held", "quiet.hours", (2011, 12, 9, 14, 0)),
        ((2011, 12, 9, 15, 30), "held", "quiet.hours", (2011, 12, 9, 15, 30)),
        ((2011, 12, 9, 17, 0), "send", "send.allowed", (2011, 12, 10, 0, 0)),
    ],
    ids=["21:59", "22:00", "23:30", "01:00 of the next day"],
)
def test_a_tick_sends_now_or_at_the_end_of_the_quiet_hours_of_its_day(
    world: World, now: tuple[int, ...], outcome: str, rule: str, planned: tuple[int, ...]
) -> None:
    world.say(["1"], "granted")
    tick = tick_of(at(*now).replace(tzinfo=dt.UTC), "cart", SHANGHAI)
    row = only(world.decide(journey(trigger="cart"), people=["1"], moment=tick))
    assert (row["outcome"], row["rule_id"], row["run_kind"]) == (outcome, rule, "cart")
    assert row["planned_send_at"] == at(*planned)
    assert row["decided_at"] == at(*now)


@pytest.mark.requirement("OUT-5")
def test_a_cart_offer_that_cannot_go_today_expires_instead_of_arriving_late(world: World) -> None:
    world.say(["1"], "granted")
    tick = tick_of(dt.datetime(2011, 12, 9, 15, tzinfo=dt.UTC), "cart", SHANGHAI)
    spec = journey(steps=[step("first", valid_hours=12)])
    assert found(world.decide(spec, people=["1"], moment=tick)) == {("held", "quiet.hours")}
    assert found(world.decide(spec, people=["1"])) == {("expired", "trigger.expired")}


@pytest.mark.requirement("OUT-5")
def test_two_ticks_of_one_day_have_decisions_of_their_own(world: World) -> None:
    world.say(["1"], "granted")
    ticks = [
        tick_of(dt.datetime(2011, 12, 9, 4, m, tzinfo=dt.UTC), "cart", SHANGHAI) for m in (0, 5)
    ]
    ids = {only(world.decide(people=["1"], moment=moment))["decision_id"] for moment in ticks}
    ids.add(only(world.decide(people=["1"]))["decision_id"])
    assert len(ids) == 3


@pytest.mark.requirement("OUT-5")
def test_on_a_quiet_day_of_the_customers_zone_no_marketing_goes(world: World) -> None:
    world.say(world.sources, "granted")
    world.say(world.sources, "granted", purpose="service")
    world.rules["quiet_days"] = ["'2011-12-10', 'Asia/Shanghai'", "'2011-12-11', 'all'"]
    people = {"1": {"timezone": "'Europe/London'"}}
    assert rules(world, world.decide(people=["1", "2"], customers=people)) == {
        "1": "send.allowed", "2": "quiet.day"
    }  # fmt: skip
    later = AS_OF + dt.timedelta(days=1)
    decided = world.decide(people=["1", "2"], customers=people, as_of=later)
    assert found(decided) == {("held", "quiet.day")}
    service = journey(purpose="service")
    decided = world.decide(service, people=["2"], purpose="'service'")
    assert found(decided) == {("send", "send.allowed")}


# Complaint, stock and gates


def test_an_open_complaint_pauses_marketing_and_not_service(world: World) -> None:
    world.say(["1"], "granted")
    world.say(["1"], "granted", purpose="service")
    angry = {"1": {"open_complaint_since": "timestamp '2011-12-08'"}}
    stopped, allowed = {("open_complaint", "complaint.open")}, {("send", "send.allowed")}
    assert found(world.decide(people=["1"], customers=angry)) == stopped
    for spec, expected in (
        (journey(purpose="service"), allowed),
        (journey(purpose="service", pause_on_complaint=True), stopped),
    ):
        decided = world.decide(spec, people=["1"], customers=angry, purpose="'service'")
        assert found(decided) == expected
    spec = journey(pause_on_complaint=False)
    assert found(world.decide(spec, people=["1"], customers=angry)) == allowed


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        ("'tea', 3, timestamp '2011-12-09 12:00:00', 10, 'CNY'", ("send", "send.allowed")),
        ("'tea', 0, timestamp '2011-12-09 12:00:00', 10, 'CNY'", ("stock_gone", "stock.none_left")),
        (
            "'tea', -2, timestamp '2011-12-09 12:00:00', 10, 'CNY'",
            ("stock_gone", "stock.none_left"),
        ),
        (
            "'tea', null, timestamp '2011-12-09 12:00:00', 10, 'CNY'",
            ("stock_gone", "stock.unknown"),
        ),
        ("'cup', 3, timestamp '2011-12-09 12:00:00', 10, 'CNY'", ("stock_gone", "stock.unknown")),
        ("'tea', 3, timestamp '2011-12-09 12:00:00', 10.01, 'CNY'", ("stock_gone", "price.risen")),
        ("'tea', 3, timestamp '2011-12-09 12:00:00', null, 'CNY'", ("stock_gone", "price.unknown")),
        ("'tea', 3, timestamp '2011-12-07 17:59:00', 10, 'CNY'", ("held", "gate.stock_stale")),
    ],
)
def test_stock_and_price_are_asked_again(
    world: World, offer: str, expected: tuple[str, str]
) -> None:
    world.say(["1"], "granted")
    world.offers = [offer]
    spec = journey(checks=["stock", "price"])
    decided = world.decide(spec, people=["1"], sku="'tea'", offered_price_amount="10")
    assert found(decided) == {expected}
    decided = world.decide(people=["1"], sku="'tea'", offered_price_amount="10")
    assert found(decided) == {("send", "send.allowed")}


@pytest.mark.requirement("QLT-2")
@pytest.mark.bad_input("F32")
def test_consents_nobody_has_heard_of_for_too_long_hold_everything(world: World) -> None:
    world.say(["1"], "granted", at=at(2011, 12, 7, 18))
    for hours, expected in ((48, ("send", "send.allowed")), (47, ("held", "gate.consent_stale"))):
        world.rules["outreach_gates"] = [f"'consent', {hours}"]
        assert found(world.decide(people=["1"])) == {expected}


def check_score(world: World, measure: str, *, passed: bool, as_of: dt.date = AS_OF) -> None:
    """Plants the verdict on one measure of the churn scores of a night."""
    with world.opened() as connection:
        connection.execute(
            "insert into scores.churn_checks by name select ?::date as as_of_date, "
            "'churn' as score, ? as measure, ?::boolean as is_passed, true as holds_outreach",
            [as_of, measure, passed],
        )


@pytest.mark.requirement("SCO-7", "QLT-2")
def test_a_score_that_drifted_holds_the_journeys_that_rely_on_it_and_no_others(
    world: World,
) -> None:
    world.say(world.sources, "granted")
    check_score(world, "ece", passed=True)
    assert found(world.decide(journey(scores=["churn"]))) == {("send", "send.allowed")}
    check_score(world, "score_psi", passed=False)
    held = world.decide(journey(scores=["churn"], holdout_pct=50))
    assert found(held) == {("held", "score.churn.score_psi")}  # also who is in the holdout
    assert found(world.decide(journey())) == {("send", "send.allowed")}


@pytest.mark.requirement("SCO-7", "QLT-2")
def test_scores_nobody_has_checked_tonight_hold_as_well(world: World) -> None:
    world.say(world.sources, "granted")
    check_score(world, "ece", passed=True, as_of=AS_OF - dt.timedelta(days=1))
    held = world.decide(journey(scores=["churn"]))
    assert found(held) == {("held", "score.churn.not_checked")}


@pytest.mark.requirement("SCO-7", "QLT-2")
def test_a_score_without_any_limit_holds_although_its_inputs_are_told(world: World) -> None:
    world.say(world.sources, "granted")
    check_score(world, "feature_psi", passed=True)
    with open_warehouse(world.home.warehouse) as connection:
        connection.execute("update scores.churn_checks set feature = 'x', holds_outreach = false")
    held = world.decide(journey(scores=["churn"]))
    assert found(held) == {("held", "score.churn.not_checked")}


def test_who_did_not_agree_is_told_so_also_on_a_night_that_is_held(world: World) -> None:
    world.say(world.sources[:1], "granted")
    outcomes = sorted(world.outcomes(world.decide(journey(scores=["clv"]))).values())
    assert outcomes == ["held", "no_consent", "no_consent", "no_consent"]


# Holdout


@pytest.mark.requirement("MEA-1")
def test_the_holdout_has_its_share_and_stays_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, people=2000)
    world.say(world.sources, "granted")
    spec = journey(holdout_pct=20)
    first = world.outcomes(world.decide(spec))
    later = world.outcomes(world.decide(spec, occurrence="2012-01-01"))
    assert first == later
    # 20 % of 2000 with four standard deviations on both sides.
    assert abs(sum(value == "holdout" for value in first.values()) - 400) < 72
    wider = world.outcomes(world.decide(journey(holdout_pct=40)))
    assert all(wider[person] == "holdout" for person, value in first.items() if value == "holdout")
    other = world.outcomes(
        world.decide(journey(journey="low", steps=[step("first")], holdout_pct=20))
    )
    both = sum(first[person] == other[person] == "holdout" for person in first)
    assert 40 < both < 130  # independent draws share 80


@pytest.mark.parametrize(("share", "outcome"), [(0, "send"), (100, "holdout")])
@pytest.mark.requirement("MEA-1")
def test_no_holdout_and_nothing_but_holdout(world: World, share: int, outcome: str) -> None:
    world.say(world.sources, "granted")
    assert set(world.outcomes(world.decide(journey(holdout_pct=share))).values()) == {outcome}


@pytest.mark.requirement("MEA-1")
@pytest.mark.parametrize(("said", "outcome"), [({}, "send"), ({"holdout_pct": 100}, "holdout")])
def test_service_is_held_out_only_if_its_journey_says_so(
    world: World, said: dict[str, int], outcome: str
) -> None:
    world.say(["1"], "granted", purpose="service")
    spec = journey(purpose="service").model_copy()
    values = spec.model_dump(exclude={"holdout_pct", "pause_on_complaint"}) | said
    decided = world.decide(type(spec).model_validate(values), people=["1"], purpose="'service'")
    assert world.outcomes(decided) == {"1": outcome}


# Contents


def test_the_most_telling_content_whose_variables_are_known_is_chosen(world: World) -> None:
    world.say(world.sources, "granted")
    world.rules["content_library"] += [
        "'named', 'wake_up_first', 'all', 'email', 'zh-CN', '2', 'x', 'Still {product_name}?'",
        "'core', 'wake_up_first', 'core', 'email', 'zh-CN', '3', 'x', 'Dear friend'",
        "'core_named', 'wake_up_first', 'core', 'email', 'zh-CN', '4', 'x', '{product_name}'",
    ]
    people = {"3": {"rfm_tier": "'new'"}, "4": {"rfm_tier": "null", "language": "'fr'"}}
    name = "case customer_id when '{}' then ' ' else 'Tea' end".format(world.ids["2"])
    spec = journey(variables=["product_name"])
    table = world.decide(spec, customers=people, product_name=name)
    chosen = {row["customer_id"]: row["content_id"] for row in table.to_pylist()}
    assert [chosen[world.ids[p]] for p in "1234"] == ["core_named", "core", "named", "named"]
    variables = {json.loads(row["variables"])["product_name"] for row in table.to_pylist()}
    assert variables == {"Tea", " "}


def test_a_message_without_any_content_is_held(world: World) -> None:
    world.say(["1"], "granted")
    world.rules["content_library"] = []
    assert found(world.decide(people=["1"])) == {("held", "content.missing")}


# Caps


@pytest.mark.requirement("OUT-5")
@pytest.mark.parametrize(("days_ago", "outcome"), [(1, "capped"), (6, "capped"), (7, "send")])
def test_a_weekly_cap_counts_messages_of_other_journeys_in_its_window(
    world: World, days_ago: int, outcome: str
) -> None:
    world.say(world.sources, "granted")
    world.claim("1", days_ago=days_ago)
    world.rules["outreach_caps"] = [cap("all_week", 7, 1)]
    assert world.outcomes(world.decide()) == {
        "1": outcome, "2": "send", "3": "send", "4": "send"
    }  # fmt: skip


@pytest.mark.requirement("OUT-5")
def test_a_cap_counts_the_person_and_the_contact(world: World) -> None:
    world.say(world.sources, "granted")
    world.claim("1", days_ago=2, contact="k1_old_address")
    world.claim("somebody else", days_ago=2, contact=world.token("2"))
    world.rules["outreach_caps"] = [cap("week", 7, 1)]
    decided = rules(world, world.decide())
    assert decided["1"] == "cap.week.person"
    assert decided["2"] == "cap.week.contact"
    assert decided["3"] == "send.allowed"


@pytest.mark.requirement("OUT-3")
@pytest.mark.bad_input("F29")
def test_a_cap_counts_what_every_former_id_of_the_person_got(world: World) -> None:
    world.say(["1", "2"], "granted")
    for person in ("c-former", "1", "2"):
        world.claim(person, days_ago=2, contact=f"k1_{person}")
    world.rules["outreach_caps"] = [cap("two_a_week", 7, 2)]
    assert set(world.outcomes(world.decide(people=["1", "2"])).values()) == {"send"}
    merged = world.decide(people=["1", "2"], former={"1": "c-former"})
    assert world.outcomes(merged) == {"1": "capped", "2": "send"}


def test_a_contact_of_several_people_is_under_the_caps_of_one(world: World) -> None:
    world.say(world.sources, "granted")
    world.rules["outreach_caps"] = [cap("day", 1, 1)]
    shared = f"update activation.outreach_contacts set contact_token = '{world.token('1')}'"
    winners = set()
    for month in range(1, 13):  # until each journey would write to another of them
        told = {"occurrence": f"2011-{month:02}-01", "contacts": [shared]}
        alone = [world.decide(one, **told) for one in (LOW, HIGH)]
        winners = {p for table in alone for p, o in world.outcomes(table).items() if o == "send"}
        if len(winners) == 2:
            break
    assert len(winners) == 2
    table = world.decide(LOW, HIGH, **told)
    went = [row["journey"] for row in table.to_pylist() if row["outcome"] == "send"]
    assert went == ["high"]
    assert "priority.high" in table.column("rule_id").to_pylist()


@pytest.mark.requirement("OUT-5")
@pytest.mark.parametrize(
    ("state", "outcome"),
    [("failed", "send"), ("refused", "send"), ("uncertain", "capped"), ("claimed", "capped")],
)
def test_only_what_may_have_arrived_takes_room_under_a_cap(
    world: World, state: str, outcome: str
) -> None:
    world.say(["1"], "granted")
    world.claim("1", days_ago=2, state=state)
    world.rules["outreach_caps"] = [cap("week", 7, 1)]
    assert world.outcomes(world.decide(people=["1"])) == {"1": outcome}


@pytest.mark.requirement("OUT-5")
def test_a_cap_counts_its_channel_and_its_kind_only(world: World) -> None:
    world.say(["1"], "granted")
    world.claim("1", days_ago=2, message_tag="care")
    for row, expected in (
        (cap("sms_week", 7, 0, "sms"), "send.allowed"),
        (cap("promotion_week", 7, 1, tag="promotion"), "send.allowed"),
        (cap("care_week", 7, 1, tag="care"), "send.allowed"),  # the message tonight is no care
        (cap("email_week", 7, 1, "email"), "cap.email_week.person"),
    ):
        world.rules["outreach_caps"] = [row]
        assert rules(world, world.decide(people=["1"])) == {"1": expected}
    world.rules["outreach_caps"] = [cap("care_week", 7, 1, tag="care")]
    decided = world.decide(journey(tag="care"), people=["1"])
    assert rules(world, decided) == {"1": "cap.care_week.person"}


@pytest.mark.requirement("OUT-5")
@pytest.mark.parametrize(
    ("zone", "outcome"), [("Asia/Shanghai", "send"), ("Europe/London", "capped")]
)
def test_the_day_of_a_cap_is_the_local_day_of_the_customer(
    world: World, zone: str, outcome: str
) -> None:
    world.say(["1"], "granted")
    # 15:30 UTC is 23:30 of the day before sending in Shanghai, and its afternoon in London; a
    # message a minute after midnight there is of the day of sending.
    world.rules["outreach_caps"] = [cap("day", 1, 1)]
    people = {"1": {"timezone": f"'{zone}'"}}
    world.sent_messages = [
        f"'{world.ids['1']}', 'email', 'promotion', timestamp '2011-12-09 15:30:00', 'm1', null"
    ]
    assert world.outcomes(world.decide(people=["1"], customers=people)) == {"1": "send"}
    world.sent_messages = [
        f"'{world.ids['1']}', 'email', null, timestamp '2011-12-{day}', 'm1', null"
        for day in (["10 00:01:00"] if zone == "Europe/London" else ["09 15:59:00"])
    ]
    assert world.outcomes(world.decide(people=["1"], customers=people)) == {"1": outcome}
    world.sent_messages = [
        f"'{world.ids['1']}', 'email', null, timestamp '2011-12-09 16:01:00', 'm1', null"
    ]
    expected = "capped" if zone == "Asia/Shanghai" else "send"
    assert world.outcomes(world.decide(people=["1"], customers=people)) == {"1": expected}


@pytest.mark.requirement("OUT-5", "OUT-8")
def test_a_message_of_another_system_counts_and_an_own_one_counts_once(world: World) -> None:
    world.say(["1"], "granted")
    world.claim("1", days_ago=2)
    with world.opened() as connection:
        [(claim_id,)] = connection.execute("select claim_id from ledger.claims").fetchall()
    sent = f"'{world.ids['1']}', 'email', 'promotion', timestamp '2011-12-08 02:00:00'"
    world.rules["outreach_caps"] = [cap("week", 7, 2)]
    world.sent_messages = [f"{sent}, '{claim_id}', 'other'"]
    assert world.outcomes(world.decide(people=["1"])) == {"1": "send"}
    world.sent_messages.append(f"{sent}, 'of another system', null")
    row = only(world.decide(people=["1"]))
    assert (row["outcome"], row["rule_id"]) == ("capped", "cap.week.person")
    evidence = json.loads(row["evidence"])
    assert (evidence["counted"], evidence["allowed"]) == (2, 2)


def test_who_is_tired_of_messages_is_capped(world: World) -> None:
    world.say(["1"], "granted")
    tired = "update activation.outreach_contacts set fatigue_rule = 'fatigue.never_opened'"
    decided = world.decide(people=["1"], contacts=[tired])
    assert found(decided) == {("capped", "fatigue.never_opened")}


def test_service_is_under_no_cap_but_its_own_and_takes_no_room(world: World) -> None:
    world.say(["1"], "granted", purpose="service")
    world.say(["1"], "granted")
    world.rules["outreach_caps"] = [cap("never", 7, 0)]
    decided = world.decide(journey(purpose="service"), people=["1"], purpose="'service'")
    assert found(decided) == {("send", "send.allowed")}
    world.claim("1", days_ago=1, purpose="service")
    world.rules["outreach_caps"] = [cap("one", 7, 1)]
    assert found(world.decide(people=["1"])) == {("send", "send.allowed")}
    own = [{"cap_id": "own", "window_days": 7, "max_messages": 0}]
    spec = journey(purpose="service", caps=own)
    decided = world.decide(spec, people=["1"], purpose="'service'")
    assert found(decided) == {("capped", "cap.own.person")}


def test_a_cap_of_a_journey_counts_the_messages_of_this_journey_alone(world: World) -> None:
    world.say(["1"], "granted")
    spec = journey(caps=[{"cap_id": "rest", "window_days": 7, "max_messages": 1}])
    world.claim("1", days_ago=3)
    assert found(world.decide(spec, people=["1"])) == {("send", "send.allowed")}
    world.claim("1", days_ago=2, journey="wake_up", occurrence="2011-07-01")
    assert found(world.decide(spec, people=["1"])) == {("capped", "cap.rest.person")}


@pytest.mark.requirement("OUT-5")
def test_a_cap_of_a_service_journey_counts_its_service_messages(world: World) -> None:
    world.say(["1"], "granted", purpose="service")
    spec = journey(
        purpose="service", caps=[{"cap_id": "rest", "window_days": 7, "max_messages": 1}]
    )
    world.claim("1", days_ago=2, journey="wake_up", purpose="service", occurrence="2011-07-01")
    decided = world.decide(spec, people=["1"], purpose="'service'")
    assert found(decided) == {("capped", "cap.rest.person")}


# Arbitration


@pytest.mark.requirement("OUT-5", "OUT-9")
def test_an_earlier_step_of_a_journey_goes_before_a_later_one(tmp_path: Path) -> None:
    world = World(tmp_path, people=20)
    world.say(world.sources, "granted")
    world.rules["outreach_caps"] = [cap("all_day", 1, 1)]
    spec = journey(steps=[step("first"), step("second")])
    table = world.decide(spec)
    sent = [row["step"] for row in table.to_pylist() if row["outcome"] == "send"]
    assert sent == ["first"] * 20


@pytest.mark.requirement("OUT-5", "OUT-9")
def test_under_a_common_cap_the_more_important_journey_wins(world: World) -> None:
    world.say(world.sources, "granted")
    world.rules["outreach_caps"] = [cap("all_day", 1, 1)]
    table = world.decide(LOW, HIGH)
    found_by_journey = {
        (row["journey"], row["outcome"], row["rule_id"]) for row in table.to_pylist()
    }
    assert found_by_journey == {
        ("low", "lost_to_higher_priority", "priority.high"), ("high", "send", "send.allowed")
    }  # fmt: skip
    assert table.num_rows == 8


@pytest.mark.requirement("OUT-9")
def test_a_message_that_is_stopped_for_another_reason_takes_nobodys_place(world: World) -> None:
    world.say(world.sources, "granted")
    world.rules["outreach_caps"] = [cap("all_day", 1, 1)]
    held_out = HIGH.model_copy(update={"holdout_pct": 100})
    table = world.decide(LOW, held_out)
    assert {(row["journey"], row["outcome"]) for row in table.to_pylist()} == {
        ("low", "send"), ("high", "holdout")
    }  # fmt: skip


@pytest.mark.requirement("OUT-9")
def test_the_weight_of_an_audience_lifts_its_message(world: World) -> None:
    world.say(["1"], "granted")
    world.rules["outreach_caps"] = [cap("all_day", 1, 1)]
    weight = {"value_weight": "20"}
    with world.opened(LOW, people=["1"], **weight) as connection:
        connection.execute(
            "create table activation.high_audience as "
            "select * replace (1 as value_weight) from activation.low_audience"
        )
        table = decide_all(
            connection, [LOW, HIGH], moment=night_of(AS_OF, SHANGHAI), zone=SHANGHAI, salt=SALT
        )
    assert {(row["journey"], row["outcome"]) for row in table.to_pylist()} == {
        ("low", "send"), ("high", "lost_to_higher_priority")
    }  # fmt: skip


@pytest.mark.requirement("OUT-5", "OUT-9")
@pytest.mark.bad_input("F36")
def test_of_several_messages_as_many_go_as_the_cap_leaves_room_for(world: World) -> None:
    world.say(["1"], "granted")
    world.claim("1", days_ago=1)
    world.rules["outreach_caps"] = [cap("week", 7, 3)]
    spec = journey(steps=[step("first"), step("second")])
    table = world.decide(spec, HIGH, people=["1"])
    outcomes = sorted((row["journey"], row["outcome"]) for row in table.to_pylist())
    assert outcomes.count(("high", "send")) == 1
    assert [outcome for _, outcome in outcomes].count("send") == 2
    assert ("wake_up", "lost_to_higher_priority") in outcomes


@pytest.mark.requirement("OUT-9")
def test_a_quota_and_a_budget_let_the_most_valuable_go(world: World) -> None:
    world.say(world.sources, "granted")
    world.rules["channel_policies"][0] = "'email', '22:00', '08:00', 0.01, 'CNY', 5, null"
    table = world.decide(LOW, HIGH)
    sent = [row["journey"] for row in table.to_pylist() if row["outcome"] == "send"]
    assert sorted(sent) == ["high"] * 4 + ["low"]
    assert {r["rule_id"] for r in table.to_pylist() if r["outcome"] == "capped"} == {"quota.email"}
    world.rules["channel_policies"][0] = "'email', '22:00', '08:00', 0.01, 'CNY', null, null"
    world.rules["outreach_budgets"] = ["'month', 'channel', 'email', 30, 0.06, 'CNY'"]
    world.claim("1", days_ago=20)
    table = world.decide(LOW, HIGH)
    sent = [row["journey"] for row in table.to_pylist() if row["outcome"] == "send"]
    assert sorted(sent) == ["high"] * 4 + ["low"]
    stopped = {r["rule_id"] for r in table.to_pylist() if r["outcome"] == "capped"}
    assert stopped == {"budget.month"}


@pytest.mark.requirement("OUT-10")
def test_an_advisor_gets_no_more_tasks_than_a_day_has(world: World) -> None:
    world.say(world.sources, "granted", consent_channel="wecom")
    world.rules["channel_policies"][2] = "'wecom', '22:00', '08:00', 0, 'CNY', null, 2"
    people = {person: {"guide_id": "'g1'"} for person in "123"}
    spec = journey(steps=[step("first", "wecom")])
    table = world.decide(spec, customers=people)
    by_rule = [row["rule_id"] for row in table.to_pylist() if row["guide_id"] == "g1"]
    assert sorted(by_rule) == ["quota.wecom.advisor", "send.allowed", "send.allowed"]
    assert rules(world, table)["4"] == "send.allowed"


# Audiences


@pytest.mark.bad_input("B80")
def test_an_audience_that_repeats_a_candidate_is_refused(world: World) -> None:
    with pytest.raises(OutreachError, match="repeats a candidate"):
        world.decide(people=["1", "1"])


@pytest.mark.parametrize("column", ["customer_id", "occurrence", "triggered_at"])
def test_an_entry_without_its_key_or_moment_is_refused_and_not_lost(
    world: World, column: str
) -> None:
    with world.opened(journey()) as connection:
        connection.execute(f"update activation.wake_up_audience set {column} = null")
        with pytest.raises(OutreachError, match=f"{len(world.sources)} without customer"):
            decide_all(
                connection, [journey()], moment=night_of(AS_OF, SHANGHAI), zone=SHANGHAI, salt=SALT
            )


def test_candidates_out_of_order_are_decided_by_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = candidates._CANDIDATES.replace("order by n.decision_id", "order by n.decision_id desc")
    monkeypatch.setattr(candidates, "_CANDIDATES", turned)
    with pytest.raises(OutreachError, match="not in the order of their ids"):
        world.decide()


@pytest.mark.parametrize("column", ["triggered_at", "product_name"])
def test_an_audience_without_a_needed_column_is_refused_by_name(world: World, column: str) -> None:
    spec = journey(variables=["product_name"])
    night: Moment = night_of(AS_OF, SHANGHAI)
    with world.opened(spec, product_name="'Tea'") as connection:
        connection.execute(f"alter table activation.wake_up_audience drop column {column}")
        with pytest.raises(OutreachError, match=f"the audience lacks {column}"):
            decide_all(connection, [spec], moment=night, zone=SHANGHAI, salt=SALT)


@pytest.mark.bad_input("B93")
def test_an_empty_audience_gives_no_decisions(world: World) -> None:
    with world.opened(journey()) as connection:
        connection.execute("delete from activation.wake_up_audience")
        table = decide_all(
            connection, [journey()], moment=night_of(AS_OF, SHANGHAI), zone=SHANGHAI, salt=SALT
        )
    assert table.num_rows == 0 and table.schema.equals(DECISION_SCHEMA)
    assert night_of(AS_OF, SHANGHAI).decided_at > TRIGGERED


def test_a_rule_table_that_is_not_there_stops_everything(world: World) -> None:
    with world.opened(journey()) as connection:
        connection.execute("drop table rules.channel_policies")
        with pytest.raises(OutreachError, match=r"rules\.channel_policies cannot be read"):
            decide_all(
                connection, [journey()], moment=night_of(AS_OF, SHANGHAI), zone=SHANGHAI,
                salt=SALT,
            )  # fmt: skip


MOVING = {
    "advisor_task", "birthday_care", "browse_list", "churn_retention", "co_creation",
    "dormant_wake_up", "vip_preorder", "win_back",
}  # fmt: skip


@pytest.mark.requirement("OUT-4")
def test_a_journey_whose_occurrence_late_data_or_a_merge_can_move_rests_for_a_month() -> None:
    folder = Path(__file__).parents[4] / "crm_pipeline" / "defs" / "outreach"
    specs = {spec.journey: spec for spec in load_journeys(folder)}
    for name in MOVING:
        rests = {own.max_messages for own in specs[name].caps if own.window_days >= 30}
        assert rests == {len(specs[name].steps)}, name
