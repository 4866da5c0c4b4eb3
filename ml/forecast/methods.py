"""Ways to go on with a series of days.

Add here: a method, from a history to as many days ahead.
Not here: which one is chosen (``backtest``).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.forecast.config import ForecastConfig

Floats = NDArray[np.float64]
Method = Callable[[Floats, ForecastConfig], Floats]


def seasonal_naive(history: Floats, config: ForecastConfig) -> Floats:
    """The last week again and again: what any forecast has to beat."""
    last = history[-config.season_days :]
    return np.resize(last, config.horizon_days)


def seasonal_mean(history: Floats, config: ForecastConfig) -> Floats:
    """The mean of the last same weekdays."""
    weeks = min(config.mean_weeks, len(history) // config.season_days)
    recent = history[-weeks * config.season_days :].reshape(weeks, config.season_days)
    return np.resize(recent.mean(axis=0), config.horizon_days)


def holt_winters(history: Floats, config: ForecastConfig) -> Floats:
    """Exponential smoothing with a weekly season (Holt 1957, Winters 1960), by statsmodels."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    model = ExponentialSmoothing(
        history,
        seasonal="add",
        seasonal_periods=config.season_days,
        initialization_method="heuristic",
    )
    return _forecast(lambda: model.fit(use_brute=False).forecast(config.horizon_days))


def theta(history: Floats, config: ForecastConfig) -> Floats:
    """The theta method (Assimakopoulos and Nikolopoulos 2000), by statsmodels."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    model = ThetaModel(history, period=config.season_days, method="additive")
    return _forecast(lambda: np.asarray(model.fit().forecast(config.horizon_days)))


def _forecast(fit: Callable[[], Floats]) -> Floats:
    """A fit that does not settle is judged by its forecast, like any other: no warning is news."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(fit(), dtype=np.float64)


# In the order of their simplicity: of two equally good ones the earlier is taken.
METHODS: dict[str, Method] = {
    "seasonal_naive": seasonal_naive,
    "seasonal_mean": seasonal_mean,
    "holt_winters": holt_winters,
    "theta": theta,
}
BASELINE = "seasonal_naive"
