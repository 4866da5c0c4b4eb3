"""The cast of the world's last day: who plays which part.

Add here: a journey's name, an outcome, who plays it.
Not here: the records that make the part (``last_day``).
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
# What a decision can come to, and why the cases meet it.
OUTCOMES = {
    "send": "a cart of this morning, consent, stock, no other message",
    "held": "a cart filled within the last hour of the last day, when nothing may be sent",
    "capped": "a cart of this morning, but four messages in this week, one of them today",
    "no_consent": "a cart of this morning; marketing was withdrawn for every way the day before",
    "holdout": "a candidate among many, of whom the salted holdout keeps its share back",
    "lost_to_higher_priority": "a cart of this morning and a birthday in two days",
    "stock_gone": "a cart of this morning with the product of which nothing is left",
    "open_complaint": "a cart of this morning and a complaint opened the day before",
    "duplicate": "the same product in the cart of two accounts of one person within the hour",
    "expired": "a cart of five days ago and nothing since",
}
_QUIET_DAYS = 45
# Journeys about silence: the days before the end without an order of their own.
_SILENT_DAYS = {"dormant_wake_up": 100, "win_back": 215}
# Journeys whose whole story is planted.
_TOLD = ("first_order_care", "churn_retention", "vip_preorder", "co_creation")


@dataclass
class Cast:
    """The part each person of a chunk plays; -1 = none."""

    journey: Ints
    outcome: Ints

    @property
    def is_cast(self) -> Flags:
        return (self.journey >= 0) | (self.outcome >= 0)

    def plays(self, *journeys: str) -> Flags:
        """Who is a candidate of one of the journeys."""
        return np.isin(self.journey, [JOURNEYS.index(name) for name in journeys])

    def meets(self, *outcomes: str) -> Flags:
        """Who is a case of one of the outcomes."""
        return np.isin(self.outcome, [list(OUTCOMES).index(name) for name in outcomes])

    def quiet_from(self, end_at: int) -> Ints:
        """From when on nothing is left to chance: the last weeks of the cast are planted."""
        return np.where(self.is_cast, end_at - _QUIET_DAYS * DAY, end_at)

    def own_orders_until(self, end_at: int) -> Ints:
        """Until when people order by themselves; 0 = never."""
        until = self.quiet_from(end_at)
        for journey, days in _SILENT_DAYS.items():
            until = np.where(self.plays(journey), end_at - days * DAY, until)
        return np.where(self.plays(*_TOLD), 0, until)

    def birthdays(self, born: Ints, last: dt.date) -> Ints:
        """Birth days; of those who play a birthday two days after the last day."""
        day, start = last + dt.timedelta(days=2), dt.date(1970, 1, 1)
        chosen = born.copy()
        who = self.plays("birthday_care") | self.meets("lost_to_higher_priority")
        for rank, person in enumerate(np.flatnonzero(who).tolist()):
            date = dt.date(1970 + rank % 30, day.month, min(day.day, 28))
            chosen[person] = (date - start).days
        return chosen

    def joining(self, joined_at: Ints, start_at: int, end_at: int) -> Ints:
        """The cast joined early, but for those who ordered for the first time today."""
        early = start_at + (np.arange(len(joined_at)) * 7919 % 40) * DAY + 10 * 3600
        chosen = np.where(self.is_cast, early, joined_at)
        return np.where(self.plays("first_order_care"), end_at - 14 * 3600, chosen)


def make_cast(chunk: int, count: int, people: int, candidates: int, cases: int) -> Cast:
    """The first people of the first chunk play; a world too small for all parts has fewer each."""
    journey, outcome = np.full(count, -1), np.full(count, -1)
    if chunk == 0:
        wanted = candidates * len(JOURNEYS) + cases * len(OUTCOMES)
        share = min(1.0, people / 2 / max(1, wanted))
        parts = np.repeat(np.arange(len(JOURNEYS)), int(candidates * share))[:count]
        ends = np.repeat(np.arange(len(OUTCOMES)), min(cases, max(1, int(cases * share))))
        ends = ends[: count - len(parts)]
        journey[: len(parts)] = parts
        outcome[len(parts) : len(parts) + len(ends)] = ends
    return Cast(journey, outcome)
