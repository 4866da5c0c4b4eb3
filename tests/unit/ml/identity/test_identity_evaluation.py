"""The evaluator against brute force, limits with a known answer, and inputs that prove nothing."""

import itertools
import json
import time
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import InvalidDataError, MissingColumnsError
from ml.identity.evaluation import (
    IdentityQuality,
    evaluate_clusters,
    evaluate_on_labels,
    evaluate_pairs,
)

MEASURES = (
    "pairwise_precision", "pairwise_recall", "pairwise_f1",
    "b_cubed_precision", "b_cubed_recall", "b_cubed_f1",
)  # fmt: skip

few = settings(deadline=None, max_examples=40)
# Two clusterings of the same records: one pair of cluster numbers per record.
clusterings = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=14
).map(lambda rows: tuple(map(list, zip(*rows, strict=True))))


def make_clusters(numbers: list[int]) -> pd.DataFrame:
    ids = [f"r{number:02}" for number in range(len(numbers))]
    return pd.DataFrame({"record_id": ids, "cluster_id": numbers})


def list_pairs(numbers: list[int]) -> set[tuple[int, int]]:
    return {
        (i, j)
        for i, j in itertools.combinations(range(len(numbers)), 2)
        if numbers[i] == numbers[j]
    }


def make_labels(rows: list[tuple[str, str, bool]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["left", "right", "is_same"])


@pytest.mark.requirement("IDN-6")
@few
@given(clusterings)
def test_pairwise_measures_equal_counting_every_pair(both: tuple[list[int], list[int]]) -> None:
    predicted, true = map(list_pairs, both)
    quality = evaluate_clusters(*map(make_clusters, both))
    correct = len(predicted & true)
    assert quality.correct_pair_count == correct
    assert quality.pairwise_precision == (correct / len(predicted) if predicted else None)
    assert quality.pairwise_recall == (correct / len(true) if true else None)
    total = len(predicted) + len(true)
    assert quality.pairwise_f1 == (2 * correct / total if total else None)


@few
@given(clusterings)
def test_b_cubed_equals_its_definition_record_by_record(
    both: tuple[list[int], list[int]],
) -> None:
    predicted, true = both
    precisions, recalls = [], []
    for own_predicted, own_true in zip(predicted, true, strict=True):
        shared = sum(
            p == own_predicted and t == own_true for p, t in zip(predicted, true, strict=True)
        )
        precisions.append(shared / predicted.count(own_predicted))
        recalls.append(shared / true.count(own_true))
    quality = evaluate_clusters(make_clusters(predicted), make_clusters(true))
    assert quality.b_cubed_precision == pytest.approx(np.mean(precisions))
    assert quality.b_cubed_recall == pytest.approx(np.mean(recalls))


@few
@given(clusterings)
def test_exchanging_prediction_and_truth_exchanges_precision_and_recall(
    both: tuple[list[int], list[int]],
) -> None:
    one, other = map(make_clusters, both)
    forward, back = evaluate_clusters(one, other), evaluate_clusters(other, one)
    assert forward.pairwise_precision == back.pairwise_recall
    assert forward.b_cubed_precision == back.b_cubed_recall
    assert forward.pairwise_f1 == back.pairwise_f1
    assert forward.b_cubed_f1 == pytest.approx(back.b_cubed_f1)


@few
@given(clusterings, st.randoms(use_true_random=False))
def test_neither_order_nor_names_of_clusters_matter(
    both: tuple[list[int], list[int]], random: Random
) -> None:
    predicted, true = map(make_clusters, both)
    order = list(range(len(predicted)))
    random.shuffle(order)
    renamed = predicted.iloc[order].assign(cluster_id=lambda f: "x" + f["cluster_id"].astype(str))
    assert evaluate_clusters(renamed, true) == evaluate_clusters(predicted, true)


@few
@given(st.lists(st.integers(0, 4), min_size=2, max_size=14))
def test_a_perfect_prediction_scores_one(numbers: list[int]) -> None:
    clusters = make_clusters(numbers)
    quality = evaluate_clusters(clusters, clusters)
    assert quality.b_cubed_f1 == 1
    if list_pairs(numbers):
        assert [getattr(quality, name) for name in MEASURES] == [1] * 6
        assert quality.warnings == ()


@few
@given(clusterings)
def test_labels_of_every_pair_give_the_pairwise_measures(
    both: tuple[list[int], list[int]],
) -> None:
    clusters, truth = map(make_clusters, both)
    ids = clusters["record_id"]
    same = list_pairs(both[1])
    pairs = list(itertools.combinations(range(len(ids)), 2))
    labels = make_labels([(ids[j], ids[i], (i, j) in same) for i, j in pairs])
    on_labels, on_clusters = (
        evaluate_on_labels(clusters, labels),
        evaluate_clusters(clusters, truth),
    )
    assert on_labels.correct_pair_count == on_clusters.correct_pair_count
    if same and len(same) < len(pairs):
        assert on_labels.pairwise_f1 == on_clusters.pairwise_f1


@pytest.mark.parametrize(
    ("response", "precision"),
    [([0] * 5 + [1] * 7, 0.76), ([0] * 5 + [1] * 2 + [0] * 5, 0.58)],
)
def test_the_published_example_of_b_cubed_is_reproduced(
    response: list[int], precision: float
) -> None:
    # Bagga and Baldwin (1998): truth {1 2 3 4 5} {6 7} {8 9 A B C}; joining the small class to a
    # large one is a smaller error than joining the two large ones.
    quality = evaluate_clusters(make_clusters(response), make_clusters([0] * 5 + [1] * 2 + [2] * 5))
    assert quality.b_cubed_precision == pytest.approx(precision, abs=0.005)
    assert quality.b_cubed_recall == 1


def test_match_rate_and_tail_describe_the_predicted_clusters() -> None:
    quality = evaluate_clusters(
        make_clusters([0, 0, 0, 1, 1, 2, 3, 4]), make_clusters([0, 0, 1, 1, 2, 3, 4, 5])
    )
    assert quality.match_rate == 5 / 8
    sizes = (quality.cluster_size_p50, quality.cluster_size_p99, quality.cluster_size_max)
    assert sizes == (1, 3, 3)
    assert (quality.cluster_count, quality.multi_record_cluster_count) == (5, 2)


def test_records_without_prediction_stand_alone_and_are_reported() -> None:
    truth = make_clusters([0, 0, 0])
    quality = evaluate_clusters(truth.iloc[:2], truth)
    assert quality.pairwise_recall == 1 / 3
    assert quality.missing_record_count == 1
    assert "1 records of the truth are not in the prediction" in quality.warnings[0]


def test_records_the_truth_does_not_know_are_not_judged() -> None:
    predicted = make_clusters([0, 0, 0, 0])
    quality = evaluate_clusters(predicted, predicted.iloc[:2])
    assert quality.pairwise_precision == 1
    assert (quality.judged_record_count, quality.unjudged_record_count) == (2, 2)
    assert quality.cluster_size_max == 4


def test_without_labels_measures_are_null_with_a_warning_and_match_rate_remains() -> None:
    quality = evaluate_on_labels(make_clusters([0, 0, 1]), make_labels([]))
    assert (quality.pairwise_precision, quality.pairwise_recall, quality.pairwise_f1) == (None,) * 3
    assert quality.match_rate == 2 / 3
    assert "no labelled pairs" in quality.warnings[0]
    assert evaluate_pairs(make_labels([]), make_labels([])).pairwise_f1 is None


def test_labels_of_one_kind_only_prove_only_what_they_can() -> None:
    clusters = make_clusters([0, 0, 1])
    only_same = evaluate_on_labels(clusters, make_labels([("r00", "r01", True)]))
    assert (only_same.pairwise_precision, only_same.pairwise_recall) == (None, 1)
    assert "no pair is labelled as two persons" in only_same.warnings[0]
    only_other = evaluate_on_labels(clusters, make_labels([("r00", "r01", False)]))
    assert (only_other.pairwise_precision, only_other.pairwise_recall) == (0, None)


def test_reviewed_pairs_judge_links_either_way_round_and_nothing_else() -> None:
    links = pd.DataFrame({"left": ["b", "c", "x"], "right": ["a", "a", "y"]})
    labels = make_labels([("a", "b", True), ("a", "c", False), ("b", "c", True)])
    quality = evaluate_pairs(links, labels)
    assert (quality.pairwise_precision, quality.pairwise_recall) == (1 / 2, 1 / 2)
    assert quality.judged_pair_count == 3


def test_a_complete_list_of_true_pairs_makes_every_other_link_false() -> None:
    links = pd.DataFrame({"left": ["b", "x"], "right": ["a", "y"]})
    truth = pd.DataFrame({"left": ["a"], "right": ["b"]})
    quality = evaluate_pairs(links, truth, is_complete=True)
    assert (quality.pairwise_precision, quality.pairwise_recall) == (1 / 2, 1)


def test_a_labelled_record_that_is_not_clustered_is_with_nobody() -> None:
    labels = make_labels([("r00", "z", True), ("r00", "r01", True), ("z", "y", True)])
    quality = evaluate_on_labels(make_clusters([0, 0]), labels)
    assert quality.pairwise_recall == 1 / 3
    assert quality.missing_record_count == 2


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([("a", "b", True), ("b", "a", False)], "both as one person and as two"),
        ([("a", "a", True)], "a record with itself"),
        ([("a", None, True)], "null"),
        ([("a", "b", "maybe")], "other than true and false"),
    ],
)
def test_contradicting_or_empty_labels_are_refused(
    labels: list[tuple[str, str, bool]], said: str
) -> None:
    with pytest.raises(InvalidDataError, match=said):
        evaluate_on_labels(make_clusters([0]), make_labels(labels))


def test_the_same_verdict_twice_counts_once() -> None:
    labels = make_labels([("r00", "r01", True), ("r01", "r00", True), ("r00", "r02", False)])
    assert evaluate_on_labels(make_clusters([0, 0, 1]), labels).judged_pair_count == 2


def test_absent_columns_and_repeated_records_are_named() -> None:
    clusters = make_clusters([0, 0])
    with pytest.raises(MissingColumnsError, match="cluster_id"):
        evaluate_clusters(clusters[["record_id"]], clusters)
    with pytest.raises(InvalidDataError, match="repeated"):
        evaluate_clusters(pd.concat([clusters, clusters]), clusters)
    with pytest.raises(MissingColumnsError, match="is_same"):
        evaluate_pairs(make_labels([]), make_labels([])[["left", "right"]])


def test_figures_can_be_written_as_json() -> None:
    quality = evaluate_clusters(make_clusters([0, 0]), make_clusters([0, 1]))
    assert json.loads(json.dumps(quality.as_dict()))["pairwise_precision"] == 0
    assert isinstance(quality, IdentityQuality)


def test_empty_frames_are_judged_as_nothing() -> None:
    empty = make_clusters([])
    quality = evaluate_clusters(empty, empty)
    assert (quality.match_rate, quality.b_cubed_f1, quality.pairwise_f1) == (None,) * 3
    assert evaluate_clusters(empty, make_clusters([0, 0])).pairwise_recall == 0


def test_one_cluster_of_a_million_records_needs_no_list_of_its_pairs() -> None:
    count = 1_000_000
    ids = np.arange(count)
    truth = pd.DataFrame({"record_id": ids, "cluster_id": ids // 4})
    everything = pd.DataFrame({"record_id": ids[::-1], "cluster_id": np.zeros(count, dtype=int)})
    started = time.process_time()
    quality = evaluate_clusters(everything, truth)
    assert time.process_time() - started < 20
    assert quality.predicted_pair_count == count * (count - 1) // 2
    assert quality.correct_pair_count == 6 * count // 4
    assert quality.b_cubed_precision == pytest.approx(4 / count)
