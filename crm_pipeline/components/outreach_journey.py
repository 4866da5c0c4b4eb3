"""One journey: from decisions on record to a batch file, never twice.

Add here: what Dagster is told about a journey's batches.
Not here: who is decided for (``lib/outreach/decisions.py``) and how a message is claimed
(``lib/outreach/batch.py``).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

import dagster as dg
from pydantic import BaseModel

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.history import find_slice
from crm_pipeline.lib.outreach.batch import is_written, write_batch
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.publish import current_manifest
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import Clock, Deployment

DECISIONS = "outreach_decisions"
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
            deps=[dg.AssetKey(["history", DECISIONS])],
            group_name="outbox",
            kinds={"python", "csv"},
            owners=["team:crm"],
            partitions_def=business_days(),
            backfill_policy=ONE_DAY_A_RUN,
            description=f"{journey.description} Claims each message in the ledger, then writes "
            "the batch file. Re-running writes nothing twice.",
            code_version="1",
        )
        def batch(
            context: dg.AssetExecutionContext, deployment: Deployment, clock: Clock
        ) -> dg.MaterializeResult:
            as_of = date.fromisoformat(context.partition_key)
            _refuse_unpublished(deployment, as_of)
            report = write_batch(
                deployment.crm_home,
                deployment.ledger,
                deployment.vault,
                journey,
                as_of=as_of,
                now=clock.now(),
            )
            return dg.MaterializeResult(
                metadata={
                    "dagster/row_count": report.message_count,
                    "batch_id": report.batch_id,
                    "not_sent": report.skipped_count,
                }
            )

        job = dg.define_asset_job(
            f"{journey.journey}_batch_job",
            selection=dg.AssetSelection.assets(key),
            partitions_def=business_days(),
            description=f"Writes the batch of {journey.journey} for one night's decisions.",
            tags={"dagster/max_runtime": "3600"},
        )

        @dg.sensor(
            name=f"{journey.journey}_journey_sensor",
            job_name=job.name,
            minimum_interval_seconds=60,
            description="Starts a batch when new tiers and scores have been published and their "
            "decisions are not yet in a batch. The ledger is the truth, never the cursor.",
        )
        def sensor(
            context: dg.SensorEvaluationContext, deployment: Deployment
        ) -> dg.RunRequest | dg.SkipReason:
            return _next_batch(context, deployment, journey)

        return dg.Definitions(assets=[batch], jobs=[job], sensors=[sensor])


def _next_batch(
    context: dg.SensorEvaluationContext, deployment: Deployment, journey: JourneySpec
) -> dg.RunRequest | dg.SkipReason:
    manifest = current_manifest(deployment.crm_home)
    if manifest is None:
        return dg.SkipReason("nothing has been published yet")
    with deployment.ledger.connect() as connection:
        decided = find_slice(deployment.crm_home, connection, DECISIONS, manifest.as_of)
    if decided is None:
        return dg.SkipReason(f"no decisions for {manifest.as_of}")
    if decided.sha256 != manifest.versions.get(DECISIONS):
        return dg.SkipReason("the newest decisions are not published: their build was held back")
    if is_written(deployment.ledger, journey, manifest.as_of, decided.sha256):
        return dg.SkipReason(f"the batch for {manifest.as_of} is written")
    return _request(context, journey, decided.sha256, manifest.as_of)


def _refuse_unpublished(deployment: Deployment, as_of: date) -> None:
    """A run started by hand is bound like the sensor: what the gate held back is never sent."""
    manifest = current_manifest(deployment.crm_home)
    with deployment.ledger.connect() as connection:
        decided = find_slice(deployment.crm_home, connection, DECISIONS, as_of)
    if decided is None or manifest is None or manifest.versions.get(DECISIONS) != decided.sha256:
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
