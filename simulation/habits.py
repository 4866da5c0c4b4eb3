"""Habits planted into ordinary people's last weeks, for the rules of tags to find.

Add here: a habit a rule looks for.
Not here: the cast of the last day (``last_day``), what is left to chance (``sessions``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.catalogue import CATEGORY_NAMES
from simulation.columns import Flags, Ints
from simulation.people import APP, People
from simulation.seasons import DAY
from simulation.world import World

__all__ = ["Habits", "plan_habits"]

_BROWSES = 3
_PAUSE = 420  # seconds between two browses of an evening
_CART_DAYS = 12  # a cart left longer ago than this is forgotten


@dataclass
class Habits:
    """Who browses gear for fitness three times in a row, and who leaves a cart, and when.

    Every browse has a row of its own in ``fan``, ``fan_at`` and ``fan_product``.
    """

    fan: Ints
    fan_at: Ints
    fan_product: Ints
    leaver: Ints
    left_at: Ints
    left_product: Ints

    @property
    def fans(self) -> tuple[Ints, Ints]:
        """Each fan once, with the moment of the last browse."""
        return self.fan[_BROWSES - 1 :: _BROWSES], self.fan_at[_BROWSES - 1 :: _BROWSES]

    @property
    def person(self) -> Ints:
        return np.concatenate([self.fan, self.leaver])

    @property
    def at(self) -> Ints:
        return np.concatenate([self.fan_at, self.left_at])

    @property
    def product(self) -> Ints:
        return np.concatenate([self.fan_product, self.left_product])

    @property
    def fills_cart(self) -> Flags:
        return np.arange(len(self.person)) >= len(self.fan)


def plan_habits(world: World, people: People) -> Habits:
    """The habits of a chunk; nobody of the cast has one, and nobody has two."""
    settings, goods, end_at = world.parameters.behaviour, world.catalogue, world.calendar.end_at
    rng = world.stream("habits", people.chunk)
    days = settings.habit_days
    drawn = rng.random(len(people))
    here = people.has_account[:, APP] & ~people.cast.is_cast
    here &= people.registered_at[:, APP] < end_at - (days + 2) * DAY
    fan = np.flatnonzero(here & (drawn < settings.habit_share))
    leaver = np.flatnonzero(here & (drawn > 1 - settings.habit_share))
    # From the evening before the last day back to the first: a cart is left when a day has passed.
    evening = end_at - 2 * DAY + 20 * 3600
    fan_at = evening - rng.integers(0, days, len(fan)) * DAY + rng.integers(0, 5000, len(fan))
    first = CATEGORY_NAMES.index("fitness_gear") * goods.per_category
    place = np.tile(np.arange(_BROWSES), len(fan))
    left_days = min(days, _CART_DAYS)
    left_at = evening - rng.integers(0, left_days, len(leaver)) * DAY
    return Habits(
        fan=np.repeat(fan, _BROWSES),
        fan_at=np.repeat(fan_at, _BROWSES) + place * _PAUSE,
        fan_product=first + (np.repeat(fan, _BROWSES) + place) % goods.per_category,
        leaver=leaver,
        left_at=left_at + rng.integers(0, 5000, len(leaver)),
        left_product=rng.integers(0, goods.count, len(leaver)),
    )
