"""Triggers as Dagster runs them: sensors, the job, and Dagster's own storage gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from crm_pipeline.definitions import defs
from crm_pipeline.defs.outreach import triggers
from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.ledger.schema import trigger_ticks
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.moments import Moment
from crm_pipeline.resources import Clock, Deployment
from tests.integration.pipeline_support import KEYS
from tests.unit.crm_pipeline.outreach.tick_support import NIGHT, NOON, Between, cart, decide_send

HOUR = timedelta(hours=1)


@pytest.fixture
def between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Between:
    """A home between two nights with one cart journey, its audience made by hand."""
    found = Between(tmp_path / "home")
    settings = {**KEYS, "CRM_CURRENCY": "CNY", "CRM_TIMEZONE": "Asia/Shanghai"}
    for name, value in {**settings, "CRM_HOME": str(found.home.root)}.items():
        monkeypatch.setenv(name, value)

    def build(
        copy: Path, as_of: Any, journeys: Sequence[JourneySpec], **_: object
    ) -> dict[str, str]:
        return found.build(copy, as_of, journeys)

    def decide(connection: Any, journeys: Any, *, moment: Moment, **_: object) -> Any:
        return decide_send(connection, journeys, moment)

    monkeypatch.setattr(triggers, "JOURNEYS", [cart()])
    monkeypatch.setattr(triggers, "build_audiences", build)
    monkeypatch.setattr(triggers, "decide_all", decide)
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def resources(between: Between, now: datetime) -> dict[str, Any]:
    return {
        "deployment": Deployment(home=str(between.home.root)),
        "clock": Clock(frozen_at=now.isoformat()),
    }


def ask(
    between: Between, instance: dg.DagsterInstance, now: datetime = NOON, trigger: str = "cart"
) -> dg.RunRequest | str:
    """Evaluates a trigger's sensor once, as the daemon does."""
    sensor = defs().resolve_sensor_def(f"{trigger}_trigger_sensor")
    with dg.build_sensor_context(
        instance=instance, resources=resources(between, now), definitions=defs()
    ) as context:
        data = sensor.evaluate_tick(context)
    if data.run_requests:
        (request,) = data.run_requests
        return request
    return str(data.skip_message)


def launch(
    between: Between, instance: dg.DagsterInstance, request: dg.RunRequest, now: datetime = NOON
) -> bool:
    """Runs what a sensor asked for."""
    job = dg.Definitions(
        assets=[triggers.outreach_trigger_decisions],
        jobs=[triggers.triggers_job],
        resources=resources(between, now),
    ).resolve_job_def("triggers_job")
    result = job.execute_in_process(
        instance=instance,
        run_config=request.run_config,
        tags=dict(request.tags),
        raise_on_error=False,
    )
    return bool(result.success)


def requested(found: dg.RunRequest | str) -> dg.RunRequest:
    assert isinstance(found, dg.RunRequest), found
    return found


@pytest.mark.requirement("OUT-2", "SRV-2")
def test_every_trigger_has_a_sensor_of_its_own_on_one_described_job() -> None:
    for trigger in triggers.ENTITIES:
        sensor = defs().resolve_sensor_def(f"{trigger}_trigger_sensor")
        assert sensor.job_name == "triggers_job"
        assert sensor.default_status == dg.DefaultSensorStatus.STOPPED, "a person turns them on"
        assert (sensor.minimum_interval_seconds or 0) >= 60
        assert sensor.description
    job = defs().resolve_job_def("triggers_job")
    assert job.description
    assert job.tags["dagster/max_runtime"]


@pytest.mark.requirement("OUT-2")
def test_no_night_contains_a_triggers_decisions_and_nothing_in_outreach_is_eager() -> None:
    graph = defs().resolve_asset_graph()
    for name in ("nightly_job", "monthly_job"):
        keys = defs().resolve_job_def(name).asset_layer.executable_asset_keys
        assert triggers.KEY not in keys
    for key in graph.get_all_asset_keys():
        assert graph.get(key).automation_condition is None, key


@pytest.mark.requirement("OUT-2")
def test_a_cart_starts_one_run_and_once_it_is_decided_none(
    between: Between, instance: dg.DagsterInstance
) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    first = requested(ask(between, instance))
    again = requested(ask(between, instance))
    assert first.run_key == again.run_key, "Dagster starts one run per key"
    assert launch(between, instance, first)
    assert between.decided() == [("ann", "first", "d1")]
    assert ask(between, instance) == "nothing new"
    between.put_in_cart("bob", NOON - 2 * HOUR)
    assert requested(ask(between, instance)).run_key != first.run_key


@pytest.mark.requirement("OUT-2")
def test_a_trigger_nobody_uses_asks_for_nothing(
    between: Between, instance: dg.DagsterInstance
) -> None:
    between.deliver("tickets", "a ticket")
    assert ask(between, instance, trigger="ticket_closed") == (
        "no journey has the trigger ticket_closed"
    )


@pytest.mark.requirement("OUT-2")
@pytest.mark.bad_input("F10")
def test_with_dagsters_storage_deleted_nothing_is_decided_again(between: Between) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    with dg.DagsterInstance.ephemeral() as instance:
        request = requested(ask(between, instance))
        assert launch(between, instance, request)
    before = between.decided()
    for minutes in (5, 7):
        now = NOON + timedelta(minutes=minutes)
        with dg.DagsterInstance.ephemeral() as instance:  # no run, no cursor, no run key
            assert ask(between, instance, now) == "nothing new"
            assert launch(between, instance, request, now), "by hand"
    assert between.decided() == before
    between.deliver("events", "an event")
    with dg.DagsterInstance.ephemeral() as instance:
        later = NOON + timedelta(minutes=10)
        assert launch(between, instance, requested(ask(between, instance, later)), later)
    assert between.decided() == before


@pytest.mark.bad_input("F11")
def test_a_sensor_killed_between_its_request_and_its_cursor_starts_no_second_run(
    between: Between, instance: dg.DagsterInstance
) -> None:
    """The run is there, the cursor is not: the next tick finds the run."""
    between.put_in_cart("ann", NOON - 2 * HOUR)
    request = requested(ask(between, instance))
    job = defs().resolve_job_def("triggers_job")
    instance.create_run_for_job(job, tags=dict(request.tags), run_config=request.run_config)
    assert ask(between, instance) == "a run for this news is under way"


@pytest.mark.bad_input("F11")
def test_a_sensor_that_cannot_read_the_ledger_asks_again_when_it_can(
    between: Between, instance: dg.DagsterInstance
) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    between.ledger.dispose()
    ledger = between.home.ledger_dir / "ledger.sqlite"
    ledger.rename(ledger.with_name("away"))
    with pytest.raises(LedgerError, match="the ledger is missing"):
        ask(between, instance)
    ledger.with_name("away").rename(ledger)
    assert launch(between, instance, requested(ask(between, instance)))
    assert between.decided() == [("ann", "first", "d1")]


@pytest.mark.bad_input("F11")
def test_a_run_that_fails_is_asked_for_thrice_then_left_to_the_night(
    between: Between, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    keys = set()
    with monkeypatch.context() as broken:
        broken.setenv("CRM_FAIL", "tick_copied:raise")
        for _ in range(3):
            broken.setattr("crm_pipeline.lib.failpoints._passes", {})
            request = requested(ask(between, instance))
            keys.add(request.run_key)
            assert not launch(between, instance, request)
    assert len(keys) == 3, "a run key counts for ever, so each attempt has its own"
    assert ask(between, instance) == "gave up after 3 attempts; the night decides"
    assert "never decided" in between.news()
    between.put_in_cart("bob", NOON - 2 * HOUR)
    assert launch(between, instance, requested(ask(between, instance))), "news is a new start"
    assert between.decided() == [("ann", "first", "d1"), ("bob", "first", "d1")]


@pytest.mark.requirement("OUT-2")
def test_a_backfill_decides_nothing(between: Between, instance: dg.DagsterInstance) -> None:
    between.put_in_cart("ann", NOON - 2 * HOUR)
    request = requested(ask(between, instance))
    backfill = dg.RunRequest(
        run_key="b", run_config=request.run_config, tags={"dagster/backfill": "b1"}
    )
    assert not launch(between, instance, backfill)
    with between.ledger.connect() as connection:
        assert connection.execute(sa.select(trigger_ticks)).all() == []


@pytest.mark.bad_input("F11")
def test_a_poisoned_journey_fails_its_run_and_leaves_the_others_decided(
    between: Between, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = cart(journey="bad", audience="activation.bad_audience")
    monkeypatch.setattr(triggers, "JOURNEYS", [bad, cart()])
    monkeypatch.setattr(
        triggers,
        "build_audiences",
        lambda *said, **_: between.build(*said) | {"bad": "its test failed"},
    )
    between.put_in_cart("ann", NOON - 2 * HOUR)
    request = requested(ask(between, instance))
    assert not launch(between, instance, request), "somebody must see it"
    assert between.decided() == [("ann", "first", "d1")]
    assert ask(between, instance) == "nothing new", "and it is not tried in a loop"


@pytest.mark.bad_input("F17")
@pytest.mark.bad_input("F19")
def test_after_days_without_a_night_the_sensors_wait_for_it(
    between: Between, instance: dg.DagsterInstance
) -> None:
    between.put_in_cart("ann", NOON)
    late = NOON + timedelta(days=3)
    told = ask(between, instance, late)
    assert told == f"the published build is of {NIGHT}: the nights are made up first"
