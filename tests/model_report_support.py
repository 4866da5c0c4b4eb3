"""Two trainings to report on, of customers drawn with a fixed seed.

Add here: what several tests of model reports need. Not here: assertions about the report.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from crm_pipeline.lib.reporting.model_report import HealthCheck, ModelReport
from ml.backtest import Backtest, FeatureEffect
from ml.metrics import measure_amounts, measure_classification, measure_ranking

DAYS = (dt.date(2024, 3, 9), dt.date(2024, 6, 9))


def churn_backtest(day: dt.date, *, count: int = 2003, noise: float = 0.6) -> Backtest:
    """Customers who leave with a known probability, of which the model sees a noisy part."""
    rng = np.random.default_rng(day.toordinal())
    logit = rng.normal(0.3, 1.4, count)
    actual = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(float)
    predicted = 1 / (1 + np.exp(-(logit + rng.normal(0, noise, count))))
    silence = np.round(np.exp(3.5 + logit / 2 + rng.normal(0, 0.8, count)))
    customers = pd.DataFrame(
        {
            "actual": actual,
            "predicted": predicted.round(6),
            "days_since_last_order": silence,
            "rfm": -(1.5 - logit / 3 + rng.normal(0, 0.7, count)),
            "bg_nbd": (1 / (1 + np.exp(-(logit * 0.7 + rng.normal(0, 1, count))))).round(6),
            "playbook": (silence > 60) & (rng.random(count) < 0.6),
        }
    )
    figures = {
        **measure_classification(actual, customers["predicted"]),
        **_prefix("bg_nbd", measure_classification(actual, customers["bg_nbd"])),
        **_prefix("days_since_last_order", measure_ranking(actual, silence)),
        **_prefix("rfm", measure_ranking(actual, customers["rfm"])),
        "customer_count": float(count),
        "churn_rate": float(actual.mean()),
        "training_cutoff_count": 5.0,
    }
    return Backtest(day, 90, figures, customers)


def clv_backtest(day: dt.date, *, count: int = 1501) -> Backtest:
    """Customers of whom many spend nothing; intervals hold four outcomes of five."""
    rng = np.random.default_rng(day.toordinal() + 1)
    expected = rng.lognormal(4, 1.2, count)
    actual = np.where(rng.random(count) < 0.4, 0.0, expected * rng.lognormal(0, 0.7, count))
    predicted = expected * 0.75 * rng.lognormal(0, 0.3, count)
    customers = pd.DataFrame(
        {
            "actual": actual.round(2),
            "predicted": predicted.round(2),
            "low": 0.0,
            "high": (predicted * 2.1).round(2),
            "past_spend": (expected * rng.lognormal(0, 0.9, count)).round(2),
        }
    )
    figures = {
        **measure_amounts(customers["actual"], customers["predicted"]),
        **_prefix("past_spend", measure_amounts(customers["actual"], customers["past_spend"])),
        "customer_count": float(count),
        "actual_spend_amount": float(actual.sum()),
        "interval_promised_pct": 83.25,
        "is_bg_nbd_champion": 1.0,
        "is_tweedie_champion": 0.0,
        "decile_01_actual_amount": 3.0,
    }
    return Backtest(day, 365, figures, customers)


def churn_report(**instead: Any) -> ModelReport:
    """A challenger that is let in, and one check that fails."""
    given: dict[str, Any] = {
        "name": "churn",
        "version": "churn_xgboost_logistic-0123456789ab",
        "trained_until": dt.date(2024, 6, 30),
        "horizon_days": 90,
        "data_sha256": "9f2c" * 16,
        "code_version": "2",
        "is_promoted": True,
        "reasons": [("AUC 高于原版本。", "AUC is above that of the version before.")],
        "backtests": [churn_backtest(day) for day in DAYS],
        "champion_version": "churn_xgboost_logistic-ba9876543210",
        "champion_backtests": [churn_backtest(day, noise=1.1) for day in DAYS],
        "training": {"training_row_count": 31244.0, "round_count": 187.0,
                     "calibration_slope": 1.0421},
        "effects": effects(),
        "checks": [
            HealthCheck("ece", 0.0312, 0.1, True),
            HealthCheck("psi_max", 0.31, 0.2, False),
            HealthCheck("calibration_slope", None, 0.8, False),
        ],
        "drift": {"order_count": 0.02, "spend_365d_amount": 0.31, "tenure_days": 0.02},
    }  # fmt: skip
    return ModelReport(**{**given, **instead})


def clv_report(**instead: Any) -> ModelReport:
    """The first version of a model of amounts."""
    given: dict[str, Any] = {
        "name": "clv",
        "version": "clv-1",
        "trained_until": dt.date(2024, 6, 30),
        "horizon_days": 365,
        "data_sha256": "ab" * 32,
        "code_version": "1",
        "is_promoted": True,
        "backtests": [clv_backtest(DAYS[-1])],
        "effects": effects()[:2],
    }
    return ModelReport(**{**given, **instead})


def effects() -> list[FeatureEffect]:
    """Fourteen inputs of falling weight."""
    names = ["days_since_last_order", "silence_ratio", "order_count_365d", "spend_365d_amount"]
    names += [f"input_{letter}" for letter in "abcdefghij"]
    shares = np.array([0.8**place for place in range(len(names))])
    values = np.array([0, 7, 14, 30, 60, 90, 180, 365], dtype=float)
    return [
        FeatureEffect(
            name,
            float(100 * share / shares.sum()),
            tuple((float(v), float(0.2 + 0.6 * share * (1 - np.exp(-v / 90)))) for v in values),
        )
        for name, share in zip(names, shares, strict=True)
    ]


def _prefix(baseline: str, measured: dict[str, float]) -> dict[str, float]:
    return {f"{baseline}_{name}": value for name, value in measured.items()}
