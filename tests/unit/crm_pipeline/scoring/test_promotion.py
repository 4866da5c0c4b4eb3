"""Which version of a model scores, and what of that is on record."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from scoring_support import AUGUST, CUSTOMERS, JULY, JULY_END, JUNE_END, Shop, gate

from crm_pipeline.lib.history import active_slices
from crm_pipeline.lib.scoring.promotion import last_decision, table_of


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "home")


def on_record(shop: Shop) -> list[tuple[dt.date, int]]:
    with shop.ledger.connect() as connection:
        found = active_slices(shop.home, connection, table_of("clv"))
    return [(one.as_of_date, one.revision) for one in found]


@pytest.mark.requirement("SCO-7")
def test_the_first_model_scores_at_once_and_its_decision_is_on_record(shop: Shop) -> None:
    night = shop.score()
    assert night.decision.verdict == "first"
    assert night.row_count == CUSTOMERS
    assert on_record(shop) == [(JUNE_END, 1)]
    assert last_decision(shop.home, shop.ledger, "clv", until=JULY) == night.decision
    ((version, scored),) = shop.rows(
        "select model_version, max(as_of_date) from scores.clv_scores group by 1"
    )
    assert (version, scored) == (night.decision.version_in_force, JULY)


@pytest.mark.requirement("SCO-7")
def test_equal_data_is_not_trained_on_twice_and_other_data_is_a_new_revision(shop: Shop) -> None:
    shop.score()
    again = shop.score()
    assert shop.toy.trained == [JUNE_END] and again.training is None
    assert on_record(shop) == [(JUNE_END, 1)]
    shop.fill(JULY, noise=5)
    shop.score()
    assert shop.toy.trained == [JUNE_END, JUNE_END]
    assert on_record(shop) == [(JUNE_END, 2)]


@pytest.mark.requirement("SCO-7")
def test_a_challenger_that_is_worse_stays_out_and_one_as_good_takes_over(shop: Shop) -> None:
    first = shop.score().decision
    shop.toy.sign = -1.0
    worse = shop.score(AUGUST).decision
    assert (worse.verdict, worse.version_in_force) == ("kept", first.version_in_force)
    assert worse.challenger_value is not None and worse.champion_value is not None
    assert worse.challenger_value < 0 < worse.champion_value
    assert worse.in_force_trained_until == JUNE_END
    shop.toy.sign = 2.0
    shop.fill(AUGUST, noise=1)
    good = shop.score(AUGUST).decision
    assert (good.verdict, good.version_in_force) == ("promoted", good.challenger_version)
    assert good.in_force_trained_until == JULY_END


@pytest.mark.requirement("SCO-7")
def test_a_champion_older_than_its_gate_allows_is_replaced_by_a_worse_one(shop: Shop) -> None:
    shop.score()
    shop.toy.sign = -1.0
    old = gate("model_age_days", at_most=45)  # reached in August, between two training days
    decision = shop.score(AUGUST, gates=(old,)).decision
    assert decision.verdict == "promoted" and "older" in decision.reason


@pytest.mark.requirement("SCO-7")
def test_a_model_beyond_a_gate_is_refused_and_nothing_scores_when_there_is_no_other(
    shop: Shop,
) -> None:
    shop.toy.sign = -1.0
    limits = (gate("normalized_gini", at_least=0.05, holds_promotion=True),)
    night = shop.score(gates=limits)
    assert night.decision.verdict == "refused"
    assert "normalized_gini is -1.000, allowed is at least 0.05" in night.decision.reason
    assert night.decision.version_in_force is None
    assert shop.rows("from scores.clv_scores") == []
    assert night.held_by == ["normalized_gini"]


@pytest.mark.requirement("SCO-7")
@pytest.mark.bad_input("F21")
def test_a_training_that_fails_keeps_the_model_of_before(shop: Shop) -> None:
    first = shop.score().decision
    shop.toy.error = "nobody came back"
    shop.fill(AUGUST)
    night = shop.score(AUGUST)
    assert (night.decision.verdict, night.decision.reason) == ("not_trained", "nobody came back")
    assert night.decision.version_in_force == first.version_in_force
    assert shop.rows("select distinct as_of_date from scores.clv_scores") == [(AUGUST,)]


@pytest.mark.bad_input("F21")
def test_without_any_model_the_scores_of_before_stay_with_their_date(shop: Shop) -> None:
    shop.score()
    for path in shop.home.models.rglob("*"):
        if path.is_file():
            path.unlink()
    shop.toy.error = "nobody came back"
    shop.fill(AUGUST)
    night = shop.score(AUGUST, gates=(gate("score_age_days", at_most=2),))
    assert night.note is not None and "cannot be read" in night.note
    assert shop.rows("select distinct as_of_date from scores.clv_scores") == [(JULY,)]
    assert night.held_by == ["score_age_days"]


@pytest.mark.requirement("SCO-7")
@pytest.mark.bad_input("F22")
def test_a_damaged_version_is_refused_and_trained_again(shop: Shop) -> None:
    version = shop.score().decision.version_in_force
    assert version is not None
    model = shop.home.models / "clv" / version / "model.json"
    model.write_bytes(model.read_bytes()[:-3])
    again = shop.score()
    assert again.decision.version_in_force == version
    assert shop.toy.trained == [JUNE_END, JUNE_END]
    assert [path.name for path in (shop.home.models / "clv").glob("*damaged*")] == [
        f"{version}.damaged-1"
    ]


@pytest.mark.requirement("SCO-7")
def test_a_run_for_the_past_decides_nothing_and_takes_what_was_decided_then(shop: Shop) -> None:
    first = shop.score().decision
    shop.fill(AUGUST, noise=1)
    shop.score(AUGUST)
    shop.fill(JULY, noise=2)  # known since, of a day long past
    past = shop.score(JULY, past=True)
    assert past.decision == first and past.training is None
    shop.fill(dt.date(2024, 6, 9), noise=2)
    unknown = shop.score(dt.date(2024, 6, 9), past=True)
    assert unknown.decision.version_in_force is not None
    assert [day for day, _ in on_record(shop)] == [JUNE_END, JULY_END]
