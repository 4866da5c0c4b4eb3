"""Which method would have done best, had it been asked again and again.

Add here: a figure of a backtest.
Not here: the forecast of today (``forecast``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.forecast.config import ForecastConfig
from ml.forecast.methods import BASELINE, METHODS, Floats


@dataclass(frozen=True)
class Backtested:
    """What each method would have forecast at past origins, and the one that did best.

    ``errors`` are actual less forecast, one row per origin, the newest first.
    """

    champion: str
    mase: dict[str, float]
    wape: dict[str, float]
    coverage_pct: float  # of the champion's interval, each origin's from the other origins alone
    errors: Floats
    origin_count: int

    @property
    def baseline_mase(self) -> float:
        """The figure to beat."""
        return self.mase[BASELINE]


def backtest_series(values: Floats, config: ForecastConfig | None = None) -> Backtested | None:
    """Rolling origins: at each the methods see the days before it only.

    MASE is the mean absolute error over that of repeating the same weekday within the history
    (Hyndman and Koehler 2006); WAPE the sum of absolute errors over the sum of what was sold.

    Returns:
        None while the history is too short for the least number of origins.
    """
    config = config or ForecastConfig()
    origins = _origins(len(values), config)
    if len(origins) < config.least_origin_count:
        return None
    actual = np.array([values[day : day + config.horizon_days] for day in origins])
    scales = np.array([_scale(_history(values, day, config), config) for day in origins])
    errors: dict[str, Floats] = {}
    for name, method in METHODS.items():
        made = [method(_history(values, day, config), config) for day in origins]
        errors[name] = actual - np.clip(np.array(made), 0, None)
    # A history that never changed measures no error: its day judges nobody, unless all are so.
    judges = scales > 0
    if not judges.any():
        judges, scales = ~judges, np.ones_like(scales)
    mase = {
        name: float(np.mean(_mean_abs(error)[judges] / scales[judges]))
        for name, error in errors.items()
    }
    sold = max(float(np.abs(actual).sum()), np.finfo(float).tiny)
    wape = {name: float(np.abs(error).sum() / sold) for name, error in errors.items()}
    champion = min(METHODS, key=lambda name: round(mase[name], 6))  # of equals the first
    return Backtested(
        champion=champion,
        mase=mase,
        wape=wape,
        coverage_pct=_coverage_pct(errors[champion], config),
        errors=errors[champion],
        origin_count=len(origins),
    )


def interval_errors(errors: Floats, config: ForecastConfig) -> tuple[Floats, Floats]:
    """Errors below and above which the interval ends, by week ahead: later weeks are vaguer."""
    rest = (100 - config.interval_pct) / 200
    weeks = np.arange(config.horizon_days) // config.season_days
    low, high = np.empty(config.horizon_days), np.empty(config.horizon_days)
    for week in np.unique(weeks):
        low[weeks == week], high[weeks == week] = np.quantile(
            errors[:, weeks == week], [rest, 1 - rest]
        )
    return low, high


def _origins(length: int, config: ForecastConfig) -> list[int]:
    """Number of known days at each origin, the newest first."""
    newest = length - config.horizon_days
    return [
        day
        for place in range(config.origin_count)
        if (day := newest - place * config.origin_step_days) >= config.least_train_days
    ]


def _history(values: Floats, day: int, config: ForecastConfig) -> Floats:
    return values[max(0, day - config.train_days) : day]


def _scale(history: Floats, config: ForecastConfig) -> float:
    steps = np.abs(history[config.season_days :] - history[: -config.season_days])
    return float(steps.mean())


def _mean_abs(errors: Floats) -> Floats:
    return np.asarray(np.abs(errors).mean(axis=1))


def _coverage_pct(errors: Floats, config: ForecastConfig) -> float:
    inside = 0
    for place in range(len(errors)):
        low, high = interval_errors(np.delete(errors, place, axis=0), config)
        inside += int(((errors[place] >= low) & (errors[place] <= high)).sum())
    return 100 * inside / errors.size
