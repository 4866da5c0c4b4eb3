"""One channel's files as an asset.

Add here: what Dagster is told about an ingestion.
Not here: how a file is read, checked and kept (``lib/ingestion``), what Great Expectations says of
the parts (``defs/landing``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel, ConfigDict

from crm_pipeline.lib.ingestion import FeedReport, FeedSpec, ingest_feed, judge, load_feed
from crm_pipeline.lib.ingestion.inbox import refused_files
from crm_pipeline.lib.progress import say
from crm_pipeline.lib.pull import pulls_feeding
from crm_pipeline.resources import Clock, Deployment

BALANCE = "received_equals_written_plus_quarantined"
REFUSED = "no_file_was_refused"


class FeedAttributes(BaseModel):
    """What Dagster may see of a feed's YAML before our own strict reader takes it whole."""

    model_config = ConfigDict(extra="allow")

    feed: str


@dataclass
class ChannelFeed(dg.Component):
    """Files of one channel → its slice of ``conformed.<entity>``, with landing checks.

    The YAML is a :class:`FeedSpec`; adding one adds a channel, without Python or SQL.
    """

    spec: FeedSpec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return FeedAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Reads the file again by ``load_feed``, which names file, line and remedy."""
        if not isinstance(attributes, FeedAttributes):
            raise TypeError(f"a ChannelFeed needs attributes, found {attributes!r}")
        return cls(spec=load_feed(context.path / "defs.yaml", attributes.feed))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        spec = self.spec
        key = dg.AssetKey(["feeds", spec.feed])

        pulls = pulls_feeding(context.path / "defs.yaml", spec.feed)

        @dg.asset(
            key=key,
            deps=[dg.AssetKey(["pulls", source]) for source in pulls],
            group_name="channels",
            kinds={"python", "parquet", spec.format.kind},
            owners=["team:data"],
            description=f"Files of channel {spec.channel} that carry {spec.entity}: "
            "raw bytes kept, each record written or quarantined with a reason.",
            tags={"channel": spec.channel, "entity": spec.entity},
            check_specs=[
                dg.AssetCheckSpec(BALANCE, asset=key, blocking=True),
                dg.AssetCheckSpec(REFUSED, asset=key),
            ],
            code_version=spec.contract_hash,
        )
        def feed(deployment: Deployment, clock: Clock) -> Iterator[object]:
            report = ingest_feed(
                deployment.crm_home,
                deployment.ledger,
                spec,
                deployment.landing,
                received_at=clock.now(),
                post_consents=deployment.post_consents,
            )
            _announce(report)
            yield dg.MaterializeResult(metadata=_metadata(report))
            yield _balance(report)
            yield _refusals(deployment, spec, report)
            judge.tell(spec.feed)

        return dg.Definitions(assets=[feed])


def _announce(report: FeedReport) -> None:
    if report.has_news:
        say(
            f"  {report.feed}: {len(report.files)} files, {report.received:,} records, "
            f"{report.quarantined:,} quarantined ({report.seconds:.1f} s)"
        )
    for file in report.refused:
        say(f"  {report.feed}: file {file.file_id} refused, {file.reason_code}: {file.message}")
        if file.remedy:
            say(f"    do: {file.remedy}")


def _metadata(report: FeedReport) -> dict[str, Any]:
    return {"dagster/row_count": report.written, **report.describe()}


def _balance(report: FeedReport) -> dg.AssetCheckResult:
    unbalanced = [file.file_id for file in report.files if not file.is_balanced]
    return dg.AssetCheckResult(
        check_name=BALANCE,
        passed=not unbalanced,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"files": len(report.files), "unbalanced": unbalanced},
    )


def _refusals(deployment: Deployment, spec: FeedSpec, report: FeedReport) -> dg.AssetCheckResult:
    """Judged by the ledger: a refused file stays refused, also when nothing new has come."""
    refused = {file.file_id or "unopened": file.reason_code for file in report.refused}
    refused |= refused_files(deployment.ledger, spec.feed)
    return dg.AssetCheckResult(
        check_name=REFUSED,
        passed=not refused,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"refused": refused},
    )
