"""Accounts that might be one person although no identifier says so.

Add here: how the search for them is started.
Not here: which accounts are one customer (``defs/identity/assets.py``), what is compared
(``loose_links.yaml`` beside this file), the search (``lib/identity/loose_links.py``).
"""

import datetime as dt
from pathlib import Path

import dagster as dg

from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.lib.warehouse.plan import read_run_id
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

RULES = Path(__file__).parent / "loose_links.yaml"


@dg.asset(
    key=["identity", "loose_links"],
    deps=[
        dg.AssetKey(["identity", "customer_accounts"]),
        dg.AssetKey(["conformed", "accounts"]),
        dg.AssetKey(["staging", "stg_repeats"]),
    ],
    group_name="identity_review",
    kinds={"python", "splink", "duckdb"},
    owners=["team:data"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def loose_links(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> dg.MaterializeResult:
    """Who might be the same person, for people to review. No customer ever follows from it.

    Needs the extra ``identity``. The list is of the newest day: a past one is left alone.
    """
    from crm_pipeline.lib.identity.loose_links import TABLE, find_loose_links, load_loose_link_rules

    as_of = dt.date.fromisoformat(context.partition_key)
    rules = load_loose_link_rules(RULES)
    if warehouse.plan(context.run_id, context.partition_key).is_backfill:
        return dg.MaterializeResult(metadata={"note": "a past day: the list is left as it is"})
    midnight = dt.datetime.combine(
        as_of + dt.timedelta(days=1), dt.time(), tzinfo=deployment.settings.zone
    )
    before = midnight.astimezone(dt.UTC).replace(tzinfo=None)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        read_run_id(connection, as_of)  # refuses a day whose customers have not been found yet
        found = find_loose_links(connection, rules, as_of=as_of, before=before)
        rows = replace_table(connection, TABLE, found.table)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "likely": found.likely_count,
            "accounts": found.account_count,
            "accounts_nothing_links": found.unlinked_count,
            "model_fingerprint": found.model_fingerprint or "none",
            "note": found.note or "none",
        }
    )
