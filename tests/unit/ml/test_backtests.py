"""Backtests look only backwards, and report models beside rules of thumb."""

import numpy as np
import pandas as pd
import pytest

from ml.baselines import score_rfm
from ml.churn import ChurnModelConfig
from ml.churn.backtest import backtest_churn
from ml.clv.backtest import backtest_clv
from ml.errors import MissingColumnsError, NotEnoughDataError

CONFIG = ChurnModelConfig(max_rounds=60, early_stopping_rounds=10, learning_rate=0.1)


@pytest.fixture(scope="module")
def cutoff(panel: pd.DataFrame) -> pd.Timestamp:
    return panel["cutoff_date"].max()


def test_churn_backtest_reports_the_model_beside_the_rules_of_thumb(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    backtest = backtest_churn(panel, cutoff_date=cutoff.date(), config=CONFIG)
    figures = backtest.figures
    assert all(type(value) is float for value in figures.values())
    assert figures["auc"] > figures["days_since_last_order_auc"] > 0.5
    assert {"pr_auc", "brier", "ece", "lift_at_10pct", "bg_nbd_brier", "rfm_auc"} <= set(figures)
    assert figures["training_cutoff_count"] == 5
    assert list(backtest.customers.columns[:2]) == ["actual", "predicted"]
    assert {"days_since_last_order", "rfm", "bg_nbd"} <= set(backtest.customers.columns)
    assert len(backtest.customers) == figures["customer_count"]


def test_churn_backtest_does_not_see_what_came_after_the_cutoff(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    # Outcomes not known at the cut-off may say anything; the training rows must not notice.
    middle = sorted(panel["cutoff_date"].unique())[4]
    is_unknown = panel["cutoff_date"] > middle - pd.Timedelta(days=CONFIG.horizon_days)
    noise = panel["label_order_count"].where(
        ~is_unknown | (panel["cutoff_date"] == middle), np.arange(len(panel)) % 2
    )
    scrambled = panel.assign(label_order_count=noise)
    scrambled = scrambled[scrambled["cutoff_date"] <= cutoff]
    honest, blind = (
        backtest_churn(frame, cutoff_date=middle, config=CONFIG) for frame in (panel, scrambled)
    )
    assert honest.figures == blind.figures
    pd.testing.assert_frame_equal(honest.customers, blind.customers)


def test_a_backtest_without_outcomes_is_refused(panel: pd.DataFrame, cutoff: pd.Timestamp) -> None:
    is_latest = panel["cutoff_date"] == cutoff
    still_open = panel.assign(
        label_order_count=panel["label_order_count"].mask(is_latest),
        label_spend_amount=panel["label_spend_amount"].mask(is_latest),
    )
    for backtest in (
        lambda: backtest_churn(still_open, cutoff_date=cutoff, config=CONFIG),
        lambda: backtest_clv(still_open, cutoff_date=cutoff, horizon_days=90),
    ):
        with pytest.raises(NotEnoughDataError, match="0 customers with a known outcome"):
            backtest()


def test_a_missing_label_column_is_named(panel: pd.DataFrame, cutoff: pd.Timestamp) -> None:
    with pytest.raises(MissingColumnsError, match="label_spend_amount"):
        backtest_clv(
            panel.drop(columns=["label_spend_amount"]), cutoff_date=cutoff, horizon_days=90
        )


def test_the_rfm_heuristic_prefers_recent_frequent_and_big() -> None:
    customers = pd.DataFrame(
        {
            "days_since_last_order": [200, 10, 10],
            "order_count": [1, 1, 9],
            "spend_amount": [10.0, 10.0, 900.0],
        }
    )
    assert score_rfm(customers).is_monotonic_increasing
