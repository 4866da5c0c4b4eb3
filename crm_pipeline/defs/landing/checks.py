"""What Great Expectations says of landed parts.

Add here: checks over parts of any feed.
Not here: the expectations (``lib/ingestion/expectations``), checks the door makes itself (the
``ChannelFeed`` component).
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.ingestion import judge, load_feeds
from crm_pipeline.resources import Deployment

FEEDS = {spec.feed: spec for spec in load_feeds(Path(__file__).parent.parent / "channels")}
EXPECTATIONS = "landing_expectations_hold"


@dg.multi_asset_check(
    name="landing_expectations",
    specs=[dg.AssetCheckSpec(EXPECTATIONS, asset=["feeds", feed]) for feed in FEEDS],
    can_subset=True,
)
def landing_expectations(
    context: dg.AssetCheckExecutionContext, deployment: Deployment
) -> Iterator[dg.AssetCheckResult]:
    """One verdict per feed, over the parts nobody has judged yet; without any, the last stands.

    One step for all feeds, because what it needs takes seconds to start.
    """
    judge.finish()
    for key in sorted(context.selected_asset_check_keys):
        spec = FEEDS[key.asset_key.path[-1]]
        verdict = judge.judge_feed(deployment.crm_home, deployment.ledger, spec)
        is_error = dg.AssetCheckSeverity.ERROR if verdict.is_error else dg.AssetCheckSeverity.WARN
        yield dg.AssetCheckResult(
            check_name=key.name,
            asset_key=key.asset_key,
            passed=not verdict.failed,
            severity=is_error,
            metadata={
                "parts": len(verdict.judged),
                "expectations": verdict.expectations,
                "failed": dg.MetadataValue.json(dict(verdict.failed)),
                "data_docs": str(deployment.crm_home.data_docs / spec.feed / "index.html"),
            },
        )
