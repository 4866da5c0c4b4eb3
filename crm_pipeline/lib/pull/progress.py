"""How far a source has been read, and where the next pull begins.

Add here: a kind of cursor.
Not here: where it is kept (``state``), who asks with it (``rest``, ``sql``).

A cursor is never trusted further than the moment the pull began: one record from the year 2099
would otherwise hide every change until then. Each pull reaches back by the declared overlap, for
records that were written late; the door knows what came twice.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from crm_pipeline.lib.pull.spec import CursorSpec

Point = datetime | int
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PER_SECOND = {"epoch_s": 1, "epoch_ms": 1000}


class Progress:
    """The cursor of one pull: from where it asks, and what it has seen."""

    def __init__(self, spec: CursorSpec, zone: str, began: datetime, kept: str | None) -> None:
        self._spec, self._zone = spec, ZoneInfo(zone)
        self._began = began.astimezone(UTC)
        self._kept = self.read(kept) if kept is not None else None
        self._highest: Point | None = None
        self.missing = self.unreadable = 0
        self._path = spec.field.split(".")

    def read(self, value: Any) -> Point | None:
        """``value`` as something that can be compared, or nothing when it is no cursor."""
        try:
            if self._spec.kind == "datetime":
                return self._moment(value)
            return int(Decimal(str(value)))
        except (ValueError, InvalidOperation, OverflowError):
            return None

    def _moment(self, value: Any) -> datetime:
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time())
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).astimezone(UTC)

    def see(self, record: dict[str, Any]) -> None:
        """Looks at one record's cursor."""
        value: Any = record
        for key in self._path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            self.missing += 1
            return
        point = self.read(value)
        if point is None:
            self.unreadable += 1
        elif self._highest is None or point > self._highest:  # type: ignore[operator]
            self._highest = point

    @property
    def begin(self) -> Point:
        """Where this pull begins: the kept cursor less the overlap, never before the start."""
        start = self.read(self._spec.start)
        assert start is not None  # the reader of the YAML has checked it
        if self._kept is None:
            return start
        return max(start, self._back(self._kept))

    def _back(self, point: Point) -> Point:
        if isinstance(point, datetime):
            return point - timedelta(minutes=self._spec.overlap_minutes)
        if self._spec.kind == "number":
            return point - self._spec.overlap_count
        return point - self._spec.overlap_minutes * 60 * PER_SECOND[self._spec.kind]

    @property
    def reached(self) -> str | None:
        """What the next pull may begin from; nothing when no record had a cursor."""
        known = [point for point in (self._highest, self._kept) if point is not None]
        if not known:
            return None
        highest = max(known)
        if isinstance(highest, datetime):
            return min(highest, self._began).isoformat()
        if self._spec.kind in PER_SECOND:
            now = int((self._began - EPOCH).total_seconds()) * PER_SECOND[self._spec.kind]
            highest = min(highest, now)
        return str(highest)

    def asked_with(self) -> str:
        """The beginning as text, spelled like ``start`` in the YAML: the source reads that."""
        point, sample = self.begin, str(self._spec.start)
        if not isinstance(point, datetime):
            return str(point)
        if len(sample) == len("2025-01-01"):
            return point.astimezone(self._zone).date().isoformat()
        spelled = datetime.fromisoformat(sample)
        separator = sample[10]
        if spelled.tzinfo is None:
            local = point.astimezone(self._zone).replace(tzinfo=None)
            return local.isoformat(separator, "seconds")
        text = point.astimezone(spelled.tzinfo).isoformat(separator, "seconds")
        return text.removesuffix("+00:00") + "Z" if sample[-1] in "Zz" else text

    def asked_as(self, kind: type, *, has_zone: bool) -> object:
        """The beginning as a value of a column of this type."""
        point = self.begin
        if not isinstance(point, datetime):
            return kind(point) if kind in (int, Decimal, float) else str(point)
        if kind is date:
            return point.astimezone(self._zone).date()
        if kind is datetime:
            local = point.astimezone(self._zone)
            return local if has_zone else local.replace(tzinfo=None)
        return self.asked_with()
