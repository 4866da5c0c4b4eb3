"""Planted sequences are found, and nothing is found where there is no order to find."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, binomtest, hypergeom

from ml.errors import InvalidDataError, MissingColumnsError
from ml.sequences import (
    CELL_COLUMNS,
    TOTAL_COLUMNS,
    Cells,
    Evidence,
    SequenceConfig,
    judge_rules,
    weigh,
)
from tests.sequence_support import Calendar, count, make_shop, shuffle

pytestmark = pytest.mark.requirement("SCO-5")

WINDOWS = (7, 30)
CALENDAR = Calendar(discovered_until=400, until=600)
SHUFFLES = 240


def cells_of(*rows: tuple[int, int, int, int, int]) -> Cells:
    """Cells with one stratum, of (days, followed, first days, followed first days, customers)."""
    columns = np.array(rows, dtype=np.int64).T
    return Cells(*(column[:, None] for column in columns[:4]), columns[4])  # type: ignore[misc]


def evidence(cells: Cells, *, exact_until_variance: float = 1000.0) -> Evidence:
    return weigh(cells, exact_until_variance=exact_until_variance, interval_z=1.96)


def test_the_p_value_of_one_customer_is_the_hypergeometric_tail() -> None:
    found = evidence(cells_of((9, 4, 3, 2, 1)))
    assert found.p_value == pytest.approx(hypergeom.sf(1, 9, 4, 3), abs=1e-12)
    assert found.expected_followed == pytest.approx(4 / 3)


def test_the_p_value_of_several_customers_is_that_of_all_choices_of_their_days() -> None:
    rows = [(5, 2, 2, 2, 1), (4, 3, 2, 2, 1), (6, 1, 3, 0, 1), (6, 1, 3, 1, 1), (3, 3, 1, 1, 2)]
    chances = {0: 1.0}
    for days, followed, first, _, customers in rows:
        for _ in range(customers):
            subsets = list(itertools.combinations(range(days), first))
            grown: dict[int, float] = {}
            for (total, chance), subset in itertools.product(chances.items(), subsets):
                hits = total + sum(day < followed for day in subset)
                grown[hits] = grown.get(hits, 0.0) + chance / len(subsets)
            chances = grown
    seen = sum(row[3] * row[4] for row in rows)
    tail = sum(chance for total, chance in chances.items() if total >= seen)
    assert evidence(cells_of(*rows)).p_value == pytest.approx(tail, abs=1e-12)


def test_beyond_the_limit_the_normal_distribution_is_as_good() -> None:
    cells = cells_of((8, 3, 4, 2, 900), (8, 3, 4, 1, 800), (5, 2, 1, 1, 300), (5, 2, 1, 0, 500))
    exact = evidence(cells)
    assert evidence(cells, exact_until_variance=10).p_value == pytest.approx(
        exact.p_value, rel=0.02
    )


def test_the_lift_of_like_customers_is_the_ratio_of_the_two_shares() -> None:
    # Each has 4 days, 2 of them with A: of A's days 60 %, of the others 30 % are followed.
    found = evidence(
        cells_of((4, 0, 2, 0, 20), (4, 1, 2, 1, 40), (4, 2, 2, 2, 10), (4, 3, 2, 2, 30))
    )
    first = (40 + 20 + 60) / 200
    others = 30 / 200
    assert found.lift == pytest.approx(first / others)
    assert found.lift_low < found.lift < found.lift_high


def test_customers_who_can_be_compared_with_nothing_say_nothing() -> None:
    found = evidence(cells_of((3, 2, 3, 2, 50), (4, 0, 2, 0, 50)))
    assert (found.p_value, found.z_score) == (1.0, 0.0)
    assert np.isnan(found.lift)


def judged(shop: Any, **settings: Any) -> pd.DataFrame:
    return judge_rules(*count(shop, WINDOWS, CALENDAR), SequenceConfig(**settings))


def found_pairs(rules: pd.DataFrame) -> set[tuple[str, str]]:
    found = rules[rules["q_value"] <= SequenceConfig().false_discovery_rate]
    return set(zip(found["first_category"], found["then_category"], strict=True))


def test_a_planted_sequence_is_found_and_its_reverse_is_not() -> None:
    shop = make_shop(np.random.default_rng(1), customers=500, days=600, planted=("a", "b", 7, 0.3))
    rules = judged(shop).set_index(["first_category", "then_category", "within_days"])
    assert found_pairs(rules.reset_index()) == {("a", "b")}
    rule = rules.loc[("a", "b", 7)]
    assert rule["lift_low"] > 1.5
    # 30 of 100 come by the sequence, the others as often as anybody: p + (1 - p) * base.
    assert rule["confidence"] == pytest.approx(0.3 + 0.7 * rule["base_rate"], abs=0.06)
    assert rule["confidence"] == pytest.approx(rule["base_rate"] * rule["lift"])
    assert rule["holdout_p_value"] < 1e-6
    assert rules.loc[("b", "a", 7)]["p_value"] > 0.05


def test_heavy_buyers_with_strong_tastes_make_no_rule() -> None:
    """Who buys A buys much, so B follows A far more often than it follows just any day."""
    shop = make_shop(np.random.default_rng(2), customers=500, days=600)

    def share_followed(days_of: Callable[[Mapping[int, frozenset[str]]], Iterable[int]]) -> float:
        return float(np.mean([
            any("b" in days.get(day + lag, ()) for lag in range(1, 31))
            for days in shop.values() for day in days_of(days)
        ]))  # fmt: skip

    after_a = share_followed(lambda days: [day for day, names in days.items() if "a" in names])
    assert after_a > 1.3 * share_followed(lambda days: range(0, 570, 30))
    rules = judged(shop)
    assert found_pairs(rules) == set()
    assert binomtest(int((rules["p_value"] <= 0.05).sum()), len(rules), 0.05).pvalue > 0.001


@pytest.fixture(scope="module")
def shuffled() -> list[pd.DataFrame]:
    """Rules of a shop with a strong sequence, after its purchases were put in any order."""
    rng = np.random.default_rng(4)
    shop = make_shop(rng, customers=90, days=600, categories="abc", planted=("a", "b", 7, 0.5))
    assert found_pairs(judged(shop)) == {("a", "b")}
    return [judged(shuffle(shop, rng)) for _ in range(SHUFFLES)]


def test_shuffled_purchases_are_discovered_at_the_nominal_rate_only(
    shuffled: list[pd.DataFrame],
) -> None:
    """All that is found is false: the rate of runs with a finding is the false discovery rate."""
    runs = sum(bool(found_pairs(rules)) for rules in shuffled)
    assert runs <= binom.ppf(0.999, SHUFFLES, SequenceConfig().false_discovery_rate)


def test_each_p_value_falls_below_a_level_as_often_as_the_level_says(
    shuffled: list[pd.DataFrame],
) -> None:
    levels = pd.concat(shuffled)
    tested = levels[levels["q_value"].notna()]
    for level in (0.01, 0.05, 0.2):
        below = (
            (tested["p_value"] <= level)
            .groupby([tested["first_category"], tested["then_category"], tested["within_days"]])
            .agg(["sum", "size"])
        )
        # Several rules are looked at; all together may be above by chance once in a thousand.
        limits = binom.ppf(1 - 0.001 / len(below), below["size"], level)
        assert (below["sum"] <= limits).all(), (level, below)
        # Counts are whole, so an exact test rejects somewhat too seldom, not hardly ever.
        assert below["sum"].sum() / below["size"].sum() > 0.5 * level


def test_a_hold_out_confirms_nothing_of_shuffled_purchases(shuffled: list[pd.DataFrame]) -> None:
    fresh = pd.concat(shuffled)
    fresh = fresh[(fresh["within_days"] == 7) & (fresh["first_category"] == "a")
                  & (fresh["then_category"] == "b")]  # fmt: skip
    confirmed = int((fresh["holdout_p_value"] <= SequenceConfig().holdout_level).sum())
    assert confirmed <= binom.ppf(0.999, len(fresh), SequenceConfig().holdout_level)


def test_a_window_that_is_not_over_is_no_exposure() -> None:
    shop = {"c1": {390: frozenset("a"), 394: frozenset("b"), 398: frozenset("a")},
            "c2": {200: frozenset("b"), 395: frozenset("a"), 402: frozenset("b")}}  # fmt: skip
    rules = judged(shop).set_index(["first_category", "then_category", "within_days"])
    week = rules.loc[("a", "b", 7)]
    # 390 is over by day 400. Of 395 (until 402) and 398 nobody knows by then.
    assert (week["exposure_count"], week["support"], week["first_customer_count"]) == (1, 1, 1)
    assert np.isnan(week["q_value"]), "too few customers to be tested"


def test_replenishment_is_refused() -> None:
    cell = dict.fromkeys(CELL_COLUMNS, 1) | {"first_category": "a", "then_category": "a",
                                             "period": "discovery"}  # fmt: skip
    with pytest.raises(InvalidDataError, match="replenishment"):
        judge_rules(pd.DataFrame([cell]), pd.DataFrame(columns=TOTAL_COLUMNS))


def test_a_missing_column_is_named_and_no_purchase_gives_no_rule() -> None:
    nothing = pd.DataFrame(columns=CELL_COLUMNS)
    assert judge_rules(nothing, pd.DataFrame(columns=TOTAL_COLUMNS)).empty
    with pytest.raises(MissingColumnsError, match="customer_count"):
        judge_rules(nothing.drop(columns="customer_count"), pd.DataFrame(columns=TOTAL_COLUMNS))
