"""The cast of the world's last day: people whose records make each journey and outcome happen.

Add here: a journey's candidate, an outcome's case.
Not here: journeys' effects (``campaigns``).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from simulation.columns import Flags, Ints
from simulation.seasons import DAY

__all__ = ["JOURNEYS", "OUTCOMES", "Cast", "make_cast"]

# The journeys, by the names they keep everywhere.
JOURNEYS = (
    "first_order_care", "free_shipping_rebuy", "repurchase_cadence", "cart_rescue", "browse_list",
    "question_offer", "visit_follow_up", "dormant_wake_up", "churn_retention", "win_back",
    "birthday_care", "festival_care", "weather_care", "vip_preorder", "co_creation",
    "review_invitation", "advisor_task",
)  # fmt: skip
OUTCOMES = (
    "send", "held", "capped", "no_consent", "holdout", "lost_to_higher_priority", "stock_gone",
    "open_complaint", "duplicate", "expired",
)  # fmt: skip


@dataclass
class Cast:
    """The part each person of a chunk plays; -1 = none."""

    journey: Ints
    outcome: Ints

    @property
    def is_cast(self) -> Flags:
        return (self.journey >= 0) | (self.outcome >= 0)

    def plays(self, journey: str) -> Flags:
        return self.journey == JOURNEYS.index(journey)

    def meets(self, outcome: str) -> Flags:
        return self.outcome == OUTCOMES.index(outcome)

    def quiet_from(self, end_at: int) -> Ints:
        """From when on nothing is left to chance: the last weeks of the cast are planted."""
        return np.where(self.is_cast, end_at - 45 * DAY, end_at)

    @property
    def is_weather(self) -> Flags:
        return self.plays("weather_care")

    def birthdays(self, born: Ints, last: dt.date) -> Ints:
        """Birth days, of the birthday candidates two days after the last day."""
        who = np.flatnonzero(self.plays("birthday_care"))
        day = last + dt.timedelta(days=2)
        chosen = born.copy()
        for rank, person in enumerate(who.tolist()):
            chosen[person] = (
                dt.date(1970 + rank % 30, day.month, min(day.day, 28)) - dt.date(1970, 1, 1)
            ).days
        return chosen

    def joining(self, joined_at: Ints) -> Ints:
        return joined_at


def make_cast(chunk: int, count: int, people: int, candidates: int, cases: int) -> Cast:
    """The first people of the first chunk play; a world too small for all parts has fewer each."""
    journey, outcome = np.full(count, -1), np.full(count, -1)
    if chunk == 0:
        room = people // 2
        wanted = candidates * len(JOURNEYS) + cases * len(OUTCOMES)
        share = min(1.0, room / max(1, wanted))
        per_journey, per_outcome = int(candidates * share), max(1, int(cases * share))
        parts = np.repeat(np.arange(len(JOURNEYS)), per_journey)
        ends = np.repeat(np.arange(len(OUTCOMES)), per_outcome)
        parts = parts[:count]
        journey[: len(parts)] = parts
        ends = ends[: count - len(parts)]
        outcome[len(parts) : len(parts) + len(ends)] = ends
    return Cast(journey, outcome)
