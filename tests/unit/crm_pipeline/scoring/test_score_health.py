"""Whether scores may be acted on: drift, calibration, age."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from scoring_support import CUSTOMERS, JULY, Shop, gate

from crm_pipeline.lib.scoring.health import NOT_YET, check_scores
from crm_pipeline.lib.scoring.scores import keep_used_scores
from crm_pipeline.lib.warehouse import open_warehouse

NOBODY = np.zeros((0, 1), dtype=np.float32)
DRIFT = gate("score_psi", at_most=0.25)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "home")


@pytest.mark.requirement("SCO-7")
def test_scores_of_other_people_than_the_model_has_learned_from_hold_outreach(shop: Shop) -> None:
    assert shop.score(gates=(DRIFT,)).held_by == []
    shop.fill(JULY, shift=CUSTOMERS)
    night = shop.score(gates=(DRIFT,))
    assert night.held_by == ["score_psi"]
    moved = [check for check in night.checks if check.measure == "feature_psi"]
    assert [(check.feature, check.is_passed, check.stops_outreach) for check in moved] == [
        ("x", False, False)
    ]
    assert night.row_count == CUSTOMERS, "BI is shown the scores all the same"


@pytest.mark.requirement("SCO-7")
def test_a_measure_nobody_knows_fails_closed(shop: Shop) -> None:
    night = shop.score(gates=(gate("interval_coverage_pct", at_least=60),))
    assert night.held_by == ["interval_coverage_pct"]
    assert night.checks[0].value is None and night.checks[0].note == "not known"


@pytest.mark.requirement("SCO-7")
def test_a_model_and_scores_grow_old(shop: Shop) -> None:
    limits = (gate("model_age_days", at_most=8), gate("score_age_days", at_most=2))
    assert shop.score(gates=limits).held_by == ["model_age_days"]  # 9 days after 30 June
    recipe = shop.toy.recipe()
    with open_warehouse(shop.home.warehouse) as connection:
        later = JULY + dt.timedelta(days=3)
        checks = check_scores(
            connection, shop.home, shop.ledger, recipe, limits, None, {}, NOBODY,
            as_of=later,
        )  # fmt: skip
    assert [(check.measure, check.value) for check in checks] == [
        ("model_age_days", None),
        ("score_age_days", 3.0),
    ]


@pytest.mark.requirement("SCO-7")
def test_what_was_said_a_horizon_ago_is_held_against_what_has_happened(shop: Shop) -> None:
    """All were given 1 − x/400; half of each tenth ordered within the horizon, nobody after it."""
    limits = (gate("realised_ece", at_most=0.15),)
    month_end = JULY
    night = shop.score(month_end, gates=limits)
    assert night.held_by == [] and night.checks[0].note == NOT_YET
    recipe = shop.toy.recipe()
    with open_warehouse(shop.home.warehouse) as connection:
        connection.execute(
            f"update scores.clv_scores set predicted_clv = 1 - predicted_clv / {CUSTOMERS}"
        )
        keep_used_scores(connection, shop.home, shop.ledger, recipe, month_end)
        connection.execute(
            "insert into intermediate.int_customer_days "
            "select 'c' || n, $day::date + if(n % 2 = 0, 90, 91), 1 from range(400) as r (n)",
            {"day": month_end},
        )
        args = (connection, shop.home, shop.ledger, recipe, limits, None, {}, NOBODY)
        before = check_scores(*args, as_of=month_end + dt.timedelta(days=89))
        after = check_scores(*args, as_of=month_end + dt.timedelta(days=90))
    assert before[0].value is None and before[0].is_passed
    # Over ten bins the mean gap between 1 − x/400 and .5: .45, .35, .25, .15, .05 and again.
    assert after[0].value == pytest.approx(0.25, abs=0.005)
    assert after[0].stops_outreach


@pytest.mark.requirement("SCO-7")
def test_scores_of_ids_nobody_has_any_more_are_not_taken_for_right_ones(shop: Shop) -> None:
    limits = (gate("realised_ece", at_most=0.15),)
    shop.score(gates=limits)
    recipe = shop.toy.recipe()
    with open_warehouse(shop.home.warehouse) as connection:
        keep_used_scores(connection, shop.home, shop.ledger, recipe, JULY)
        (check,) = check_scores(
            connection, shop.home, shop.ledger, recipe, limits, None, {}, NOBODY,
            as_of=JULY + dt.timedelta(days=90),
        )  # fmt: skip
    assert check.value is None and check.note == "not known" and check.stops_outreach
