"""Clusters: planted groups are found, and a month that groups otherwise is not let in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml.artifacts import read_artifact, write_artifact
from ml.clusters import (
    CLUSTER_FEATURES,
    CLUSTER_MODEL_KIND,
    ClusterConfig,
    ClusterModel,
    adjusted_rand_index,
    judge_stability,
)
from ml.errors import (
    ArtifactError,
    InvalidDataError,
    MissingColumnsError,
    NotEnoughDataError,
    NotFittedError,
)
from tests.cluster_support import KINDS, plant


@pytest.fixture(scope="module")
def model() -> ClusterModel:
    return ClusterModel().fit(plant())


def planted(frame: pd.DataFrame) -> pd.DataFrame:
    kinds = frame["customer_id"].str.split("-").str[0]
    numbers = kinds.map({kind: place for place, kind in enumerate(KINDS)})
    return pd.DataFrame({"customer_id": frame["customer_id"], "cluster_number": numbers})


@pytest.mark.requirement("CUS-13")
def test_planted_groups_are_found_numbered_by_value_and_named_by_what_they_do(
    model: ClusterModel,
) -> None:
    found = model.predict(plant())
    index, common = adjusted_rand_index(planted(found), found)
    assert (index, common) == (1.0, 240)
    assert model.metrics["cluster_count"] == 3
    names = found.groupby(found["customer_id"].str.split("-").str[0])["cluster_name"].unique()
    assert names["regular"].tolist() == ["high_spend_recent"]
    assert names["browser"].tolist() == ["middle_spend_browsing"]
    assert names["gone"].tolist() == ["low_spend_silent"]
    assert found[found["cluster_number"] == 1]["cluster_name"].unique() == ["high_spend_recent"]


def test_people_it_has_not_seen_fall_into_the_same_groups(model: ClusterModel) -> None:
    others = plant(size=200, seed=9)
    index, _ = adjusted_rand_index(planted(others), model.predict(others))
    assert index >= 0.95


def test_neither_the_order_of_the_rows_nor_the_names_of_customers_change_anything(
    model: ClusterModel,
) -> None:
    shuffled = plant().sample(frac=1, random_state=4)
    renamed = shuffled.assign(customer_id=[f"x{number}" for number in range(len(shuffled))])
    twin = ClusterModel().fit(renamed)
    assert twin.to_artifact(code_version="1") == model.to_artifact(code_version="1")
    expected = model.predict(shuffled).drop(columns="customer_id")
    pd.testing.assert_frame_equal(twin.predict(renamed).drop(columns="customer_id"), expected)


def test_a_cluster_keeps_its_name_when_next_month_is_fitted_anew() -> None:
    names = {ClusterModel().fit(plant(seed=seed)).names for seed in range(4)}
    assert len(names) == 1


@pytest.mark.requirement("CUS-13")
def test_the_gate_lets_a_like_month_in_and_a_shifted_one_not(model: ClusterModel) -> None:
    before = model.predict(plant())
    like = ClusterModel().fit(plant(seed=2)).predict(plant(seed=2))
    stable = judge_stability(before, like)
    assert stable.is_stable and stable.index is not None and stable.index >= 0.95

    rng = np.random.default_rng(3)
    shifted = plant().assign(customer_id=rng.permutation(plant()["customer_id"]))
    unstable = judge_stability(before, ClusterModel().fit(shifted).predict(shifted))
    assert not unstable.is_stable and unstable.index is not None
    assert abs(unstable.index) < 0.05
    assert "of 240 customers, below 0.6" in unstable.reason
    lenient = ClusterConfig(min_adjusted_rand_index=-1)
    assert judge_stability(before, like.sample(frac=1, random_state=1), lenient).is_stable


def test_what_clusters_are_called_and_who_came_or_went_does_not_count_for_the_index() -> None:
    before = pd.DataFrame({"customer_id": list("abcdex"), "cluster_number": [1, 1, 2, 2, 3, 1]})
    after = pd.DataFrame({"customer_id": list("yedcba"), "cluster_number": [5, 7, 9, 9, 5, 5]})
    assert adjusted_rand_index(before, after) == (1.0, 5)
    crossed = pd.DataFrame({"customer_id": list("abcd"), "cluster_number": [1, 2, 1, 2]})
    # Worked by hand: no pair agrees, 2 pairs on each side, 6 in all: (0 - 2/3) / (2 - 2/3).
    assert adjusted_rand_index(before.head(4), crossed)[0] == pytest.approx(-0.5)


def test_too_few_common_customers_are_no_proof_of_stability(model: ClusterModel) -> None:
    found = model.predict(plant())
    judged = judge_stability(found.head(49), found)
    assert (judged.is_stable, judged.index, judged.common_customers) == (False, None, 49)
    assert "only 49 customers are in both months" in judged.reason
    assert (
        judge_stability(found.assign(customer_id=lambda f: f["customer_id"] + "x"), found).index
        is None
    )


def test_few_or_all_equal_customers_form_no_clusters_and_it_says_why() -> None:
    with pytest.raises(NotEnoughDataError, match="49 customers with an order; needed are 50"):
        ClusterModel().fit(plant().head(49))
    alike = plant().assign(**dict.fromkeys(CLUSTER_FEATURES, 3.0))
    with pytest.raises(NotEnoughDataError, match="all customers are of 1 kinds"):
        ClusterModel().fit(alike)


def test_a_shop_without_any_behaviour_has_clusters_by_its_orders() -> None:
    silent = plant().assign(active_day_count=0, product_view_count=0, cart_added_count=0)
    found = ClusterModel().fit(silent).predict(silent)
    index, _ = adjusted_rand_index(planted(silent), found)
    assert index >= 0.95


def test_unknown_amounts_count_as_average_and_one_giant_is_no_cluster(model: ClusterModel) -> None:
    holes = plant().head(3).assign(average_order_amount=None)
    assert model.predict(holes)["cluster_number"].notna().all()
    giant = plant()
    giant.loc[0, "spend_in_window_amount"] = 1e12
    found = ClusterModel().fit(giant).predict(giant)
    assert found["cluster_number"].value_counts().min() > 70


def test_missing_columns_repeated_customers_and_infinite_values_are_refused() -> None:
    with pytest.raises(MissingColumnsError, match="cart_added_count"):
        ClusterModel().fit(plant().drop(columns="cart_added_count"))
    with pytest.raises(InvalidDataError, match="1 repeated rows"):
        ClusterModel().fit(pd.concat([plant(), plant().head(1)]))
    with pytest.raises(InvalidDataError, match="spend_in_window_amount"):
        ClusterModel().fit(plant().assign(spend_in_window_amount=np.inf))


def test_a_stored_model_assigns_the_same_and_a_foreign_one_is_refused(
    model: ClusterModel, tmp_path: Path
) -> None:
    artifact = model.to_artifact(code_version="1")
    folder = write_artifact(artifact, tmp_path / artifact.version)
    stored = read_artifact(folder, kind=CLUSTER_MODEL_KIND, features=CLUSTER_FEATURES)
    twin = ClusterModel.from_artifact(stored)
    pd.testing.assert_frame_equal(twin.predict(plant()), model.predict(plant()))
    assert twin.to_artifact(code_version="1") == artifact
    with pytest.raises(ArtifactError, match="no clusters of this code"):
        ClusterModel.from_artifact(replace(artifact, kind="clv"))
    with pytest.raises(ArtifactError, match="do not fit together"):
        ClusterModel.from_artifact(replace(artifact, model=b'{"centres": [[1]], "names": ["a"]}'))
    with pytest.raises(NotFittedError):
        ClusterModel().predict(plant())
