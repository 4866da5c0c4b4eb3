"""The backtest of churn beside the playbook's trigger, and its guard against leaks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.churn import ChurnModelConfig
from ml.churn.backtest import backtest_churn

CONFIG = ChurnModelConfig(max_rounds=60, early_stopping_rounds=10, learning_rate=0.1)


@pytest.fixture(scope="module")
def cutoff(panel: pd.DataFrame) -> pd.Timestamp:
    return panel["cutoff_date"].max()


@pytest.mark.requirement("SCO-2")
def test_the_model_is_compared_with_the_trigger_at_the_same_number_of_customers(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    is_flagged = panel["days_since_last_order"] >= 1.3 * panel["median_days_between_orders"]
    flagged = panel.assign(is_playbook_churn_risk=is_flagged.astype("boolean"))
    backtest = backtest_churn(flagged, cutoff_date=cutoff, config=CONFIG)
    figures, customers = backtest.figures, backtest.customers
    budget = int(customers["playbook"].sum())
    assert figures["playbook_flagged_share_pct"] == pytest.approx(100 * budget / len(customers))
    by_hand = customers.loc[customers["playbook"] == 1, "actual"]
    assert figures["playbook_precision"] == pytest.approx(by_hand.mean())
    left = customers["actual"].sum()
    assert figures["playbook_recall"] == pytest.approx(by_hand.sum() / left)
    chosen = customers.nlargest(budget, "predicted")["actual"]
    assert figures["at_playbook_budget_precision"] == pytest.approx(chosen.mean(), abs=0.01)
    assert figures["at_playbook_budget_recall"] == pytest.approx(chosen.sum() / left, abs=0.01)
    assert figures["at_playbook_budget_precision"] > figures["playbook_precision"]


def test_without_the_trigger_or_without_anybody_flagged_nothing_is_compared(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    nobody = panel.assign(is_playbook_churn_risk=False)
    for frame in (panel, nobody):
        figures = backtest_churn(frame, cutoff_date=cutoff, config=CONFIG).figures
        assert not any("playbook" in name for name in figures)
        assert 0.3 < figures["calibration_slope"] < 3
        assert 0 < figures["log_loss"] < 0.7


@pytest.mark.requirement("SCO-2")
def test_a_score_too_good_to_be_true_is_suspected_of_a_leak(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    honest = backtest_churn(panel, cutoff_date=cutoff, config=CONFIG).figures
    assert honest["leak_suspected"] == 0
    rng = np.random.default_rng(3)
    leaked = panel.assign(
        visit_count_30d=(panel["label_order_count"] == 0) * 5 + rng.poisson(1, len(panel))
    )
    # More visits are known to speak against churn, so this leak comes in by another door.
    leaked = leaked.assign(ticket_count_90d=leaked["visit_count_30d"], visit_count_30d=1.0)
    assert backtest_churn(leaked, cutoff_date=cutoff, config=CONFIG).figures["leak_suspected"] == 1
    strict = replace(CONFIG, leak_suspected_above_auc=0.5)
    assert backtest_churn(panel, cutoff_date=cutoff, config=strict).figures["leak_suspected"] == 1
