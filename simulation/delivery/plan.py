"""When files are delivered.

Add here: a rhythm of deliveries.
Not here: which record goes into which file's bytes (``landing``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from simulation.delivery.defects import USUAL
from simulation.delivery.feed_writer import Cadence
from simulation.parameters import WorldParameters
from simulation.seasons import Calendar

LAST_SECOND = time(23, 59, 59)
LATE_HOUR = time(3, 0)
LATE_NOTICE = timedelta(hours=1)  # what comes late is ready this long before its file


@dataclass(frozen=True)
class DeliveryParameters:
    """What the writers must know of the world.

    ``months_per_file`` is the length of a history file by cadence; the last ``daily_days`` days
    come day by day. A late file comes ``late_days`` after every ``late_every_months``.
    ``damaged_records`` and ``damaged_files`` are the rates of damage by kind, ``defect_rate``
    multiplies them all; 0 plants nothing.
    """

    first_day: date
    last_day: date
    zone: str = "Asia/Shanghai"
    daily_days: int = 3
    months_per_file: Mapping[Cadence, int] = field(default_factory=lambda: {"large": 1, "small": 3})
    late_every_months: int = 6
    late_days: int = 5
    defect_rate: float = 1.0
    damaged_records: Mapping[str, float] = field(default_factory=lambda: {USUAL: 0.0})
    damaged_files: Mapping[str, float] = field(default_factory=lambda: {USUAL: 0.0})
    memory_limit: str = "3GB"
    threads: int = 2


def delivery_parameters(parameters: WorldParameters) -> DeliveryParameters:
    """What the writers need to know of a world."""
    calendar, said = Calendar(parameters), parameters.delivery
    return DeliveryParameters(
        first_day=calendar.first,
        last_day=calendar.last,
        zone=parameters.world.timezone,
        daily_days=said.daily_days,
        months_per_file={"large": said.months_per_large_file, "small": said.months_per_small_file},
        late_every_months=said.late_every_months,
        late_days=said.late_days,
        defect_rate=said.defect_rate,
        damaged_records=said.damaged_records,
        damaged_files=said.damaged_files,
        memory_limit=said.memory_limit,
        threads=said.threads,
    )


@dataclass(frozen=True)
class Delivery:
    """One delivery: ``at`` in local time; it takes what happened after ``since`` until ``at``."""

    number: int
    at: datetime
    is_late: bool = False

    @property
    def stamp(self) -> str:
        return f"{self.at:%Y%m%dT%H%M%S}"

    def utc(self, zone: str) -> datetime:
        """The same moment as naive UTC."""
        moment = self.at.replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
        return moment.replace(tzinfo=None)


def deliveries(parameters: DeliveryParameters, cadence: Cadence) -> tuple[Delivery, ...]:
    """All deliveries of a cadence in the order of their time, the last at the world's end."""
    if cadence == "once":
        return (Delivery(0, datetime.combine(parameters.first_day, LAST_SECOND)),)
    daily_from = parameters.last_day - timedelta(days=parameters.daily_days - 1)
    ends = _period_ends(parameters, daily_from, parameters.months_per_file[cadence])
    ends |= {daily_from + timedelta(days=n) for n in range(parameters.daily_days)}
    moments = {datetime.combine(day, LAST_SECOND): False for day in ends}
    for day in _period_ends(parameters, daily_from, parameters.late_every_months):
        late = datetime.combine(day + timedelta(days=parameters.late_days), LATE_HOUR)
        if late.date() < daily_from and late not in moments:
            moments[late] = True
    return tuple(Delivery(n, at, moments[at]) for n, at in enumerate(sorted(moments)))


def ready_for_late_file(
    parameters: DeliveryParameters, cadence: Cadence, last_day: date
) -> datetime | None:
    """When what missed the file with ``last_day`` is ready: after that file, before a late one.

    In local time; ``None`` where no late file follows.
    """
    plan = deliveries(parameters, cadence)
    over = datetime.combine(last_day, LAST_SECOND)
    missed = next(d.at for d in plan if not d.is_late and d.at >= over)
    following = (d.at for d in plan if d.is_late and d.at > missed)
    late = next(following, None)
    return late - LATE_NOTICE if late else None


def _period_ends(parameters: DeliveryParameters, daily_from: date, months: int) -> set[date]:
    """Last days of periods of ``months``, and the day before the daily files begin."""
    found = {daily_from - timedelta(days=1)} if daily_from > parameters.first_day else set()
    year, month = parameters.first_day.year, parameters.first_day.month
    while True:
        month += months
        year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
        end = date(year, month, 1) - timedelta(days=1)
        if end >= daily_from:
            return found
        found.add(end)
