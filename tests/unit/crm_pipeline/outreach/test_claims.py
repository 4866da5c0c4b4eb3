"""Who may be written to is asked and taken in one transaction, on SQLite and on PostgreSQL."""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from batch_support import KEY, NOW, People

from crm_pipeline.lib.consent import PostedOptOuts, post_opt_outs, tokenise_contact
from crm_pipeline.lib.identity import read_accounts
from crm_pipeline.lib.ledger.schema import claims, deliveries
from crm_pipeline.lib.outreach.claims import (
    DeliveryResult,
    Outcome,
    claim_messages,
    count_unclaimable,
    expire_claims,
    record,
)
from crm_pipeline.lib.outreach.switch import set_switch

HERE = Path(__file__).parent


def results(messages: list[str], outcome: Outcome) -> list[DeliveryResult]:
    return [DeliveryResult(one, outcome, "test", NOW) for one in messages]


@pytest.mark.requirement("OUT-4")
def test_a_message_is_claimed_once(people: People) -> None:
    people.batch()
    messages = people.messages()
    first = people.claim(messages)
    assert list(first.claimed) == [one.message_id for one in messages] and not first.skipped
    again = people.claim(messages)
    assert again.claimed == () and again.skipped == {"claimed_before": 4}
    with people.ledger.connect() as connection:
        row = connection.execute(sa.select(claims).limit(1)).mappings().one()
    assert row["attempt_count"] == 1 and row["planned_send_at"] == NOW == row["claimed_at"]
    assert row["purpose"] == "marketing" and row["content_id"] == "wake_up_first"


@pytest.mark.requirement("OUT-4")
def test_one_contact_of_two_people_gets_a_step_once(people: People) -> None:
    people.batch()
    people.say(["2"], "granted", 2, contact_value=people.address("1"))
    shared = people.message("2", contact_token=people.token("1"))
    assert len(people.claim(people.messages("1")).claimed) == 1
    assert people.claim([shared]).skipped == {"claimed_before": 1}
    record(people.ledger, "b1", results([people.message("1").message_id], "rejected"), now=NOW)
    assert people.claim([shared]).skipped == {"claimed_before": 1}


@pytest.mark.requirement("OUT-4")
def test_one_person_with_two_contacts_gets_a_step_once(people: People) -> None:
    people.batch()
    second = "second@example.org"
    people.say(["1"], "granted", 2, contact_value=second)
    token = tokenise_contact("email", second, key=KEY).token
    both = [people.message("1"), people.message("1", contact_token=token)]
    report = people.claim(both)
    assert report.claimed == (both[0].message_id,) and report.skipped == {"claimed_before": 1}
    assert people.claim(both[1:]).skipped == {"claimed_before": 1}  # nor in a call of its own
    # After a definite failure of the first the other may be tried, and only the other.
    record(people.ledger, "b1", results([both[0].message_id], "rejected"), now=NOW)
    assert people.claim(both).claimed == (both[1].message_id,)


@pytest.mark.requirement("OUT-4")
def test_another_occurrence_is_another_message(people: People) -> None:
    people.batch()
    assert len(people.claim(people.messages()).claimed) == 4
    assert len(people.claim(people.messages(occurrence="2026-06-01")).claimed) == 4


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F29")
def test_what_somebody_got_counts_for_whoever_they_are_merged_into(people: People) -> None:
    people.batch()
    people.claim(people.messages("2"))
    people.ids = people.cluster(p1="one", p2="one", p3="one")
    assert people.ids["2"] == people.ids["1"] == people.ids["3"]
    assert people.claim(people.messages("1")).skipped == {"claimed_before": 1}
    assert people.claim(people.messages("3")).skipped == {"claimed_before": 1}
    assert len(people.claim(people.messages("4")).claimed) == 1


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F29")
def test_a_merge_of_merged_people_carries_everything(people: People) -> None:
    people.batch()
    people.claim(people.messages("3"))
    people.cluster(p2="two", p3="two")
    people.ids = people.cluster(p1="one", p2="one", p3="one")
    assert people.claim(people.messages("1")).skipped == {"claimed_before": 1}


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F29")
def test_who_parts_after_a_message_does_not_get_it_again(people: People) -> None:
    people.batch()
    now = dt.datetime.now() - dt.timedelta(hours=1)  # noqa: DTZ005 - before the split
    people.ids = people.cluster(p1="one", p2="one")
    moments = {"planned_send_at": now, "valid_until": now + dt.timedelta(days=9)}
    people.claim(people.messages("1", **moments), now=now)
    people.ids = people.cluster()
    assert people.ids["2"] != people.ids["1"]
    again = people.claim(people.messages("2", **moments), now=now)
    assert again.skipped == {"claimed_before": 1}
    # What either gets from now on is theirs alone.
    later = now + dt.timedelta(days=1)
    for person in ("1", "2"):
        ours = people.messages(person, occurrence="2027", **moments)
        assert len(people.claim(ours, now=later).claimed) == 1


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("F31")
def test_who_withdraws_between_plan_and_claim_is_not_written_to(people: People) -> None:
    people.batch()
    people.say(["1"], "withdrawn", 9)
    people.say(["2"], "withdrawn", 9, contact_value="second@example.org")
    report = people.claim(people.messages())
    assert report.skipped == {"withdrawn": 2} and len(report.claimed) == 2


@pytest.mark.requirement("PRV-1", "OUT-8")
@pytest.mark.bad_input("F31")
@pytest.mark.parametrize("name", ["ours", "the provider's"])
def test_who_opts_out_of_a_message_is_left_alone_though_no_account_is_named(
    people: People, name: str
) -> None:
    people.batch()
    (first,) = people.claim(people.messages("1")).claimed
    call = DeliveryResult(first, "accepted", "test", NOW, reference="p-77")
    record(people.ledger, "b1", [call], now=NOW)
    row = {
        "record_id": "r1", "channel": "email", "account_channel": None,
        "source_customer_id": None, "receipt_kind": "unsubscribed",
        "message_id": first if name == "ours" else "p-77", "reply_text": None,
    }  # fmt: skip
    table = pa.Table.from_pylist([row], pa.schema([(one, pa.string()) for one in row]))
    for moment in ("occurred_at", "known_at"):
        table = table.append_column(moment, pa.array([NOW], pa.timestamp("us")))
    said = {"key": KEY, "feed": "receipts", "file_sha256": "f"}
    assert post_opt_outs(people.ledger, table, **said) == PostedOptOuts(1, 1, 0)
    assert post_opt_outs(people.ledger, table, **said) == PostedOptOuts(1, 0, 0)
    report = people.claim(people.messages(occurrence="2027"))
    assert report.skipped == {"withdrawn": 1} and len(report.claimed) == 3


@pytest.mark.requirement("PRV-1")
def test_a_merge_in_the_moment_of_claiming_is_seen(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.batch()
    people.say(["2"], "withdrawn", 9)
    reads = []

    def read_then_merge(*arguments: object) -> object:
        accounts = read_accounts(*arguments)
        if not reads:
            people.cluster(p1="one", p2="one")
        reads.append(accounts)
        return accounts

    monkeypatch.setattr("crm_pipeline.lib.outreach.claims.read_accounts", read_then_merge)
    assert people.claim(people.messages("1")).skipped == {"withdrawn": 1} and len(reads) == 2


@pytest.mark.requirement("PRV-1")
def test_who_was_merged_away_since_the_plan_is_not_written_to(people: People) -> None:
    people.batch()
    planned = people.messages("2")
    people.cluster(p1="one", p2="one")
    assert people.claim(planned).skipped == {"withdrawn": 1}


@pytest.mark.requirement("PRV-1")
def test_consent_is_asked_for_the_channel_and_the_purpose_of_each_message(people: People) -> None:
    people.batch()
    mixed = [
        people.message("1", purpose="service"),
        people.message("2", consent_channel="sms"),
        people.message("3"),
    ]
    report = people.claim(mixed)
    assert report.claimed == (mixed[2].message_id,) and report.skipped == {"withdrawn": 2}


@pytest.mark.requirement("OUT-7")
def test_moments_the_switch_and_the_batch_are_asked_in_the_claim(people: People) -> None:
    people.batch()
    people.batch("b2", "approved")
    late = people.message("1", valid_until=NOW)
    early = people.message("2", planned_send_at=NOW + dt.timedelta(seconds=1))
    assert people.claim([late, early]).skipped == {"expired": 1, "not_due": 1}
    assert people.claim(people.messages(), "b2").skipped == {"batch_not_released": 4}
    assert people.claim(people.messages(), "unknown").skipped == {"batch_not_released": 4}
    said = {"actor": "li", "reason": "a test", "now": NOW}
    set_switch(people.ledger, "all", is_stopped=True, **said)
    assert people.claim(people.messages()).skipped == {"stopped": 4}
    set_switch(people.ledger, "all", is_stopped=False, **said)
    set_switch(people.ledger, "wake_up", is_stopped=True, **said)
    assert people.claim(people.messages()).skipped == {"stopped": 4}
    set_switch(people.ledger, "wake_up", is_stopped=False, **said)
    set_switch(people.ledger, "another", is_stopped=True, **said)
    assert count_unclaimable(people.home, people.ledger, people.messages(), now=NOW) == {}
    assert len(people.claim(people.messages()).claimed) == 4


@pytest.mark.requirement("OUT-4")
def test_only_what_nobody_accepted_is_claimed_again(people: People) -> None:
    people.batch()
    people.batch("b2")
    messages = people.messages()
    people.claim(messages)
    ids = [one.message_id for one in messages]
    for name, outcome in zip(ids, ("accepted", "rejected", "refused", "uncertain"), strict=True):
        assert record(people.ledger, "b1", results([name], outcome), now=NOW) == 1
    report = people.claim([replace(one, decision_id="new") for one in messages], "b2")
    assert report.claimed == (ids[2],) and report.skipped == {"claimed_before": 3}
    with people.ledger.connect() as connection:
        query = sa.select(claims).where(claims.c.claim_id == ids[2])
        row = connection.execute(query).mappings().one()
    assert (row["attempt_count"], row["batch_id"], row["decision_id"]) == (2, "b2", "new")
    # The first batch lost the message: a late word of its call moves nothing.
    assert record(people.ledger, "b1", results([ids[2]], "accepted"), now=NOW) == 0
    assert people.states()[ids[2]] == "claimed"


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F34")
def test_states_only_move_forward(people: People) -> None:
    people.batch()
    messages = people.messages("1", "2")
    people.claim(messages)
    one, two = (message.message_id for message in messages)
    record(people.ledger, "b1", results([one], "accepted"), now=NOW)
    for outcome in ("uncertain", "refused", "rejected", "accepted"):
        assert record(people.ledger, "b1", results([one], outcome), now=NOW) == 0
    assert expire_claims(people.ledger, now=NOW, older_than=dt.timedelta(hours=1)) == 0
    later = NOW + dt.timedelta(hours=2)
    assert expire_claims(people.ledger, now=later, older_than=dt.timedelta(hours=1)) == 1
    assert people.states() == {one: "sent", two: "uncertain"}
    assert record(people.ledger, "b1", results([two], "refused"), now=NOW) == 0
    assert record(people.ledger, "b1", results([two], "accepted"), now=NOW) == 1
    assert people.audited() == [("schedule", "claims_expired")]
    with people.ledger.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(deliveries)).scalar() == 7


@pytest.mark.requirement("OUT-4")
@pytest.mark.parametrize("repeated", ["customer_id", "contact_token"])
def test_the_unique_keys_stop_what_a_claim_would_overlook(people: People, repeated: str) -> None:
    people.batch()
    people.claim(people.messages("1"))
    with people.ledger.connect() as connection:
        row = dict(connection.execute(sa.select(claims)).mappings().one())
    other = {"customer_id": "contact_token", "contact_token": "person_id"}[repeated]
    with pytest.raises(sa.exc.IntegrityError), people.ledger.begin() as connection:
        connection.execute(sa.insert(claims).values({**row, "claim_id": "x", other: "other"}))


CLAIM = """
import sys
from pathlib import Path
from batch_support import People
people = People(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
print(len(people.claim(people.messages()).claimed))
"""


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F26")
def test_of_two_processes_that_claim_at_once_each_message_goes_to_one(people: People) -> None:
    people.batch()
    paths = os.pathsep.join([str(Path.cwd()), str(HERE)])
    env = {**os.environ, "PYTHONPATH": paths, "CRM_FAIL": "claim_inserted:sleep"}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(people.home.root)],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    counts = sorted(int(racer.communicate(timeout=60)[0]) for racer in racers)
    assert counts == [0, 4] and set(people.states().values()) == {"claimed"}


@pytest.mark.requirement("OUT-4")
def test_a_merged_person_is_claimed_once_in_one_call(people: People) -> None:
    people.batch()
    people.ids = people.cluster(p1="one", p2="one")
    report = people.claim(people.messages("1", "2"))
    assert len(report.claimed) == 1 and report.skipped == {"claimed_before": 1}


def test_nothing_is_claimed_for_no_messages(people: People) -> None:
    assert claim_messages(people.home, people.ledger, "b", [], now=NOW).claimed == ()


def test_no_claim_reads_all_claims(tmp_path: Path) -> None:
    """A partial index is used only where its own condition stands in the statement."""
    people, plans = People(tmp_path), []
    people.batch()

    def explain(_c: object, cursor: sqlite3.Cursor, text: str, values: object, *_: object) -> None:
        if "claims" in text and text.lstrip().upper().startswith(("UPDATE", "INSERT")):
            rows = cursor.connection.execute(f"explain query plan {text}", values).fetchall()
            plans.extend(row[3] for row in rows)

    sa.event.listen(people.ledger, "before_cursor_execute", explain)
    people.claim(people.messages())
    assert any("once_per_contact" in plan for plan in plans)
    assert any("once_per_person" in plan for plan in plans)
    assert not [plan for plan in plans if "SCAN claims" in plan]
