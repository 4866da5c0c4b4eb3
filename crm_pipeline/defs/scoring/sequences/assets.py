"""Sequence rules: which purchases follow which.

Add here: the asset that writes the rules of a day.
Not here: maths (``ml.sequences``), what a month decides (``lib/scoring/sequences``).
"""

from datetime import date

import dagster as dg

from crm_pipeline.lib.progress import step
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.partitions import OFFICIAL, ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

KEY = dg.AssetKey(["scores", "sequence_rules"])


@dg.asset(
    key=KEY,
    deps=[
        dg.AssetKey(["intermediate", "int_sequence_cells"]),
        dg.AssetKey(["intermediate", "int_sequence_totals"]),
    ],
    group_name="scoring",
    kinds={"python", "duckdb"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def sequence_rules(
    context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
) -> dg.MaterializeResult:
    """The rules "A, then B within N days" in force, as the last month end decides."""
    from crm_pipeline.lib.scoring import sequences  # its libraries take seconds to import

    as_of = date.fromisoformat(context.partition_key)
    month_end = sequences.month_end_by(as_of)
    home, ledger = deployment.crm_home, deployment.ledger
    is_backfill = warehouse.plan(context.run_id, context.partition_key).is_backfill
    is_official = OFFICIAL.items() <= context.run.tags.items()
    # Every run decides from what is known now, so that the order of deliveries does not matter; the
    # same outcome is not recorded twice. A run for the past never changes what is on record.
    is_open = not sequences.is_decided(home, ledger, month_end)
    decides = not is_backfill or (is_official and is_open)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        with step("sequence rules"):
            if decides:
                cells = connection.sql("from intermediate.int_sequence_cells").df()
                totals = connection.sql("from intermediate.int_sequence_totals").df()
                sequences.decide_month(home, ledger, cells, totals, month_end)
            day = sequences.rules_in_force(home, ledger, as_of)
        replace_table(connection, ".".join(KEY.path), day.as_scores(as_of))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": day.rules.num_rows,
            "decided_as_of": str(day.decided_as_of),
            **{name: day.count(name) for name in (sequences.ACTIVE, sequences.RETIRED)},
        }
    )
