"""Messages leave once: claim, call, record, receipts, reconcile, against a real server."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
import sqlalchemy as sa
from batch_support import KEY, NOW, People

from crm_pipeline.lib.consent import post_opt_outs
from crm_pipeline.lib.errors import LedgerError, OutreachError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.ledger.schema import batches, claims, deliveries, vault
from crm_pipeline.lib.outreach.adapters import open_adapter
from crm_pipeline.lib.outreach.adapters.http import Patience
from crm_pipeline.lib.outreach.adapters.wecom import WecomProvider
from crm_pipeline.lib.outreach.dispatch import Dispatcher, DispatchReport, QuietHours
from crm_pipeline.lib.outreach.message import Message
from crm_pipeline.lib.outreach.receipts import SettledReceipts, settle_receipts
from crm_pipeline.lib.outreach.reconcile import reconcile, resolve_message
from crm_pipeline.lib.outreach.switch import set_switch
from tests.unit.crm_pipeline.outreach.delivery_servers import HttpProvider, repeated, running

SHANGHAI = ZoneInfo("Asia/Shanghai")
NIGHT = QuietHours(dt.time(22), dt.time(8), lambda _: SHANGHAI)
LATER = NOW + dt.timedelta(hours=1)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[HttpProvider]:
    folder = tmp_path / "provider"
    folder.mkdir()
    server = HttpProvider(folder)
    with running(server):
        yield server


def dispatcher(
    people: People, web: HttpProvider, now: dt.datetime = NOW, quiet: QuietHours = NIGHT
) -> Dispatcher:
    patience = Patience(0.5, 0.3, max_attempts=2, sleep=lambda _: None)
    environment = {"CRM_DELIVERY_EMAIL": web.url("webhook", secret_env="S"), "S": "hook secret"}
    adapter = open_adapter("email", environment, patience=patience)
    assert not isinstance(adapter, WecomProvider)
    return Dispatcher(people.home, people.ledger, people.vault, adapter, quiet, lambda: now)


def send(
    people: People, web: HttpProvider, messages: list[Message] | None = None, **options: Any
) -> DispatchReport:
    return dispatcher(people, web, **options).dispatch("b1", messages or people.messages())


def receipts(*rows: tuple[str, str], channel: str = "email", **columns: str | None) -> pa.Table:
    """Receipts of a kind for a message id."""
    values = [
        {
            "record_id": f"r{place}", "channel": channel, "account_channel": "shop",
            "source_customer_id": "1", "message_id": message_id, "receipt_kind": kind,
            "occurred_at": NOW, "known_at": NOW, "journey": None, "step": None,
            "reply_text": None, **columns,
        }
        for place, (message_id, kind) in enumerate(rows)
    ]  # fmt: skip
    text = ("record_id", "channel", "account_channel", "source_customer_id", "message_id",
            "receipt_kind", "journey", "step", "reply_text")  # fmt: skip
    schema = pa.schema(
        [(n, pa.string()) for n in text]
        + [(n, pa.timestamp("us")) for n in ("occurred_at", "known_at")]
    )
    return pa.Table.from_pylist(values, schema)


def outcomes(people: People) -> list[tuple[str, str, str | None]]:
    """Outcome, adapter and detail of each call, in order."""
    with people.ledger.connect() as connection:
        query = sa.select(deliveries.c.outcome, deliveries.c.adapter, deliveries.c.detail)
        return [tuple(row) for row in connection.execute(query.order_by(deliveries.c.delivery_id))]


@pytest.mark.requirement("OUT-7")
def test_every_message_is_delivered_once_and_every_call_on_record(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    assert send(people, web).delivered == {"accepted": 4}
    again = send(people, web)
    assert (again.delivered, again.skipped) == ({}, {"claimed_before": 4})
    assert sorted(web.log.ids()) == sorted(one.message_id for one in people.messages())
    assert outcomes(people) == [("accepted", "webhook", None)] * 4
    assert set(people.states().values()) == {"sent"}


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F23")
def test_f23_what_nobody_took_is_tried_by_the_next_run(people: People, web: HttpProvider) -> None:
    people.batch()
    messages = people.messages("1")
    web.script.set("status:429:900")
    report = send(people, web)
    assert report.stopped_by == "provider_asked_to_wait"
    assert (report.delivered, report.waiting.total(), report.message_count) == (
        {"refused": 1},
        3,
        4,
    )
    web.script.set("accept")
    assert send(people, web, messages).message_count == 1
    assert send(people, web).message_count == 4
    assert not repeated(web.log.ids()) and len(web.log.ids()) == 4


@pytest.mark.bad_input("F23")
def test_f23_a_provider_that_keeps_refusing_is_left_alone(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    messages = [one for step in ("a", "b") for one in people.messages(step=step)]
    web.script.set("status:401")
    report = send(people, web, messages)
    assert (report.stopped_by, report.delivered["refused"]) == ("provider_refuses", 5)
    assert report.waiting == {"provider_refuses": 3}


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F24")
@pytest.mark.parametrize("word", ["drop_after", "hold_after", "status_after:500", "garbage_after"])
def test_f24_accepted_and_then_lost_is_uncertain_and_never_sent_again(
    people: People, web: HttpProvider, word: str
) -> None:
    people.batch()
    message = people.messages("1")
    web.script.set(word, "accept")
    assert send(people, web, message).delivered == {"uncertain": 1}
    for _ in range(2):
        assert send(people, web, message, now=LATER).skipped == {"claimed_before": 1}
    assert web.log.ids() == [message[0].message_id]
    settle_receipts(people.ledger, receipts((message[0].message_id, "delivered")))
    assert people.states() == {message[0].message_id: "sent"}


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F25")
@pytest.mark.parametrize(
    ("point", "sent"),
    [
        ("dispatch_before_claim", 0), ("claim_inserted", 0), ("dispatch_claimed", 0),
        ("dispatch_called", 1), ("record_before", 1), ("dispatch_recorded", 1),
    ],
)  # fmt: skip
def test_f25_a_crash_between_claim_and_record_sends_nothing_twice(
    people: People, web: HttpProvider, monkeypatch: pytest.MonkeyPatch, point: str, sent: int
) -> None:
    people.batch()
    message = people.messages("1")
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    with pytest.raises(InjectedFailureError):
        send(people, web, message)
    assert len(web.log.ids()) == sent
    send(people, web, message)
    is_free = point in ("dispatch_before_claim", "claim_inserted")
    assert len(web.log.ids()) == max(sent, int(is_free))
    report = reconcile(people.ledger, now=LATER)
    is_known = is_free or point == "dispatch_recorded"
    assert report.newly_uncertain_count == int(not is_known)
    send(people, web, message, now=LATER)
    assert len(web.log.ids()) == max(sent, int(is_free))


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F26")
def test_f26_two_dispatchers_at_once_deliver_each_message_once(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    messages = [one for step in "abcde" for one in people.messages(step=step)]
    reports: list[DispatchReport] = []
    runs = [
        threading.Thread(target=lambda: reports.append(send(people, web, messages)))
        for _ in range(3)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(web.log.ids()) == sorted(one.message_id for one in messages)
    assert sum(report.delivered["accepted"] for report in reports) == len(messages)


@pytest.mark.bad_input("F27")
def test_f27_one_refused_recipient_does_not_hold_up_the_others(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    web.script.set("accept", "status:422", "accept")
    assert send(people, web).delivered == {"accepted": 3, "rejected": 1}
    assert sorted(people.states().values()) == ["failed", "sent", "sent", "sent"]


@pytest.mark.requirement("OUT-7")
@pytest.mark.bad_input("F28")
def test_f28_a_stopped_batch_goes_on_where_it_was_with_edited_content(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    send(people, web, people.messages("1"))
    words: dict[str, Any] = {"actor": "li", "reason": "typo", "now": NOW}
    set_switch(people.ledger, "wake_up", is_stopped=True, **words)
    edited = people.messages(body="A better text.", content_version="2")
    assert send(people, web, edited).skipped == {"claimed_before": 1, "stopped": 3}
    set_switch(people.ledger, "wake_up", is_stopped=False, **words)
    assert send(people, web, edited).delivered == {"accepted": 3}
    texts = [line["body"]["body"] for line in web.log.read()]
    assert texts == ["A gift waits for you."] + ["A better text."] * 3


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F29")
def test_f29_a_person_who_was_merged_gets_no_step_twice(people: People, web: HttpProvider) -> None:
    people.batch()
    send(people, web, people.messages("1"))
    people.ids = people.cluster(p1="both", p2="both")
    assert send(people, web, people.messages("2")).delivered == {}
    assert len(web.log.ids()) == 1


@pytest.mark.bad_input("F30")
def test_f30_a_report_counts_every_message_it_was_handed(people: People, web: HttpProvider) -> None:
    people.batch()
    people.say(["2"], "withdrawn", 2)
    web.script.set("accept", "drop_after", "accept")
    messages = [*people.messages(), people.message("1", step="late", planned_send_at=LATER)]
    report = send(people, web, messages)
    assert report.message_count == 5
    assert (report.skipped, report.waiting) == ({"withdrawn": 1}, {"not_due": 1})


@pytest.mark.requirement("OUT-8", "PRV-1")
@pytest.mark.bad_input("F31", "B87")
@pytest.mark.parametrize("reply", ["退订", "TD", "R", "ＴＤ", "t d"])
def test_f31_an_answer_that_says_no_stops_the_next_claim(
    people: People, web: HttpProvider, reply: str
) -> None:
    people.batch()
    first = people.message("1")
    send(people, web, [first])
    answer = receipts((first.message_id, "delivered"), reply_text=reply)
    post_opt_outs(people.ledger, answer, key=KEY, feed="receipts", file_sha256="f")
    settle_receipts(people.ledger, answer)
    following = people.message("1", step="second")
    assert send(people, web, [following]).skipped == {"withdrawn": 1}
    assert web.log.ids() == [first.message_id]
    assert people.states()[first.message_id] == "sent"


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("F31")
def test_f31_an_opt_out_between_plan_and_claim_counts(people: People, web: HttpProvider) -> None:
    people.batch()
    planned = people.messages()
    people.say(["3"], "withdrawn", 5)
    report = send(people, web, planned)
    assert (report.delivered, report.skipped) == ({"accepted": 3}, {"withdrawn": 1})
    assert people.message("3").message_id not in web.log.ids()


@pytest.mark.bad_input("F32")
def test_f32_without_its_ledger_nothing_is_sent(
    people: People, web: HttpProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.batch()
    running_one = dispatcher(people, web)

    def lose(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("select", {}, OSError("gone"))

    monkeypatch.setattr(people.ledger, "connect", lose)
    with pytest.raises(LedgerError, match="nothing more is sent"):
        running_one.dispatch("b1", people.messages())
    assert web.log.ids() == []


@pytest.mark.bad_input("F32")
def test_f32_a_ledger_lost_after_the_call_leaves_a_claim_nobody_sends_again(
    people: People, web: HttpProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.batch()

    def lose(*_: object, **__: object) -> None:
        raise sa.exc.OperationalError("insert", {}, OSError("gone"))

    with monkeypatch.context() as patch:
        patch.setattr("crm_pipeline.lib.outreach.dispatch.record", lose)
        with pytest.raises(LedgerError, match="settled by receipts"):
            send(people, web)
    assert len(web.log.ids()) == 1
    assert send(people, web).delivered == {"accepted": 3}
    assert not repeated(web.log.ids())


@pytest.mark.bad_input("F33")
def test_f33_an_erased_address_gets_nothing(people: People, web: HttpProvider) -> None:
    people.batch()
    with people.vault.begin() as connection:
        connection.execute(sa.delete(vault).where(vault.c.token == people.token("1")))
    report = send(people, web)
    assert (report.skipped, report.delivered) == ({"no_address": 1}, {"accepted": 3})
    assert people.message("1").message_id not in people.states()


RECEIPTS = [
    (("sent",), "sent"),
    (("failed",), "failed"),
    (("delivered",), "sent"),
    (("delivered", "failed"), "sent"),
    (("failed", "delivered"), "sent"),
    (("opened", "failed", "sent"), "sent"),
    (("failed", "failed", "sent"), "failed"),
    (("clicked", "delivered", "failed"), "sent"),
]


@pytest.mark.requirement("OUT-8")
@pytest.mark.bad_input("F34")
@pytest.mark.parametrize(("kinds", "state"), RECEIPTS)
@pytest.mark.parametrize("word", ["accept", "drop_after"])
def test_f34_receipts_in_any_order_and_number_come_to_the_same(
    people: People, web: HttpProvider, kinds: tuple[str, ...], state: str, word: str
) -> None:
    people.batch()
    message = people.message("1")
    web.script.set(word)
    send(people, web, [message])
    for kind in (*kinds, *reversed(kinds)):
        settle_receipts(people.ledger, receipts((message.message_id, kind)))
    assert people.states() == {message.message_id: state}


def settled(people: People, table: pa.Table) -> SettledReceipts:
    report = settle_receipts(people.ledger, table)
    counts = (report.settled_count, report.unchanged_count, report.unknown_count,
              report.contradicting_count, report.conflicting_count)  # fmt: skip
    assert sum(counts) == report.received_count
    return report


@pytest.mark.requirement("OUT-8")
@pytest.mark.bad_input("F34")
def test_f34_a_receipt_of_nothing_or_against_its_claim_changes_nothing(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    message = people.message("1")
    send(people, web, [message])
    unknown = receipts(("f" * 32, "delivered"), ("", "failed"))
    assert settled(people, unknown).unknown_count == 2
    for forged in ({"channel": "sms"}, {"journey": "win_back"}, {"step": "second"}):
        table = receipts((message.message_id, "failed"), **forged)
        assert settled(people, table).contradicting_count == 1
    assert people.states() == {message.message_id: "sent"}


@pytest.mark.requirement("OUT-8")
def test_a_receipt_may_name_the_provider_s_own_number(people: People, web: HttpProvider) -> None:
    people.batch()
    message = people.message("1")
    send(people, web, [message])
    assert settled(people, receipts((f"p-{message.message_id}", "failed"))).settled_count == 1
    assert people.states() == {message.message_id: "failed"}


@pytest.mark.requirement("OUT-4", "OUT-8")
@pytest.mark.bad_input("F34")
def test_a_definite_failure_frees_the_next_way_of_contact_and_late_news_cannot_take_it_back(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    first = people.message("1")
    send(people, web, [first])
    people.say(["1"], "granted", 2, contact_value="other1@example.org")
    address = people.address
    people.address = lambda person: f"other{person}@example.org"  # type: ignore[method-assign]
    fallback = people.message("1")
    people.address = address  # type: ignore[method-assign]
    assert send(people, web, [fallback]).skipped == {"claimed_before": 1}
    settle_receipts(people.ledger, receipts((first.message_id, "failed")))
    assert send(people, web, [fallback]).delivered == {"accepted": 1}
    late = settled(people, receipts((first.message_id, "delivered")))
    assert late.conflicting_count == 1
    assert people.states() == {first.message_id: "failed", fallback.message_id: "sent"}


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("F35")
def test_f35_when_quiet_hours_begin_the_rest_waits_and_goes_once(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    evening = dt.datetime(2026, 7, 1, 13, 59)  # noqa: DTZ001 - 21:59 in Shanghai
    zones = {people.ids["4"]: ZoneInfo("Europe/London")}
    quiet = QuietHours(dt.time(22), dt.time(8), lambda one: zones.get(one.customer_id, SHANGHAI))
    assert send(people, web, people.messages("1"), now=evening, quiet=quiet).delivered
    after = evening + dt.timedelta(minutes=1)
    report = send(people, web, now=after, quiet=quiet)
    assert report.delivered == {"accepted": 1}  # it is afternoon in London
    assert (report.waiting, report.skipped) == ({"quiet_hours": 2}, {"claimed_before": 1})
    morning = dt.datetime(2026, 7, 2, 0)  # noqa: DTZ001 - 08:00 in Shanghai
    assert send(people, web, now=morning, quiet=quiet).delivered == {"accepted": 2}
    assert not repeated(web.log.ids()) and len(web.log.ids()) == 4


@pytest.mark.bad_input("F36")
@pytest.mark.requirement("OUT-4")
def test_f36_two_batches_of_one_step_race_for_a_person_and_one_wins(
    people: People, web: HttpProvider
) -> None:
    people.batch("b1")
    people.batch("b2", as_of_date=dt.date(2026, 7, 1))
    runs = [
        threading.Thread(
            target=lambda name=name: dispatcher(people, web).dispatch(name, people.messages())
        )
        for name in ("b1", "b2")
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert len(web.log.ids()) == 4 and not repeated(web.log.ids())


@pytest.mark.requirement("OUT-7")
def test_an_expired_or_unreleased_message_does_not_leave(people: People, web: HttpProvider) -> None:
    people.batch(state="approved")
    assert send(people, web, people.messages("1")).skipped == {"batch_not_released": 1}
    late = NOW + dt.timedelta(days=3)
    assert send(people, web, now=late).skipped == {"expired": 4}
    assert web.log.ids() == []


@pytest.mark.bad_input("F19")
def test_a_clock_that_jumps_sends_nothing_twice(people: People, web: HttpProvider) -> None:
    people.batch()
    web.script.set("accept", "drop_after")
    for hours in (0, 30, -48, 12, 100, 0):
        now = NOW + dt.timedelta(hours=hours)
        send(people, web, now=now)
        reconcile(people.ledger, now=now)
    assert not repeated(web.log.ids())


# ----------------------------------------------------------------------------------- by a person


@pytest.mark.requirement("OUT-4")
@pytest.mark.parametrize("state", ["sent", "failed"])
def test_a_person_settles_an_uncertain_message_and_the_audit_knows(
    people: People, web: HttpProvider, state: Any
) -> None:
    people.batch()
    message = people.message("1")
    web.script.set("drop_after")
    send(people, web, [message])
    (listed,) = reconcile(people.ledger, now=NOW, batch_id="b1").uncertain
    assert listed.message_id == message.message_id
    assert reconcile(people.ledger, now=NOW, batch_id="b2").uncertain == []
    asked: dict[str, Any] = {"actor": "wang", "now": NOW}
    with pytest.raises(OutreachError, match="no reason"):
        resolve_message(people.ledger, message.message_id, state, reason=" ", **asked)
    resolve_message(people.ledger, message.message_id, state, reason="provider's list", **asked)
    assert people.states() == {message.message_id: state}
    assert people.audited()[-1] == ("wang", "message_resolved")
    with pytest.raises(OutreachError, match="not uncertain"):
        resolve_message(people.ledger, message.message_id, "failed", reason="again", **asked)
    with pytest.raises(OutreachError, match="no such message"):
        resolve_message(people.ledger, "nobody", "failed", reason="again", **asked)


def test_a_call_without_a_record_is_uncertain_only_after_its_time(
    people: People, web: HttpProvider
) -> None:
    people.batch()
    people.claim(people.messages("1"))
    soon = NOW + dt.timedelta(minutes=10)
    assert reconcile(people.ledger, now=soon).newly_uncertain_count == 0
    assert reconcile(people.ledger, now=LATER).newly_uncertain_count == 1


def test_no_address_stands_in_the_ledger_or_in_an_error(people: People, web: HttpProvider) -> None:
    people.batch()
    web.script.set("accept", "drop_after", "status:422", "status:401")
    send(people, web)
    with people.ledger.connect() as connection:
        rows = [*connection.execute(sa.select(claims)), *connection.execute(sa.select(deliveries)),
                *connection.execute(sa.select(batches))]  # fmt: skip
    assert "@example.org" not in str(rows).replace("p1***@example.org", "")
