"""One source that is asked for records, as an asset of its own.

Add here: what Dagster is told about a pull.
Not here: asking, paging, landing (``lib/pull``) and reading the files (``channel_feed``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import dagster as dg
from pydantic import BaseModel, ConfigDict

from crm_pipeline.lib.ingestion import FeedSpec
from crm_pipeline.lib.progress import say
from crm_pipeline.lib.pull import PullReport, PullSpec, load_pull, pull_source
from crm_pipeline.partitions import business_timezone
from crm_pipeline.resources import Clock, Deployment

GROUP = "pulls"
COMPLETE = "pull_is_complete"


class PullAttributes(BaseModel):
    """What Dagster may see of a source's YAML before our own strict reader takes it whole."""

    model_config = ConfigDict(extra="allow")

    source: str


@dataclass
class PullSource(dg.Component):
    """A web interface or database → files in a feed's landing folder. The YAML is a PullSpec.

    It stands in the file of its feed. It brings a job of its own, and a schedule when it says when:
    a source that does not answer must not hold up the night.
    """

    spec: PullSpec
    feed: FeedSpec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return PullAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Reads the file again by ``load_pull``, which names file, line and remedy."""
        if not isinstance(attributes, PullAttributes):
            raise TypeError(f"a PullSource needs attributes, found {attributes!r}")
        spec, feed = load_pull(context.path / "defs.yaml", attributes.source)
        return cls(spec=spec, feed=feed)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        spec, feed = self.spec, self.feed
        key = dg.AssetKey(["pulls", spec.source])

        @dg.asset(
            key=key,
            group_name=GROUP,
            kinds={"python", spec.kind},
            owners=["team:data"],
            description=f"{spec.description or spec.source}: lands files for the feed {feed.feed}; "
            "nothing else is written.",
            tags={"channel": feed.channel, "entity": feed.entity},
            check_specs=[dg.AssetCheckSpec(COMPLETE, asset=key)],
            code_version=spec.fingerprint,
        )
        def pull(deployment: Deployment, clock: Clock) -> Iterator[object]:
            report = pull_source(
                deployment.crm_home, spec, feed, deployment.landing, now=clock.now()
            )
            _announce(report)
            yield dg.MaterializeResult(
                metadata={"dagster/row_count": report.records, **report.describe()}
            )
            yield dg.AssetCheckResult(
                check_name=COMPLETE,
                passed=report.is_complete,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"findings": list(report.findings), "notes": list(report.notes)},
            )

        job = dg.define_asset_job(
            f"{spec.source}_pull_job",
            selection=dg.AssetSelection.assets(key),
            description=f"Asks {spec.source} for what is new; the landing sensor takes it in.",
            tags={"dagster/max_runtime": "3600"},
        )
        return dg.Definitions(assets=[pull], jobs=[job], schedules=_schedules(spec, job.name))


def _schedules(spec: PullSpec, job_name: str) -> list[dg.ScheduleDefinition]:
    if spec.every is None:
        return []
    return [
        dg.ScheduleDefinition(
            name=f"{spec.source}_pull_schedule",
            job_name=job_name,
            cron_schedule=spec.every,
            execution_timezone=business_timezone(),
        )
    ]


def _announce(report: PullReport) -> None:
    landed = report.file_name or "nothing new"
    say(f"  {report.source}: {report.records:,} records, {landed} ({report.seconds:.1f} s)")
    for finding in report.findings:
        say(f"    incomplete: {finding}; the next pull asks for the same again")
    for note in report.notes:
        say(f"    {note}")
