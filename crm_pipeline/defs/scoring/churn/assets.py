"""Churn scores.

Add here: assets writing one churn score per customer.
Not here: maths (``ml.churn``), who is contacted (``defs/outreach``).
"""

import dagster as dg

from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Warehouse
from crm_pipeline.scoring import materialise_scores


@dg.asset(
    key=["scores", "churn_scores"],
    deps=[dg.AssetKey(["marts", "customer_features"])],
    group_name="scoring",
    kinds={"python", "xgboost", "duckdb"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def churn_scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """Probability of each customer to place no order within the horizon after ``as_of``."""
    from crm_pipeline.lib.scoring.scores import score_churn  # its libraries take seconds to import

    return materialise_scores(context, warehouse, "churn_scores", score_churn)
