"""The code location as the server loads it, its schedules and its sensors, tick by tick."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from crm_pipeline.definitions import defs
from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.outreach.decisions import DECISION_SCHEMA
from crm_pipeline.lib.outreach.journey import load_journeys
from crm_pipeline.lib.publish import Manifest
from crm_pipeline.resources import Deployment
from tests.integration.pipeline_support import KEYS

DAY = date(2026, 3, 1)
JOURNEYS = Path(__file__).parents[2] / "crm_pipeline" / "defs" / "outreach"
ONE_LINE = (
    "Invoice,StockCode,Description,Quantity,InvoiceDate,Price,Customer ID,Country\n"
    "489434,85048,LIGHTS,12,2009-12-01 07:45:00,6.95,13085.0,United Kingdom\n"
)


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    """The definitions, loaded once."""
    return defs()


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """An empty deployment in pounds."""
    monkeypatch.setenv("CRM_BRAND", "Gift shop")
    for name, value in {**KEYS, "CRM_CURRENCY": "GBP", "CRM_TIMEZONE": "Europe/London"}.items():
        monkeypatch.setenv(name, value)
    return Deployment(home=str(tmp_path / "home"))


def tick(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance, deployment: Deployment
) -> tuple[list[dg.RunRequest], str | None]:
    """Evaluates a sensor once, as the daemon does."""
    with dg.build_sensor_context(
        instance=instance, resources={"deployment": deployment}, definitions=defs()
    ) as context:
        data = sensor.evaluate_tick(context)
    return list(data.run_requests or []), data.skip_message


@pytest.mark.requirement("SRV-2")
def test_every_asset_has_a_group_an_owner_a_description_and_kinds(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.group_name not in (None, "default"), key
        assert node.kinds, key
        assert node.owners, key
        assert node.description, key


def test_dbt_is_called_four_times_in_a_nightly_run(loaded: dg.Definitions) -> None:
    nodes = loaded.resolve_job_def("nightly_job").graph.nodes
    assert len([node for node in nodes if node.definition.name == "dbt_models"]) == 4


@pytest.mark.requirement("SCO-7", "QLT-2")
def test_a_journey_names_every_score_its_audience_is_made_from(loaded: dg.Definitions) -> None:
    """Else a score that drifted would not hold it: the gate asks for what is named."""
    graph = loaded.resolve_asset_graph()
    for journey in load_journeys(JOURNEYS):
        audience = dg.AssetKey(journey.audience.split("."))
        upstream = graph.get_ancestor_asset_keys(audience)
        made_from = {
            score
            for score in ("churn", "clv")
            if dg.AssetKey(["scores", f"{score}_scores"]) in upstream
        }
        assert made_from <= set(journey.scores), journey.journey


def test_no_dated_job_contains_a_batch(loaded: dg.Definitions) -> None:
    """A backfill never sends: batches are not in the jobs that are backfilled."""
    for name in ("nightly_job", "monthly_job"):
        keys = loaded.resolve_job_def(name).asset_layer.executable_asset_keys
        assert not [key for key in keys if key.path[0] == "outbox"]


@pytest.mark.parametrize(
    ("schedule", "moment", "day"),
    [
        ("nightly_schedule", "2026-03-01T18:00:00", "2026-03-01"),  # 02:00 on 2 March in Shanghai
        ("nightly_schedule", "2024-02-29T18:00:00", "2024-02-29"),
        ("nightly_schedule", "2026-12-31T18:00:00", "2026-12-31"),
        ("monthly_schedule", "2026-02-28T20:00:00", "2026-02-28"),  # 04:00 on 1 March in Shanghai
        ("monthly_schedule", "2025-12-31T20:00:00", "2025-12-31"),
    ],
)
def test_a_schedule_builds_the_day_that_ended_at_midnight_in_business_time(
    loaded: dg.Definitions, schedule: str, moment: str, day: str
) -> None:
    found = loaded.resolve_schedule_def(schedule)
    assert found.execution_timezone == "Asia/Shanghai"
    local = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=local,
            repository_def=loaded.get_repository_def(),
        )
        (request,) = found.evaluate_tick(context).run_requests
    assert request.partition_key == day
    assert request.run_key == day


@pytest.mark.requirement("ING-5")
def test_the_landing_sensor_asks_once_for_each_state_of_the_folder(
    loaded: dg.Definitions, deployment: Deployment
) -> None:
    sensor = loaded.resolve_sensor_def("landing_sensor")
    folder = deployment.crm_home.landing / "online_retail"
    folder.mkdir(parents=True)
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(sensor, instance, deployment) == ([], "no new file")
        (folder / "a.csv").write_text(ONE_LINE)
        (first,), _ = tick(sensor, instance, deployment)
        assert first.asset_selection == [dg.AssetKey(["feeds", "online_retail"])]
        (again,), _ = tick(sensor, instance, deployment)
        assert again.run_key == first.run_key, "the same files must not start a second run"
        (folder / "a.csv").write_text(ONE_LINE.replace("12,2009", "13,2009"))
        (corrected,), _ = tick(sensor, instance, deployment)
        assert corrected.run_key != first.run_key, "a corrected file under the old name is news"


@pytest.mark.requirement("ING-5")
def test_what_the_sensor_asks_for_is_ingested_and_then_no_longer_new(
    loaded: dg.Definitions, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_HOME", deployment.home)
    sensor = loaded.resolve_sensor_def("landing_sensor")
    folder = deployment.crm_home.landing / "online_retail"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text(ONE_LINE)
    with dg.DagsterInstance.ephemeral() as instance:
        (request,), _ = tick(sensor, instance, deployment)
        job = loaded.resolve_job_def("ingest_job")
        result = job.execute_in_process(
            instance=instance, asset_selection=list(request.asset_selection or [])
        )
        assert result.success
        checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        assert checks["received_equals_written_plus_quarantined"].passed
        assert checks["landing_expectations_hold"].passed
        assert tick(sensor, instance, deployment) == ([], "no new file")


@pytest.mark.requirement("OUT-2")
def test_a_journey_waits_until_something_is_published(
    loaded: dg.Definitions, deployment: Deployment
) -> None:
    sensor = loaded.resolve_sensor_def("dormant_wake_up_journey_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        requests, why = tick(sensor, instance, deployment)
    assert requests == []
    assert why == "nothing has been published yet"


def publish_with_decisions(deployment: Deployment, decisions: str) -> None:
    """A published build that shows the given decisions, as far as a sensor looks at it."""
    home = deployment.crm_home
    build = home.published / "b1"
    build.mkdir(exist_ok=True)
    told = Manifest(
        build_id="b1",
        as_of=DAY,
        created_at=datetime(2026, 3, 2),  # noqa: DTZ001 - manifests hold naive UTC
        schema_hash="",
        row_counts={},
        parquet_files={},
        input_file_count=0,
        input_files_sha256="",
        versions={"outreach_decisions": decisions},
        build_dir=build,
    )
    (build / "manifest.json").write_text(told.to_json())
    if not (home.published / "current").exists():
        (home.published / "current").symlink_to("b1")


def decide(deployment: Deployment, *outcomes: str) -> str:
    """Writes decisions of one night; returns the hash of their slice."""
    rows = [
        {**dict.fromkeys(DECISION_SCHEMA.names), "decision_id": str(number), "outcome": outcome}
        for number, outcome in enumerate(outcomes)
    ]
    made = write_slice(
        deployment.crm_home,
        deployment.ledger,
        table_name="outreach_decisions",
        as_of=DAY,
        data=pa.Table.from_pylist(rows, schema=DECISION_SCHEMA),
        reason="test",
    )
    return made.sha256


@pytest.mark.requirement("OUT-2")
def test_decisions_of_a_build_that_was_held_back_are_never_sent(
    loaded: dg.Definitions, deployment: Deployment
) -> None:
    sensor = loaded.resolve_sensor_def("dormant_wake_up_journey_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        publish_with_decisions(deployment, decide(deployment, "holdout"))
        (request,), _ = tick(sensor, instance, deployment)
        assert request.partition_key == DAY.isoformat()
        decide(deployment, "holdout", "no_consent")  # decided again, but its build failed
        requests, why = tick(sensor, instance, deployment)
    assert requests == []
    assert why == "the newest decisions are not published: their build was held back"


@pytest.mark.requirement("OUT-4")
def test_a_batch_started_by_hand_is_bound_to_the_published_decisions_too(
    loaded: dg.Definitions, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_HOME", deployment.home)
    decide(deployment, "holdout")
    publish_with_decisions(deployment, "those of another build")
    with dg.DagsterInstance.ephemeral() as instance:
        result = loaded.resolve_job_def("dormant_wake_up_batch_job").execute_in_process(
            instance=instance, partition_key=DAY.isoformat(), raise_on_error=False
        )
    assert not result.success
    assert not list(deployment.crm_home.outbox.rglob("plan.parquet"))


@pytest.mark.requirement("OUT-6")
def test_a_journey_without_a_brand_plans_nothing_and_says_why(
    loaded: dg.Definitions, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRM_BRAND")
    sensor = loaded.resolve_sensor_def("dormant_wake_up_journey_sensor")
    with dg.DagsterInstance.ephemeral() as instance:
        publish_with_decisions(deployment, decide(deployment, "send"))
        requests, why = tick(sensor, instance, deployment)
    assert requests == []
    assert "set CRM_BRAND" in str(why)
