"""Schedules over clock changes, month ends and a scheduler that was down, tick by tick."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from crm_pipeline import partitions

SCHEDULES = Path(__file__).parents[2] / "crm_pipeline" / "defs" / "schedules.py"
# Where the clocks change at 01:00, 02:00 and 03:00 (in Berlin 02:00 comes twice in autumn, in New
# York it is missing in spring), where midnight itself is missing, and where they never change.
ZONES = (
    "Europe/London",
    "America/New_York",
    "Europe/Berlin",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Asia/Shanghai",
)
ZoneSetter = Callable[[str], ModuleType]


@pytest.fixture
def in_zone(monkeypatch: pytest.MonkeyPatch) -> ZoneSetter:
    """Loads the schedules as a home of that zone does."""

    def load(zone: str) -> ModuleType:
        monkeypatch.setattr(partitions, "business_timezone", lambda: zone)
        spec = importlib.util.spec_from_file_location("schedules_in_a_zone", SCHEDULES)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(params=["UTC", "Asia/Shanghai"])
def host_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's own zone, which must not matter."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def ticks(schedule: dg.ScheduleDefinition, since: datetime, days: int) -> list[datetime]:
    """The moments Dagster's scheduler evaluates the schedule at."""
    assert isinstance(schedule.cron_schedule, str)
    assert schedule.execution_timezone is not None
    found: list[datetime] = []
    for moment in schedule_execution_time_iterator(
        since.timestamp(), schedule.cron_schedule, schedule.execution_timezone, True
    ):
        if moment >= since + timedelta(days=days):
            return found
        found.append(moment)
    raise AssertionError("a schedule has no last tick")


@functools.cache
def named_jobs(zone: str) -> dg.RepositoryDefinition:
    """Jobs under the names the schedules ask for, with the days of the zone; none is run here."""

    @dg.op
    def nothing() -> None: ...

    days = dg.DailyPartitionsDefinition(partitions.FIRST_DAY, timezone=zone, end_offset=1)

    jobs = [
        dg.GraphDefinition(name=f"{name}_graph", node_defs=[nothing]).to_job(
            name=name, partitions_def=days
        )
        for name in ("nightly_job", "monthly_job")
    ]
    return dg.Definitions(jobs=jobs).get_repository_def()


def asked(schedule: dg.ScheduleDefinition, moments: list[datetime]) -> list[tuple[str, str]]:
    """Day and run key of every run the ticks ask for."""
    requests: list[dg.RunRequest] = []
    assert schedule.execution_timezone is not None
    repository = named_jobs(schedule.execution_timezone)
    with dg.DagsterInstance.ephemeral() as instance:
        for moment in moments:
            context = dg.build_schedule_context(
                instance=instance, scheduled_execution_time=moment, repository_def=repository
            )
            requests += schedule.evaluate_tick(context).run_requests or []
    return [(str(request.partition_key), str(request.run_key)) for request in requests]


def days(first: date, count: int) -> list[str]:
    return [(first + timedelta(days=number)).isoformat() for number in range(count)]


@pytest.mark.requirement("OUT-2")
@pytest.mark.bad_input("F18")
@pytest.mark.parametrize("zone", ZONES)
def test_every_business_day_of_two_years_is_built_by_exactly_one_run(
    in_zone: ZoneSetter, host_zone: None, zone: str
) -> None:
    """The leap year 2024 and 2025: both changes of the clock, month ends, year ends."""
    schedule = in_zone(zone).nightly_schedule
    moments = ticks(schedule, datetime(2024, 1, 1, tzinfo=ZoneInfo(zone)), 731)
    requests = asked(schedule, moments)
    assert [day for day, _ in requests] == days(date(2023, 12, 31), 731)
    assert all(day == key for day, key in requests), "a day asked for twice would be one run"


@pytest.mark.requirement("OUT-2")
@pytest.mark.bad_input("F18")
@pytest.mark.parametrize("zone", ZONES)
def test_every_month_end_of_two_years_is_built_by_exactly_one_run(
    in_zone: ZoneSetter, host_zone: None, zone: str
) -> None:
    schedule = in_zone(zone).monthly_schedule
    moments = ticks(schedule, datetime(2024, 1, 1, tzinfo=ZoneInfo(zone)), 731)
    firsts = [date(year, month, 1) for year in (2024, 2025) for month in range(1, 13)]
    wanted = [(first - timedelta(days=1)).isoformat() for first in firsts]
    assert [day for day, _ in asked(schedule, moments)] == wanted
    assert "2024-02-29" in wanted


@pytest.mark.bad_input("F18")
@pytest.mark.parametrize(
    ("zone", "night", "local_hour"),
    [
        ("America/New_York", date(2025, 3, 9), 3),  # 02:00 does not exist: the first hour after
        ("America/New_York", date(2025, 11, 2), 2),
        ("Europe/Berlin", date(2025, 10, 26), 2),  # 02:00 comes twice
        ("Europe/London", date(2025, 3, 30), 2),  # 01:00 does not exist
        ("Europe/London", date(2025, 10, 26), 2),
    ],
)
def test_the_night_of_a_clock_change_runs_once_and_after_midnight(
    in_zone: ZoneSetter, zone: str, night: date, local_hour: int
) -> None:
    schedule = in_zone(zone).nightly_schedule
    midnight = datetime(night.year, night.month, night.day, tzinfo=ZoneInfo(zone))
    (moment,) = ticks(schedule, midnight, 1)
    assert moment.astimezone(ZoneInfo(zone)).hour == local_hour
    assert asked(schedule, [moment]) == [((night - timedelta(days=1)).isoformat(),) * 2]


@pytest.mark.requirement("OUT-2")
@pytest.mark.bad_input("F17")
def test_a_tick_made_up_three_days_late_builds_its_own_day(in_zone: ZoneSetter) -> None:
    """The scheduler hands a late tick its scheduled moment; the machine's clock says otherwise."""
    schedule = in_zone("Asia/Shanghai").nightly_schedule
    now = datetime.now(UTC)
    missed = ticks(schedule, now - timedelta(days=4), 4)
    assert len(missed) == 4
    local = ZoneInfo("Asia/Shanghai")
    wanted = [
        (moment.astimezone(local).date() - timedelta(days=1)).isoformat() for moment in missed
    ]
    assert [day for day, _ in asked(schedule, missed)] == wanted
    assert len(set(wanted)) == 4
