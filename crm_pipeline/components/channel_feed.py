"""One channel's files as an asset.

Add here: what Dagster is told about an ingestion.
Not here: how a file is read, checked and kept (``lib/ingestion``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from pydantic import BaseModel

from crm_pipeline.lib.ingestion.expectations import validate_parts
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.ingest import FeedReport, ingest_feed
from crm_pipeline.lib.progress import say
from crm_pipeline.resources import Clock, Deployment

BALANCE = "received_equals_written_plus_quarantined"
REFUSED = "no_file_was_refused"
EXPECTATIONS = "landing_expectations_hold"


@dataclass
class ChannelFeed(dg.Component):
    """Files of one channel → its slice of ``conformed.<entity>``, with landing checks.

    The YAML is a :class:`FeedSpec`; adding one adds a channel, without Python or SQL.
    """

    spec: FeedSpec

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return FeedSpec

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> ChannelFeed:
        if not isinstance(attributes, FeedSpec):
            raise TypeError(f"a ChannelFeed needs attributes, found {attributes!r}")
        return cls(spec=attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        spec = self.spec
        key = dg.AssetKey(["feeds", spec.feed])

        @dg.asset(
            key=key,
            group_name="channels",
            kinds={"python", "parquet", spec.format.kind},
            owners=["team:data"],
            description=f"Files of channel {spec.channel} that carry {spec.entity}: "
            "raw bytes kept, each record written or quarantined with a reason.",
            tags={"channel": spec.channel, "entity": spec.entity},
            check_specs=[
                dg.AssetCheckSpec(BALANCE, asset=key, blocking=True),
                dg.AssetCheckSpec(REFUSED, asset=key),
                dg.AssetCheckSpec(EXPECTATIONS, asset=key),
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
            yield _refusals(report)
            yield _expectations(deployment, spec, report)

        return dg.Definitions(assets=[feed])
