"""From source accounts to customers.

Add here: assets that decide which accounts are one customer.
Not here: normalisers and matching (``ml/identity``), what hangs on a customer (dbt marts).
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow as pa

from crm_pipeline.lib.identity.customers import read_placed_accounts
from crm_pipeline.lib.identity.identifiers import ENTITY_SOURCES
from crm_pipeline.lib.identity.ids import assign_customer_ids, read_changes
from crm_pipeline.lib.identity.overrides import read_snapshot_overrides
from crm_pipeline.lib.identity.quality import FULL_RULES, measure_quality
from crm_pipeline.lib.identity.resolution import resolve_accounts
from crm_pipeline.lib.identity.sightings import Reading, make_identifiers, refresh_sightings
from crm_pipeline.lib.rules.identifier_kinds import load_identifier_kinds
from crm_pipeline.lib.rules.identity_floors import load_identity_floors
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.lib.warehouse.plan import read_run_id
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

SEEDS = Path(__file__).parents[3] / "dbt_project" / "seeds"
IDENTIFIERS = dg.AssetKey(["identity", "identifiers"])
CLUSTERS, EDGES, DROPPED = (
    dg.AssetKey(["identity", name]) for name in ("clusters", "edges", "dropped_edges")
)
ACCOUNTS = dg.AssetKey(["identity", "customer_accounts"])
CHANGES = dg.AssetKey(["identity", "customer_id_changes"])
QUALITY = dg.AssetKey(["identity", "quality"])
KINDS_SEED = dg.AssetKey(["rules", "identifier_kinds"])
FLOORS_SEED = dg.AssetKey(["rules", "identity_floors"])


def _spec(key: dg.AssetKey, description: str, deps: list[dg.AssetKey]) -> dg.AssetSpec:
    return dg.AssetSpec(
        key,
        deps=deps,
        group_name="identity",
        kinds={"python", "duckdb"},
        owners=["team:data"],
        description=description,
        code_version="1",
    )


@dg.multi_asset(
    name="identifiers",
    specs=[
        _spec(
            IDENTIFIERS,
            "Every identifier an account has shown, as token and mask, with its span.",
            [
                dg.AssetKey(["intermediate", "int_accounts_seen"]),
                dg.AssetKey(["staging", "stg_repeats"]),
                *(dg.AssetKey(["conformed", source.entity]) for source in ENTITY_SOURCES),
            ],
        )
    ],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
)
def identifiers(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> dg.MaterializeResult:
    """New parts are read once; clear phones, mailboxes and open ids go to the vault."""
    as_of, settings = context.partition_key, deployment.settings
    reading = Reading(load_identifier_kinds(SEEDS), settings.keys.token_key, settings.zone)
    with warehouse.connect(context.run_id, as_of) as connection:
        parts = refresh_sightings(connection, deployment.vault, reading)
        rows = make_identifiers(connection, dt.date.fromisoformat(as_of))
    return dg.MaterializeResult(
        IDENTIFIERS, metadata={"dagster/row_count": rows, "parts_read": parts}
    )


@dg.multi_asset(
    name="clusters",
    specs=[
        _spec(EDGES, "Evidence that two accounts are one customer.", [IDENTIFIERS]),
        _spec(DROPPED, "Evidence that was not used, and why.", [IDENTIFIERS]),
        _spec(CLUSTERS, "Accounts that are one customer.", [IDENTIFIERS]),
    ],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
)
def clusters(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult]:
    """Connected components under the guards of ``seeds/identifier_kinds.csv``."""
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        overrides = _overrides(context, deployment, warehouse)
        summary = resolve_accounts(connection, load_identifier_kinds(SEEDS), overrides)
    counts = {
        EDGES: summary.edge_count,
        DROPPED: summary.dropped_count,
        CLUSTERS: summary.account_count,
    }
    told = {name: value for name, value in dataclasses.asdict(summary).items() if value is not None}
    for key, rows in counts.items():
        yield dg.MaterializeResult(key, metadata={"dagster/row_count": rows, **told})


@dg.multi_asset(
    name="customer_accounts",
    specs=[
        _spec(
            ACCOUNTS,
            "Customer of every source account. Ids are minted once and kept in the ledger.",
            [CLUSTERS, EDGES, DROPPED, QUALITY],  # a merge below the floor is not recorded
        ),
        _spec(
            CHANGES,
            "Every change of an account's customer id: merges and splits with their reasons.",
            [CLUSTERS, EDGES, DROPPED, QUALITY],
        ),
    ],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
)
def customer_accounts(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult]:
    """Gives each cluster the id it had, or a new one; a past day mints none."""
    as_of = dt.date.fromisoformat(context.partition_key)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        placed = read_placed_accounts(connection, _overrides(context, deployment, warehouse))
        assigned = assign_customer_ids(
            deployment.crm_home,
            deployment.ledger,
            placed,
            key=deployment.settings.keys.id_key,
            as_of=as_of,
            mint=not warehouse.plan(context.run_id, context.partition_key).is_backfill,
        )
        account = ["channel", "source_customer_id"]
        linked = placed.select([*account, "linked_by"])
        rows = replace_table(connection, ".".join(ACCOUNTS.path), assigned.join(linked, account))
        changes = read_changes(deployment.ledger)
        known = changes.filter(pa.compute.less_equal(changes["as_of_date"], pa.scalar(as_of)))
        change_rows = replace_table(connection, ".".join(CHANGES.path), known)
    yield dg.MaterializeResult(ACCOUNTS, metadata={"dagster/row_count": rows})
    yield dg.MaterializeResult(CHANGES, metadata={"dagster/row_count": change_rows})


@dg.multi_asset(
    name="identity_quality",
    specs=[
        _spec(
            QUALITY,
            "How right identity is on reviewed pairs, beside what less would have reached.",
            [
                CLUSTERS,
                EDGES,
                DROPPED,
                dg.AssetKey(["staging", "stg_identity_pairs"]),
            ],
        )
    ],
    check_specs=[dg.AssetCheckSpec("floors_hold", asset=QUALITY, blocking=True)],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
)
def identity_quality(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Below a floor of ``seeds/identity_floors.csv`` nothing is published."""
    as_of = dt.date.fromisoformat(context.partition_key)
    kinds, floors = load_identifier_kinds(SEEDS), load_identity_floors(SEEDS)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        measured = measure_quality(connection, kinds, floors, as_of)
        rows = replace_table(connection, ".".join(QUALITY.path), measured)
    (full,) = (row for row in measured.to_pylist() if row["rule_set"] == FULL_RULES)
    told = {
        name: full[name]
        for name in ("pairwise_precision", "pairwise_recall", "match_rate", "cluster_size_max")
        if full[name] is not None
    }
    yield dg.MaterializeResult(QUALITY, metadata={"dagster/row_count": rows, **told})
    breached, warnings = full["breached_floors"], full["warnings"]
    yield dg.AssetCheckResult(
        check_name="floors_hold",
        asset_key=QUALITY,
        passed=breached is None and warnings is None,
        severity=dg.AssetCheckSeverity.ERROR if breached else dg.AssetCheckSeverity.WARN,
        metadata={"breached": breached or "none", "warnings": warnings or "none"},
    )


def _overrides(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> pa.Table:
    """What people have decided; a past day sees what was decided before its end."""
    as_of = dt.date.fromisoformat(context.partition_key)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        snapshot = deployment.crm_home.snapshots / read_run_id(connection, as_of)
    before = None
    if warehouse.plan(context.run_id, context.partition_key).is_backfill:
        midnight = dt.datetime.combine(
            as_of + dt.timedelta(days=1), dt.time(), tzinfo=deployment.settings.zone
        )
        before = midnight.astimezone(dt.UTC).replace(tzinfo=None)
    return read_snapshot_overrides(snapshot, before=before)
