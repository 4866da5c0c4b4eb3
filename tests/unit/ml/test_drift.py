"""Distances between the customers of today and those of training."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from ml.drift import Reference, population_stability_index, psi_expected_by_chance

RNG = np.random.default_rng(5)
NORMAL = RNG.normal(size=20_000)


@pytest.mark.requirement("SCO-7")
def test_the_index_is_that_of_the_formula() -> None:
    reference = Reference(edges=(1.0,), shares=(0.5, 0.4, 0.1), row_count=10)
    values = [0.0] * 2 + [1.0] * 7 + [np.nan]
    expected = (
        (0.2 - 0.5) * np.log(0.2 / 0.5)
        + (0.7 - 0.4) * np.log(0.7 / 0.4)
        + (0.1 - 0.1) * np.log(0.1 / 0.1)
    )
    assert population_stability_index(reference, values) == pytest.approx(expected)


@pytest.mark.requirement("SCO-7")
def test_the_same_people_have_not_drifted_and_others_have() -> None:
    reference = Reference.of(NORMAL)
    assert population_stability_index(reference, NORMAL) == pytest.approx(0, abs=1e-12)
    assert population_stability_index(reference, RNG.normal(size=20_000)) < 0.01
    assert population_stability_index(reference, RNG.normal(1, 1, 20_000)) > 0.25


@pytest.mark.requirement("SCO-7")
def test_values_that_went_missing_are_drift() -> None:
    half = np.where(np.arange(len(NORMAL)) % 2, np.nan, NORMAL)
    assert population_stability_index(Reference.of(NORMAL), half) > 0.25


def test_a_number_everybody_shares_has_one_bin_and_an_empty_base_no_distance() -> None:
    assert population_stability_index(Reference.of([3.0] * 9), [3.0] * 5) == 0
    for other in (2.0, 4.0):
        assert population_stability_index(Reference.of([3.0] * 9), [other] * 5) > 0.25
    assert population_stability_index(Reference.of([np.nan] * 3), [1.0]) > 0.25
    assert population_stability_index(Reference.of([]), [1.0]) == 0
    assert population_stability_index(Reference.of([1.0]), []) == 0


def test_a_rare_event_that_becomes_common_is_drift() -> None:
    """Complaints: nearly everybody has 0, which must not share its bin with those who have one."""
    rare, common = np.arange(2_000) % 20 == 0, np.arange(2_000) % 2 == 0
    reference = Reference.of(rare)
    assert population_stability_index(reference, rare) == pytest.approx(0, abs=1e-12)
    assert population_stability_index(reference, common) > 0.25
    assert Reference.from_json(json.loads(json.dumps(asdict(reference)))) == reference


def test_chance_moves_the_index_of_small_bases_as_far_as_the_bound_says() -> None:
    """Of a thousand pairs of small samples of one thing, about one passes a bound of .999."""
    found = []
    for _ in range(1000):
        reference = Reference.of(RNG.normal(size=200))
        found.append(
            population_stability_index(reference, RNG.normal(size=100))
            > psi_expected_by_chance(reference, 100)
        )
    # Binomial(1000, .001): more than 12 has a chance below 1e-8; the bound is asymptotic.
    assert sum(found) <= 12
    reference = Reference.of(RNG.normal(size=200))
    assert psi_expected_by_chance(reference, 100, confidence=0.5) < psi_expected_by_chance(
        reference, 100
    )


def test_a_reference_survives_json() -> None:
    reference = Reference.of([1.0, 2.0, np.nan])
    assert Reference.from_json(asdict(reference)) == reference
