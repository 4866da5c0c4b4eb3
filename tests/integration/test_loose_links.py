"""Loose links reach people who review them and nobody else: a guard over all that is built.

Add here: what may follow from ``identity.loose_links``. Not here: how links are found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from crm_pipeline.definitions import defs
from crm_pipeline.lib.dbt_manifest import ensure_manifest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "source.crm_pipeline.identity.loose_links"
MART = "model.crm_pipeline.loose_links"
ASSET = dg.AssetKey(["identity", "loose_links"])
# What decides who is a customer, who is addressed and who gets points.
DECIDES = ("source_customers", "customer_accounts", "outreach_decisions", "points", "audience")
# Whoever else names the table may be reading it: the lineage of dbt does not see Python.
NAMES_THE_TABLE = {
    "crm_pipeline/defs/identity/loose_links/assets.py",
    "crm_pipeline/defs/jobs.py",
    "crm_pipeline/defs/schedules.py",
    "crm_pipeline/identity_command.py",
    "crm_pipeline/lib/identity/loose_links.py",
    "crm_pipeline/lib/publish/result_hash.py",
    "crm_pipeline/lib/warehouse/sources.py",
}


@pytest.fixture(scope="module")
def manifest() -> Mapping[str, Any]:
    """The dbt project as parsed."""
    path = ensure_manifest(ROOT / "dbt_project")
    read: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    """The definitions, loaded once."""
    return defs()


def descendants(children: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Every node that reads ``start`` or what was made from it; tests of dbt write nothing."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found and not child.startswith(("test.", "unit_test.")):
                found.add(child)
                waiting.append(child)
    return found


@pytest.mark.requirement("IDN-7")
def test_no_model_but_the_review_list_descends_from_loose_links(
    manifest: Mapping[str, Any],
) -> None:
    assert descendants(manifest["child_map"], SOURCE) == {MART}


@pytest.mark.requirement("IDN-7")
def test_what_decides_has_no_loose_link_among_its_ancestors(manifest: Mapping[str, Any]) -> None:
    deciding = [
        name
        for name, node in manifest["nodes"].items()
        if node["resource_type"] == "model"
        and (node["schema"] == "activation" or any(word in node["name"] for word in DECIDES))
    ]
    assert any(name.endswith("_audience") for name in deciding), "the guard guards nothing"
    leaking = [
        name for name in deciding if {SOURCE, MART} & descendants(manifest["parent_map"], name)
    ]
    assert leaking == []


def test_the_guard_sees_a_leak_through_other_models() -> None:
    leaking = {SOURCE: [MART], MART: ["test.unique", "model.x"], "model.x": ["model.audience"]}
    assert descendants(leaking, SOURCE) == {MART, "model.x", "model.audience"}


@pytest.mark.requirement("IDN-7")
def test_no_asset_but_the_published_build_follows_from_loose_links(loaded: dg.Definitions) -> None:
    graph = loaded.resolve_asset_graph()
    children = {
        key.to_user_string(): [child.to_user_string() for child in graph.get(key).child_keys]
        for key in graph.get_all_asset_keys()
    }
    found = descendants(children, ASSET.to_user_string())
    assert "marts/loose_links" in found
    # The report is made of the whole build; that its figures name no loose link is asked below.
    assert found <= {"marts/loose_links", "published/build", "reports/customer_tiers"}


@pytest.mark.requirement("IDN-7")
def test_no_other_module_names_the_table() -> None:
    naming = {
        path.relative_to(ROOT).as_posix()
        for folder in ("crm_pipeline", "ml")
        for path in (ROOT / folder).rglob("*.py")
        if "loose_links" in path.read_text(encoding="utf-8")
    }
    assert naming <= NAMES_THE_TABLE


def test_no_night_looks_for_loose_links(loaded: dg.Definitions) -> None:
    for name in ("nightly_job", "monthly_job"):
        assert ASSET not in loaded.resolve_job_def(name).asset_layer.executable_asset_keys
    job = loaded.resolve_job_def("loose_links_job")
    assert job.asset_layer.executable_asset_keys == {ASSET}


def test_the_list_is_made_on_monday_after_the_night_for_the_same_day(
    loaded: dg.Definitions,
) -> None:
    schedule = loaded.resolve_schedule_def("loose_links_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * 1", "Asia/Shanghai")
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 3, 1, 21, tzinfo=UTC),  # Monday in Shanghai
            repository_def=loaded.get_repository_def(),
        )
        (request,) = schedule.evaluate_tick(context).run_requests
    assert request.partition_key == "2026-03-01"
