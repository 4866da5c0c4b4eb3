"""Dagster's own storage deleted, everything replayed: nobody gets anything twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from crm_pipeline.definitions import defs
from crm_pipeline.lib.ledger.schema import batches, claims
from crm_pipeline.lib.outreach.life import approve
from crm_pipeline.lib.outreach.plan import list_batches
from crm_pipeline.lib.outreach.preview import preview_batch
from crm_pipeline.lib.outreach.ticks import ENTITIES, Tick, read_facts, save_tick
from crm_pipeline.lib.publish import Manifest
from crm_pipeline.resources import Clock, Deployment
from tests.integration.pipeline_support import KEYS
from tests.unit.crm_pipeline.outreach.batch_support import AS_OF, NOW, WANG, People

NIGHTLY, TRIGGERED = "dormant_wake_up", "cart_rescue"
TODAY = AS_OF + timedelta(days=1)
TEXT = "dormant_wake_up_wake_up_email_en"


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    """Four people whom the night and a trigger decided to write to; live, into files."""
    made = People(tmp_path / "home")
    settings = {
        **KEYS,
        "CRM_HOME": str(made.home.root),
        "CRM_CURRENCY": "CNY",
        "CRM_TIMEZONE": "Asia/Shanghai",
        "CRM_BRAND": "Cloud Shop",
        "CRM_DELIVERY": "live",
        "CRM_OPERATORS": "li,wang",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clock, "now", lambda _: NOW)
    night = made.record(made.decisions(journey=NIGHTLY, step="wake_up", content_id=TEXT))
    tick = made.decisions(
        journey=TRIGGERED, step="reminder", content_id=TEXT, run_kind="cart", as_of_date=TODAY
    )
    triggered = made.record(tick, TODAY, "outreach_trigger_decisions")
    publish(made, night.sha256)
    for trigger in ENTITIES:  # all have decided by now
        facts = read_facts(made.ledger, trigger)
        with made.ledger.begin() as connection:
            save_tick(connection, Tick(
                trigger, trigger, TODAY, NOW, 0, facts.sha256, "b1", None, triggered.sha256, 4
            ))  # fmt: skip
    return made


def publish(people: People, decisions: str, night: date = AS_OF) -> None:
    build = people.home.published / "b1"
    build.mkdir(exist_ok=True)
    told = Manifest(
        build_id="b1", as_of=night, created_at=NOW, input_file_count=0, input_files_sha256="",
        versions={"outreach_decisions": decisions}, build_dir=build,
    )  # fmt: skip
    (build / "manifest.json").write_text(told.to_json())
    link = people.home.published / "current"
    link.unlink(missing_ok=True)
    link.symlink_to("b1")


def evaluate_everything(people: People, instance: dg.DagsterInstance) -> list[str]:
    """Every sensor once, and every job one of them asks for; returns those jobs."""
    started = []
    resources = {"deployment": Deployment(home=str(people.home.root)), "clock": Clock()}
    for sensor in defs().sensors or []:
        needed = {name: resources[name] for name in sensor.required_resource_keys}
        with dg.build_sensor_context(
            instance=instance, resources=needed, definitions=defs()
        ) as context:
            requests = sensor.evaluate_tick(context).run_requests or []
        for request in requests:
            job = request.job_name or sensor.job_name
            started.append(job)
            assert run(instance, job, request).success, job
    return started


def run(
    instance: dg.DagsterInstance, job: str, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    return (
        defs()
        .resolve_job_def(job)
        .execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            run_config=request.run_config,
            tags=dict(request.tags),
            raise_on_error=False,
        )
    )


def sent(people: People) -> list[tuple[str, str, str]]:
    """Journey, person and state of every claim."""
    with people.ledger.connect() as connection:
        query = sa.select(claims.c.journey, claims.c.person_id, claims.c.state)
        return sorted(tuple(row) for row in connection.execute(query))


def state(people: People) -> tuple[object, ...]:
    """Claims, batches and every file that left."""
    files = {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(people.home.outbox.rglob("*"))
        if path.is_file()
    }
    with people.ledger.connect() as connection:
        known = connection.execute(
            sa.select(batches.c.batch_id, batches.c.state).order_by(batches.c.batch_id)
        ).all()
    return sent(people), known, files


@pytest.fixture
def delivered(people: People) -> Iterator[People]:
    """All planned, approved and delivered."""
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):  # the night's batches, then those of the ticks after it
            started = evaluate_everything(people, instance)
            assert set(started) >= {f"{TRIGGERED}_batch_job"}
        waiting = list_batches(people.ledger, states=("planned",))
        assert len(waiting) == 2
        for batch in waiting:
            preview_batch(people.home, people.ledger, batch, now=NOW, actor="wang")
            approve(people.home, people.ledger, batch.batch_id, WANG, now=NOW)
        assert "release_job" in evaluate_everything(people, instance)
        evaluate_everything(people, instance)
    yield people


@pytest.mark.requirement("OUT-2", "OUT-4")
@pytest.mark.bad_input("F10")
def test_with_dagsters_storage_deleted_nobody_gets_anything_twice(delivered: People) -> None:
    before = state(delivered)
    assert before[0], "nothing was sent, so nothing is proved"
    assert {kind for _, _, kind in sent(delivered)} == {"sent"}
    for _ in range(2):
        with dg.DagsterInstance.ephemeral() as instance:  # no run, no cursor, no run key
            for _ in range(2):
                evaluate_everything(delivered, instance)
    assert state(delivered) == before


@pytest.mark.requirement("OUT-2", "OUT-4")
@pytest.mark.bad_input("F10")
@pytest.mark.bad_input("F17")
def test_replaying_every_batch_by_hand_and_by_a_backfill_sends_nothing(delivered: People) -> None:
    before = state(delivered)
    jobs = [job.name for job in defs().resolve_all_job_defs() if job.name.endswith("_batch_job")]
    wanted = [name for name in jobs if name.startswith((NIGHTLY, TRIGGERED))]
    assert len(wanted) == 2
    with dg.DagsterInstance.ephemeral() as instance:
        for tags in ({}, {"dagster/backfill": "b1"}):
            for day in (AS_OF - timedelta(days=1), AS_OF, TODAY):
                for name in wanted:
                    run(instance, name, dg.RunRequest(partition_key=day.isoformat(), tags=tags))
        for batch in list_batches(delivered.ledger):
            config = {"ops": {"release": {"config": {"batch_id": batch.batch_id}}}}
            run(instance, "release_job", dg.RunRequest(run_config=config))
    assert state(delivered) == before


@pytest.mark.bad_input("F17")
@pytest.mark.requirement("OUT-2")
def test_nights_made_up_after_three_days_send_no_burst(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody approved for three days: only the newest night waits, older batches are over."""
    with dg.DagsterInstance.ephemeral() as instance:
        evaluate_everything(people, instance)
        for days in (1, 2, 3):
            night = AS_OF + timedelta(days=days)
            late: datetime = NOW + timedelta(days=4)
            table = people.decisions(
                journey=NIGHTLY, step="wake_up", content_id=TEXT, as_of_date=night,
                planned_send_at=late, valid_until=late + timedelta(days=3),
            )  # fmt: skip
            made = people.record(table, night)
            publish(people, made.sha256, night)
            monkeypatch.setattr(Clock, "now", lambda _, late=late: late)
            request = dg.RunRequest(partition_key=night.isoformat())
            assert run(instance, f"{NIGHTLY}_batch_job", request).success
    waiting = [b for b in list_batches(people.ledger) if b.state in ("planned", "approved")]
    assert [batch.as_of_date for batch in waiting] == [AS_OF + timedelta(days=3)]
    assert sent(people) == []
