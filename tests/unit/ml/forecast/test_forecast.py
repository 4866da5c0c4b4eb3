"""Forecasts: a planted week goes on, the choice is honest, short histories are answered."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ml.forecast import METHODS, ForecastConfig, backtest_series, forecast_series
from ml.forecast.backtest import interval_errors

pytestmark = pytest.mark.requirement("SCO-8")

WEEK = np.array([100.0, 80.0, 90.0, 110.0, 160.0, 240.0, 200.0])


def weekly(days: int, *, noise: float = 0.0, slope: float = 0.0, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.resize(WEEK, days) + slope * np.arange(days) + noise * rng.normal(size=days)


def test_a_week_without_noise_goes_on_exactly_and_the_simplest_method_is_chosen() -> None:
    made = forecast_series(weekly(280))
    assert made is not None
    assert made.method == "seasonal_naive"
    assert made.expected == pytest.approx(np.resize(WEEK, 28))
    assert made.low == pytest.approx(made.expected)
    assert made.high == pytest.approx(made.expected)


def test_a_noisy_week_is_forecast_better_than_by_repeating_it() -> None:
    made = forecast_series(weekly(364, noise=40))
    assert made is not None
    assert made.backtest is not None
    assert made.method != "seasonal_naive"
    assert made.backtest.mase[made.method] < 0.85 * made.backtest.baseline_mase
    assert np.abs(made.expected - np.resize(WEEK, 28)).mean() < 15


def test_an_interval_of_80_per_cent_holds_about_four_days_of_five() -> None:
    """Over a dozen planted series: what it covers among the days that really follow."""
    inside = []
    for seed in range(12):
        values = weekly(280, noise=40, seed=seed)
        made = forecast_series(values[:252])
        assert made is not None
        assert made.low is not None
        assert made.high is not None
        inside.append(((values[252:] >= made.low) & (values[252:] <= made.high)).mean())
    assert np.mean(inside) == pytest.approx(0.8, abs=0.07)


def test_a_backtest_never_sees_the_days_it_is_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other last days change what it is measured on, but not one forecast made before them."""
    seen: list[np.ndarray] = []

    def spy(history: np.ndarray, config: ForecastConfig) -> np.ndarray:
        seen.append(history)
        return np.resize(history[-7:], config.horizon_days)

    monkeypatch.setitem(METHODS, "theta", spy)
    values = np.arange(280.0)
    backtest = backtest_series(values)
    assert backtest is not None
    assert [history[-1] for history in seen] == [251, 223, 195, 167, 139, 111]
    assert backtest.origin_count == 6


def test_the_figures_are_those_of_their_definitions() -> None:
    values = weekly(196, noise=20)
    config = ForecastConfig(origin_count=3)
    backtest = backtest_series(values, config)
    assert backtest is not None
    errors, scaled, sold = [], [], []
    for day in (168, 140, 112):
        actual, before = values[day : day + 28], values[:day]
        error = np.abs(actual - np.resize(before[-7:], 28))
        errors.append(error.sum())
        scaled.append(error.mean() / np.abs(before[7:] - before[:-7]).mean())
        sold.append(actual.sum())
    assert backtest.baseline_mase == pytest.approx(np.mean(scaled))
    assert backtest.wape["seasonal_naive"] == pytest.approx(sum(errors) / sum(sold))


@pytest.mark.parametrize(
    ("days", "method", "words"),
    [(1, "mean", "1 days of history"), (13, "mean", "13 days"), (14, "seasonal_naive", "14 days"),
     (139, "seasonal_naive", "a backtest needs 140")],
)  # fmt: skip
def test_a_short_history_is_answered_with_a_note_and_no_interval(
    days: int, method: str, words: str
) -> None:
    made = forecast_series(weekly(days))
    assert made is not None
    assert (made.method, made.low, made.backtest) == (method, None, None)
    assert words in made.note
    assert len(made.expected) == 28


def test_from_140_days_on_there_is_a_backtest() -> None:
    made = forecast_series(weekly(140, noise=5))
    assert made is not None
    assert made.backtest is not None
    assert made.note == ""


def test_no_day_gives_no_forecast_and_a_silent_shop_expects_nothing() -> None:
    assert forecast_series(np.empty(0)) is None
    made = forecast_series(np.zeros(200))
    assert made is not None
    assert made.expected.tolist() == [0.0] * 28


def test_no_warning_leaks_and_the_same_history_gives_the_same_forecast() -> None:
    values = np.maximum(weekly(300, noise=200), 0)  # hard to fit
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = forecast_series(values), forecast_series(values)
    assert first is not None
    assert second is not None
    assert first.expected.tolist() == second.expected.tolist()
    assert (first.expected >= 0).all()


def test_later_weeks_have_intervals_of_their_own() -> None:
    config = ForecastConfig()
    errors = np.tile(np.repeat([1.0, 2.0, 3.0, 4.0], 7), (6, 1)) * np.array([[-1, 1] * 3]).T
    low, high = interval_errors(errors, config)
    assert low[::7].tolist() == [-1, -2, -3, -4]
    assert high[::7].tolist() == [1, 2, 3, 4]
