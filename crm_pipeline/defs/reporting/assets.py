"""What leaves the warehouse for people.

Add here: the published build and reports made from it.
Not here: figures (dbt marts and metrics).
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.dbt_manifest import ensure_manifest
from crm_pipeline.lib.fingerprint import fingerprint_snapshot
from crm_pipeline.lib.history import find_slice
from crm_pipeline.lib.outreach.balance import count_candidates
from crm_pipeline.lib.outreach.journey import load_journeys
from crm_pipeline.lib.outreach.moments import night_of
from crm_pipeline.lib.progress import say, step
from crm_pipeline.lib.publish import (
    check_build,
    keep_past_build,
    publish_build,
)
from crm_pipeline.lib.publish.gate import check_candidates, check_day
from crm_pipeline.lib.reporting.write_report import find_build, write_reports
from crm_pipeline.lib.warehouse import open_warehouse
from crm_pipeline.lib.warehouse.plan import read_run_id
from crm_pipeline.lib.warehouse.sources import describe_inputs
from crm_pipeline.partitions import KEPT, OFFICIAL, ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Clock, Deployment, Warehouse

JOURNEYS = load_journeys(Path(__file__).parents[1] / "outreach")
DBT_PROJECT = Path(__file__).parents[3] / "dbt_project"
PUBLISHED_SCHEMAS = ("marts", "metrics", "ops")
DECISIONS = "outreach_decisions"
KEY = dg.AssetKey(["published", "build"])


def _published_models() -> list[dg.AssetKey]:
    manifest = json.loads(ensure_manifest(DBT_PROJECT).read_text(encoding="utf-8"))
    return [
        dg.AssetKey([node["schema"], node["name"]])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] in PUBLISHED_SCHEMAS
    ]


@dg.asset(
    key=KEY,
    deps=_published_models(),
    group_name="reporting",
    kinds={"python", "duckdb", "parquet"},
    owners=["team:data"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    check_specs=[dg.AssetCheckSpec("gate_holds", asset=KEY, blocking=True)],
    code_version="1",
)
def published_build(
    context: dg.AssetExecutionContext,
    deployment: Deployment,
    warehouse: Warehouse,
    clock: Clock,
) -> Iterator[object]:
    """One whole build under ``published/current``; the one before stays when the gate fails.

    A run for the past is checked and never moves ``current``; with the tag ``crm/keep_past``, or
    where it makes tiers official, its build is kept in ``past/<day>``.
    """
    home, as_of = deployment.crm_home, date.fromisoformat(context.partition_key)
    plan = warehouse.plan(context.run_id, context.partition_key)
    with open_warehouse(plan.path, read_only=True) as connection:
        snapshot = home.snapshots / read_run_id(connection, as_of)
        findings = [*check_build(connection), *check_day(connection, as_of)]
        if not plan.is_backfill and _decisions_sha256(deployment, as_of):
            night, zone = night_of(as_of, deployment.settings.zone), deployment.settings.zone
            counts = count_candidates(connection, JOURNEYS, moment=night, zone=zone)
            findings += check_candidates(connection, as_of, counts)
    told = [str(finding) for finding in findings]
    if not findings and not plan.is_backfill:
        inputs = describe_inputs(snapshot)
        versions = {
            "fingerprint": fingerprint_snapshot(
                snapshot, deployment.ledger, deployment.settings, as_of
            ),
            DECISIONS: _decisions_sha256(deployment, as_of),
        }
        with step("publish"):
            manifest = publish_build(
                home,
                plan.path,
                build_id=f"{as_of:%Y%m%d}-{context.run_id[:8]}",
                as_of=as_of,
                created_at=clock.now(),
                inputs=inputs,
                versions=versions,
                with_result_hash=False,  # seconds per million rows; `crm hash` tells it on demand
            )
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(manifest.row_counts.values()),
                "build_id": manifest.build_id,
            }
        )
    elif not findings and any(tag.items() <= context.run.tags.items() for tag in (KEPT, OFFICIAL)):
        with step("keep"):
            kept = keep_past_build(
                home,
                plan.path,
                build_id=f"{as_of:%Y%m%d}-{context.run_id[:8]}",
                as_of=as_of,
                created_at=clock.now(),
                inputs=describe_inputs(snapshot),
            )
        yield dg.MaterializeResult(metadata={"build_id": kept.build_id, "kept_in": f"past/{as_of}"})
    else:
        yield dg.MaterializeResult(metadata={"build_id": "not published"})
    yield dg.AssetCheckResult(
        check_name="gate_holds",
        asset_key=KEY,
        passed=not findings,
        metadata={"findings": told},
        severity=dg.AssetCheckSeverity.ERROR,
    )


@dg.asset(
    key=["reports", "customer_tiers"],
    deps=[KEY],
    group_name="reporting",
    kinds={"python", "html"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def customer_tier_report(
    context: dg.AssetExecutionContext, deployment: Deployment
) -> dg.MaterializeResult:
    """The report of the build that made tiers official; other runs write none."""
    home, as_of = deployment.crm_home, date.fromisoformat(context.partition_key)
    if not OFFICIAL.items() <= context.run.tags.items():
        return dg.MaterializeResult(metadata={"files": "none: tiers are made official monthly"})
    with step("report"):
        paths = write_reports(home, find_build(home, as_of).build_dir, DBT_PROJECT / "seeds")
    for path in paths:
        say(f"    {path}")
    return dg.MaterializeResult(metadata={"files": [str(path) for path in paths]})


def _decisions_sha256(deployment: Deployment, as_of: date) -> str:
    """Names the decisions this build shows; a batch is written from these and no others."""
    with deployment.ledger.connect() as connection:
        decided = find_slice(deployment.crm_home, connection, DECISIONS, as_of)
    return decided.sha256 if decided else ""
