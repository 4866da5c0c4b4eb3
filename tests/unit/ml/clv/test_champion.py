"""Candidates compete on a finished cut-off; the champion scores, and is stored whole."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.artifacts import read_artifact, write_artifact
from ml.clv import CLV_FEATURES, CLV_MODEL_KIND, ClvModel, ClvModelConfig
from ml.clv.backtest import backtest_clv
from ml.clv.candidates import (
    CANDIDATES,
    choose_champion,
    decile_calibration_error,
    gini_gate_margin,
)
from ml.clv.features import to_matrix
from ml.errors import ArtifactError, InvalidDataError, MissingColumnsError, NotEnoughDataError

pytestmark = pytest.mark.requirement("SCO-3")

CONFIG = ClvModelConfig(max_rounds=40, early_stopping_rounds=8, learning_rate=0.1)
HALF_YEAR = pd.Timedelta(days=180)


@pytest.fixture(scope="module")
def cutoff(panel: pd.DataFrame) -> pd.Timestamp:
    return panel["cutoff_date"].max()


@pytest.fixture(scope="module")
def model(panel: pd.DataFrame, cutoff: pd.Timestamp) -> ClvModel:
    return ClvModel(CONFIG).fit(panel, as_of=cutoff)


@pytest.fixture(scope="module")
def model_with_trees(model: ClvModel) -> ClvModel:
    twin = ClvModel.from_artifact(model.to_artifact(code_version="1"))
    twin._learned.champion = "geometric_mean"
    return twin


def test_several_finished_cutoffs_make_the_candidates_compete(model: ClvModel) -> None:
    assert model.champion in CANDIDATES
    assert model.metrics["training_cutoff_count"] == 5  # the last two reach beyond as_of
    assert model.metrics["training_horizon_days"] == 90
    losses = model.to_artifact(code_version="1").parameters["notes"]["losses"]
    assert set(losses) == set(CANDIDATES)


def test_one_cutoff_leaves_the_probability_model_and_says_why(
    latest_features: pd.DataFrame,
) -> None:
    model = ClvModel(CONFIG).fit(latest_features)
    parameters = model.to_artifact(code_version="1").parameters
    assert parameters["champion"] == "bg_nbd"
    assert parameters["interval"] == "probability"
    assert "finished cut-offs" in parameters["notes"]["why_no_trees"]


def test_quarters_after_which_all_was_refunded_leave_the_probability_model(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    """Nothing was spent, so there is no level to learn and no unit to measure amounts in."""
    model = ClvModel(CONFIG).fit(panel.assign(label_spend_amount=-5.0), as_of=cutoff)
    artifact = model.to_artifact(code_version="1")
    assert model.champion == "bg_nbd" and artifact.version
    assert "something was spent" in artifact.parameters["notes"]["why_no_trees"]
    latest = panel["label_spend_amount"].mask(panel["cutoff_date"] > cutoff - HALF_YEAR, 0.0)
    later = ClvModel(CONFIG).fit(panel.assign(label_spend_amount=latest), as_of=cutoff)
    assert later.to_artifact(code_version="1").version


def test_the_outcome_of_a_year_is_learned_where_it_is_over_often_enough(
    panel: pd.DataFrame,
) -> None:
    finished = panel.assign(
        label_year_order_count=panel["label_order_count"],
        label_year_spend_amount=panel["label_spend_amount"],
    )
    later = panel["cutoff_date"].max() + pd.Timedelta(days=200)
    assert ClvModel(CONFIG).fit(finished, as_of=later).metrics["training_horizon_days"] == 365
    early = panel["cutoff_date"].max()
    assert ClvModel(CONFIG).fit(finished, as_of=early).metrics["training_horizon_days"] == 90


def test_outcomes_that_were_not_over_by_then_change_nothing(
    model: ClvModel, panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    is_open = panel["cutoff_date"] + pd.Timedelta(days=90) > cutoff
    scrambled = panel.assign(
        label_order_count=panel["label_order_count"].mask(is_open, 7),
        label_spend_amount=panel["label_spend_amount"].mask(is_open, 1e6),
    )
    twin = ClvModel(CONFIG).fit(scrambled, as_of=cutoff)
    assert twin.to_artifact(code_version="1").version == model.to_artifact(code_version="1").version


def test_the_order_of_rows_changes_nothing(
    model: ClvModel, panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    twin = ClvModel(CONFIG).fit(panel.sample(frac=1, random_state=4), as_of=cutoff)
    assert twin.to_artifact(code_version="1").version == model.to_artifact(code_version="1").version


def test_every_score_is_finite_inside_its_interval_and_orders_times_value(
    model_with_trees: ClvModel, latest_features: pd.DataFrame
) -> None:
    for days in (30, 90, 365):
        batch = model_with_trees.score(to_matrix(latest_features), days)
        assert np.isfinite(batch.predicted_clv).all()
        assert (batch.predicted_clv_low <= batch.predicted_clv).all()
        assert (batch.predicted_clv <= batch.predicted_clv_high).all()
        assert (batch.predicted_clv_low >= 0).all()
        np.testing.assert_allclose(
            batch.predicted_clv,
            batch.predicted_number_of_orders * batch.predicted_order_value,
            rtol=1e-3, atol=1e-3,
        )  # fmt: skip


def test_a_year_follows_from_a_quarter_by_the_ratio_of_expected_orders(
    model_with_trees: ClvModel, latest_features: pd.DataFrame
) -> None:
    matrix = to_matrix(latest_features)
    quarter, year = (model_with_trees.score(matrix, days).predicted_clv for days in (90, 365))
    short, long = (model_with_trees.pair_outlook(latest_features, d).orders for d in (90, 365))
    np.testing.assert_allclose(year, quarter * long / short, rtol=1e-3, atol=1e-3)


def test_customers_are_scored_alike_alone_and_in_any_batch(
    model_with_trees: ClvModel, latest_features: pd.DataFrame
) -> None:
    matrix = to_matrix(latest_features)
    whole = model_with_trees.score(matrix, 365)
    parts = [model_with_trees.score(part, 365) for part in np.array_split(matrix, 7)]
    for name in ("predicted_clv", "predicted_number_of_orders"):
        np.testing.assert_allclose(
            np.concatenate([getattr(part, name) for part in parts]), getattr(whole, name), rtol=1e-6
        )


def test_a_matrix_of_another_width_is_refused(model: ClvModel) -> None:
    with pytest.raises(InvalidDataError, match=r"ClvModel\.features"):
        model.score(np.zeros((3, 5), dtype=np.float32), 365)


def test_trees_and_bands_survive_the_disk(
    model: ClvModel, latest_features: pd.DataFrame, tmp_path: Path
) -> None:
    artifact = model.to_artifact(code_version="1")
    folder = write_artifact(artifact, tmp_path / artifact.version)
    stored = read_artifact(folder, kind=CLV_MODEL_KIND, features=CLV_FEATURES)
    twin = ClvModel.from_artifact(stored)
    assert json.loads(artifact.model)["trees"]["models"].keys() == {"tweedie", "buying", "amount"}
    pd.testing.assert_frame_equal(
        twin.predict(latest_features, 365), model.predict(latest_features, 365)
    )
    for name, values in model.predict_candidates(latest_features, 90).items():
        np.testing.assert_array_equal(values, twin.predict_candidates(latest_features, 90)[name])
    with pytest.raises(ArtifactError, match="lacks or misspells"):
        ClvModel.from_artifact(replace(artifact, parameters={}))


def test_effects_share_the_whole_and_name_what_moves_the_value(
    model_with_trees: ClvModel, latest_features: pd.DataFrame
) -> None:
    effects = model_with_trees.feature_effects(to_matrix(latest_features)[:200])
    assert sum(effect.share_pct for effect in effects) == pytest.approx(100)
    assert {effect.feature for effect in effects} == set(CLV_FEATURES)
    assert {"monetary_value", "recency_days"} <= {effect.feature for effect in effects[:8]}
    money = next(effect for effect in effects if effect.feature == "monetary_value")
    assert money.points[-1][1] > money.points[0][1]


def test_the_gate_refuses_a_ranking_worse_than_the_rules_of_thumb() -> None:
    rng = np.random.default_rng(2)
    actual = rng.gamma(0.5, 100, 3000)
    good, noise = actual * rng.uniform(0.5, 1.5, 3000), rng.random(3000)
    rivals = {"rfm_decay": good, "bg_nbd": good, "tweedie": noise, "two_part": good * 2}
    assert gini_gate_margin(actual, rivals, "tweedie", CONFIG) < 0
    assert gini_gate_margin(actual, rivals, "two_part", CONFIG) >= 0
    champion, losses = choose_champion(actual, rivals, CONFIG)
    assert champion in ("rfm_decay", "bg_nbd")
    assert losses["tweedie"] > losses["two_part"] > losses["bg_nbd"]


def test_the_mean_of_models_stays_unless_another_leads_clearly() -> None:
    rng = np.random.default_rng(2)
    actual = rng.gamma(0.5, 100, 3000)
    base = actual * rng.uniform(0.5, 1.5, 3000)
    near = {"rfm_decay": base, "bg_nbd": base, "geometric_mean": base * 1.01}
    assert choose_champion(actual, near, CONFIG)[0] == "geometric_mean"
    clear = near | {"bg_nbd": actual}
    assert choose_champion(actual, clear, CONFIG)[0] == "bg_nbd"


def test_decile_calibration_is_the_share_of_spend_in_the_wrong_decile() -> None:
    actual = np.repeat(np.arange(1.0, 11.0), 10)
    assert decile_calibration_error(actual, actual * 3) == pytest.approx(0)
    flat = np.full(100, 5.5) + np.arange(100) * 1e-9
    expected = np.abs(np.arange(1, 11) / 55 - 0.1).sum() / 2
    assert decile_calibration_error(actual, flat) == pytest.approx(expected, rel=1e-6)


def test_the_backtest_shows_every_candidate_beside_the_champion(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    backtest = backtest_clv(panel, cutoff_date=cutoff, horizon_days=90, config=CONFIG)
    figures = backtest.figures
    assert all(type(value) is float and np.isfinite(value) for value in figures.values())
    for name in CANDIDATES:
        assert {f"{name}_normalized_gini", f"{name}_total_error_pct"} <= set(figures)
    assert figures["is_gate_passed"] == 1
    assert figures["normalized_gini"] > 0.4
    assert figures["mae_over_mean"] < figures["past_spend_mae_over_mean"]
    assert abs(figures["total_error_pct"]) < 15
    assert figures["interval_coverage_pct"] == pytest.approx(
        figures["interval_promised_pct"], abs=6
    )
    assert {"actual", "predicted", *CANDIDATES} <= set(backtest.customers.columns)
    assert len(backtest.customers) == figures["customer_count"]


def test_the_backtest_does_not_see_what_came_after_the_cutoff(panel: pd.DataFrame) -> None:
    middle = sorted(panel["cutoff_date"].unique())[4]
    is_open = (panel["cutoff_date"] != middle) & (
        panel["cutoff_date"] + pd.Timedelta(days=90) > middle
    )
    scrambled = panel.assign(
        label_order_count=panel["label_order_count"].mask(is_open, 3),
        label_spend_amount=panel["label_spend_amount"].mask(is_open, 9e5),
    )
    honest, blind = (
        backtest_clv(frame, cutoff_date=middle, horizon_days=90, config=CONFIG)
        for frame in (panel, scrambled)
    )
    assert honest.figures == blind.figures


def test_a_year_ago_tells_the_season_of_a_quarter(panel: pd.DataFrame) -> None:
    """Twice the sales in the same quarter of both years: the factor finds it, a year needs none."""
    days = sorted(panel["cutoff_date"].unique())
    last, first = days[-1], days[0]
    moved = panel.assign(
        cutoff_date=panel["cutoff_date"].replace({first: last - pd.Timedelta(days=365)})
    )
    is_high = moved["cutoff_date"].isin([last, last - pd.Timedelta(days=365)])
    factors = [
        backtest_clv(
            moved.assign(label_spend_amount=moved["label_spend_amount"] * np.where(is_high, by, 1)),
            cutoff_date=last, horizon_days=90, config=CONFIG,
        ).figures["season_factor"]
        for by in (1, 2)
    ]  # fmt: skip
    assert factors[1] == pytest.approx(2 * factors[0], rel=0.1)


def test_a_backtest_over_a_year_names_the_column_it_lacks(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    plain = panel.drop(columns=[name for name in panel if name.startswith("label_year")])
    with pytest.raises(MissingColumnsError, match="label_year_order_count"):
        backtest_clv(plain, cutoff_date=cutoff, horizon_days=365)


def test_one_customer_is_refused_with_both_counts(latest_features: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDataError, match=r"1 customers, . of them with a repeat"):
        ClvModel(CONFIG).fit(latest_features.head(1))


def test_a_base_whose_orders_are_all_refunded_is_refused_in_words(
    latest_features: pd.DataFrame,
) -> None:
    for amount in (0.0, -10.0):
        refunded = latest_features.assign(monetary_value=amount, spend_amount=amount)
        with pytest.raises(NotEnoughDataError, match="worth more than 0"):
            ClvModel(CONFIG).fit(refunded)


def test_one_price_for_everything_is_the_value_of_every_order(
    latest_features: pd.DataFrame,
) -> None:
    repeat = latest_features["monetary_value"].notna()
    uniform = latest_features.assign(monetary_value=np.where(repeat, 39.9, np.nan))
    model = ClvModel(CONFIG).fit(uniform)
    twin = ClvModel.from_artifact(model.to_artifact(code_version="1"))
    scored = twin.predict(uniform, 365)
    assert scored["predicted_order_value"].to_numpy() == pytest.approx(39.9, abs=1e-5)
    assert np.isfinite(scored.drop(columns="customer_id").to_numpy(dtype=float)).all()


def test_customers_with_negative_spend_among_others_get_a_defined_score(
    panel: pd.DataFrame, cutoff: pd.Timestamp
) -> None:
    odd = panel["customer_id"].isin(panel["customer_id"].unique()[:40])
    broken = panel.copy()
    for name in ("monetary_value", "spend_amount", "spend_365d_amount", "label_spend_amount"):
        broken.loc[odd, name] = -50.0
    model = ClvModel(CONFIG).fit(broken, as_of=cutoff)
    scored = model.predict(broken[broken["cutoff_date"] == cutoff], 365)
    numbers = scored.drop(columns="customer_id").to_numpy(dtype=float)
    assert np.isfinite(numbers).all() and (numbers >= 0).all()
