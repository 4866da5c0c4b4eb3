"""The churn model on ``customer_features`` at several cut-offs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.artifacts import read_artifact, write_artifact
from ml.churn import (
    CHURN_FEATURES,
    CHURN_MODEL_KIND,
    ChurnModel,
    ChurnModelConfig,
    label_churned,
)
from ml.errors import (
    ArtifactError,
    InvalidDataError,
    MissingColumnsError,
    NotEnoughDataError,
    NotFittedError,
)
from ml.metrics import measure_classification

CONFIG = ChurnModelConfig(max_rounds=150, early_stopping_rounds=20, learning_rate=0.1)


@pytest.fixture(scope="module")
def past(panel: pd.DataFrame) -> pd.DataFrame:
    """Cut-offs whose horizon is over at the latest one."""
    latest = panel["cutoff_date"].max()
    return panel[panel["cutoff_date"] <= latest - pd.Timedelta(days=90)]


@pytest.fixture(scope="module")
def model(past: pd.DataFrame) -> ChurnModel:
    return ChurnModel(CONFIG).fit(past, label_churned(past))


def test_scores_of_unseen_time_rank_well_and_mean_what_they_say(
    model: ChurnModel, latest_features: pd.DataFrame
) -> None:
    scores = model.predict(latest_features)
    assert list(scores.columns) == ["customer_id", "churn_probability"]
    assert scores["churn_probability"].between(0, 1).all()
    measured = measure_classification(
        label_churned(latest_features).astype(float), scores["churn_probability"]
    )
    assert measured["auc"] > 0.75
    assert measured["ece"] < 0.07


def test_probability_rises_with_silence(model: ChurnModel, latest_features: pd.DataFrame) -> None:
    loyal = latest_features.iloc[[0] * 4].reset_index(drop=True)
    recency, silence = 200, np.array([3, 40, 120, 300])
    counts = {"order_count": 8, "frequency_days": 7, "average_days_between_orders": 200 / 7}
    loyal = loyal.assign(
        **counts,
        recency_days=recency,
        days_since_last_order=silence,
        tenure_days=recency + silence,
        days_since_first_order=recency + silence,
        order_count_90d=[3, 2, 0, 0],
        spend_90d_amount=[240.0, 160.0, 0.0, 0.0],
        order_count_180d=[6, 5, 2, 0],
        spend_180d_amount=[480.0, 400.0, 160.0, 0.0],
        order_count_365d=[8, 8, 8, 3],
        spend_365d_amount=[640.0, 640.0, 640.0, 240.0],
    )
    probabilities = model.predict(loyal)["churn_probability"]
    assert probabilities.is_monotonic_increasing
    assert probabilities.iloc[-1] - probabilities.iloc[0] > 0.3


def test_equal_data_in_any_order_gives_equal_scores_and_artifacts(
    model: ChurnModel, past: pd.DataFrame, latest_features: pd.DataFrame
) -> None:
    shuffled = past.sample(frac=1, random_state=3)
    twin = ChurnModel(CONFIG).fit(shuffled, label_churned(shuffled))
    assert twin.to_artifact(code_version="1") == model.to_artifact(code_version="1")
    pd.testing.assert_frame_equal(twin.predict(latest_features), model.predict(latest_features))


def test_a_score_does_not_depend_on_who_is_scored_beside(
    model: ChurnModel, latest_features: pd.DataFrame
) -> None:
    everyone = model.predict(latest_features)
    reversed_part = model.predict(latest_features.iloc[::-3])
    pd.testing.assert_frame_equal(reversed_part, everyone.iloc[::-3])
    assert len(model.predict(latest_features.iloc[:0])) == 0


def test_outcome_columns_are_not_needed_and_not_read_when_scoring(
    model: ChurnModel, latest_features: pd.DataFrame
) -> None:
    blind = latest_features.drop(columns=["label_order_count", "label_spend_amount", "cutoff_date"])
    pd.testing.assert_frame_equal(model.predict(blind), model.predict(latest_features))


def test_rows_whose_horizon_is_not_over_are_left_out(
    model: ChurnModel, past: pd.DataFrame, panel: pd.DataFrame
) -> None:
    is_open = ~panel["cutoff_date"].isin(past["cutoff_date"].unique())
    with_open = panel.assign(label_order_count=panel["label_order_count"].mask(is_open))
    twin = ChurnModel(CONFIG).fit(with_open, label_churned(with_open))
    assert twin.training_data_sha256 == model.training_data_sha256


def test_nulls_are_scored(model: ChurnModel, latest_features: pd.DataFrame) -> None:
    holes = latest_features.head(5).copy()
    holes[list(CHURN_FEATURES)] = np.nan
    assert model.predict(holes)["churn_probability"].between(0, 1).all()


def test_the_scout_skips_cutoffs_whose_horizon_reaches_the_held_out_one(
    model: ChurnModel,
) -> None:
    # Five cut-offs, sixty days apart, 90 days ahead: the one just before the latest overlaps.
    assert model.metrics["training_cutoff_count"] == 5
    assert model.metrics["scout_cutoff_count"] == 3


def test_chance_outcomes_give_scores_near_the_base_rate(past: pd.DataFrame) -> None:
    coin = pd.Series(np.random.default_rng(8).random(len(past)) < 0.3, index=past.index)
    scores = ChurnModel(CONFIG).fit(past, coin).predict(past)["churn_probability"]
    assert scores.mean() == pytest.approx(0.3, abs=0.03)
    assert scores.std() < 0.05


def test_one_kind_of_outcome_is_refused_with_counts_and_a_way_out(past: pd.DataFrame) -> None:
    for everybody_left in (True, False):
        outcome = pd.Series(everybody_left, index=past.index)
        with pytest.raises(NotEnoughDataError, match=r"needed are 30 of each[\s\S]*BG/NBD"):
            ChurnModel(CONFIG).fit(past, outcome)


def test_one_kind_of_outcome_at_the_latest_cutoff_is_refused(past: pd.DataFrame) -> None:
    outcome = label_churned(past) | (past["cutoff_date"] == past["cutoff_date"].max())
    with pytest.raises(NotEnoughDataError, match="latest cut-off"):
        ChurnModel(CONFIG).fit(past, outcome)


def test_a_sample_that_misses_one_kind_of_outcome_is_refused(past: pd.DataFrame) -> None:
    """A base far larger than the sample, where hardly anybody left."""
    left = past.groupby("cutoff_date").cumcount() < CONFIG.min_positives + 1
    config = replace(CONFIG, max_scout_rows=12)
    with pytest.raises(NotEnoughDataError, match="sample"):
        ChurnModel(config).fit(past, left.astype("boolean"))


def test_a_tiny_base_is_refused(make_panel: Callable[[int], pd.DataFrame]) -> None:
    tiny = make_panel(60)
    with pytest.raises(NotEnoughDataError, match=r"60 customers.*needed are 200"):
        ChurnModel(CONFIG).fit(tiny, label_churned(tiny))


def test_an_empty_panel_is_refused(past: pd.DataFrame) -> None:
    empty = past.iloc[:0]
    with pytest.raises(NotEnoughDataError, match="0 customers over 0 cut-offs"):
        ChurnModel(CONFIG).fit(empty, label_churned(empty))


def test_a_single_cutoff_is_refused(latest_features: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDataError, match="1 cut-offs"):
        ChurnModel(CONFIG).fit(latest_features, label_churned(latest_features))


def test_a_small_but_sufficient_base_is_fitted(make_panel: Callable[[int], pd.DataFrame]) -> None:
    small = make_panel(300)
    small = small[small["cutoff_date"] >= small["cutoff_date"].unique()[3]]
    model = ChurnModel(CONFIG).fit(small, label_churned(small))
    assert model.predict(small)["churn_probability"].between(0, 1).all()


def test_missing_columns_are_named(model: ChurnModel, past: pd.DataFrame) -> None:
    narrow = past.drop(columns=["order_count_90d", "refund_share_pct"])
    with pytest.raises(MissingColumnsError, match="order_count_90d, refund_share_pct"):
        ChurnModel(CONFIG).fit(narrow, label_churned(past))
    with pytest.raises(MissingColumnsError, match="order_count_90d, refund_share_pct"):
        model.predict(narrow)
    with pytest.raises(MissingColumnsError, match="label_order_count"):
        label_churned(past.drop(columns=["label_order_count"]))


def test_a_repeated_customer_at_one_cutoff_is_refused(past: pd.DataFrame) -> None:
    doubled = pd.concat([past, past.head(1)])
    with pytest.raises(InvalidDataError, match="1 repeated rows"):
        ChurnModel(CONFIG).fit(doubled, label_churned(doubled))


def test_text_and_infinite_values_are_refused_by_column(
    model: ChurnModel, latest_features: pd.DataFrame
) -> None:
    with pytest.raises(InvalidDataError, match="spend_amount"):
        model.predict(latest_features.assign(spend_amount=np.inf))
    with pytest.raises(InvalidDataError, match="product_count"):
        model.predict(latest_features.assign(product_count="many"))


def test_outcomes_of_another_length_are_refused(past: pd.DataFrame) -> None:
    with pytest.raises(InvalidDataError, match="outcomes"):
        ChurnModel(CONFIG).fit(past, label_churned(past).head(3))


def test_a_stored_model_predicts_the_same(
    model: ChurnModel, latest_features: pd.DataFrame, tmp_path: Path
) -> None:
    artifact = model.to_artifact(code_version="1")
    folder = write_artifact(artifact, tmp_path / artifact.version)
    stored = read_artifact(folder, kind=CHURN_MODEL_KIND, features=CHURN_FEATURES)
    twin = ChurnModel.from_artifact(stored)
    assert stored == artifact
    assert twin.config == model.config
    assert twin.metrics == model.metrics
    pd.testing.assert_frame_equal(twin.predict(latest_features), model.predict(latest_features))
    assert twin.to_artifact(code_version="1") == artifact


@pytest.mark.bad_input("F22")
def test_a_foreign_artifact_is_refused(model: ChurnModel) -> None:
    artifact = model.to_artifact(code_version="1")
    with pytest.raises(ArtifactError, match="clv"):
        ChurnModel.from_artifact(replace(artifact, kind="clv"))
    with pytest.raises(ArtifactError, match="no churn model of this code"):
        ChurnModel.from_artifact(replace(artifact, features=CHURN_FEATURES[1:]))
    with pytest.raises(ArtifactError, match="lacks or misspells"):
        ChurnModel.from_artifact(replace(artifact, parameters={}))
    with pytest.raises(ArtifactError, match="lacks or misspells"):
        ChurnModel.from_artifact(replace(artifact, model=b'{"learner": {}}'))


def test_an_unfitted_model_says_so(latest_features: pd.DataFrame) -> None:
    with pytest.raises(NotFittedError):
        ChurnModel().predict(latest_features)
    with pytest.raises(NotFittedError):
        ChurnModel().to_artifact(code_version="1")
