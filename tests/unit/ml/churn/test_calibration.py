"""Platt calibration."""

import numpy as np
import pytest
from scipy.special import logit

from ml.churn.calibration import PlattCalibration


def test_a_planted_distortion_is_undone() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.02, 0.98, 50_000)
    outcome = (rng.random(50_000) < truth).astype(float)
    # The raw log-odds are too bold by half and shifted.
    margin = 2.0 * logit(truth) + 0.7
    calibration = PlattCalibration.fit(margin, outcome, min_slope=0.1, max_slope=10)
    assert calibration.slope == pytest.approx(0.5, rel=0.05)
    assert np.abs(calibration.apply(margin) - truth).max() < 0.03


def test_order_stays_even_when_outcomes_contradict_the_score() -> None:
    margin = np.linspace(-2, 2, 200)
    calibration = PlattCalibration.fit(margin, (margin < 0) * 1.0, min_slope=0.2, max_slope=5)
    assert calibration.slope == pytest.approx(0.2)
    assert (np.diff(calibration.apply(margin)) > 0).all()


def test_certain_scores_stay_finite() -> None:
    applied = PlattCalibration(slope=5.0).apply(np.array([-1e6, 1e6]))
    assert np.isfinite(applied).all()
    assert ((applied >= 0) & (applied <= 1)).all()


def test_recentring_meets_the_rate_and_keeps_the_slope() -> None:
    margin = np.linspace(-3, -0.4, 100)
    moved = PlattCalibration(slope=1.3, intercept=0.0).recenter(margin, 0.65)
    assert moved.slope == 1.3
    assert moved.apply(margin).mean() == pytest.approx(0.65)
    with pytest.raises(ValueError, match="no logit"):
        moved.recenter(margin, 1.0)
