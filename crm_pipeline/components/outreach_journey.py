"""One journey: from decisions on record to a batch that waits for approval.

Add here: what Dagster is told about a journey's batches.
Not here: who is decided for (``lib/outreach/decisions.py``), what a batch is
(``lib/outreach/plan.py``), how it goes out (``defs/outreach/release.py``).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

import dagster as dg
import pyarrow as pa
from pydantic import BaseModel

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.history import find_slice
from crm_pipeline.lib.outreach.content import load_content, render_messages
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.operators import SCHEDULE
from crm_pipeline.lib.outreach.plan import (
    NIGHTLY,
    TICKS,
    Batch,
    is_planned,
    is_tick_unplanned,
    plan_batches,
)
from crm_pipeline.lib.outreach.preview import find_preview, preview_batch
from crm_pipeline.lib.publish import current_manifest
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import DBT_PROJECT, Clock, Deployment

BACKFILL = "dagster/backfill"  # a backfill started in the UI plans nothing, whatever its day
SLICE_TAG = "crm/decisions"
MAX_ATTEMPTS = 3
STALE_AFTER = timedelta(hours=2)


@dataclass
class OutreachJourney(dg.Component):
    """Audience + steps → batch asset, job and sensor. The YAML is a :class:`JourneySpec`."""

    spec: JourneySpec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return JourneySpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        if not isinstance(attributes, JourneySpec):
            raise TypeError(f"an OutreachJourney needs attributes, found {attributes!r}")
        return cls(spec=attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        journey = self.spec
        key = dg.AssetKey(["outbox", f"{journey.journey}_batch"])

        @dg.asset(
            key=key,
            deps=[dg.AssetKey(["history", NIGHTLY])],
            group_name="outbox",
            kinds={"python", "parquet"},
            owners=["team:crm"],
            partitions_def=business_days(),
            backfill_policy=ONE_DAY_A_RUN,
            description=f"{journey.description} Plans and previews what the day's decisions send; "
            "a person approves it. Sends nothing.",
            code_version="2",
        )
        def batch(
            context: dg.AssetExecutionContext, deployment: Deployment, clock: Clock
        ) -> dg.MaterializeResult:
            if BACKFILL in context.run.tags:
                return dg.MaterializeResult(metadata={"dagster/row_count": 0})
            as_of = date.fromisoformat(context.partition_key)
            made = _plan(deployment, clock, journey, as_of)
            return dg.MaterializeResult(
                metadata={
                    "dagster/row_count": sum(one.message_count for one in made),
                    "batch_id": ", ".join(one.batch_id for one in made),
                    "state": ", ".join(one.state for one in made),
                }
            )

        job = dg.define_asset_job(
            f"{journey.journey}_batch_job",
            selection=dg.AssetSelection.assets(key),
            partitions_def=business_days(),
            description=f"Plans the batch of {journey.journey} for one day's decisions.",
            tags={"dagster/max_runtime": "3600"},
        )

        @dg.sensor(
            name=f"{journey.journey}_journey_sensor",
            job_name=job.name,
            minimum_interval_seconds=60,
            description="Plans a batch when decisions are published, or made by a trigger, and "
            "are not yet in one. The ledger is the truth, never the cursor.",
        )
        def sensor(
            context: dg.SensorEvaluationContext, deployment: Deployment
        ) -> dg.RunRequest | dg.SkipReason:
            return _next_batch(context, deployment, journey)

        return dg.Definitions(assets=[batch], jobs=[job], sensors=[sensor])


def _plan(deployment: Deployment, clock: Clock, journey: JourneySpec, as_of: date) -> list[Batch]:
    """Batches of the night and of the ticks of a day, each previewed."""
    home, ledger, now = deployment.crm_home, deployment.ledger, clock.now()
    library = load_content(DBT_PROJECT / "seeds")
    brand = deployment.settings.brand or ""

    def render(decisions: pa.Table) -> tuple[pa.Table, pa.Table]:
        made = render_messages(decisions, library, brand)
        return made.messages, made.refused

    tables = [TICKS] if is_tick_unplanned(home, ledger, journey.journey, as_of) else [NIGHTLY]
    if tables == [NIGHTLY]:
        _refuse_unpublished(deployment, as_of)
    made = [
        one
        for table_name in tables
        for one in plan_batches(
            home, ledger, journey, as_of=as_of, render=render, now=now, planned_by=SCHEDULE,
            table_name=table_name,
        )
    ]  # fmt: skip
    for one in made:
        if one.state == "planned" and find_preview(home, one) is None:
            preview_batch(home, ledger, one, now=now, actor=SCHEDULE)
    return made


def _next_batch(
    context: dg.SensorEvaluationContext, deployment: Deployment, journey: JourneySpec
) -> dg.RunRequest | dg.SkipReason:
    home, ledger = deployment.crm_home, deployment.ledger
    manifest = current_manifest(home)
    if manifest is None:
        return dg.SkipReason("nothing has been published yet")
    if deployment.settings.brand is None:
        return dg.SkipReason("nothing is planned without a brand to sign with: set CRM_BRAND")
    with ledger.connect() as connection:
        decided = find_slice(home, connection, NIGHTLY, manifest.as_of)
    if decided is None:
        return dg.SkipReason(f"no decisions for {manifest.as_of}")
    if decided.sha256 != manifest.versions.get(NIGHTLY):
        return dg.SkipReason("the newest decisions are not published: their build was held back")
    if not is_planned(ledger, journey.journey, manifest.as_of, decided.sha256):
        return _request(context, journey, decided.sha256, manifest.as_of)
    for day in (manifest.as_of + timedelta(days=1), manifest.as_of + timedelta(days=2)):
        if journey.trigger != "nightly" and is_tick_unplanned(home, ledger, journey.journey, day):
            with ledger.connect() as connection:
                ticks = find_slice(home, connection, TICKS, day)
            return _request(context, journey, ticks.sha256 if ticks else "", day)
    return dg.SkipReason(f"the batch for {manifest.as_of} is planned")


def _refuse_unpublished(deployment: Deployment, as_of: date) -> None:
    """A run started by hand is bound like the sensor: what the gate held back is never sent."""
    manifest = current_manifest(deployment.crm_home)
    with deployment.ledger.connect() as connection:
        decided = find_slice(deployment.crm_home, connection, NIGHTLY, as_of)
    if decided is None or manifest is None or manifest.versions.get(NIGHTLY) != decided.sha256:
        raise OutreachError(
            f"the decisions of {as_of} are not those of the published build",
            where=str(deployment.crm_home.published),
            remedy="run the nightly job for that day to its end first",
        )


def _request(
    context: dg.SensorEvaluationContext, journey: JourneySpec, slice_sha256: str, as_of: date
) -> dg.RunRequest | dg.SkipReason:
    """A run key counts for ever, so a failed attempt must change it to be tried again."""
    tag = {SLICE_TAG: slice_sha256[:16], "crm/journey": journey.journey}
    records = context.instance.get_run_records(dg.RunsFilter(tags=tag), limit=MAX_ATTEMPTS + 1)
    runs = [record.dagster_run for record in records]
    # A process killed before its first step leaves a run that never ends; the ledger's own lock
    # keeps a second run from doubling anything, so an old one need not be waited for.
    oldest = datetime.now(UTC) - STALE_AFTER
    if any(not r.dagster_run.is_finished and r.create_timestamp > oldest for r in records):
        return dg.SkipReason("a run for these decisions is under way")
    if len(runs) >= MAX_ATTEMPTS:
        return dg.SkipReason(f"gave up after {len(runs)} attempts; start the job by hand")
    return dg.RunRequest(
        run_key=f"{slice_sha256[:16]}-{len(runs)}", partition_key=as_of.isoformat(), tags=tag
    )
