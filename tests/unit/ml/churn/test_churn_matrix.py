"""Scores of a matrix, the reasons that come with them, and which inputs move them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.special import logit

from ml.churn import CHURN_FEATURES, CHURN_REASONS, ChurnModel, ChurnModelConfig, label_churned
from ml.churn.features import TREE_FEATURES, add_ratios, to_matrix
from ml.churn.reasons import group_by_reason, rank_reasons
from ml.errors import InvalidDataError, NotEnoughDataError, NotFittedError

CONFIG = ChurnModelConfig(max_rounds=80, early_stopping_rounds=15, learning_rate=0.1)
Matrix = NDArray[np.float32]


@pytest.fixture(scope="module")
def lived(panel: pd.DataFrame) -> pd.DataFrame:
    """The panel with visits and late parcels that have a hand in who leaves."""
    rng = np.random.default_rng(11)
    latest = panel["cutoff_date"].max()
    past = panel[panel["cutoff_date"] <= latest - pd.Timedelta(days=90)].reset_index(drop=True)
    late = rng.poisson(0.3, len(past)).astype(float)
    visits = rng.poisson(3, len(past)).astype(float)
    leaves = rng.random(len(past)) < np.where(late > 0, 0.6, 0.0)
    stays = rng.random(len(past)) < np.where(visits > 4, 0.6, 0.0)
    count = past["label_order_count"].mask(leaves, 0).mask(stays & ~leaves, 1)
    return past.assign(
        late_parcel_count_180d=late,
        visit_count_30d=visits,
        interaction_count_30d=visits,
        interaction_monthly_mean=3.0,
        label_order_count=count,
    )


@pytest.fixture(scope="module")
def model(lived: pd.DataFrame) -> ChurnModel:
    return ChurnModel(CONFIG).fit(lived, label_churned(lived))


@pytest.fixture(scope="module")
def matrix(lived: pd.DataFrame) -> Matrix:
    return to_matrix(lived[lived["cutoff_date"] == lived["cutoff_date"].max()])


def place(name: str) -> int:
    return CHURN_FEATURES.index(name)


@pytest.mark.requirement("SCO-2")
def test_a_matrix_and_a_frame_of_the_same_customers_score_the_same(
    model: ChurnModel, lived: pd.DataFrame
) -> None:
    batch = model.score(to_matrix(lived[list(model.features)]))
    assert batch.probability.dtype == np.float64
    assert batch.reasons.dtype == np.int8
    assert batch.reasons.shape == (len(lived), 3)
    assert (batch.probability == model.predict(lived)["churn_probability"].to_numpy()).all()
    plain = model.score(to_matrix(lived), with_reasons=False)
    assert (plain.probability == batch.probability).all()
    assert (plain.reasons == -1).all()


def test_batches_of_any_size_score_the_same(model: ChurnModel, matrix: Matrix) -> None:
    whole = model.score(matrix)
    model.config, config = replace(model.config, rows_per_batch=7), model.config
    try:
        parts = model.score(matrix)
    finally:
        model.config = config
    assert (parts.probability == whole.probability).all()
    assert (parts.reasons == whole.reasons).all()
    nobody = model.score(matrix[:0])
    assert (len(nobody.probability), nobody.reasons.shape) == (0, (0, 3))


@pytest.mark.requirement("SCO-2")
def test_what_the_inputs_add_is_all_the_score_is_made_of(model: ChurnModel, matrix: Matrix) -> None:
    # Scores less contributions are the same for everybody: the average customer.
    inputs = add_ratios(matrix)
    blend = model._fitted()
    by_trees, by_line = blend.contribute(inputs)
    rest = blend.predict(inputs) - by_trees.sum(axis=1) - by_line.sum(axis=1)
    assert np.ptp(rest) < 1e-3
    pushes = model._push(blend, inputs)
    # Two words for one push: the pace is in two reasons.
    shared = pushes[:, CHURN_REASONS.index("single_purchase")]
    calibrated = model.score(matrix, with_reasons=False).probability
    apart = logit(calibrated) - (pushes.sum(axis=1) - shared)
    assert np.ptp(apart) < 1e-3


@pytest.mark.requirement("SCO-2")
def test_reasons_name_what_was_planted_and_only_where_it_is_so(
    model: ChurnModel, matrix: Matrix
) -> None:
    late = CHURN_REASONS.index("late_parcels")
    parcels = matrix[:, place("late_parcel_count_180d")]
    reasons = model.score(matrix).reasons
    told = (reasons == late).any(axis=1)
    assert told[parcels > 0].mean() > 0.8
    assert not told[parcels == 0].any()
    visits = CHURN_REASONS.index("fewer_visits")
    is_told = (reasons == visits).any(axis=1)
    assert is_told.any()
    assert (matrix[is_told, place("visit_count_30d")] <= 3).all()
    single = CHURN_REASONS.index("single_purchase")
    assert (matrix[(reasons == single).any(axis=1), place("order_count")] == 1).all()


def test_more_of_the_planted_trouble_scores_higher(model: ChurnModel, matrix: Matrix) -> None:
    calm, troubled = matrix.copy(), matrix.copy()
    calm[:, place("late_parcel_count_180d")] = 0
    troubled[:, place("late_parcel_count_180d")] = 2
    scores = [model.score(rows, with_reasons=False).probability for rows in (calm, troubled)]
    assert (scores[1] - scores[0]).mean() > 0.05


def test_reasons_come_in_the_order_of_their_push_and_small_ones_are_left_out() -> None:
    inputs = np.full((1, len(TREE_FEATURES)), np.nan, dtype=np.float32)
    pushes = np.full((1, len(CHURN_REASONS)), -1, dtype=np.float32)
    for name, push in (("low_spend", 0.3), ("narrow_range", 0.5), ("long_silence", 0.09)):
        pushes[0, CHURN_REASONS.index(name)] = push
    [ranked] = rank_reasons(pushes, inputs, min_push=0.1)
    assert [CHURN_REASONS[place] for place in ranked[:2]] == ["narrow_range", "low_spend"]
    assert ranked[2] == -1


def test_every_input_belongs_to_a_reason() -> None:
    groups = group_by_reason(TREE_FEATURES)
    assert (groups.sum(axis=1) >= 1).all()
    assert (groups.sum(axis=0) >= 1).all()


def test_a_matrix_of_another_width_is_refused(model: ChurnModel, matrix: Matrix) -> None:
    with pytest.raises(InvalidDataError, match="43 columns"):
        model.score(matrix[:, 1:])
    with pytest.raises(NotFittedError):
        ChurnModel().score(matrix)
    with pytest.raises(NotFittedError):
        ChurnModel().feature_effects(matrix)


def test_effects_find_the_planted_input_and_its_direction(
    model: ChurnModel, matrix: Matrix
) -> None:
    effects = {effect.feature: effect for effect in model.feature_effects(matrix)}
    assert sum(effect.share_pct for effect in effects.values()) == pytest.approx(100)
    late = effects["late_parcel_count_180d"]
    assert late.share_pct > 5
    assert [value for value, _ in late.points] == sorted(value for value, _ in late.points)
    assert late.points[-1][1] > late.points[0][1] + 0.05
    visits = effects["visit_count_30d"].points
    assert visits[0][1] > visits[-1][1]
    assert "complaint_count_180d" not in effects  # null for everybody


@pytest.mark.requirement("SCO-2")
def test_more_orders_and_visits_never_raise_and_silence_never_lowers_the_trees(
    model: ChurnModel, matrix: Matrix
) -> None:
    blend = model._fitted()
    trees = replace(blend, logistic_weight=0.0)
    for names, sign in (
        (CONFIG.increasing_features, 1),
        (CONFIG.decreasing_features, -1),
    ):
        for name in names:
            inputs = add_ratios(matrix[:200])
            low = trees.predict(inputs)
            inputs[:, TREE_FEATURES.index(name)] += 50
            assert (sign * (trees.predict(inputs) - low) >= -1e-6).all(), name


@pytest.mark.bad_input("F21")
def test_inputs_that_never_vary_are_refused_or_left_out(
    lived: pd.DataFrame, model: ChurnModel
) -> None:
    constant = lived.assign(**dict.fromkeys(CHURN_FEATURES, 1.0))
    with pytest.raises(NotEnoughDataError, match=r"one value for all customers[\s\S]*BG/NBD"):
        ChurnModel(CONFIG).fit(constant, label_churned(lived))
    null = lived.assign(**dict.fromkeys(CHURN_FEATURES, np.nan))
    with pytest.raises(NotEnoughDataError, match="one value for all customers"):
        ChurnModel(CONFIG).fit(null, label_churned(lived))
    # Of the columns of channels this shop does not have the trees never hear.
    assert model.metrics["input_count"] < len(TREE_FEATURES) - 5


@pytest.mark.bad_input("F21")
def test_nearly_constant_and_null_rows_are_scored(lived: pd.DataFrame, matrix: Matrix) -> None:
    plain = lived.assign(**dict.fromkeys(CHURN_FEATURES, 1.0)).assign(
        days_since_last_order=lived["days_since_last_order"]
    )
    fitted = ChurnModel(CONFIG).fit(plain, label_churned(lived))
    batch = fitted.score(np.full_like(matrix[:5], np.nan))
    assert np.isfinite(batch.probability).all()
    assert np.ptp(batch.probability) == 0


def test_a_big_panel_is_thinned_by_customer_and_always_the_same_way(
    lived: pd.DataFrame,
) -> None:
    config = replace(CONFIG, max_training_rows=2000, max_scout_rows=800)
    fitted = ChurnModel(config).fit(lived, label_churned(lived))
    assert 1600 < fitted.metrics["training_row_count"] < 2400
    shuffled = lived.sample(frac=1, random_state=5)
    twin = ChurnModel(config).fit(shuffled, label_churned(shuffled))
    assert twin.to_artifact(code_version="1") == fitted.to_artifact(code_version="1")


def test_other_training_data_has_another_hash(
    lived: pd.DataFrame, model: ChurnModel, make_panel: Callable[[int], pd.DataFrame]
) -> None:
    changed = lived.copy()
    changed.loc[0, "spend_amount"] += 1
    other = ChurnModel(CONFIG).fit(changed, label_churned(changed))
    assert other.training_data_sha256 != model.training_data_sha256
