"""In a world of known laws the churn probability means what it says, months after the training.

The world is that of BG/NBD: everybody buys at a pace of their own and leaves after some purchase.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from ml.churn import ChurnModel, ChurnModelConfig, label_churned

CUSTOMERS = 4000


@pytest.fixture(scope="module")
def judged(make_panel: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Two worlds pooled: what a model of before said at their last cut-off, and what came."""
    return pd.concat([judge(make_panel(CUSTOMERS, seed)) for seed in (1, 2)], ignore_index=True)


def judge(panel: pd.DataFrame) -> pd.DataFrame:
    day = panel["cutoff_date"].max()
    horizon = pd.Timedelta(days=ChurnModelConfig().horizon_days)
    history = panel[panel["cutoff_date"] + horizon <= day]
    test = panel[panel["cutoff_date"] == day]
    assert history["cutoff_date"].nunique() >= 4 and len(test) > CUSTOMERS * 0.9
    model = ChurnModel().fit(history, label_churned(history))
    said = model.predict(test)["churn_probability"]
    return pd.DataFrame({"said": said, "churned": label_churned(test).astype(float)})


def fit_slope(said: pd.Series, churned: pd.Series) -> tuple[float, float]:
    """Slope and intercept of the outcome's log-odds over those that were said (Cox 1958)."""
    margin, outcome = logit(said.clip(1e-6, 1 - 1e-6)).to_numpy(), churned.to_numpy()

    def loss(line: np.ndarray) -> float:
        score = line[0] * margin + line[1]
        return float(np.mean(np.logaddexp(0, score) - outcome * score))

    slope, intercept = minimize(loss, np.array([0.5, 0.5])).x
    return float(slope), float(intercept)


@pytest.mark.slow
@pytest.mark.requirement("SCO-2")
def test_the_calibration_slope_is_one_out_of_time(judged: pd.DataFrame) -> None:
    slope, intercept = fit_slope(judged["said"], judged["churned"])
    assert 0.9 <= slope <= 1.1
    assert abs(intercept) <= 0.2


@pytest.mark.slow
def test_every_tenth_of_the_customers_leaves_as_often_as_was_said(judged: pd.DataFrame) -> None:
    tenths = judged.sort_values("said").groupby(np.arange(len(judged)) * 10 // len(judged)).mean()
    gaps = np.abs(tenths["said"] - tenths["churned"])
    assert gaps.mean() < 0.03 and gaps.max() < 0.1  # chance alone: .015 in a tenth
    assert tenths["said"].max() - tenths["said"].min() > 0.5  # it tells customers apart


@pytest.mark.slow
@pytest.mark.parametrize("stretch", [0.75, 1.3])
def test_probabilities_too_bold_or_too_shy_would_be_noticed(
    judged: pd.DataFrame, stretch: float
) -> None:
    said = pd.Series(expit(stretch * logit(judged["said"])))
    slope, _ = fit_slope(said, judged["churned"])
    assert not 0.9 <= slope <= 1.1
