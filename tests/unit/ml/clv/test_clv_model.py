"""The CLV model on ``customer_features``."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.artifacts import read_artifact, write_artifact
from ml.clv import CLV_FEATURES, CLV_MODEL_KIND, ClvModel
from ml.errors import (
    ArtifactError,
    InvalidDataError,
    MissingColumnsError,
    NotEnoughDataError,
    NotFittedError,
)


@pytest.fixture(scope="module")
def model(latest_features: pd.DataFrame) -> ClvModel:
    return ClvModel().fit(latest_features)


def test_predicted_clv_is_predicted_number_of_orders_times_predicted_order_value(
    model: ClvModel, latest_features: pd.DataFrame
) -> None:
    predictions = model.predict(latest_features, 90)
    assert list(predictions.columns) == [
        "customer_id", "predicted_clv", "predicted_clv_low", "predicted_clv_high",
        "predicted_number_of_orders", "predicted_order_value", "probability_alive",
    ]  # fmt: skip
    np.testing.assert_allclose(
        predictions["predicted_clv"],
        predictions["predicted_number_of_orders"] * predictions["predicted_order_value"],
        atol=1e-3,
    )
    assert predictions["probability_alive"].between(0, 1).all()
    assert (predictions["predicted_clv"] >= 0).all()


def test_expected_business_is_near_what_came(
    model: ClvModel, latest_features: pd.DataFrame
) -> None:
    predictions = model.predict(latest_features, 90)
    orders = latest_features["label_order_count"].sum()
    assert predictions["predicted_number_of_orders"].sum() == pytest.approx(orders, rel=0.1)
    spend = latest_features["label_spend_amount"].sum()
    assert predictions["predicted_clv"].sum() == pytest.approx(spend, rel=0.15)


def test_probability_of_no_order_is_near_the_share_that_stayed_away(
    model: ClvModel, latest_features: pd.DataFrame
) -> None:
    churn = model.predict_churn(latest_features, 90)
    assert list(churn.columns) == ["customer_id", "churn_probability"]
    share = (latest_features["label_order_count"] == 0).mean()
    assert churn["churn_probability"].mean() == pytest.approx(share, abs=0.03)
    assert churn["churn_probability"].between(0, 1).all()


def test_a_longer_horizon_never_brings_less(model: ClvModel, latest_features: pd.DataFrame) -> None:
    short, long = (
        model.predict(latest_features, days)["predicted_number_of_orders"] for days in (30, 365)
    )
    assert (long >= short).all()


def test_row_order_and_decimal_columns_change_nothing(
    model: ClvModel, latest_features: pd.DataFrame
) -> None:
    shuffled = latest_features.sample(frac=1, random_state=9)
    shuffled["monetary_value"] = [
        None if pd.isna(value) else Decimal(repr(value)) for value in shuffled["monetary_value"]
    ]
    twin = ClvModel().fit(shuffled)
    assert twin.training_data_sha256 == model.training_data_sha256
    assert twin.orders.parameters == model.orders.parameters
    expected = model.predict(latest_features, 90).sort_values("customer_id")
    actual = twin.predict(shuffled, 90).sort_values("customer_id")
    pd.testing.assert_frame_equal(actual.reset_index(drop=True), expected.reset_index(drop=True))


def test_customers_without_a_purchase_get_null_and_keep_their_row(
    model: ClvModel, latest_features: pd.DataFrame
) -> None:
    visitor = latest_features.iloc[[0, 1]].copy()
    visitor.loc[0, ["frequency_days", "recency_days", "tenure_days"]] = np.nan
    predictions = model.predict(visitor, 90)
    assert predictions.loc[0].drop("customer_id").isna().all()
    assert predictions.loc[1].notna().all()
    assert np.isnan(model.predict_churn(visitor, 90).loc[0, "churn_probability"])


def test_an_empty_base_is_scored_as_empty(model: ClvModel, latest_features: pd.DataFrame) -> None:
    assert len(model.predict(latest_features.iloc[:0], 90)) == 0


def test_a_small_base_is_refused_with_both_counts(latest_features: pd.DataFrame) -> None:
    with pytest.raises(NotEnoughDataError, match=r"30 customers.*needed are 50 and 20"):
        ClvModel().fit(latest_features.head(30))


def test_a_missing_column_is_named(model: ClvModel, latest_features: pd.DataFrame) -> None:
    narrow = latest_features.drop(columns=["tenure_days"])
    with pytest.raises(MissingColumnsError, match="tenure_days"):
        ClvModel().fit(narrow)
    with pytest.raises(MissingColumnsError, match="tenure_days"):
        model.predict(narrow, 90)


def test_a_customer_twice_at_one_cutoff_is_refused(latest_features: pd.DataFrame) -> None:
    with pytest.raises(InvalidDataError, match="customer_id"):
        ClvModel().fit(pd.concat([latest_features, latest_features.head(1)]))


def test_infinite_amounts_are_refused_by_name(latest_features: pd.DataFrame) -> None:
    broken = latest_features.assign(monetary_value=np.inf)
    with pytest.raises(InvalidDataError, match="monetary_value holds infinite"):
        ClvModel().fit(broken)


def test_a_stored_model_predicts_the_same(
    model: ClvModel, latest_features: pd.DataFrame, tmp_path: Path
) -> None:
    artifact = model.to_artifact(code_version="1")
    folder = write_artifact(artifact, tmp_path / artifact.version)
    stored = read_artifact(folder, kind=CLV_MODEL_KIND, features=CLV_FEATURES)
    twin = ClvModel.from_artifact(stored)
    assert stored.version == artifact.version
    assert twin.config == model.config
    assert twin.metrics == model.metrics
    pd.testing.assert_frame_equal(
        twin.predict(latest_features, 90), model.predict(latest_features, 90)
    )


def test_an_artifact_of_another_kind_is_refused(model: ClvModel) -> None:
    artifact = model.to_artifact(code_version="1")
    with pytest.raises(ArtifactError, match="another"):
        ClvModel.from_artifact(replace(artifact, kind="another"))
    with pytest.raises(ArtifactError, match="lacks or misspells"):
        ClvModel.from_artifact(replace(artifact, model=b"{}"))


def test_an_unfitted_model_has_no_artifact() -> None:
    with pytest.raises(NotFittedError):
        ClvModel().to_artifact(code_version="1")
