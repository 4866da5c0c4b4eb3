"""An approved batch goes out by file: dry first, each message once, whatever happens."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from batch_support import KEY, NOW, SHANGHAI, People, journey

from crm_pipeline.lib.consent import tokenise_contact
from crm_pipeline.lib.errors import ConfigError, LedgerError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.files import sweep_temporaries
from crm_pipeline.lib.ledger.schema import claims, vault
from crm_pipeline.lib.outreach.adapters import file as file_adapter
from crm_pipeline.lib.outreach.claims import expire_claims
from crm_pipeline.lib.outreach.dispatch import QuietHours
from crm_pipeline.lib.outreach.life import choose_canary
from crm_pipeline.lib.outreach.plan import Batch, find_batch
from crm_pipeline.lib.outreach.release import is_due_again
from crm_pipeline.lib.outreach.switch import set_switch
from crm_pipeline.lib.recover import recover

HERE = Path(__file__).parent
HOUR = dt.timedelta(hours=1)
POINTS = [
    "claim_before", "claim_inserted", "claim_after", "batch_file_before", "batch_file_after",
    "record_before", "record_after", "batch_recorded", "batch_file_named",
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> People:
    return People(tmp_path)


def files_of(world: People, batch: Batch, pattern: str = "*.csv") -> list[Path]:
    return sorted((world.home.root / batch.folder).glob(pattern))


def rows_of(world: People, batch: Batch) -> list[dict[str, str]]:
    rows = []
    for path in files_of(world, batch):
        with path.open(encoding="utf-8-sig", newline="") as source:
            rows += list(csv.DictReader(source))
    for path in files_of(world, batch, "*.jsonl"):
        rows += [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return rows


def contacts(world: People, batch: Batch) -> list[str]:
    return sorted(row["contact"] for row in rows_of(world, batch))


def addresses(world: People, *people: str) -> list[str]:
    return [world.address(person) for person in people or world.sources]


# ------------------------------------------------------------------------------- dry and live


@pytest.mark.requirement("OUT-7")
def test_without_being_told_nothing_is_delivered(world: People) -> None:
    batch = world.approved()
    report = world.release(batch, CRM_DELIVERY="")
    assert report.is_dry_run and world.states() == {} and report.batch.state == "approved"
    (path,) = report.files
    assert path == world.home.root / batch.folder / "dry_run" / "email.csv"
    text = path.read_text(encoding="utf-8-sig")
    assert "A gift, 退订回T" in text and "p1***@example.org" in text
    assert not any(address in text for address in addresses(world))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert files_of(world, batch) == [] and world.audited()[-1] == ("li", "batch_dry_run")
    assert world.release(batch).delivered == {"accepted": 4}  # and then for good


@pytest.mark.requirement("OUT-7")
def test_a_setting_that_is_none_stops_everything(world: People) -> None:
    batch = world.approved()
    for name, value, match in (
        ("CRM_DELIVERY", "yes", "'yes' is no way to deliver"),
        ("CRM_DELIVERY_EMAIL", "file:xlsx", "cannot be written as 'xlsx'"),
        ("CRM_DELIVERY_EMAIL", "pigeon://", "no adapter of email has this address"),
    ):
        with pytest.raises(ConfigError, match=match):
            world.release(batch, **{name: value})
    assert world.states() == {} and world.audited()[-1] == ("wang", "batch_approved")


@pytest.mark.requirement("OUT-7")
def test_a_file_has_everything_a_message_needs(world: People) -> None:
    batch = world.approved()
    report = world.release(batch)
    assert report.batch.state == "done" and report.delivered == {"accepted": 4}
    (path,) = files_of(world, batch)
    assert path.name == "email-001.csv" and path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert contacts(world, batch) == addresses(world)
    row = rows_of(world, batch)[0]
    assert tuple(row) == file_adapter.COLUMNS
    assert (row["subject"], row["body"]) == ("We miss you", "A gift, 退订回T")
    assert row["valid_until"] == "2026-07-04T03:00:00+00:00"
    assert set(world.states().values()) == {"sent"}


@pytest.mark.requirement("OUT-7")
def test_a_file_of_lines_has_no_mark_and_raw_values(world: People) -> None:
    batch = world.approved()
    world.release(batch, CRM_DELIVERY_EMAIL="file:jsonl")
    (path,) = files_of(world, batch, "*.jsonl")
    assert path.read_bytes().startswith(b'{"message_id"')
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert sorted(row["contact"] for row in rows) == addresses(world)
    assert rows[0]["body"] == "A gift, 退订回T"


@pytest.mark.requirement("OUT-4")
def test_a_file_that_was_taken_away_is_not_written_again(world: People) -> None:
    batch = world.approved(journey(canary_pct=50))
    world.release(batch)
    taken = len(rows_of(world, batch))
    files_of(world, batch)[0].unlink()
    world.release(batch)
    (path,) = files_of(world, batch)
    assert path.name == "email-002.csv" and len(rows_of(world, batch)) == 4 - taken


# ------------------------------------------------------------------------- what may not leave


@pytest.mark.requirement("PRV-1")
def test_who_withdraws_after_the_approval_is_not_written_to(world: People) -> None:
    batch = world.approved()
    world.say(["1"], "withdrawn", 9)
    report = world.release(batch)
    assert report.skipped == {"withdrawn": 1} and report.batch.state == "done"
    assert contacts(world, batch) == addresses(world, "2", "3", "4")


def test_who_has_no_address_is_counted(world: People) -> None:
    batch = world.approved()
    with world.vault.begin() as connection:
        connection.execute(sa.delete(vault).where(vault.c.token == world.token("1")))
    assert world.release(batch).skipped == {"no_address": 1}


@pytest.mark.bad_input("B73")
def test_what_a_spreadsheet_would_run_never_stands_in_a_file(world: People) -> None:
    address = "=cmd@example.org"
    token = tokenise_contact("email", address, key=KEY).token
    world.say(["1"], "granted", 2, contact_value=address)
    world.record(
        pa.concat_tables(
            [world.decisions("1", contact_token=token), world.decisions("2", guide_id="=1+1")]
        )
    )
    (batch,) = world.plan()
    world.approve(batch)
    assert world.release(batch).skipped == {"no_address": 1}
    assert [row["guide_id"] for row in rows_of(world, batch)] == ["'=1+1"]


@pytest.mark.bad_input("B73")
def test_a_phone_number_is_no_number_to_a_spreadsheet(world: People) -> None:
    token = tokenise_contact("phone", "13912345678", key=KEY).token
    world.say(["1"], "granted", 2, contact_value="13912345678", contact_kind="phone",
              consent_channel="sms")  # fmt: skip
    world.record(world.decisions("1", contact_token=token, consent_channel="sms"))
    (batch,) = world.plan()
    world.approve(batch)
    world.release(batch)
    assert contacts(world, batch) == ["tel:+8613912345678"]


# ------------------------------------------------------------------------------------ moments


@pytest.mark.requirement("OUT-5")
def test_what_is_not_due_waits_and_goes_once_it_is(world: People) -> None:
    later = NOW + 2 * HOUR
    world.record(
        pa.concat_tables([world.decisions("1"), world.decisions("2", planned_send_at=later)])
    )
    (batch,) = world.plan()
    world.approve(batch)
    first = world.release(batch)
    assert first.waiting == {"not_due": 1} and first.batch.state == "released"
    assert contacts(world, batch) == addresses(world, "1")
    assert is_due_again(world.ledger, batch.batch_id, "approved", now=NOW) == (0, True)
    assert is_due_again(world.ledger, batch.batch_id, "released", now=NOW) == (1, False)
    assert is_due_again(world.ledger, batch.batch_id, "released", now=later) == (1, True)
    assert world.release(batch, now=later).batch.state == "done"
    assert contacts(world, batch) == addresses(world, "1", "2")


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("F35")
def test_quiet_hours_count_where_the_customer_is(world: People) -> None:
    berlin = json.dumps({"timezone": "Europe/Berlin"})
    world.record(pa.concat_tables([world.decisions("1"), world.decisions("2", evidence=berlin)]))
    (batch,) = world.plan()
    world.approve(batch)
    first = world.release(batch)  # 11:00 in Shanghai, 05:00 in Berlin
    assert first.waiting == {"quiet_hours": 1}
    assert contacts(world, batch) == addresses(world, "1")
    assert world.release(batch, now=NOW + 3 * HOUR).delivered == {"accepted": 1}


@pytest.mark.requirement("OUT-7")
def test_the_kill_switch_works_between_the_chunks_of_a_file(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    monkeypatch.setattr(file_adapter, "CHUNK", 2)
    claim, said = file_adapter.claim_messages, {"actor": "li", "reason": "a test", "now": NOW}

    def stop_after_the_first(*arguments: object, **options: object) -> object:
        report = claim(*arguments, **options)
        set_switch(world.ledger, "wake_up", is_stopped=True, **said)
        return report

    monkeypatch.setattr(file_adapter, "claim_messages", stop_after_the_first)
    report = world.release(batch)
    assert report.delivered == {"accepted": 2} and report.skipped == {"stopped": 2}
    assert report.batch.state == "released" and len(rows_of(world, batch)) == 2
    monkeypatch.setattr(file_adapter, "claim_messages", claim)
    assert world.release(batch).delivered == {}
    set_switch(world.ledger, "wake_up", is_stopped=False, **said)
    assert world.release(batch).batch.state == "done"
    assert contacts(world, batch) == addresses(world)


# ------------------------------------------------------------------------------------- crashes


def crash(
    monkeypatch: pytest.MonkeyPatch, point: str, world: People, batch: Batch, **environment: str
) -> None:
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    with pytest.raises(InjectedFailureError):
        world.release(batch, **environment)
    monkeypatch.delenv("CRM_FAIL")


def settle(world: People, batch: Batch, now: dt.datetime = NOW, **environment: str) -> None:
    """Releases until the batch is done."""
    for _ in range(3):
        if find_batch(world.ledger, batch.batch_id).state != "done":
            world.release(batch, now=now, **environment)


@pytest.mark.requirement("OUT-4")
@pytest.mark.requirement("SRV-3")
@pytest.mark.bad_input("F25")
@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
@pytest.mark.parametrize("point", POINTS)
def test_a_failure_anywhere_and_a_second_try_send_each_once(
    world: People, point: str, file_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = {"CRM_DELIVERY_EMAIL": f"file:{file_format}"}
    batch = world.approved()
    crash(monkeypatch, point, world, batch, **way)
    # Whatever else is done meanwhile: temporaries are swept, old claims are looked at.
    sweep_temporaries(world.home.root, older_than_seconds=-1, now=2e9)
    expire_claims(world.ledger, now=NOW + HOUR, older_than=HOUR / 60)
    settle(world, batch, NOW + HOUR, **way)
    assert contacts(world, batch) == addresses(world)
    assert list(world.states().values()) == ["sent"] * 4
    assert not list((world.home.root / batch.folder).glob(".*"))


@pytest.mark.requirement("OUT-7")
@pytest.mark.parametrize("point", ["claim_after", "batch_file_before", "batch_file_after"])
def test_what_a_crash_interrupted_is_not_written_while_outreach_is_stopped(
    world: People, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    batch = world.approved()
    crash(monkeypatch, point, world, batch)
    said = {"actor": "li", "reason": "a test", "now": NOW}
    set_switch(world.ledger, "wake_up", is_stopped=True, **said)
    assert world.release(batch).skipped == {"stopped": 4}
    assert files_of(world, batch, "email-*") == []  # a hidden one stays hidden
    assert set(world.states().values()) == {"claimed"}
    set_switch(world.ledger, "wake_up", is_stopped=False, **said)
    world.release(batch)
    assert contacts(world, batch) == addresses(world)


@pytest.mark.requirement("OUT-7")
def test_a_stop_after_the_claim_leaves_the_interrupted_messages_out(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    crash(monkeypatch, "batch_file_before", world, batch)
    said = {"actor": "li", "reason": "a test", "now": NOW}
    asked = file_adapter.find_stop

    def stop_just_after(*words: object) -> str | None:
        found = asked(*words)
        set_switch(world.ledger, "wake_up", is_stopped=True, **said)
        return found

    monkeypatch.setattr(file_adapter, "find_stop", stop_just_after)
    assert world.release(batch).skipped == {"stopped": 4}
    assert files_of(world, batch) == [] and set(world.states().values()) == {"refused"}


@pytest.mark.requirement("OUT-7")
def test_a_file_tells_staff_and_names_no_address_of_the_customer(world: People) -> None:
    batch_id = world.batch()
    folder = world.home.root / "outbox" / "wake_up" / batch_id
    night = QuietHours(dt.time(22), dt.time(8), lambda _: SHANGHAI)
    messages = world.messages("1", reader="advisor", guide_id="li")
    way = file_adapter.FileDelivery(
        world.home, world.ledger, world.vault, folder, "email", "jsonl", night, lambda: NOW
    )
    assert way.dispatch(batch_id, messages).skipped == {"not_for_customers": 1}
    addresses_of = way._read_addresses(messages)
    row = way._row(messages[0], addresses_of[messages[0].message_id])
    assert (row["reader"], row["contact"], row["guide_id"]) == ("advisor", "", "li")
    assert row["customer"] == world.ids["1"] and world.address("1") not in str(row)


@pytest.mark.requirement("PRV-1")
def test_who_withdraws_between_a_crash_and_the_second_try_is_not_written_to(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    crash(monkeypatch, "batch_file_before", world, batch)
    world.say(["1"], "withdrawn", 9)
    settle(world, batch)
    assert contacts(world, batch) == addresses(world, "2", "3", "4")
    assert world.states()[world.message("1").message_id] == "refused"


@pytest.mark.requirement("OUT-4")
def test_what_another_adapter_claimed_is_never_written_to_a_file(world: People) -> None:
    batch = world.approved()
    world.release(batch, now=NOW - 2 * HOUR)  # nothing is due, but the batch is released
    world.claim(world.messages("1"), batch.batch_id)  # by a call nobody recorded
    report = world.release(batch)
    assert report.skipped == {"claimed_before": 1} and report.batch.state == "released"
    assert contacts(world, batch) == addresses(world, "2", "3", "4")
    assert world.release(batch, now=NOW + HOUR).batch.state == "done"
    assert world.states()[world.message("1").message_id] == "uncertain"


RELEASE = """
import sys
from pathlib import Path
from batch_support import People
People(Path(sys.argv[1])).release(sys.argv[2])
"""


def start(world: People, batch: Batch, fail: str = "") -> subprocess.Popen:
    paths = os.pathsep.join([str(Path.cwd()), str(HERE)])
    env = {**os.environ, "CRM_FAIL": fail, "CRM_FAIL_SECONDS": "0.5", "PYTHONPATH": paths}
    command = [sys.executable, "-c", RELEASE, str(world.home.root), batch.batch_id]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE)


@pytest.mark.requirement("OUT-4")
@pytest.mark.requirement("SRV-3")
@pytest.mark.bad_input("F25")
@pytest.mark.parametrize("point", ["claim_after", "batch_file_after", "batch_recorded"])
def test_kill_9_and_a_second_try_send_each_once(world: People, point: str) -> None:
    batch = world.approved()
    assert start(world, batch, f"{point}:kill").wait(60) == -9
    settle(world, batch)
    assert contacts(world, batch) == addresses(world)
    assert list(world.states().values()) == ["sent"] * 4


@pytest.mark.requirement("OUT-4")
@pytest.mark.bad_input("F26")
def test_processes_that_release_at_once_send_each_once(world: People) -> None:
    batch = world.approved()
    releases = [start(world, batch, "claim_after:sleep") for _ in range(2)]
    words = [release.communicate(timeout=60)[1].decode() for release in releases]
    # The second comes too late for a batch that is done, or finds nothing left.
    assert sorted(r.returncode for r in releases)[0] == 0, words
    assert all(not word or "is done" in word for word in words), words
    assert contacts(world, batch) == addresses(world)


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("F32")
def test_without_the_vault_nothing_is_claimed(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    monkeypatch.setattr(world, "vault", sa.create_engine("sqlite:////nowhere/vault.sqlite"))
    with pytest.raises(LedgerError, match="does not answer"):
        world.release(batch)
    assert world.states() == {}


def test_what_a_claim_keeps_of_a_file_is_no_address(world: People) -> None:
    batch = world.approved()
    world.release(batch)
    with world.ledger.connect() as connection:
        rows = connection.execute(sa.select(claims)).mappings().all()
    assert not any("@" in str(value) for row in rows for value in row.values())


def test_recover_names_a_batch_a_crash_left_open(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    crash(monkeypatch, "claim_after", world, batch)
    (told,) = recover(world.home, world.ledger, now=2e9).unfinished_batches
    assert told == f"wake_up, 2026-06-30: {batch.batch_id}"
    settle(world, batch)
    assert recover(world.home, world.ledger, now=2e9).is_clean


@pytest.mark.requirement("PRV-1")
@pytest.mark.bad_input("F31")
@pytest.mark.parametrize("point", ["batch_file_before", "batch_file_after"])
def test_who_withdraws_before_a_written_file_is_on_record_does_not_stand_in_it(
    world: People, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    crash(monkeypatch, point, world, batch)
    world.say(["1"], "withdrawn", 9)
    settle(world, batch)
    assert contacts(world, batch) == addresses(world, "2", "3", "4")
    assert world.states()[world.message("1").message_id] == "refused"
    assert not list((world.home.root / batch.folder).glob(".*"))


@pytest.mark.requirement("OUT-7")
@pytest.mark.bad_input("F25")
def test_a_canary_that_broke_off_is_sent_before_the_rest(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved(journey(canary_pct=50))
    share = {one.message_id for one in choose_canary(world.messages(), 50)}
    crash(monkeypatch, "claim_before", world, batch)
    assert find_batch(world.ledger, batch.batch_id).state == "canary" and not world.states()
    again = world.release(batch)
    assert again.batch.state == "canary" and set(world.states()) == share
    assert world.release(batch).batch.state == "done"
    assert len(world.states()) == 4


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("F36")
def test_a_night_decided_again_sends_nothing_of_the_decisions_before(world: People) -> None:
    batch = world.approved(journey(canary_pct=50))
    world.release(batch)
    sent = dict(world.states())
    assert sent and len(sent) < 4
    world.record(world.decisions(outcome="capped"))  # what was sent for is another journey now
    report = world.release(batch)
    assert report.skipped["decided_anew"] == 4 - len(sent) and world.states() == sent


@pytest.mark.requirement("OUT-5")
@pytest.mark.bad_input("F36")
def test_of_a_night_in_two_versions_nobody_gets_messages_of_both(world: People) -> None:
    """A night does not count its own claims, so two versions of it could break a cap."""
    first = world.approved(journey(canary_pct=50))
    world.release(first)
    sent = dict(world.states())
    world.record(pa.concat_tables([world.decisions(), world.decisions(journey="cart")]))
    (second,) = world.plan(journey(journey="cart"))
    report = world.release(world.approve(second))
    assert report.skipped == {"decided_anew": len(sent)}
    assert report.delivered == {"accepted": 4 - len(sent)} and 0 < len(sent) < 4
