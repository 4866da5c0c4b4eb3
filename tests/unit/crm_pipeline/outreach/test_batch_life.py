"""A batch is planned, previewed, approved by somebody else and released step by step."""

from __future__ import annotations

import datetime as dt
import json
import stat
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from batch_support import AS_OF, LI, NOW, WANG, People, journey

from crm_pipeline.lib.errors import ConfigError, OutreachError
from crm_pipeline.lib.files import sha256_of
from crm_pipeline.lib.ledger.schema import audit
from crm_pipeline.lib.outreach.life import (
    advance,
    approve,
    choose_canary,
    expire_batches,
    get_batch,
    read_history,
    resume,
    stop,
)
from crm_pipeline.lib.outreach.operators import Operators, read_operators
from crm_pipeline.lib.outreach.plan import (
    TICKS,
    find_batch,
    is_planned,
    is_tick_unplanned,
    list_batches,
    read_plan,
)
from crm_pipeline.lib.outreach.preview import find_preview, preview_batch, tell_preview

DAY = dt.timedelta(days=1)


@pytest.fixture
def world(tmp_path: Path) -> People:
    return People(tmp_path)


def state_of(world: People, batch_id: str) -> str:
    found = find_batch(world.ledger, batch_id)
    assert found is not None
    return found.state


def steps_of(world: People, batch_id: str) -> list[tuple[str, str]]:
    with world.ledger.connect() as connection:
        return [(who, what) for _, who, what in read_history(connection, batch_id)]


# ------------------------------------------------------------------------------------ planning


@pytest.mark.requirement("OUT-7")
def test_a_plan_has_a_message_for_every_decision_to_send(world: People) -> None:
    decided = world.record(
        pa.concat_tables(
            [
                world.decisions("1", "2"),
                world.decisions("3", outcome="holdout", decision_id="x"),
                world.decisions("4", journey="another", decision_id="y"),
            ]
        )
    )
    (batch,) = world.plan()
    assert (batch.state, batch.message_count, batch.planned_by) == ("planned", 2, "schedule")
    assert batch.valid_until == NOW + 3 * DAY and batch.slice_sha256 == decided.sha256
    plan = read_plan(world.home, batch)
    assert set(plan.column("message_id").to_pylist()) == {
        one.message_id for one in world.messages("1", "2")
    }
    assert set(plan.column("timezone").to_pylist()) == {"Asia/Shanghai"}
    assert b"@example.org" not in (world.home.root / batch.plan_path).read_bytes().replace(
        b"***@example.org", b""
    )
    assert is_planned(world.ledger, "wake_up", AS_OF, decided.sha256)
    assert world.audited() == [("schedule", "batch_planned")]
    assert world.states() == {}  # planning claims nothing


@pytest.mark.requirement("OUT-3")
def test_planning_again_changes_nothing_and_elsewhere_gives_the_same_bytes(
    world: People, tmp_path: Path
) -> None:
    world.record(world.decisions())
    (first,) = world.plan()
    before = (world.home.root / first.plan_path).stat().st_mtime_ns
    (again,) = world.plan(now=NOW + DAY)
    assert again == first
    assert (world.home.root / first.plan_path).stat().st_mtime_ns == before
    other = People(tmp_path / "other")
    other.record(other.decisions())
    (there,) = other.plan()
    assert (there.batch_id, there.plan_sha256) == (first.batch_id, first.plan_sha256)


def test_a_text_that_cannot_be_made_is_no_message(world: People) -> None:
    world.record(
        pa.concat_tables(
            [world.decisions("1"), world.decisions("2", variables='"refuse"', decision_id="x")]
        )
    )
    (batch,) = world.plan()
    assert batch.message_count == 1
    found = preview_batch(world.home, world.ledger, batch, now=NOW, actor="li")
    assert found["texts_refused"] == 1


def test_a_night_without_messages_is_done_at_once(world: People) -> None:
    world.record(world.decisions(outcome="capped"))
    (batch,) = world.plan()
    assert (batch.state, batch.message_count, batch.plan_path) == ("done", 0, None)
    assert read_plan(world.home, batch).num_rows == 0


@pytest.mark.requirement("OUT-4")
def test_a_past_night_is_never_planned(world: People) -> None:
    world.record(world.decisions())
    world.record(world.decisions(), AS_OF + DAY)
    with pytest.raises(OutreachError, match="are stale"):
        world.plan()
    with pytest.raises(OutreachError, match="nothing was decided for 2026-07-03"):
        world.plan(as_of=AS_OF + 3 * DAY)


@pytest.mark.requirement("OUT-4")
def test_a_newer_night_ends_what_nobody_released(world: People) -> None:
    old = world.approved()
    world.record(world.decisions("1"), AS_OF + DAY)
    (new,) = world.plan(as_of=AS_OF + DAY)
    assert (state_of(world, old.batch_id), new.state) == ("expired", "planned")
    assert steps_of(world, old.batch_id)[-1] == ("schedule", "batch_expired")
    with pytest.raises(OutreachError, match="is expired and cannot be released"):
        world.release(old)


@pytest.mark.requirement("OUT-4")
def test_a_newer_night_leaves_what_is_being_sent(world: People) -> None:
    old = world.approved()
    advance(world.ledger, old.batch_id, "li", now=NOW, is_whole=True)
    world.record(world.decisions("1"), AS_OF + DAY)
    world.plan(as_of=AS_OF + DAY)
    assert state_of(world, old.batch_id) == "released"


def test_every_tick_is_a_batch_of_its_own(world: People) -> None:
    first = world.decisions("1", run_kind="cart", decided_at=NOW)
    world.record(first, name=TICKS)
    assert is_tick_unplanned(world.home, world.ledger, "wake_up", AS_OF)
    (one,) = world.plan(name=TICKS)
    assert not is_tick_unplanned(world.home, world.ledger, "wake_up", AS_OF)
    later = world.decisions("2", run_kind="cart", decided_at=NOW + DAY / 24, decision_id="x")
    world.record(pa.concat_tables([first, later]), name=TICKS)
    batches = world.plan(name=TICKS)
    assert [batch.batch_id for batch in batches][:1] == [one.batch_id] and len(batches) == 2
    assert [batch.message_count for batch in batches] == [1, 1]
    assert {batch.run_kind for batch in batches} == {"cart"}
    assert preview_batch(world.home, world.ledger, batches[1], now=NOW, actor="li")["outcomes"] == {
        "send": 1
    }
    world.record(world.decisions())  # of the night: it ends the ticks nobody released
    (night,) = world.plan()
    assert {one.state for one in list_batches(world.ledger)} == {"expired", "planned"}
    assert night.state == "planned"
    with pytest.raises(OutreachError, match="are stale"):  # what the night decided anew
        world.plan(name=TICKS)


@pytest.mark.requirement("OUT-4")
def test_a_batch_the_ledger_forgot_is_not_planned_again(world: People) -> None:
    world.record(world.decisions())
    (batch,) = world.plan()
    (world.home.root / batch.folder / "email-001.csv").touch()
    assert world.plan() == [batch]
    with world.ledger.begin() as connection:
        connection.exec_driver_sql("delete from batches")
    with pytest.raises(OutreachError, match="the ledger does not know"):
        world.plan()


# ----------------------------------------------------------------------------------- previewing


@pytest.mark.requirement("OUT-7")
def test_a_preview_says_what_the_batch_would_do(world: People) -> None:
    world.say(["1"], "withdrawn", 9)
    world.record(
        pa.concat_tables(
            [
                world.decisions("1", "2", "3"),
                world.decisions("4", outcome="holdout", decision_id="x"),
            ]
        )
    )
    (batch,) = world.plan()
    other = world.planned_beside(batch)
    found = preview_batch(world.home, world.ledger, batch, now=NOW, actor="li")
    assert found["messages"] == found["people"] == 3 and found["holdout"] == 1
    assert found["cost_amount"] == "0.150000"
    assert found["outcomes"] == {"holdout": 1, "send": 3}
    assert found["would_be_skipped"] == {"withdrawn": 1}
    assert found["by_consent_channel"] == {"email": 3} and found["by_language"] == {"en": 3}
    assert [one["batch_id"] for one in found["overlap"]] == [other.batch_id]
    assert found["overlap"][0]["people"] == 3
    assert len(found["samples"]) == 3
    text = tell_preview(found)
    assert "A gift, 退订回T" in text and "p1***@example.org" in text
    for person in world.sources:
        assert world.address(person) not in text + json.dumps(found)
    path = world.home.root / batch.folder / "preview.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert find_preview(world.home, batch) == json.loads(json.dumps(found))
    assert world.states() == {}  # previewing claims nothing


def test_a_lost_plan_of_another_batch_is_told_and_stops_no_preview(world: People) -> None:
    world.say(["1", "2", "3"], "granted")
    world.record(world.decisions("1", "2", "3"))
    (batch,) = world.plan()
    other = world.planned_beside(batch)
    assert other.plan_path is not None
    (world.home.root / other.plan_path).unlink()
    found = preview_batch(world.home, world.ledger, batch, now=NOW, actor="li")
    assert [(one["batch_id"], one["people"]) for one in found["overlap"]] == [
        (other.batch_id, None)
    ]
    assert "not compared, the plan is gone" in tell_preview(found)


# ------------------------------------------------------------------------------------ approving


@pytest.mark.requirement("OUT-7")
def test_another_operator_approves_what_was_previewed(world: People) -> None:
    batch = world.planned()
    approved = approve(world.home, world.ledger, batch.batch_id[:8], LI, now=NOW)
    assert (approved.state, approved.approved_by, approved.approved_at) == ("approved", "li", NOW)
    assert steps_of(world, batch.batch_id) == [
        ("schedule", "batch_planned"), ("li", "batch_previewed"), ("li", "batch_approved"),
    ]  # fmt: skip


@pytest.mark.requirement("OUT-7")
def test_nobody_approves_their_own_plan(world: People) -> None:
    world.record(world.decisions())
    (batch,) = world.plan(by="li")
    preview_batch(world.home, world.ledger, batch, now=NOW, actor="li")
    with pytest.raises(OutreachError, match="li planned this batch and cannot approve it"):
        approve(world.home, world.ledger, batch.batch_id, LI, now=NOW)
    assert approve(world.home, world.ledger, batch.batch_id, WANG, now=NOW).state == "approved"
    with pytest.raises(OutreachError, match="is approved and cannot be approved"):
        approve(world.home, world.ledger, batch.batch_id, WANG, now=NOW)


@pytest.mark.requirement("OUT-7")
@pytest.mark.parametrize(
    ("operators", "match"),
    [
        (Operators(None, ("li",)), "no operator is named"),
        (Operators("mallory", ("li",)), "mallory is not among the operators"),
    ],
)
def test_only_listed_operators_approve(world: People, operators: Operators, match: str) -> None:
    batch = world.planned()
    with pytest.raises(ConfigError, match=match):
        approve(world.home, world.ledger, batch.batch_id, operators, now=NOW)
    assert state_of(world, batch.batch_id) == "planned"


@pytest.mark.requirement("OUT-7")
@pytest.mark.parametrize("reader", ["schedule", "account li", "mallory"])
def test_a_preview_counts_only_if_an_operator_read_it(world: People, reader: str) -> None:
    world.record(world.decisions())
    (batch,) = world.plan()
    preview_batch(world.home, world.ledger, batch, now=NOW, actor=reader)
    wanted = f"CRM_OPERATOR=li crm batch preview {batch.batch_id[:8]}"
    with pytest.raises(OutreachError, match="no operator has read the preview") as refused:
        approve(world.home, world.ledger, batch.batch_id, LI, now=NOW)
    assert wanted in str(refused.value)
    assert state_of(world, batch.batch_id) == "planned"
    preview_batch(world.home, world.ledger, batch, now=NOW, actor="wang")
    assert approve(world.home, world.ledger, batch.batch_id, LI, now=NOW).state == "approved"


@pytest.mark.requirement("OUT-7")
def test_exactly_the_previewed_plan_is_approved(world: People) -> None:
    world.record(world.decisions())
    (batch,) = world.plan()
    preview_batch(world.home, world.ledger, batch, now=NOW, actor="li")
    with world.ledger.begin() as connection:  # as if another plan had been read
        query = sa.select(audit).where(audit.c.action == "batch_previewed")
        row = connection.execute(query).one()
        other = row.detail.replace(batch.plan_sha256, "0" * 64)
        connection.execute(
            sa.update(audit).values(detail=other).where(audit.c.detail == row.detail)
        )
    with pytest.raises(OutreachError, match="no operator has read the preview"):
        approve(world.home, world.ledger, batch.batch_id, LI, now=NOW)
    preview_batch(world.home, world.ledger, batch, now=NOW, actor="li")
    path = world.home.root / batch.plan_path
    path.write_bytes(path.read_bytes() + b" ")
    assert sha256_of(path) != batch.plan_sha256
    with pytest.raises(OutreachError, match="the plan is changed"):
        approve(world.home, world.ledger, batch.batch_id, LI, now=NOW)
    path.unlink()
    with pytest.raises(OutreachError, match="the plan is gone"):
        approve(world.home, world.ledger, batch.batch_id, LI, now=NOW)


@pytest.mark.requirement("OUT-7")
def test_a_batch_past_its_time_goes_nowhere(world: People) -> None:
    batch = world.planned()
    late = NOW + 3 * DAY
    with pytest.raises(OutreachError, match="was valid until 2026-07-04 03:00 UTC"):
        approve(world.home, world.ledger, batch.batch_id, LI, now=late)
    approve(world.home, world.ledger, batch.batch_id, LI, now=NOW)
    with pytest.raises(OutreachError, match="is expired and cannot be released"):
        world.release(batch, now=late)
    assert state_of(world, batch.batch_id) == "expired" and world.states() == {}
    assert expire_batches(world.ledger, now=late) == []


def test_a_batch_must_be_approved_before_it_is_released(world: People) -> None:
    batch = world.planned()
    with pytest.raises(OutreachError, match="is planned and cannot be released"):
        world.release(batch)
    with pytest.raises(OutreachError, match="no batch begins with 'nothing'"):
        world.release("nothing")
    assert world.states() == {}


@pytest.mark.requirement("OUT-7")
@pytest.mark.bad_input("F28")
def test_a_stopped_batch_is_resumed_where_it_was_approved(world: People) -> None:
    batch = world.approved()
    with pytest.raises(OutreachError, match="is approved and cannot be resumed"):
        resume(world.ledger, batch.batch_id, LI, now=NOW)
    assert stop(world.ledger, batch.batch_id, "anybody", "a typo", now=NOW).state == "stopped"
    with pytest.raises(OutreachError, match="is stopped and cannot be released"):
        world.release(batch)
    assert resume(world.ledger, batch.batch_id, LI, now=NOW).state == "approved"
    assert world.release(batch).delivered == {"accepted": 4}
    assert steps_of(world, batch.batch_id)[3:] == [
        ("anybody", "batch_stopped"), ("li", "batch_resumed"), ("li", "batch_released"),
        ("li", "batch_sent"), ("li", "batch_done"),
    ]  # fmt: skip
    with pytest.raises(OutreachError, match="is done and cannot be stopped"):
        stop(world.ledger, batch.batch_id, "li", "late", now=NOW)


@pytest.mark.requirement("OUT-4")
def test_a_stopped_batch_is_not_resumed_after_a_newer_night(world: People) -> None:
    batch = world.approved()
    stop(world.ledger, batch.batch_id, "li", "a typo", now=NOW)
    world.record(world.decisions("1"), AS_OF + DAY)
    world.plan(as_of=AS_OF + DAY, now=NOW + DAY)
    with pytest.raises(OutreachError, match="a newer night was planned"):
        resume(world.ledger, batch.batch_id, LI, now=NOW)


@pytest.mark.requirement("OUT-7")
def test_the_canary_goes_first_and_the_rest_when_asked_again(world: People) -> None:
    batch = world.approved(journey(canary_pct=50))
    messages = world.messages()
    share = {one.message_id for one in choose_canary(messages, 50)}
    first = world.release(batch)
    assert first.batch.state == "canary" and set(world.states()) == share
    assert 0 < len(share) < len(messages)
    second = world.release(batch)
    assert second.batch.state == "done"
    assert set(world.states()) == {one.message_id for one in messages}
    assert set(world.states().values()) == {"sent"}


def test_a_canary_is_never_empty_and_always_the_same(world: People) -> None:
    messages = world.messages()
    assert len(choose_canary(messages, 0.000001)) == 1
    assert choose_canary(messages, 100) == messages
    assert choose_canary(messages[::-1], 50) == choose_canary(messages, 50)[::-1]


def test_a_batch_is_found_by_the_beginning_of_its_id(world: People) -> None:
    world.batch("ab1")
    world.batch("ab2")
    with world.ledger.connect() as connection:
        assert get_batch(connection, "ab1").batch_id == "ab1"
        for wrong, match in (("ab", "more than one"), ("", "no batch"), ("%", "no batch")):
            with pytest.raises(OutreachError, match=match):
                get_batch(connection, wrong)


def test_operators_are_read_strictly() -> None:
    found = read_operators({"CRM_OPERATORS": "li, wang,li,", "CRM_OPERATOR": "li"})
    assert found == Operators("li", ("li", "wang")) and found.require() == found.planner == "li"
    nobody = read_operators({})
    assert (nobody.me, nobody.planner) == (None, "schedule") and nobody.stopper
    for wrong in ("schedule", "a b", "x" * 65):
        with pytest.raises(ConfigError, match="is no operator's name"):
            read_operators({"CRM_OPERATORS": wrong})
