"""What dbt reads: the ledger as of the run's start, and views on the active parts.

Add here: sources of the dbt project.
Not here: how parts come to be (``defs/channels``).
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.ingestion import load_feeds
from crm_pipeline.lib.ingestion.entities import ENTITIES, empty_relations
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, prune_snapshots
from crm_pipeline.lib.warehouse.plan import record_as_of
from crm_pipeline.lib.warehouse.sources import CLEAR_ENTITIES
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

FEEDS = load_feeds(Path(__file__).parent.parent / "channels")
SHOWN = [name for name in ENTITIES if name not in CLEAR_ENTITIES]
LEDGER_TABLES = ("inbox_files", "consents", "claims", "identity_overrides")


def _feeds_of(entity: str | None) -> list[dg.AssetKey]:
    return [dg.AssetKey(["feeds", feed.feed]) for feed in FEEDS if entity in (None, feed.entity)]


def _spec(schema: str, table: str, entity: str | None, description: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        [schema, table],
        deps=_feeds_of(entity),
        group_name=schema,
        kinds={"duckdb", "parquet"},
        owners=["team:data"],
        description=description,
    )


@dg.multi_asset(
    name="warehouse_sources",
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    specs=[
        *(
            _spec("conformed", name, name, f"Every record of {name} in the active parts.")
            for name in SHOWN
        ),
        *(
            _spec("ledger", name, None, f"The ledger's {name} when the run began.")
            for name in LEDGER_TABLES
        ),
        _spec("quarantine", "records", None, "Refused records: where and why, never their text."),
        _spec("history", "earlier_rfm_tiers", None, "Official tiers on record when the run began."),
    ],
)
def warehouse_sources(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult]:
    """Exports the ledger in one read transaction and points the warehouse's views at it."""
    home, as_of = deployment.crm_home, context.partition_key
    # The lease first: a run that waited must not build from what it saw before it waited.
    warehouse.plan(context.run_id, as_of)
    snapshot = export_snapshot(deployment.ledger, home.snapshots / context.run_id)
    prune_snapshots(home)
    with warehouse.connect(context.run_id, as_of) as connection:
        inputs = create_source_views(connection, home, snapshot, empty_relations())
        record_as_of(connection, date.fromisoformat(as_of), run_id=context.run_id)
    for key in context.selected_asset_keys:
        yield dg.MaterializeResult(key, metadata={"active_files": inputs.count})
