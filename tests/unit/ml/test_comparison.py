"""Champion and challenger on the same customers."""

from __future__ import annotations

import numpy as np
import pytest

from ml.comparison import Comparison, compare
from ml.metrics import log_loss, normalized_gini

RNG = np.random.default_rng(11)
CHANCE = RNG.uniform(0.05, 0.95, 4000)
LEFT = (RNG.uniform(size=4000) < CHANCE).astype(float)


@pytest.mark.requirement("SCO-7")
def test_a_challenger_that_guesses_is_worse_and_its_like_is_not() -> None:
    blurred = np.clip(CHANCE + RNG.normal(0, 0.005, 4000), 0.01, 0.99)
    guess = RNG.permutation(CHANCE)
    assert compare(LEFT, CHANCE, guess, log_loss).is_worse(high_is_good=False)
    assert not compare(LEFT, CHANCE, blurred, log_loss).is_worse(high_is_good=False)
    assert not compare(LEFT, guess, CHANCE, log_loss).is_worse(high_is_good=False)
    spent = LEFT * CHANCE
    assert compare(spent, CHANCE, guess, normalized_gini).is_worse(high_is_good=True)


def test_the_deviation_shrinks_with_the_base_although_draws_are_bounded() -> None:
    few = compare(LEFT[:1000], CHANCE[:1000], CHANCE[::-1][:1000], log_loss, max_rows=500)
    many = compare(LEFT, CHANCE, CHANCE[::-1], log_loss, max_rows=500)
    assert many.deviation == pytest.approx(few.deviation / 2, rel=0.35)
    whole = compare(LEFT, CHANCE, CHANCE[::-1], log_loss)
    assert many.deviation == pytest.approx(whole.deviation, rel=0.3)
    assert compare(LEFT, CHANCE, CHANCE[::-1], log_loss) == whole


@pytest.mark.requirement("SCO-7")
def test_worse_begins_one_deviation_below_and_on_the_side_that_is_bad() -> None:
    better, equal, doubt, worse = (
        Comparison(0.5, 0.5 + d, d, 0.01) for d in (0.02, 0, -0.01, -0.011)
    )
    assert [one.is_worse(high_is_good=True) for one in (better, equal, doubt, worse)] == [
        False, False, False, True
    ]  # fmt: skip
    assert better.is_worse(high_is_good=False) and not worse.is_worse(high_is_good=False)
