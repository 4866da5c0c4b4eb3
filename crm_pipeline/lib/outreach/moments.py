"""When outreach is decided, and for which day.

Add here: another kind of run and its clock.
Not here: when a customer may be reached (``rules``), what starts a run (Dagster).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from crm_pipeline.lib.errors import OutreachError

NIGHTLY = "nightly"
DECIDED_AT = dt.time(2)  # the nightly run's logical hour, the night after as_of


@dataclass(frozen=True)
class Moment:
    """The logical clock of one round of decisions; no rule below asks another.

    Attributes:
        as_of: business date the decisions belong to.
        run_kind: ``nightly``, or the trigger that started the run.
        decided_at: the logical now, a naive UTC instant.
        send_date: local day of the customer on which messages may go.
    """

    as_of: dt.date
    run_kind: str
    decided_at: dt.datetime
    send_date: dt.date

    @property
    def is_nightly(self) -> bool:
        """Whether messages are planned for the day to come rather than for now."""
        return self.run_kind == NIGHTLY

    @property
    def day_after_sending(self) -> dt.date:
        """The first local day whose facts are not decided on yet."""
        return self.send_date + dt.timedelta(days=1)


def night_of(as_of: dt.date, zone: ZoneInfo) -> Moment:
    """The night after ``as_of``: a past day decided again has the same clock."""
    send_date = as_of + dt.timedelta(days=1)
    local = dt.datetime.combine(send_date, DECIDED_AT, tzinfo=zone)
    return Moment(as_of, NIGHTLY, _naive_utc(local), send_date)


def tick_of(now: dt.datetime, trigger: str, zone: ZoneInfo) -> Moment:
    """A trigger's run: it decides for the rest of today.

    Args:
        now: the moment of the run, with its zone.
        trigger: what started it, as in a journey's YAML.
        zone: business time zone; its day is the day of the decisions.

    Raises:
        OutreachError: ``now`` has no zone, or the trigger is the nightly run.
    """
    if now.tzinfo is None or trigger == NIGHTLY:
        raise OutreachError(
            "a trigger decides at an instant with a zone, and is not the nightly run",
            where=f"trigger {trigger} at {now}",
            remedy="give now in UTC; the night has night_of",
        )
    today = now.astimezone(zone).date()
    return Moment(today, trigger, _naive_utc(now), today)


def _naive_utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(tzinfo=None)
