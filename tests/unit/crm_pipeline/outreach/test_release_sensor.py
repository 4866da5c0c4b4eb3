"""The release sensor asks the ledger, tick by tick; Dagster's storage may be lost at any time."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from batch_support import NOW, People, journey

from crm_pipeline.defs.outreach.release import release_job, release_sensor
from crm_pipeline.lib.outreach.plan import find_batch
from crm_pipeline.lib.outreach.switch import set_switch
from crm_pipeline.resources import Clock, Deployment

KEYS = ("CRM_TOKEN_KEY", "CRM_ID_KEY", "CRM_HOLDOUT_SALT")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    for name in KEYS:
        monkeypatch.setenv(name, "of use for tests only")
    monkeypatch.setenv("CRM_TIMEZONE", "Asia/Shanghai")
    monkeypatch.setenv("CRM_CURRENCY", "CNY")
    monkeypatch.setenv("CRM_DELIVERY", "live")
    return People(tmp_path)


def resources(world: People) -> dict[str, object]:
    deployment = Deployment(home=str(world.home.root))
    return {"deployment": deployment, "clock": Clock(frozen_at=NOW.isoformat())}


def tick(world: People, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    with dg.build_sensor_context(instance=instance, resources=resources(world)) as context:
        return list(release_sensor.evaluate_tick(context).run_requests or [])


def run(world: People, instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
    result = release_job.execute_in_process(
        instance=instance, resources=resources(world), run_config=request.run_config,
        tags=dict(request.tags),
    )  # fmt: skip
    assert result.success


@pytest.mark.requirement("OUT-2")
@pytest.mark.requirement("OUT-7")
def test_the_sensor_starts_the_canary_and_only_a_person_the_rest(world: People) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(world, instance) == []
        batch = world.approved(journey(canary_pct=50))
        (request,) = tick(world, instance)
        assert request.run_key == f"{batch.batch_id[:16]}-approved-0-0"
        run(world, instance, request)
        canary = dict(world.states())
        assert 0 < len(canary) < 4
        assert tick(world, instance) == []
    with dg.DagsterInstance.ephemeral() as instance:  # everything of Dagster's is gone
        assert tick(world, instance) == [] and world.states() == canary
        assert world.release(batch).batch.state == "done"
        assert tick(world, instance) == []


@pytest.mark.requirement("OUT-7")
def test_the_sensor_starts_nothing_dry_or_stopped(
    world: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.approved()
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.delenv("CRM_DELIVERY")
        assert tick(world, instance) == []
        monkeypatch.setenv("CRM_DELIVERY", "live")
        set_switch(world.ledger, "all", is_stopped=True, actor="li", reason="a test", now=NOW)
        assert tick(world, instance) == []
        set_switch(world.ledger, "all", is_stopped=False, actor="li", reason="a test", now=NOW)
        assert len(tick(world, instance)) == 1
    assert find_batch(world.ledger, batch.batch_id).state == "approved"
