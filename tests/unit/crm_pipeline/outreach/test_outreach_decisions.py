"""Every candidate has exactly one outcome."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from outreach_support import AS_OF, NOON, SALT, SHANGHAI, World, journey

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.files import write_parquet
from crm_pipeline.lib.ledger.schema import batches, claims
from crm_pipeline.lib.outreach.decisions import DECISION_SCHEMA, decide_all
from crm_pipeline.lib.outreach.journey import CapSpec
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, open_warehouse

TWO_STEPS = [
    {"step": "first", "channel": "email", "content_id": "a"},
    {"step": "second", "channel": "email", "content_id": "b", "delay_days": 3},
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def claim(world: World, person: str, *, days_ago: int, contact: str | None = None, **changes):
    """Plants a claim of an earlier night."""
    as_of = AS_OF - dt.timedelta(days=days_ago)
    values = {
        "journey": "other",
        "step": "first",
        "occurrence": "2011-08-01",
        "state": "sent",
        "content_version": "1",
        **changes,
    }
    key = f"{person}-{days_ago}-{values['journey']}"
    with world.ledger.begin() as connection:
        connection.execute(
            sa.insert(batches).values(
                batch_id=f"b-{key}",
                journey=values["journey"],
                step="first",
                as_of_date=as_of,
                slice_sha256="s",
                state="written",
                created_at=NOON.replace(tzinfo=None),
            )
        )
        connection.execute(
            sa.insert(claims).values(
                claim_id=key,
                decision_id=f"d-{key}",
                batch_id=f"b-{key}",
                contact_token=contact or world.token(person),
                person_id=world.ids.get(person, person),
                claimed_at=NOON.replace(tzinfo=None),
                **values,
            )
        )


@pytest.mark.requirement("OUT-3")
def test_candidates_are_the_sum_of_the_outcomes(world: World) -> None:
    world.say(["1", "2"], "granted")
    world.say(["2"], "withdrawn", 5)
    table = world.decide()
    assert table.schema.equals(DECISION_SCHEMA)
    assert world.outcomes(table) == {
        "1": "send", "2": "no_consent", "3": "no_consent", "4": "no_consent"
    }  # fmt: skip
    rules = {row["rule_id"] for row in table.to_pylist()}
    assert rules == {"send.allowed", "consent.withdrawn", "consent.never_given"}


@pytest.mark.requirement("OUT-3")
def test_deciding_a_past_day_again_gives_the_same_bytes(world: World, tmp_path: Path) -> None:
    world.say(world.sources, "granted")
    spec = journey(holdout_pct=30)
    first = world.decide(spec)
    world.night(spec=spec)
    world.night(AS_OF + dt.timedelta(days=1), spec=spec)
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


def test_moments_follow_the_logical_clock_in_the_business_zone(world: World) -> None:
    world.say(["1"], "granted")
    row = world.decide(people=["1"]).to_pylist()[0]
    assert row["decided_at"] == dt.datetime(2011, 12, 9, 18)  # noqa: DTZ001 - 02:00 in Shanghai
    assert row["planned_send_at"] == dt.datetime(2011, 12, 10, 2)  # noqa: DTZ001 - 10:00 there
    assert row["valid_until"] == dt.datetime(2011, 12, 13, 2)  # noqa: DTZ001


@pytest.mark.requirement("PRV-1")
@pytest.mark.parametrize(
    ("audience", "rule"),
    [
        ({"has_consent": "false"}, "consent.not_usable"),
        ({"contact_token": "null"}, "consent.no_contact"),
        ({"contact_token": "'k1x_00'"}, "consent.unusable_contact"),
        ({"consent_channel": "'sms'"}, "consent.other_channel"),
        ({"purpose": "'service'"}, "consent.other_purpose"),
        ({"contact_token": "'k1_nobody'"}, "consent.never_given"),
    ],
)
def test_without_usable_consent_nothing_is_sent(world: World, audience: dict, rule: str) -> None:
    world.say(["1"], "granted")
    rows = world.decide(people=["1"], **audience).to_pylist()
    assert [(row["outcome"], row["rule_id"]) for row in rows] == [("no_consent", rule)]


@pytest.mark.requirement("OUT-4")
def test_who_was_claimed_on_an_earlier_night_is_a_duplicate(world: World) -> None:
    world.say(world.sources, "granted")
    claim(world, "1", days_ago=3, journey="wake_up")
    claim(world, "somebody else", days_ago=3, journey="wake_up", contact=world.token("2"))
    claim(world, "3", days_ago=3, journey="wake_up", occurrence="2010-01-01")
    table = world.decide()
    assert world.outcomes(table) == {
        "1": "duplicate", "2": "duplicate", "3": "send", "4": "send"
    }  # fmt: skip


@pytest.mark.requirement("OUT-4")
@pytest.mark.requirement("OUT-3")
@pytest.mark.bad_input("F29")
def test_a_merge_or_a_split_makes_nobody_new_to_a_journey(world: World) -> None:
    world.say(["1", "2", "3"], "granted")
    claim(world, "c-former", days_ago=3, contact="k1_of-another-account", journey="wake_up")
    before = world.decide(people=["1", "2", "3"])
    assert set(world.outcomes(before).values()) == {"send"}
    after = world.decide(people=["1", "2", "3"], former={"1": "c-former", "2": "c-former"})
    assert world.outcomes(after) == {"1": "duplicate", "2": "duplicate", "3": "send"}
    assert {row["rule_id"] for row in after.to_pylist()} == {"claim.person", "send.allowed"}


@pytest.mark.bad_input("F29")
def test_what_somebody_got_before_a_wrong_merge_is_not_the_others(world: World) -> None:
    world.say(["1"], "granted")
    claim(world, "c-former", days_ago=5, contact="k1_of-another-account", journey="wake_up")
    for days_ago, outcome in ((2, "send"), (9, "duplicate")):
        joined = AS_OF - dt.timedelta(days=days_ago)
        decided = world.decide(people=["1"], former={"1": "c-former"}, joined=joined)
        assert world.outcomes(decided) == {"1": outcome}


@pytest.mark.requirement("OUT-3")
@pytest.mark.bad_input("F29")
def test_a_cap_counts_what_every_former_id_of_the_person_got(world: World) -> None:
    world.say(["1", "2"], "granted")
    for person in ("c-former", "1", "2"):
        claim(world, person, days_ago=2, contact=f"k1_{person}")
    caps = [CapSpec(cap_id="two_a_week", consent_channel="all", window_days=7, max_messages=2)]
    assert set(world.outcomes(world.decide(people=["1", "2"], caps=caps)).values()) == {"send"}
    merged = world.decide(people=["1", "2"], caps=caps, former={"1": "c-former"})
    assert world.outcomes(merged) == {"1": "capped", "2": "send"}


def test_two_people_with_one_mailbox_get_one_message(world: World) -> None:
    world.say(world.sources, "granted")
    table = world.decide(contact_token=f"'{world.token('1')}'")
    assert sorted(world.outcomes(table).values()) == ["duplicate"] * 3 + ["send"]


@pytest.mark.requirement("OUT-4")
def test_a_journey_without_re_entry_addresses_a_person_once_for_ever(world: World) -> None:
    world.say(world.sources, "granted")
    spec = journey(re_entry="never")
    world.night(spec=spec, occurrence="2011-08-01")
    later = AS_OF + dt.timedelta(days=200)
    table = world.decide(spec, occurrence="2012-03-01", as_of=later)
    assert set(world.outcomes(table).values()) == {"duplicate"}
    table = world.decide(occurrence="2012-03-01", as_of=later)
    assert set(world.outcomes(table).values()) == {"send"}


@pytest.mark.requirement("MEA-1")
def test_the_holdout_has_its_share_and_stays_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, people=2000)
    world.say(world.sources, "granted")
    spec = journey(holdout_pct=20)
    first = world.outcomes(world.decide(spec))
    later = world.outcomes(
        world.decide(spec, occurrence="2012-01-01", as_of=AS_OF + dt.timedelta(days=100))
    )
    assert first == later
    # 20 % of 2000 with four standard deviations on both sides.
    assert abs(sum(value == "holdout" for value in first.values()) - 400) < 72
    wider = world.outcomes(world.decide(journey(holdout_pct=40)))
    assert all(wider[person] == "holdout" for person, value in first.items() if value == "holdout")
    other = world.outcomes(world.decide(journey(journey="other", holdout_pct=20)))
    both = sum(first[person] == other[person] == "holdout" for person in first)
    assert 40 < both < 130  # independent draws share 80


@pytest.mark.parametrize(("share", "outcome"), [(0, "send"), (100, "holdout")])
@pytest.mark.requirement("MEA-1")
def test_no_holdout_and_nothing_but_holdout(world: World, share: int, outcome: str) -> None:
    world.say(world.sources, "granted")
    assert set(world.outcomes(world.decide(journey(holdout_pct=share))).values()) == {outcome}


@pytest.mark.requirement("OUT-5")
@pytest.mark.parametrize(("days_ago", "outcome"), [(1, "capped"), (6, "capped"), (7, "send")])
def test_a_weekly_cap_counts_messages_of_other_journeys_in_its_window(
    world: World, days_ago: int, outcome: str
) -> None:
    world.say(world.sources, "granted")
    claim(world, "1", days_ago=days_ago)
    caps = [CapSpec(cap_id="all_week", window_days=7, max_messages=1)]
    assert world.outcomes(world.decide(caps=caps)) == {
        "1": outcome, "2": "send", "3": "send", "4": "send"
    }  # fmt: skip


@pytest.mark.requirement("OUT-5")
def test_a_cap_counts_the_person_and_the_contact(world: World) -> None:
    world.say(world.sources, "granted")
    claim(world, "1", days_ago=2, contact="k1_old_address")
    claim(world, "somebody else", days_ago=2, contact=world.token("2"))
    caps = [CapSpec(cap_id="week", window_days=7, max_messages=1)]
    rules = {row["customer_id"]: row["rule_id"] for row in world.decide(caps=caps).to_pylist()}
    assert rules[world.ids["1"]] == "cap.week.person"
    assert rules[world.ids["2"]] == "cap.week.contact"


@pytest.mark.requirement("OUT-5")
def test_a_failed_message_takes_no_room_under_a_cap(world: World) -> None:
    world.say(world.sources, "granted")
    claim(world, "1", days_ago=2, state="failed")
    caps = [CapSpec(cap_id="week", window_days=7, max_messages=1)]
    assert world.outcomes(world.decide(caps=caps))["1"] == "send"


def test_a_cap_of_another_channel_does_not_count(world: World) -> None:
    world.say(world.sources, "granted")
    claim(world, "1", days_ago=2)
    caps = [CapSpec(cap_id="sms_week", consent_channel="sms", window_days=7, max_messages=0)]
    assert set(world.outcomes(world.decide(caps=caps)).values()) == {"send"}


def test_a_service_journey_is_under_no_marketing_cap(world: World) -> None:
    world.say(world.sources, "granted", purpose="service")
    caps = [CapSpec(cap_id="never", window_days=7, max_messages=0)]
    table = world.decide(journey(purpose="service"), caps=caps, purpose="'service'")
    assert set(world.outcomes(table).values()) == {"send"}


@pytest.mark.requirement("OUT-5")
def test_under_a_common_cap_the_more_important_journey_wins(world: World) -> None:
    world.say(world.sources, "granted")
    world.decide()  # makes the audience
    low, high = journey(journey="a_low", priority=10), journey(journey="b_high", priority=90)
    snapshot = export_snapshot(world.ledger, world.home.snapshots / "both")
    with open_warehouse(world.home.warehouse) as connection:
        create_source_views(connection, world.home, snapshot, {})
        connection.execute("create schema rules")
        connection.execute(
            "create table rules.outreach_caps as select 'all_day' as cap_id, 'all' as "
            "consent_channel, 1 as window_days, 1 as max_messages, 'why' as note"
        )
        table = decide_all(connection, [low, high], as_of=AS_OF, zone=SHANGHAI, salt=SALT)
    outcomes = {(row["journey"], row["outcome"]) for row in table.to_pylist()}
    assert outcomes == {("a_low", "capped"), ("b_high", "send")}
    assert table.num_rows == 8


def test_a_trigger_that_is_over_has_expired(world: World) -> None:
    world.say(world.sources, "granted")
    for day, outcome in (("2011-12-09", "expired"), ("2011-12-10", "send")):
        table = world.decide(expires_on=f"date '{day}'")
        assert set(world.outcomes(table).values()) == {outcome}


def test_a_later_step_waits_for_the_message_before_it(world: World) -> None:
    world.say(world.sources, "granted")
    spec = journey(steps=TWO_STEPS)
    world.night(spec=spec, people=["1", "2"])
    for days, expected in ((1, 0), (2, 0), (3, 2)):
        table = world.decide(spec, as_of=AS_OF + dt.timedelta(days=days))
        sends = [r for r in table.to_pylist() if r["step"] == "second" and r["outcome"] == "send"]
        assert len(sends) == expected


@pytest.mark.bad_input("B80")
def test_an_audience_that_repeats_a_candidate_is_refused(world: World) -> None:
    with pytest.raises(OutreachError, match="repeats a candidate"):
        world.decide(people=["1", "1"])


def test_an_audience_without_a_needed_column_is_refused_by_name(world: World) -> None:
    world.decide()
    snapshot = export_snapshot(world.ledger, world.home.snapshots / "again")
    with open_warehouse(world.home.warehouse) as connection:
        create_source_views(connection, world.home, snapshot, {})
        connection.execute("alter table activation.wake_up_audience drop column has_consent")
        with pytest.raises(OutreachError, match="the audience lacks has_consent"):
            decide_all(connection, [journey()], as_of=AS_OF, zone=SHANGHAI, salt=SALT)


@pytest.mark.bad_input("B93")
def test_an_empty_audience_gives_no_decisions(world: World) -> None:
    world.say(["1"], "granted")
    table = world.decide(people=["1"])
    assert table.num_rows == 1
    with open_warehouse(world.home.warehouse) as connection:
        connection.execute("delete from activation.wake_up_audience")
        table = decide_all(connection, [journey()], as_of=AS_OF, zone=SHANGHAI, salt=SALT)
    assert table.num_rows == 0 and table.schema.equals(DECISION_SCHEMA)


def check_score(world: World, measure: str, *, passed: bool, as_of: dt.date = AS_OF) -> None:
    """Plants the verdict on one measure of the churn scores of a night."""
    snapshot = export_snapshot(world.ledger, world.home.snapshots / f"check-{measure}")
    with open_warehouse(world.home.warehouse) as connection:
        create_source_views(connection, world.home, snapshot, {})
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
    assert outcomes(world.decide(journey(scores=["churn"]))) == {"send": 4}
    check_score(world, "score_psi", passed=False)
    held = world.decide(journey(scores=["churn"], holdout_pct=50))
    assert outcomes(held) == {"held": 4}  # also who would have been in the holdout
    assert set(held.column("rule_id").to_pylist()) == {"score.churn.score_psi"}
    assert outcomes(world.decide(journey())) == {"send": 4}


@pytest.mark.requirement("SCO-7", "QLT-2")
def test_scores_nobody_has_checked_tonight_hold_as_well(world: World) -> None:
    world.say(world.sources, "granted")
    check_score(world, "ece", passed=True, as_of=AS_OF - dt.timedelta(days=1))
    held = world.decide(journey(scores=["churn"]))
    assert set(held.column("rule_id").to_pylist()) == {"score.churn.not_checked"}


@pytest.mark.requirement("SCO-7", "QLT-2")
def test_a_score_without_any_limit_holds_although_its_inputs_are_told(world: World) -> None:
    world.say(world.sources, "granted")
    check_score(world, "feature_psi", passed=True)
    with open_warehouse(world.home.warehouse) as connection:
        connection.execute("update scores.churn_checks set feature = 'x', holds_outreach = false")
    held = world.decide(journey(scores=["churn"]))
    assert set(held.column("rule_id").to_pylist()) == {"score.churn.not_checked"}


def test_who_did_not_agree_is_told_so_also_on_a_night_that_is_held(world: World) -> None:
    world.say(world.sources[:1], "granted")
    assert outcomes(world.decide(journey(scores=["clv"]))) == {"held": 1, "no_consent": 3}


def outcomes(decided) -> dict[str, int]:
    """Outcome → how many."""
    found = decided.column("outcome").value_counts().to_pylist()
    return {one["values"]: one["counts"] for one in found}
