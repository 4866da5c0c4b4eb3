"""What a trigger builds, and whose failure counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.tick_build import list_models, list_night_tests, read_failures


def node(schema: str, name: str, *parents: str, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "resource_type": "model", "schema": schema, "name": name, "tags": list(tags),
        "depends_on": {"nodes": [f"model.p.{parent}" for parent in parents]},
    }  # fmt: skip


def check(name: str, *parents: str, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    return node("tests", name, *parents, tags=tags) | {"resource_type": "test"}


MANIFEST: Mapping[str, Any] = {
    "nodes": {
        "seed.p.caps": {"resource_type": "seed", "name": "caps", "depends_on": {"macros": []}},
        "model.p.stg_events": node("staging", "stg_events"),
        "model.p.stg_orders": node("staging", "stg_orders"),
        "model.p.rfm_tiers": node("marts", "rfm_tiers", "stg_orders", tags=("night_only",)),
        "model.p.outreach_offers": node("activation", "outreach_offers"),
        "model.p.cart_audience": node("activation", "cart_audience", "stg_events", "rfm_tiers"),
        "model.p.visit_audience": node("activation", "visit_audience", "stg_events"),
        "test.p.unique_cart": check("unique_cart", "cart_audience"),
        "test.p.every_account": check("every_account", "stg_events", tags=("night_only",)),
        "test.p.tiers_agree": check("tiers_agree", "stg_orders", "rfm_tiers"),
    }
}  # fmt: skip


def journey(name: str) -> JourneySpec:
    return JourneySpec.model_validate(
        {
            "journey": name, "description": "A test.", "audience": f"activation.{name}_audience",
            "steps": [{"step": "first", "channels": ["email"]}],
        }
    )  # fmt: skip


def failures(tmp_path: Path, **status: str) -> dict[str, str]:
    rows = [
        {"unique_id": name.replace("__", ".p."), "status": found, "message": None}
        for name, found in status.items()
    ]
    path = tmp_path / "run_results.json"
    path.write_text(json.dumps({"results": rows}))
    return read_failures(path, MANIFEST, [journey("cart"), journey("visit")], "dbt said")


@pytest.mark.requirement("OUT-2")
def test_a_trigger_builds_its_audience_and_what_every_decision_reads_but_no_tier() -> None:
    assert list_models(MANIFEST, ["activation.cart_audience"]) == [
        "cart_audience", "outreach_offers", "stg_events",
    ]  # fmt: skip


@pytest.mark.requirement("OUT-2")
def test_a_trigger_asks_no_test_that_only_the_night_can_pass() -> None:
    """An account first seen by day has no customer yet: it must not stop everybody else."""
    assert list_night_tests(MANIFEST, ["stg_events", "cart_audience"]) == ["every_account"]
    assert list_night_tests(MANIFEST, ["stg_orders", "cart_audience"]) == ["tiers_agree"]


def test_an_audience_without_a_model_is_named() -> None:
    with pytest.raises(OutreachError, match=r"activation\.gone_audience"):
        list_models(MANIFEST, ["activation.gone_audience"])


@pytest.mark.bad_input("F11")
@pytest.mark.parametrize(
    "status", [{"model__cart_audience": "error"}, {"test__unique_cart": "fail"},
               {"model__stg_events": "success", "model__cart_audience": "skipped"}]
)  # fmt: skip
def test_an_audience_that_is_not_whole_leaves_out_its_journey_alone(
    tmp_path: Path, status: dict[str, str]
) -> None:
    found = failures(tmp_path, model__visit_audience="success", **status)
    assert list(found) == ["cart"]


def test_what_was_skipped_is_told_by_what_failed_before_it(tmp_path: Path) -> None:
    status = {"test__unique_cart": "fail", "model__outreach_offers": "skipped"}
    with pytest.raises(OutreachError, match=r"outreach_offers .* test\.p\.unique_cart has failed"):
        failures(tmp_path, **status)


def test_nothing_is_decided_on_what_every_decision_reads_when_that_failed(tmp_path: Path) -> None:
    with pytest.raises(OutreachError, match="outreach_offers"):
        failures(tmp_path, model__outreach_offers="error")


def test_a_dbt_that_did_not_run_is_told_by_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(OutreachError, match="dbt said"):
        read_failures(tmp_path / "none.json", MANIFEST, [journey("cart")], "dbt said")
