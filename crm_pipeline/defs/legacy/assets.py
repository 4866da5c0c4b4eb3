"""The import of an old system, reconciled.

Add here: what is checked once a legacy feed was taken in.
Not here: figures and files (``lib/legacy``), the feeds (``defs/channels``).
"""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.legacy import inputs_of, last_findings, reconcile_feed, write_report
from crm_pipeline.lib.progress import say
from crm_pipeline.resources import Deployment

ENTITY = "legacy_customers"
MATCHES = "legacy_import_matches_its_source"
FEEDS = load_feeds(Path(__file__).parent.parent / "channels")
CHANNELS = {feed.channel for feed in FEEDS if feed.entity == ENTITY}
LEGACY = [feed for feed in FEEDS if feed.channel in CHANNELS]
KEY = dg.AssetKey(["reports", "legacy_reconciliation"])


def _build() -> dg.AssetsDefinition:
    @dg.asset(
        key=KEY,
        deps=[dg.AssetKey(["feeds", feed.feed]) for feed in LEGACY],
        group_name="reporting",
        kinds={"python", "markdown"},
        owners=["team:data"],
        check_specs=[dg.AssetCheckSpec(MATCHES, asset=KEY)],
        code_version="1",
    )
    def legacy_reconciliation(deployment: Deployment) -> Iterator[object]:
        """Counts, money and distinct keys of the old system's files against what was taken over.

        The report is free of personal data; each rejected record stands in a private reject file.
        """
        home = deployment.crm_home
        findings, counted = [], 0
        for feed in LEGACY:
            inputs = inputs_of(deployment.ledger, feed, deployment.landing)
            found = last_findings(home, feed.feed, inputs)
            if found is None:
                result = reconcile_feed(home, deployment.ledger, feed, deployment.landing)
                write_report(home, result)
                found, counted = result.findings, counted + len(result.files)
            findings += [f"{feed.feed} {text}" for text in found]
        for text in findings:
            say(f"  legacy import does not match its source: {text}")
        yield dg.MaterializeResult(
            metadata={"files_counted": counted, "reports": str(home.reports / "legacy")}
        )
        yield dg.AssetCheckResult(
            check_name=MATCHES,
            asset_key=KEY,
            passed=not findings,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={"findings": findings},
        )

    return legacy_reconciliation


@dg.definitions
def legacy() -> dg.Definitions:
    """Nothing, where no feed delivers an old system's customers."""
    return dg.Definitions(assets=[_build()] if LEGACY else [])
