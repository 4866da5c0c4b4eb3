"""Customer lifetime value.

Add here: assets writing one CLV score per customer.
Not here: maths (``ml.clv``), who is contacted (``defs/outreach``).
"""

import dagster as dg

from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Warehouse
from crm_pipeline.scoring import materialise_scores


@dg.asset(
    key=["scores", "clv_scores"],
    deps=[dg.AssetKey(["marts", "customer_features"])],
    group_name="scoring",
    kinds={"python", "duckdb"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    code_version="1",
)
def clv_scores(context: dg.AssetExecutionContext, warehouse: Warehouse) -> dg.MaterializeResult:
    """Expected spend of each customer in the 365 days after ``as_of``."""
    from crm_pipeline.lib.scoring.scores import score_clv  # its libraries take seconds to import

    return materialise_scores(context, warehouse, "clv_scores", score_clv)
