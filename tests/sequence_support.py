"""Purchases of a small shop, and their counts for sequence rules by plain loops.

Add here: what tests of the SQL and of the statistics share. Not here: assertions.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.sequences import CELL_COLUMNS, TOTAL_COLUMNS

# customer → day number → categories bought that day
Shop = Mapping[str, Mapping[int, frozenset[str]]]


@dataclass(frozen=True)
class Calendar:
    """Last day of the discovery period and of the hold-out, as day numbers."""

    discovered_until: int
    until: int

    def period(self, day: int, within_days: int) -> str | None:
        if day + within_days <= self.discovered_until:
            return "discovery"
        if self.discovered_until < day and day + within_days <= self.until:
            return "holdout"
        return None


def count(
    shop: Shop, windows: Sequence[int], calendar: Calendar
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of ``int_sequence_cells`` and ``int_sequence_totals``, pair by pair."""
    cells: Counter[tuple[object, ...]] = Counter()
    never: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    categories = sorted(
        {name for days in shop.values() for bought in days.values() for name in bought}
    )
    for days in shop.values():
        ever = {name for bought in days.values() for name in bought}
        for within, period in itertools.product(windows, ("discovery", "holdout")):
            unit_days = [day for day in days if calendar.period(day, within) == period]
            exposures = Counter(name for day in unit_days for name in days[day])
            for then in categories:
                if then in ever:
                    _count_customer(cells, days, unit_days, then, within, period)
                    continue
                for first, number in exposures.items():
                    entry = never[first, then, within, period]
                    entry[0] += 1
                    entry[1] += number
    totals = [(*key, *entry) for key, entry in never.items()]
    return (
        pd.DataFrame([(*key, number) for key, number in cells.items()], columns=CELL_COLUMNS),
        pd.DataFrame(totals, columns=TOTAL_COLUMNS),
    )


def _count_customer(
    cells: Counter[tuple[object, ...]],
    days: Mapping[int, frozenset[str]],
    unit_days: Iterable[int],
    then: str,
    within: int,
    period: str,
) -> None:
    bought = [d for d, names in days.items() if then in names]
    units = [
        (d, any(0 < d - b <= within for b in bought), any(0 < b - d <= within for b in bought))
        for d in unit_days
        if d not in bought
    ]
    for first in {name for d, _, _ in units for name in days[d]}:
        key: list[object] = [first, then, within, period]
        for is_recent in (False, True):
            mine = [(d, followed) for d, recent, followed in units if recent is is_recent]
            firsts = [followed for d, followed in mine if first in days[d]]
            all_followed = sum(followed for _, followed in mine)
            all_days = len(mine) if all_followed else len(firsts)
            key += [all_days, all_followed, len(firsts), sum(firsts)] if firsts else [0, 0, 0, 0]
        cells[tuple(key)] += 1


def make_shop(
    rng: np.random.Generator,
    *,
    customers: int,
    days: int,
    categories: Sequence[str] = ("a", "b", "c", "d"),
    planted: tuple[str, str, int, float] | None = None,
) -> dict[str, dict[int, frozenset[str]]]:
    """People who buy at very different rates and like different things, in no other order.

    ``planted`` is (first, then, within days, probability).
    """
    shop: dict[str, dict[int, frozenset[str]]] = {}
    for number in range(customers):
        orders = 2 + int(rng.poisson(rng.gamma(0.8, 10)))
        tastes = rng.dirichlet(np.full(len(categories), 2.0))
        bought: dict[int, set[str]] = defaultdict(set)
        for day in rng.integers(0, days, orders):
            bought[int(day)].add(str(rng.choice(list(categories), p=tastes)))
        if planted:
            first, then, within, probability = planted
            for day in [d for d, names in bought.items() if first in names]:
                after = day + int(rng.integers(1, within + 1))
                if rng.random() < probability and after < days:
                    bought[after].add(then)
        shop[f"c{number}"] = {day: frozenset(names) for day, names in sorted(bought.items())}
    return shop


def shuffle(shop: Shop, rng: np.random.Generator) -> dict[str, dict[int, frozenset[str]]]:
    """The same days and the same purchases of each customer, in any order."""
    shuffled: dict[str, dict[int, frozenset[str]]] = {}
    for customer, days in shop.items():
        bought = list(days.values())
        order = rng.permutation(len(bought))
        shuffled[customer] = {day: bought[place] for day, place in zip(days, order, strict=True)}
    return shuffled
