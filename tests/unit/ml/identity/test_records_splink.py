"""The probabilistic engine: a planted truth, the same answer every time, nothing printed."""

import json
import logging
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.errors import ConvergenceError, NotEnoughDataError
from ml.identity.evaluation import evaluate_clusters
from ml.identity.record_spec import RecordSpec
from ml.identity.records import RecordResolution, load_record_spec, resolve_records
from ml.identity.splink_engine import MissingExtraError, _settle_prior

HAS_SPLINK = True
try:
    import splink  # noqa: F401
except ImportError:
    HAS_SPLINK = False
needs_splink = pytest.mark.skipif(
    not HAS_SPLINK, reason="Splink is not installed (pip install '.[identity]')"
)

DECLARED: dict[str, Any] = {
    "id": "key",
    "columns": {
        "order": {"kind": "full_name", "of": ["Given name", "Family name"]},  # a word of SQL
        "family": {"kind": "name", "of": "Family name"},
        "birth": {"kind": "date_of_birth"},
        "city": {"kind": "text"},
    },
    "probabilistic": {
        "comparisons": ["order", "birth", "city"],
        "blocking": ["family", "birth", ["birth.year", "city"], "order.sorted"],
        "training": ["birth", "order.sorted"],
        "prior_rules": [["family", "birth"]],
        "max_random_pairs": 100000,
    },
}


def make_people(count: int, seed: int = 5) -> pd.DataFrame:
    """Made-up words as names; one to three records each, with typing errors, swaps and gaps."""
    rng = np.random.default_rng(seed)
    starts, ends = ("ba", "ke", "mo", "tu", "si", "ro", "la"), ("ran", "lim", "sto", "vek", "dun")
    words = [a + b + c for a in starts for b in starts for c in ends]
    rows = []
    for person in range(count):
        given, family = rng.choice(words, 2)
        birth = f"{rng.integers(1950, 2000)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}"
        city = str(rng.choice(["northam", "eastby", "westow", "southell"]))
        for copy in range(rng.integers(1, 4)):
            values = [given, family, birth, city]
            if copy and rng.random() < 0.5:
                field = int(rng.integers(0, 3))
                place = int(rng.integers(0, len(values[field]) - 1))
                text = values[field]
                values[field] = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
            if copy and rng.random() < 0.1:
                values[:2] = values[1::-1]
            if rng.random() < 0.1:
                values[int(rng.integers(0, 4))] = None
            rows.append((f"p{person:03}-{copy}", *values, f"p{person:03}"))
    columns = ["key", "Given name", "Family name", "birth", "city", "person"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return make_people(150)


@pytest.fixture(scope="module")
def spec() -> RecordSpec:
    return load_record_spec(DECLARED)


@pytest.fixture(scope="module")
def resolution(people: pd.DataFrame, spec: RecordSpec) -> RecordResolution:
    return resolve_records(people.drop(columns="person"), spec, "probabilistic")


@needs_splink
@pytest.mark.requirement("IDN-7")
def test_a_planted_truth_is_recovered(people: pd.DataFrame, resolution: RecordResolution) -> None:
    truth = people[["key", "person"]].set_axis(["record_id", "cluster_id"], axis=1)
    quality = evaluate_clusters(resolution.clusters, truth)
    assert quality.pairwise_precision and quality.pairwise_precision > 0.98
    assert quality.pairwise_recall and quality.pairwise_recall > 0.9


@needs_splink
@pytest.mark.requirement("IDN-7")
def test_every_link_has_a_class_by_its_probability(resolution: RecordResolution) -> None:
    links = resolution.links
    assert set(links["confidence"]) == {"certain", "probable", "loose"}
    least = links.groupby("confidence")["match_probability"].min()
    assert least["certain"] >= 0.99 and least["probable"] >= 0.5 and least["loose"] >= 0.1
    assert links.loc[links["confidence"] == "loose", "match_probability"].max() < 0.5
    assert (links["left"] < links["right"]).all()


@needs_splink
@pytest.mark.requirement("IDN-7")
def test_clusters_hold_together_without_any_loose_link(resolution: RecordResolution) -> None:
    links = resolution.links
    cluster_of = resolution.clusters.set_index("record_id")["cluster_id"]
    used = links[links["is_clustered"] & (links["confidence"] != "loose")]
    assert (cluster_of[used["left"]].to_numpy() == cluster_of[used["right"]].to_numpy()).all()
    in_company = cluster_of[cluster_of.duplicated(keep=False)].index
    assert set(in_company) <= {*used["left"], *used["right"]}


@needs_splink
def test_a_link_says_why(resolution: RecordResolution) -> None:
    evidence = resolution.links.loc[resolution.links["confidence"] == "certain", "evidence"]
    assert evidence.str.contains("order: both the same, in either order").any()
    assert evidence.str.contains("birth: ").all()


@needs_splink
def test_the_same_table_gives_the_same_answer_in_any_order(
    people: pd.DataFrame, spec: RecordSpec, resolution: RecordResolution
) -> None:
    again = resolve_records(people.sample(frac=1, random_state=3), spec, "probabilistic")
    pd.testing.assert_frame_equal(again.clusters, resolution.clusters)
    pd.testing.assert_frame_equal(again.links, resolution.links)
    assert again.model == resolution.model


@needs_splink
def test_what_was_learned_can_be_read_and_is_plausible(
    people: pd.DataFrame, resolution: RecordResolution
) -> None:
    model = json.loads(json.dumps(resolution.model))
    true_pairs = people.groupby("person").size().map(lambda n: n * (n - 1) / 2).sum()
    assert model["prior"] == pytest.approx(
        true_pairs / (len(people) * (len(people) - 1) / 2), rel=0.15
    )
    birth = {row["level"]: row for row in model["levels"] if row["comparison"] == "birth"}
    # Of all pairs 0.45 % agree on the birth date, nearly all of them one person's.
    assert birth["same"]["u_probability"] < 0.002
    assert birth["same"]["m_probability"] > 0.6


@needs_splink
def test_nothing_is_printed_and_logging_is_left_as_it_was(
    people: pd.DataFrame, spec: RecordSpec, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("splink")
    before = (logger.level, logger.propagate, list(logger.handlers))
    resolve_records(people.iloc[:200], spec, "probabilistic")
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
    assert capfd.readouterr() == ("", "")


@needs_splink
def test_a_column_without_any_value_says_nothing(people: pd.DataFrame, spec: RecordSpec) -> None:
    resolution = resolve_records(people.assign(city=None), spec, "probabilistic")
    assert not resolution.links["evidence"].str.contains("city").any()
    assert resolution.clusters["cluster_id"].nunique() < len(people)


@needs_splink
def test_too_little_to_learn_from_is_refused_with_a_remedy(
    people: pd.DataFrame, spec: RecordSpec
) -> None:
    with pytest.raises(NotEnoughDataError, match="1 records make no pair"):
        resolve_records(people.iloc[:1], spec, "probabilistic")
    alone = people.drop_duplicates("person").assign(birth=None)
    with pytest.raises(NotEnoughDataError, match="prior_rules find no pair"):
        resolve_records(alone, spec, "probabilistic")
    assert spec.probabilistic
    vain = replace(spec, probabilistic=replace(spec.probabilistic, training=(("city", "birth"),)))
    with pytest.raises(ConvergenceError, match="training on city and birth: no two records agree"):
        resolve_records(people.assign(city=None), vain, "probabilistic")


def test_without_the_extra_the_error_says_what_to_install(
    people: pd.DataFrame, spec: RecordSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "splink", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[identity\]'"):
        resolve_records(people, spec, "probabilistic")


def test_the_prior_settles_at_the_share_of_matching_pairs() -> None:
    evidence = np.array([40.0] * 30 + [-40.0] * 70)
    assert _settle_prior(evidence, 1000.0) == pytest.approx(0.03, rel=1e-6)
    assert _settle_prior(np.array([-40.0]), 1000.0) == 0.0005
    assert _settle_prior(np.array([40.0] * 900), 1000.0) == 0.5
