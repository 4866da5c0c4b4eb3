"""The world's calendar: local days, and how much demand each of them brings.

Add here: a rhythm of the year.
Not here: who buys (``purchases``).

Purchases follow a Poisson process in *season time*, in which an ordinary day has length 1 and
11 November several; ``to_season`` and ``to_local`` go from one clock to the other.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from crm_pipeline.lib.errors import ConfigError
from simulation.parameters import WorldParameters

__all__ = ["DAY", "Calendar", "local_seconds", "seconds_of_day"]

DAY = 86_400
# Demand is known for a year beyond the end: expected values need it.
_YEAR_AFTER = 366

_NEW_YEARS = {  # Chinese new year's days
    2023: (1, 22), 2024: (2, 10), 2025: (1, 29), 2026: (2, 17), 2027: (2, 6), 2028: (1, 26),
    2029: (2, 13), 2030: (2, 3), 2031: (1, 23), 2032: (2, 11), 2033: (1, 31), 2034: (2, 19),
}  # fmt: skip
# Share of a day's orders in each local hour; the evening is when people shop.
_HOURS = np.array(
    [14, 7, 4, 3, 2, 3, 8, 18, 32, 45, 58, 56, 60, 52, 46, 46, 48, 50, 54, 66, 84, 96, 88, 42]
)


class Calendar:
    """Local time of one zone without summer time, as whole seconds since 1970 local."""

    def __init__(self, parameters: WorldParameters) -> None:
        frame = parameters.world
        self.first = frame.first_day
        self.end = _months_later(self.first, frame.months)
        self.last = self.end - dt.timedelta(days=1)
        self.offset = _fixed_offset(frame.timezone, self.first, self.end)
        self.days = (self.end - self.first).days
        self.start_at = int((self.first - dt.date(1970, 1, 1)).days) * DAY
        self.end_at = self.start_at + self.days * DAY
        self.factors = _day_factors(parameters, self.first, self.days + _YEAR_AFTER)
        # An average day of the world is one season day long.
        self.factors = self.factors / self.factors[: self.days].mean()
        self._clock = np.concatenate([[0.0], np.cumsum(self.factors)])
        self.season_end = float(self._clock[self.days])
        self.season_year_after = float(self._clock[self.days + 365] - self.season_end)

    def to_season(self, local: NDArray[np.int64]) -> NDArray[np.float64]:
        """Season days since the world's start."""
        days = (local - self.start_at) / DAY
        return np.interp(days, np.arange(len(self._clock)), self._clock)

    def to_local(
        self, season: NDArray[np.float64], uniform: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """The local instant: the day by the season clock, the hour by the day's rhythm."""
        days = np.interp(season, self._clock, np.arange(len(self._clock))).astype(np.int64)
        return self.start_at + days * DAY + seconds_of_day(uniform)

    def day_index(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """Days since the world's start."""
        return (local - self.start_at) // DAY


def local_seconds(moment: dt.datetime) -> int:
    """A moment without a zone as seconds since 1970 local."""
    return int(np.datetime64(moment, "s").astype(np.int64))


def seconds_of_day(uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Seconds since local midnight, most of them in the evening."""
    clock = np.concatenate([[0.0], np.cumsum(_HOURS) / _HOURS.sum()])
    return np.minimum(np.interp(uniform, clock, np.arange(25) * 3600.0), DAY - 1).astype(np.int64)


def _months_later(day: dt.date, months: int) -> dt.date:
    index = day.year * 12 + day.month - 1 + months
    return dt.date(index // 12, index % 12 + 1, day.day)


def _fixed_offset(zone: str, first: dt.date, end: dt.date) -> int:
    moments = [dt.datetime.combine(first, dt.time(), ZoneInfo(zone))]
    while moments[-1].date() < end:
        moments.append(moments[-1] + dt.timedelta(days=14))
    offsets = {moment.utcoffset() for moment in moments}
    if len(offsets) > 1:
        raise ConfigError(
            f"{zone} changes its clock within the world's time",
            remedy="choose a zone without summer time, such as Asia/Shanghai",
        )
    offset = offsets.pop()
    assert offset is not None
    return int(offset.total_seconds())


def _day_factors(parameters: WorldParameters, first: dt.date, count: int) -> NDArray[np.float64]:
    season = parameters.season
    dates = [first + dt.timedelta(days=n) for n in range(count)]
    factors = np.array([season.weekday_factors[date.weekday()] for date in dates])
    for festival in season.festivals:
        inside = [festival.starts <= date.strftime("%m-%d") <= festival.ends for date in dates]
        factors[np.array(inside)] *= festival.factor
    for year, (month, day) in _NEW_YEARS.items():
        distance = np.array([(date - dt.date(year, month, day)).days for date in dates])
        factors[(distance >= -2) & (distance <= 6)] *= season.spring_festival_factor
        factors[(distance >= -16) & (distance < -2)] *= season.before_spring_festival_factor
    return factors
