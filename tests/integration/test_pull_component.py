"""A pull source as the code location loads it: its asset, its job, its schedule, its check."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster.components.testing import create_defs_folder_sandbox

import crm_pipeline.run_command
from crm_pipeline.cli import main
from crm_pipeline.definitions import defs as own_defs
from crm_pipeline.defs import jobs
from crm_pipeline.resources import Clock, Deployment
from tests.integration.pipeline_support import KEYS
from tests.integration.pull_support import TOKEN, Api, order, page_is, reply, serving

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pull_sources" / "defs.yaml"
PULL, FEED = (
    dg.AssetKey(["pulls", "example_api_orders"]),
    dg.AssetKey(["feeds", "example_api_orders"]),
)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The interface of the example, in pages as its YAML asks for them."""
    monkeypatch.setenv("EXAMPLE_API_TOKEN", TOKEN)
    for name, value in {**KEYS, "CRM_CURRENCY": "CNY"}.items():
        monkeypatch.setenv(name, value)
    records = [order(number) for number in range(1, 8)]

    def as_the_example(request: object) -> None:
        params = request.params  # type: ignore[attr-defined]
        params["limit"], params["since"] = params.pop("per_page"), params.pop("updated_since")

    with serving(Api(records, faults=[as_the_example])) as running:  # type: ignore[list-item]
        yield running


@pytest.fixture
def loaded(api: Api, tmp_path: Path) -> Iterator[dg.Definitions]:
    """The example, copied below ``defs/`` as its README says, with the address of the interface."""
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("https://api.example.com/v2", api.url)
    text = text.replace("    path: orders\n", "    path: orders\n    allow: [loopback]\n")
    text = text.replace("size: 100", "size: 3")
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "pulled"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(text, encoding="utf-8")
        resources = {
            "deployment": Deployment(home=str(tmp_path / "home")),
            "clock": Clock(frozen_at="2026-03-01T04:00:00"),
        }
        with sandbox.build_all_defs() as found:
            bound = dg.Definitions(resources=resources, executor=dg.in_process_executor)
            yield dg.Definitions.merge(found, bound)


def run(
    loaded: dg.Definitions, instance: dg.DagsterInstance, *keys: dg.AssetKey
) -> dg.ExecuteInProcessResult:
    job = loaded.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        asset_selection=list(keys), instance=instance, raise_on_error=False
    )


@pytest.mark.requirement("ING-7")
def test_a_source_is_an_asset_before_its_feed_with_a_job_and_a_schedule_of_its_own(
    loaded: dg.Definitions,
) -> None:
    graph = loaded.resolve_asset_graph()
    assert graph.get(FEED).parent_keys == {PULL}
    assert graph.get(PULL).parent_keys == set()
    node = graph.get(PULL)
    assert node.group_name == "pulls"
    assert node.kinds == {"python", "rest"}
    assert node.owners
    assert node.description
    selected = loaded.resolve_job_def("example_api_orders_pull_job").asset_layer
    assert selected.executable_asset_keys == {PULL}
    schedule = loaded.resolve_schedule_def("example_api_orders_pull_schedule")
    assert schedule.cron_schedule == "*/30 * * * *"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert PULL not in (jobs.FEEDS | jobs.WAREHOUSE).resolve(graph), (
        "a silent source stops no night"
    )


@pytest.mark.requirement("ING-7")
def test_a_pull_and_its_feed_run_one_after_the_other(
    loaded: dg.Definitions,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(loaded, instance, PULL, FEED)
        assert result.success
        (pulled,) = result.asset_materializations_for_node("pulls__example_api_orders")
        (fed,) = result.asset_materializations_for_node("feeds__example_api_orders")
        assert pulled.metadata["dagster/row_count"].value == 7
        assert fed.metadata["received"].value == 7
        assert fed.metadata["quarantined"].value == 0
        checks = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
        assert checks["pull_is_complete"]
        told = "".join(str(event) for event in result.all_events)
    assert TOKEN not in told


@pytest.mark.bad_input("F37")
def test_f37_an_incomplete_pull_turns_its_check_red_and_lands_what_came(
    api: Api, loaded: dg.Definitions
) -> None:
    api.faults.append(
        lambda r: (
            reply({"code": 0, "data": {"orders": [order(4)], "total": 7}})
            if page_is(2)(r)
            else None
        )
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(loaded, instance, PULL)
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        assert not check.passed
        assert "5 records came; 7 were announced" in str(check.metadata["findings"].value)


@pytest.mark.bad_input("F38")
def test_f38_a_failed_run_keeps_no_secret_in_its_events(api: Api, loaded: dg.Definitions) -> None:
    api.tokens = {"another"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(loaded, instance, PULL)
        assert not result.success
        records = instance.get_records_for_run(result.run_id).records
        told = "".join(str(record.event_log_entry) for record in records)
    assert "refuses who asks" in told
    assert TOKEN not in told


@pytest.mark.requirement("ING-7")
def test_nothing_appears_where_no_source_is_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = own_defs().resolve_asset_graph().get_all_asset_keys()
    assert not [key for key in keys if key.path[0] == "pulls"]
    for name in ("CRM_HOME", "DAGSTER_HOME", "CRM_WAREHOUSE_PATH"):
        monkeypatch.setenv(name, "restored at the end")
    result = CliRunner().invoke(main, ["pull", "--home", str(tmp_path / "home")])
    assert result.exit_code == 0
    assert "no pull source is declared" in result.output


@pytest.mark.requirement("ING-7")
def test_the_command_names_the_sources_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crm_pipeline.run_command, "CHANNELS", EXAMPLE.parent)
    for name in ("CRM_HOME", "DAGSTER_HOME", "CRM_WAREHOUSE_PATH"):
        monkeypatch.setenv(name, "restored at the end")
    result = CliRunner().invoke(main, ["pull", "--home", str(tmp_path / "home"), "--source", "x"])
    assert result.exit_code == 1
    assert "use one of: example_api_orders, example_members" in result.output
