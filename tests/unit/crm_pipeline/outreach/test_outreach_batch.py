"""Each person at most once, whatever happens."""

from __future__ import annotations

import csv
import datetime as dt
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from outreach_support import AS_OF, NOON, World, journey

from crm_pipeline.lib.consent import tokenise_contact
from crm_pipeline.lib.errors import LedgerError, OutreachError
from crm_pipeline.lib.failpoints import InjectedFailureError
from crm_pipeline.lib.identity import read_accounts
from crm_pipeline.lib.ledger.schema import batches, claims, vault
from crm_pipeline.lib.outreach.batch import COLUMNS, is_written, list_unfinished
from crm_pipeline.lib.recover import recover

HERE = Path(__file__).parent
STORED = NOON.replace(tzinfo=None)
POINTS = [
    "claim_before",
    "claim_inserted",
    "claim_after",
    "batch_file_before",
    "batch_file_after",
    "batch_recorded",
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.say(world.sources, "granted")
    return world


def read_files(world: World) -> list[dict[str, str]]:
    rows = []
    for path in sorted(world.home.outbox.rglob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as source:
            rows += list(csv.DictReader(source))
    return rows


def contacts(world: World) -> list[str]:
    return sorted(row["contact"] for row in read_files(world))


def addresses(world: World, *people: str) -> list[str]:
    return [world.address(person) for person in people or world.sources]


def test_a_batch_file_has_everything_a_message_needs(world: World) -> None:
    report = world.night()
    assert report.message_count == 4 and report.is_new
    path = report.steps[0].path
    assert path is not None and path.parent == world.home.outbox / "wake_up"
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rows = read_files(world)
    assert contacts(world) == addresses(world)
    assert all(list(row) == list(COLUMNS) and all(row.values()) for row in rows)
    assert rows[0]["valid_until"] == "2011-12-13T02:00:00+00:00"
    assert rows[0]["opt_out"] == "回复TD退订"
    assert world.claims() == [(person, "sent") for person in world.sources]


@pytest.mark.requirement("OUT-4")
def test_writing_the_batch_again_sends_nothing_twice(world: World) -> None:
    first = world.night()
    before = first.steps[0].path.stat()
    again = world.write()
    assert not again.is_new and again.message_count == 4 and again.batch_id == first.batch_id
    assert first.steps[0].path.stat().st_mtime_ns == before.st_mtime_ns
    assert contacts(world) == addresses(world)


@pytest.mark.requirement("OUT-4")
def test_a_delivered_file_that_was_taken_away_is_not_written_again(world: World) -> None:
    world.night().steps[0].path.unlink()
    assert world.write().message_count == 4
    assert read_files(world) == []


@pytest.mark.requirement("OUT-4")
def test_the_same_candidates_on_the_next_night_get_nothing(world: World) -> None:
    world.night()
    report = world.night(AS_OF + dt.timedelta(days=1))
    assert report.message_count == 0 and report.steps[0].path is None
    assert contacts(world) == addresses(world)


@pytest.mark.requirement("OUT-4")
def test_a_later_revision_of_the_same_night_sends_only_what_was_not_claimed(world: World) -> None:
    world.night(people=["1", "2"])
    report = world.night(people=["1", "2", "3"])
    assert report.message_count == 1
    assert report.steps[0].skipped == {"claimed_before": 2}
    assert contacts(world) == addresses(world, "1", "2", "3")


@pytest.mark.requirement("OUT-4")
def test_a_new_occurrence_is_a_new_message(world: World) -> None:
    world.night(occurrence="2011-08-01")
    report = world.night(AS_OF + dt.timedelta(days=120), occurrence="2011-12-20")
    assert report.message_count == 4


@pytest.mark.requirement("OUT-4")
def test_new_content_is_no_new_message(world: World) -> None:
    world.night()
    steps = [{"step": "first", "channel": "email", "content_id": "other", "content_version": "2"}]
    spec = journey(steps=steps)
    decisions = world.decide()  # of the same night: the claims of today do not count
    world.record(decisions.slice(0, 3))
    assert world.write(spec).message_count == 0


@pytest.mark.requirement("PRV-1")
def test_who_withdraws_after_the_decision_is_not_written_to(world: World) -> None:
    world.record(world.decide())
    world.say(["1"], "withdrawn", 9)
    report = world.write()
    assert report.steps[0].skipped == {"withdrawn": 1}
    assert contacts(world) == addresses(world, "2", "3", "4")


@pytest.mark.requirement("PRV-1")
def test_who_withdraws_by_another_address_of_hers_is_not_written_to(world: World) -> None:
    other = {"contact_value": "second@example.org"}
    world.record(world.decide())
    world.say(["1"], "withdrawn", 9, **other)
    world.write()
    assert contacts(world) == addresses(world, "2", "3", "4")


@pytest.mark.requirement("PRV-1")
def test_who_turns_out_to_be_somebody_who_withdrew_is_not_written_to(world: World) -> None:
    world.say(["2"], "withdrawn", 9)
    world.record(world.decide(people=["1", "3"]))
    merged = world.cluster(p1="one", p2="one")
    assert merged["1"] == merged["2"] == world.ids["1"]
    report = world.write()
    assert report.steps[0].skipped == {"withdrawn": 1}
    assert contacts(world) == addresses(world, "3")


@pytest.mark.requirement("PRV-1")
def test_a_merge_in_the_moment_of_claiming_is_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.say(["2"], "withdrawn", 9)
    world.record(world.decide(people=["1"]))
    reads = []

    def read_then_merge(*arguments: object) -> object:
        accounts = read_accounts(*arguments)
        if not reads:
            world.cluster(p1="one", p2="one")
        reads.append(accounts)
        return accounts

    monkeypatch.setattr("crm_pipeline.lib.outreach.batch.read_accounts", read_then_merge)
    assert world.write().steps[0].skipped == {"withdrawn": 1}
    assert read_files(world) == [] and len(reads) > 1


@pytest.mark.requirement("PRV-1")
def test_who_was_merged_away_since_the_decision_is_not_written_to(world: World) -> None:
    world.record(world.decide(people=["2", "3"]))
    assert world.cluster(p1="one", p2="one")["2"] == world.ids["1"]
    assert world.write().steps[0].skipped == {"withdrawn": 1}
    assert contacts(world) == addresses(world, "3")


@pytest.mark.requirement("PRV-1")
def test_a_contact_that_a_split_took_away_is_not_written_to(world: World) -> None:
    world.cluster(p1="one", p2="one")
    world.record(world.decide(people=["1"], contact_token=f"'{world.token('2')}'"))
    assert world.cluster()["1"] == world.ids["1"]
    assert world.write().steps[0].skipped == {"withdrawn": 1}
    assert read_files(world) == []


@pytest.mark.requirement("PRV-1")
def test_who_withdraws_between_a_crash_and_the_second_try_is_not_written_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record(world.decide())
    crash(monkeypatch, "batch_file_before", world.write)
    world.say(["1"], "withdrawn", 9)
    world.write()
    assert contacts(world) == addresses(world, "2", "3", "4")
    assert world.claims()[0] == ("1", "failed")


def test_who_has_no_address_in_the_vault_is_counted(world: World) -> None:
    world.record(world.decide())
    with world.vault.begin() as connection:
        connection.execute(sa.delete(vault).where(vault.c.token == world.token("1")))
    assert world.write().steps[0].skipped == {"no_address": 1}


@pytest.mark.bad_input("B73")
def test_an_address_a_spreadsheet_would_run_never_leaves(world: World) -> None:
    value = "=cmd@example.org"
    token = tokenise_contact("email", value, key=b"a key for tests only").token
    world.say(["1"], "granted", 2, contact_value=value)
    decisions = world.decide(people=["1"], contact_token=f"'{token}'")
    world.record(decisions)
    assert world.write().steps[0].skipped == {"no_address": 1}


@pytest.mark.bad_input("B73")
def test_a_phone_number_is_no_number_to_a_spreadsheet(world: World) -> None:
    value, changes = "13912345678", {"contact_kind": "phone", "consent_channel": "sms"}
    token = tokenise_contact("phone", value, key=b"a key for tests only").token
    world.say(["1"], "granted", 2, contact_value=value, **changes)
    spec = journey(steps=[{"step": "first", "channel": "sms", "content_id": "a"}])
    audience = {"contact_token": f"'{token}'", "consent_channel": "'sms'"}
    world.night(spec=spec, people=["1"], **audience)
    assert contacts(world) == ["tel:+8613912345678"]


def crash(monkeypatch: pytest.MonkeyPatch, point: str, action) -> None:
    monkeypatch.setattr("crm_pipeline.lib.failpoints._passes", {})
    monkeypatch.setenv("CRM_FAIL", f"{point}:raise")
    with pytest.raises(InjectedFailureError):
        action()
    monkeypatch.delenv("CRM_FAIL")


@pytest.mark.requirement("OUT-4")
@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", POINTS)
def test_a_failure_anywhere_and_a_second_try_send_each_once(
    world: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided = world.record(world.decide())
    crash(monkeypatch, point, world.write)
    world.write()
    assert contacts(world) == addresses(world)
    assert world.claims() == [(person, "sent") for person in world.sources]
    assert is_written(world.ledger, journey(), AS_OF, decided.sha256)
    assert not world.write().is_new


WRITE = """
import sys
from pathlib import Path
from outreach_support import World
World(Path(sys.argv[1])).write()
"""


def start_writer(world: World, fail: str = "") -> subprocess.Popen:
    paths = os.pathsep.join([str(Path.cwd()), str(HERE)])
    env = {**os.environ, "CRM_FAIL": fail, "CRM_FAIL_SECONDS": "0.5", "PYTHONPATH": paths}
    command = [sys.executable, "-c", WRITE, str(world.home.root)]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE)


@pytest.mark.requirement("OUT-4")
@pytest.mark.requirement("SRV-3")
@pytest.mark.parametrize("point", ["claim_inserted", "claim_after", "batch_file_after"])
def test_kill_9_anywhere_and_a_second_try_send_each_once(world: World, point: str) -> None:
    world.record(world.decide())
    writer = start_writer(world, f"{point}:kill")
    assert writer.wait(60) == -9
    world.write()
    assert contacts(world) == addresses(world)
    assert world.claims() == [(person, "sent") for person in world.sources]


@pytest.mark.requirement("OUT-4")
@pytest.mark.requirement("SRV-3")
def test_processes_that_write_at_once_send_each_once(world: World) -> None:
    world.record(world.decide())
    writers = [start_writer(world, "claim_after:sleep") for _ in range(3)]
    for writer in writers:
        assert writer.wait(60) == 0, writer.stderr.read()
    assert contacts(world) == addresses(world)


@pytest.mark.requirement("OUT-4")
def test_threads_that_write_at_once_send_each_once(world: World) -> None:
    world.record(world.decide())
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(world.write())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.message_count for report in reports] == [4] * 4
    assert sum(report.is_new for report in reports) == 1
    assert contacts(world) == addresses(world)


@pytest.mark.requirement("OUT-4")
def test_a_claim_by_somebody_else_in_the_same_moment_wins(world: World) -> None:
    """The unique keys of the ledger stop what two journeys' runs could do to each other."""
    world.record(world.decide())
    with world.ledger.begin() as connection:
        connection.execute(
            sa.insert(batches).values(
                batch_id="x",
                journey="wake_up",
                step="first",
                as_of_date=AS_OF,
                slice_sha256="s",
                state="written",
                created_at=STORED,
            )
        )
        for name, person, token in (("a", world.ids["1"], "t"), ("b", "p", world.token("2"))):
            connection.execute(
                sa.insert(claims).values(
                    claim_id=name,
                    decision_id=name,
                    batch_id="x",
                    contact_token=token,
                    person_id=person,
                    journey="wake_up",
                    step="first",
                    occurrence="2011-08-01",
                    content_version="1",
                    state="sent",
                    claimed_at=STORED,
                )
            )
    assert world.write().steps[0].skipped == {"claimed_before": 2}
    assert contacts(world) == addresses(world, "3", "4")


@pytest.mark.requirement("SRV-3")
def test_a_batch_a_crash_left_open_is_ended_before_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record(world.decide(people=["1", "2"]))
    crash(monkeypatch, "claim_after", world.write)
    assert len(list_unfinished(world.ledger)) == 1
    report = world.night(AS_OF + dt.timedelta(days=1))
    assert report.message_count == 4
    assert list_unfinished(world.ledger) == []
    assert contacts(world) == addresses(world)


@pytest.mark.requirement("OUT-4")
def test_a_past_night_is_never_sent(world: World) -> None:
    world.record(world.decide())
    later = AS_OF + dt.timedelta(days=1)
    world.record(world.decide(as_of=later), later)
    with pytest.raises(OutreachError, match="are stale"):
        world.write()
    assert read_files(world) == [] and world.claims() == []


@pytest.mark.requirement("OUT-4")
def test_a_batch_the_ledger_forgot_is_not_sent_again(world: World) -> None:
    world.night()
    with world.ledger.begin() as connection:
        connection.execute(sa.delete(claims))
        connection.execute(sa.delete(batches))
    with pytest.raises(OutreachError, match="the ledger does not know"):
        world.write()


def test_without_decisions_there_is_no_batch(world: World) -> None:
    with pytest.raises(OutreachError, match="nothing was decided for 2011-12-09"):
        world.write()


@pytest.mark.requirement("OUT-3")
def test_decisions_that_were_changed_on_disk_are_not_sent(world: World) -> None:
    found = world.record(world.decide())
    found.path.write_bytes(found.path.read_bytes() + b" ")
    with pytest.raises(LedgerError, match="a history slice is changed"):
        world.write()


def test_recover_reports_an_open_batch_and_clears_what_a_crash_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record(world.decide())
    crash(monkeypatch, "claim_after", world.write)
    (world.home.published / ".build-b9").mkdir(parents=True)
    (world.home.published / ".current-1-ab").symlink_to("nowhere")
    (world.home.warehouse_dir / "scratch").mkdir()
    (world.home.warehouse_dir / "scratch" / "crm_1.duckdb").touch()
    (world.home.snapshots / ".tmp-1-run").mkdir()
    (world.home.raw / ".tmp-1-ab-file").touch()
    found = recover(world.home, world.ledger, now=2e9)
    assert found.temporary_files == 2 and found.scratch_files == ("crm_1.duckdb",)
    assert set(found.unfinished_builds) == {".build-b9", ".current-1-ab"}
    assert found.unfinished_batches[0].startswith("wake_up, step first, 2011-12-09")
    world.write()
    assert recover(world.home, world.ledger, now=2e9).is_clean
