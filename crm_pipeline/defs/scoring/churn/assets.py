"""Churn scores.

Add here: assets writing one churn score per customer.
Not here: maths (``ml.churn``), who is contacted (``defs/outreach``).
"""

from crm_pipeline.scoring import build_score_assets

churn_scores = build_score_assets(
    "churn",
    description="Probability of each customer to place no order within the horizon after as_of.",
    kinds={"python", "xgboost", "duckdb"},
    load="make_churn_recipe",
)
