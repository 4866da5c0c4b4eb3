"""Forecasts of daily sums. Add here: public names. Not here: reading or writing a warehouse."""

from ml.forecast.backtest import Backtested, backtest_series
from ml.forecast.config import ForecastConfig
from ml.forecast.forecast import SeriesForecast, forecast_series
from ml.forecast.methods import METHODS

__all__ = [
    "METHODS",
    "Backtested",
    "ForecastConfig",
    "SeriesForecast",
    "backtest_series",
    "forecast_series",
]
