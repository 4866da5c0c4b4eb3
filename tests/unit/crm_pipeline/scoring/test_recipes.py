"""The scores there are, on features in the order a warehouse gives them: none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crm_pipeline.lib.scoring.recipes import make_churn_recipe, make_clv_recipe
from ml.churn import CHURN_FEATURES, ChurnModelConfig

QUICK = ChurnModelConfig(max_rounds=5)


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """300 customers at three cut-offs; who came often will come, and their order says nothing."""
    rng = np.random.default_rng(4)
    parts = []
    for cutoff in ("2024-01-01", "2024-03-31", "2024-06-29"):
        tenure = rng.integers(100, 300, 300)
        frequency = rng.poisson(2, 300)
        recency = np.where(frequency > 0, rng.integers(1, 100, 300), 0)
        value = np.where(frequency > 0, rng.gamma(5, 10, 300), 0.0)
        orders = rng.poisson(0.4 * frequency)
        part = pd.DataFrame(
            {
                **{name: rng.random(300) for name in CHURN_FEATURES},
                "cutoff_date": pd.Timestamp(cutoff),
                "customer_id": [f"c{n}" for n in range(300)],
                "frequency_days": frequency,
                "recency_days": recency,
                "tenure_days": tenure,
                "monetary_value": value,
                "days_since_last_order": tenure - recency,
                "label_order_count": orders,
                "label_spend_amount": orders * rng.gamma(5, 10, 300),
            }
        )
        parts.append(part)
    return pd.concat(parts).sample(frac=1.0, random_state=3)


@pytest.mark.requirement("SCO-7")
def test_champion_and_challenger_are_asked_about_the_same_customers_row_by_row(
    panel: pd.DataFrame,
) -> None:
    for recipe in (make_churn_recipe(QUICK), make_clv_recipe()):
        backtest = recipe.look_back(panel)
        rows = recipe.rows_of_backtest(panel, backtest)
        came = {
            "churn": (rows["label_order_count"] == 0).astype(float),
            "clv": rows["label_spend_amount"],
        }[recipe.name]
        np.testing.assert_array_equal(came.to_numpy(), backtest.customers["actual"], recipe.name)
