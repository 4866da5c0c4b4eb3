"""Customer lifetime value.

Add here: assets writing one CLV score per customer.
Not here: maths (``ml.clv``), who is contacted (``defs/outreach``).
"""

from crm_pipeline.scoring import build_score_assets

clv_scores = build_score_assets(
    "clv",
    description="Expected spend of each customer in the 365 days after as_of, with an interval.",
    kinds={"python", "xgboost", "duckdb"},
    load="make_clv_recipe",
)
