"""Measures against small cases that can be worked out by hand."""

import numpy as np
import pytest

from ml.metrics import (
    brier_score,
    calibration_slope,
    expected_calibration_error,
    lift_at,
    log_loss,
    measure_amounts,
    measure_classification,
    normalized_gini,
    spearman,
)


def test_a_perfect_probability_has_no_error() -> None:
    outcome = np.array([0, 0, 1, 1] * 10)
    measured = measure_classification(outcome, outcome.astype(float))
    assert measured == {"auc": 1.0, "pr_auc": 1.0, "lift_at_10pct": 2.0, "brier": 0.0, "ece": 0.0}


def test_brier_and_calibration_error_equal_the_hand_calculation() -> None:
    outcome, probability = [1, 0, 1, 0], [0.9, 0.1, 0.65, 0.65]
    assert brier_score(outcome, probability) == pytest.approx((0.01 + 0.01 + 0.1225 + 0.4225) / 4)
    # Bins: .9 says .9 saw 1 · .1 says .1 saw 0 · .65 says .65 saw .5, two customers.
    expected = (0.1 * 1 + 0.1 * 1 + 0.15 * 2) / 4
    assert expected_calibration_error(outcome, probability) == pytest.approx(expected)


def test_lift_counts_the_best_tenth() -> None:
    outcome = np.zeros(100)
    outcome[:20] = 1
    assert lift_at(outcome, -np.arange(100)) == pytest.approx(5.0)
    assert lift_at(np.zeros(100), np.arange(100)) == 0.0


def test_a_constant_score_is_chance_in_every_order_of_customers() -> None:
    amounts = np.array([100.0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    for order in (amounts, amounts[::-1]):
        assert lift_at(order > 0, np.ones(10)) == pytest.approx(1.0)
        assert normalized_gini(order, np.ones(10)) == pytest.approx(0.0)
        assert spearman(order, np.ones(10)) == 0.0


def test_normalized_gini_is_one_in_the_right_order_and_negative_in_the_reverse() -> None:
    amounts = np.array([1.0, 2, 3, 10])
    assert normalized_gini(amounts, amounts) == pytest.approx(1.0)
    assert normalized_gini(amounts, -amounts) < -0.8
    assert normalized_gini(np.zeros(4), amounts) == 0.0


def test_amount_measures_equal_the_hand_calculation() -> None:
    measured = measure_amounts([10, 0, 30], [20, 5, 25])
    assert measured["mae_over_mean"] == pytest.approx((10 + 5 + 5) / 40)
    assert measured["total_error_pct"] == pytest.approx(25.0)
    assert measured["spearman"] == pytest.approx(1.0)
    assert measured["normalized_gini"] == pytest.approx(1.0)


def test_log_loss_of_known_probabilities() -> None:
    assert log_loss([1, 0], [0.8, 0.5]) == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)
    assert log_loss([1, 0], [0.0, 1.0]) == pytest.approx(-np.log(1e-6))


def test_the_calibration_slope_tells_how_much_too_bold_a_score_is() -> None:
    rng = np.random.default_rng(4)
    margin = rng.normal(0, 1.5, 50_000)
    outcome = rng.random(50_000) < 1 / (1 + np.exp(-margin))
    for boldness in (0.5, 1.0, 2.0):
        probability = 1 / (1 + np.exp(-boldness * margin))
        assert calibration_slope(outcome, probability) == pytest.approx(1 / boldness, rel=0.05)
    assert calibration_slope([0, 1], [0.3, 0.3]) == 0
    assert calibration_slope([1, 1], [0.3, 0.4]) == 0
