"""What all parts of a world share: its clock, its catalogue and the way records leave it.

Add here: something every module needs.
Not here: anything about one feed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crm_pipeline.lib.errors import ConfigError
from simulation.catalogue import CATEGORY_NAMES, CITIES, Catalogue
from simulation.columns import Ints, instants
from simulation.delivery import all_feeds, delivery_parameters
from simulation.delivery.plan import ready_for_late_file
from simulation.feeds import feed_named
from simulation.parameters import WorldParameters
from simulation.randomness import GLOBAL_CHUNK, stream
from simulation.scenarios import Cast, make_cast
from simulation.seasons import DAY, Calendar, local_seconds, seconds_of_day
from simulation.spill import Sink, as_table, months_of

__all__ = ["World"]

_ALERTS_PER_CITY_DAY = 0.03


class World:
    """The parameters, what follows from them for everybody, and the sink of clean records."""

    def __init__(self, parameters: WorldParameters, sink: Sink) -> None:
        self.parameters = parameters
        self.calendar = Calendar(parameters)
        self.catalogue = Catalogue(parameters, self.calendar)
        self.sink = sink
        # On the last day one product is nearly gone, one is gone, and one city has a warning.
        middle = self.catalogue.per_category // 2
        first = CATEGORY_NAMES.index("skin_care") * self.catalogue.per_category
        self.scarce_product, self.gone_product = first + middle, first + middle + 1
        self.last_day_stock = {self.scarce_product: 3, self.gone_product: 0}
        self.alert_city = 0
        self.alerts = self._alerts()
        self._late_months = _late_months(parameters, self.calendar)

    @property
    def currencies(self) -> tuple[str, ...]:
        """The world's own currency and the foreign ones."""
        return (self.parameters.world.currency, *self.parameters.supply.exchange_rates)

    def _alerts(self) -> tuple[Ints, Ints]:
        """Cities and moments of weather warnings; the last one is the last day's."""
        rng, calendar = self.stream("alerts"), self.calendar
        count = rng.poisson(_ALERTS_PER_CITY_DAY * len(CITIES) * calendar.days)
        city = rng.integers(0, len(CITIES), count)
        when = calendar.start_at + rng.integers(0, calendar.days - 1, count) * DAY
        when += rng.integers(5 * 3600, 20 * 3600, count)
        return np.append(city, self.alert_city), np.append(when, calendar.end_at - 10 * 3600)

    def cast(self, chunk: int, count: int) -> Cast:
        """The part each person of a chunk plays on the last day."""
        frame, scenes = self.parameters.world, self.parameters.scenarios
        return make_cast(
            chunk, count, frame.people, scenes.candidates_per_journey, scenes.cases_per_outcome
        )

    def stream(self, table: str, chunk: int = GLOBAL_CHUNK) -> np.random.Generator:
        """The random numbers of one table in one chunk."""
        return stream(self.parameters.world.seed, table, chunk)

    def hours(self, uniform: NDArray[np.float64]) -> Ints:
        """Seconds since local midnight, as people's days go."""
        return seconds_of_day(uniform)

    def instants(self, local: Ints, mask: NDArray[np.bool_] | None = None) -> pa.Array:
        """Local seconds as naive UTC instants."""
        return instants(local, self.calendar.offset, mask)

    def emit(
        self,
        feed: str,
        chunk: int,
        when: Ints,
        columns: Mapping[str, Any],
        *,
        person: Ints | None = None,
        protected: NDArray[np.bool_] | None = None,
        updated: Ints | None = None,
        part: str = "",
    ) -> None:
        """Hands clean records over, sorted by ``when``; what lies after the end is left out.

        ``when`` decides the period: local seconds of the event, or of the version in ``updated``.
        A module that emits a feed more than once per chunk names each ``part``.
        """
        count = len(when)
        extra: dict[str, pa.Array] = {
            "is_protected": pa.array(np.zeros(count, bool) if protected is None else protected)
        }
        if person is not None:
            extra["person_id"] = pa.array(person, mask=person < 0)
        if feed_named(feed).is_versioned:
            extra["updated_at"] = self.instants(when if updated is None else updated)
        periods = months_of(np.maximum(when, self.calendar.start_at))
        late = self._late(feed, chunk, periods, protected)
        if late is not None:
            extra["deliver_at"] = late
        table = as_table(feed, {**columns, **extra}, count)
        order = np.argsort(when, kind="stable")
        order = order[: int(np.searchsorted(when[order], self.calendar.end_at))]
        if len(order) < count or (np.diff(order) < 0).any():
            table, periods = table.take(pa.array(order)), periods[order]
        name = "shared" if chunk < 0 else f"{chunk:05d}"
        self.sink.write(feed, f"{name}-{part}" if part else name, periods, table)

    def _late(
        self,
        feed: str,
        chunk: int,
        periods: NDArray[np.int32],
        protected: NDArray[np.bool_] | None,
    ) -> pa.Array | None:
        months = self._late_months.get(feed)
        if not months or not len(periods):
            return None
        deliver = np.zeros(len(periods), np.int64)
        for month, at in months.items():
            deliver[periods == month] = at
        chance = self.stream(f"late/{feed}", chunk).random(len(periods))
        is_late = (deliver > 0) & (chance < self.parameters.late.share_of_records)
        if protected is not None:
            is_late &= ~protected
        return self.instants(deliver, ~is_late)


def _late_months(parameters: WorldParameters, calendar: Calendar) -> dict[str, dict[int, int]]:
    """For each feed the months of which some records come late, and when those are ready."""
    rhythm = delivery_parameters(parameters)
    cadences = {writer.feed: writer.cadence for writer in all_feeds()}
    starts = np.arange(np.datetime64(calendar.first, "M"), np.datetime64(calendar.end, "M") + 1)
    last_days = [(month.astype("datetime64[D]") - 1).item() for month in starts[1:]]
    found: dict[str, dict[int, int]] = {}
    for feed in parameters.late.feeds:
        if feed not in cadences:
            raise ConfigError(
                f"{feed} has no files of its own that could be late",
                remedy=f"name feeds among {', '.join(sorted(cadences))} under late.feeds",
            )
        chance = stream(parameters.world.seed, f"late_months/{feed}", GLOBAL_CHUNK)
        is_late = chance.random(len(last_days)) < parameters.late.share_of_months
        for last_day in itertools.compress(last_days, is_late):
            ready = ready_for_late_file(rhythm, cadences[feed], last_day)
            if ready is not None:
                month = last_day.year * 100 + last_day.month
                found.setdefault(feed, {})[month] = local_seconds(ready)
    return found
