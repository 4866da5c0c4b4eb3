"""The days ahead of one series.

Add here: how a short history is answered.
Not here: methods (``methods``), their choice (``backtest``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.forecast.backtest import Backtested, backtest_series, interval_errors
from ml.forecast.config import ForecastConfig
from ml.forecast.methods import BASELINE, METHODS, Floats

MEAN = "mean"


@dataclass(frozen=True)
class SeriesForecast:
    """Expected sums of the next days; without a backtest there is no honest interval."""

    expected: Floats
    low: Floats | None
    high: Floats | None
    method: str
    backtest: Backtested | None
    note: str


def forecast_series(values: Floats, config: ForecastConfig | None = None) -> SeriesForecast | None:
    """Goes on with a series of days, by the method that did best so far.

    Too short a history for a backtest repeats its last week, one under two weeks its mean; the
    note says so. A series without a day has no forecast.
    """
    config = config or ForecastConfig()
    if not len(values):
        return None
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2 * config.season_days:
        note = f"the mean: {len(values)} days of history say nothing about weekdays"
        mean = np.full(config.horizon_days, values.mean())
        return SeriesForecast(_rounded(mean, config), None, None, MEAN, None, note)
    backtest = backtest_series(values, config)
    if backtest is None:
        needed = config.least_train_days + config.horizon_days
        needed += (config.least_origin_count - 1) * config.origin_step_days
        note = f"the last week again: {len(values)} days of history, a backtest needs {needed}"
        made = METHODS[BASELINE](values, config)
        return SeriesForecast(_rounded(made, config), None, None, BASELINE, None, note)
    made = METHODS[backtest.champion](values[-config.train_days :], config)
    made = np.clip(made, 0, None)
    low, high = interval_errors(backtest.errors, config)
    return SeriesForecast(
        expected=_rounded(made, config),
        low=_rounded(np.minimum(made + low, made), config),
        high=_rounded(np.maximum(made + high, made), config),
        method=backtest.champion,
        backtest=backtest,
        note="",
    )


def _rounded(amounts: Floats, config: ForecastConfig) -> Floats:
    return np.asarray(np.round(np.clip(amounts, 0, None), config.decimals), dtype=np.float64)
