"""Numbers of the forecast.

Add here: a number the forecast uses, with its reason.
Not here: what is forecast (``lib/scoring/forecast``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ForecastConfig:
    """Every number of a forecast; nothing is hidden in code."""

    horizon_days: int = 28  # four weeks: what is ordered and staffed ahead
    season_days: int = 7  # shops have a weekly rhythm
    mean_weeks: int = 4  # the flat rival: the mean of the last four same weekdays
    train_days: int = 364  # older weeks say little about the next four, and cost time
    least_train_days: int = 56  # eight weeks: a weekday seen less often is an accident
    origin_count: int = 6  # half a year of forecasts made as they would have been
    origin_step_days: int = 28  # their spans do not overlap
    least_origin_count: int = 3  # fewer choose a method by luck
    interval_pct: int = 80
    most_series: int = 21  # the total and the largest categories: a fit is a tenth of a second
    decimals: int = 2  # of money; beyond it a fit may differ from machine to machine
