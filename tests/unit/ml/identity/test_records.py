"""Cleaning, rules and groups on small made-up tables."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import InvalidDataError
from ml.identity.record_clusters import connect, connect_by_mean_weight
from ml.identity.record_columns import column_of, make_features
from ml.identity.records import RecordSpecError, load_record_spec, resolve_records

PEOPLE = pd.DataFrame(
    [
        ("a1", "Bel", "Karo", "1980-01-02", "BEL@x.test", "+44 20 7946 0001"),
        ("a2", "Karo", "Bél", "1980-01-02", None, "020 7946 0001"),
        ("a3", "Bel", "Karo", None, "bel@x.test ", None),
        ("b1", "Tem", "Osti", "1975-05-06", "tem@y.test", None),
        ("b2", "Tem", "Osti", "1975-06-05", None, None),
        ("c1", None, None, None, None, None),
    ],
    columns=["key", "given", "family", "birth", "email", "phone"],
)
DECLARED: dict[str, Any] = {
    "id": "key",
    "columns": {
        "full_name": {"kind": "full_name", "of": ["given", "family"]},
        "given": {"kind": "name", "nicknames": {"tommy": "thomas"}},
        "birth": {"kind": "date_of_birth"},
        "email": {"kind": "email"},
        "phone": {"kind": "phone"},
    },
    "deterministic": {
        "exact_keys": ["email"],
        "rules": [
            {"name": "e-mail", "equal": "email"},
            {"name": "name and birth", "equal": ["full_name.sorted", "birth"]},
            {"name": "name alone", "equal": "full_name.sorted", "confidence": "loose"},
        ],
    },
}


def group_ids(resolution: Any) -> dict[str, str]:
    return dict(resolution.clusters.itertuples(index=False))


def clean(kind: str, values: list[Any], **options: Any) -> pd.DataFrame:
    declared = {
        "id": "key",
        "columns": {"it": {"kind": kind, **options}},
        "deterministic": {"rules": [{"equal": "it"}]},
    }
    table = pd.DataFrame({"key": range(len(values)), "it": values})
    return make_features(table, load_record_spec(declared))


@pytest.mark.parametrize(
    ("kind", "value", "feature", "cleaned"),
    [
        ("name", " O'Brien-Súñer ", "", "obriensuner"),
        ("name", "Ｔｏｍ", "", "tom"),
        ("name", "Rupert", "sound", "r163"),
        ("name", "Ashcraft", "sound", "a261"),
        ("name", "王小明", "", "王小明"),
        ("name", "王小明", "sound", None),
        ("name", "--", "", None),
        ("date_of_birth", "1999-02-03", "", "19990203"),
        ("date_of_birth", "1999-02-31", "month_day", "0231"),
        ("date_of_birth", "1999-02-03", "year_day", "199903"),
        ("email", " A.B@Example.TEST", "local", "a.b"),
        ("email", "no at sign", "local", None),
        ("phone", "0044 20 7946-0001", "end", "79460001"),
        ("postcode", "sw1a 1aa", "area", "sw"),
        ("id", "12-34 x", "", "1234x"),
        ("text", "  New   York ", "", "new york"),
        ("address", "12 High  St., Flat 3", "words", "12 3 flat high st"),
    ],
)
def test_values_are_cleaned_by_kind(
    kind: str, value: str, feature: str, cleaned: str | None
) -> None:
    term = f"it.{feature}" if feature else "it"
    assert clean(kind, [value])[column_of(term)].tolist() == [cleaned]


def test_dates_follow_the_declared_format_and_numbers_lose_their_point() -> None:
    dates = clean("date_of_birth", ["03.02.1999", "31.02.1999"], date_format="%d.%m.%Y")
    assert dates[column_of("it")].tolist() == ["19990203", "31021999"]
    assert clean("id", [13085.0, None])[column_of("it")].tolist() == ["13085", None]
    stamps = pd.to_datetime(["1999-02-03", None])
    assert clean("date_of_birth", stamps)[column_of("it")].tolist() == ["19990203", None]


def test_nicknames_are_read_as_the_full_name() -> None:
    names = clean("name", ["Tommy", "Thomas"], nicknames={"tommy": "thomas"})
    assert names[column_of("it")].nunique() == 1


def test_rules_find_what_raw_keys_do_not() -> None:
    spec = load_record_spec(DECLARED)
    raw, ruled = (
        resolve_records(PEOPLE, spec, engine) for engine in ("exact_keys", "deterministic")
    )
    assert raw.clusters["cluster_id"].nunique() == len(PEOPLE)  # the e-mails differ in case
    assert group_ids(ruled) == {
        "a1": "a1", "a2": "a1", "a3": "a1", "b1": "b1", "b2": "b2", "c1": "c1",
    }  # fmt: skip


def test_links_say_by_which_rules_and_how_surely() -> None:
    links = resolve_records(PEOPLE, load_record_spec(DECLARED)).links
    found = links.set_index(["left", "right"])
    assert found.loc[("a1", "a2"), "evidence"] == "name and birth; name alone"
    assert found.loc[("a1", "a2"), "confidence"] == "certain"
    assert found.loc[("b1", "b2"), "confidence"] == "loose"
    assert found["match_probability"].isna().all()


@pytest.mark.requirement("IDN-7")
def test_loose_links_are_returned_and_never_cluster() -> None:
    links = resolve_records(PEOPLE, load_record_spec(DECLARED)).links
    loose = links[links["confidence"] == "loose"]
    assert loose[["left", "right", "is_clustered"]].values.tolist() == [["b1", "b2", False]]


def test_a_key_that_too_many_share_links_nobody_and_is_reported() -> None:
    shared = PEOPLE.assign(email="shop@z.test", birth=None)
    declared = {
        **DECLARED,
        "deterministic": {**DECLARED["deterministic"], "max_records_per_key": 5},
    }
    resolution = resolve_records(shared, load_record_spec(declared))
    assert resolution.clusters["cluster_id"].nunique() == len(PEOPLE)
    assert resolution.warnings == ("e-mail: 1 keys shared by more than 5 records link nobody",)


def test_the_order_of_rows_and_foreign_columns_do_not_matter() -> None:
    spec = load_record_spec(DECLARED)
    one = resolve_records(PEOPLE, spec)
    other = resolve_records(PEOPLE.iloc[::-1].assign(extra=1), spec)
    pd.testing.assert_frame_equal(one.clusters, other.clusters)
    pd.testing.assert_frame_equal(one.links, other.links)


def test_ids_keep_their_type() -> None:
    numbered = PEOPLE.assign(key=[10, 9, 8, 7, 6, 5])
    clusters = resolve_records(numbered, load_record_spec(DECLARED)).clusters
    assert clusters["record_id"].tolist() == [5, 6, 7, 8, 9, 10]
    assert clusters["cluster_id"].tolist() == [5, 6, 7, 8, 8, 8]


def test_an_empty_table_has_no_clusters() -> None:
    for engine in ("exact_keys", "deterministic"):
        resolution = resolve_records(PEOPLE.iloc[:0], load_record_spec(DECLARED), engine)
        assert resolution.clusters.empty and resolution.links.empty


def test_a_table_that_does_not_fit_is_refused_by_name() -> None:
    spec = load_record_spec(DECLARED)
    with pytest.raises(RecordSpecError, match=r"lacks phone; it has key, given"):
        resolve_records(PEOPLE.drop(columns="phone"), spec)
    with pytest.raises(InvalidDataError, match="repeated"):
        resolve_records(pd.concat([PEOPLE, PEOPLE]), spec)
    with pytest.raises(InvalidDataError, match="cannot be ordered"):
        resolve_records(PEOPLE.assign(key=["a", 1, "b", 2, "c", 3]), spec)
    with pytest.raises(RecordSpecError, match="unknown guess"):
        resolve_records(PEOPLE, spec, "guess")
    with pytest.raises(RecordSpecError, match="probabilistic: is not declared"):
        resolve_records(PEOPLE, spec, "probabilistic")


def positions(*pairs: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return ends[:, 0], ends[:, 1]


def join(count: int, weighted: dict[tuple[int, int], float], **options: float) -> list[int]:
    settled = {"min_link_weight": 0.0, "min_mean_weight": -5.0, "absent_weight": -10.0, **options}
    weights = np.array(list(weighted.values()), dtype=float)
    return connect_by_mean_weight(count, *positions(*weighted), weights, **settled).tolist()


def test_a_group_is_named_by_its_smallest_record() -> None:
    assert connect(5, *positions((4, 3), (3, 1))).tolist() == [0, 1, 2, 1, 1]
    assert connect(2, *positions()).tolist() == [0, 1]


def test_one_likeness_does_not_join_two_well_known_people() -> None:
    triangle = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)]
    weighted = dict.fromkeys(triangle, 12.0) | {(2, 3): 1.0}
    assert join(6, weighted) == [0, 0, 0, 3, 3, 3]
    assert join(6, weighted, min_mean_weight=-99.0) == [0] * 6


def test_a_gap_in_the_evidence_does_not_part_one_person() -> None:
    assert join(3, {(0, 1): 12.0, (1, 2): 9.0}) == [0, 0, 0]
    assert join(3, {(0, 1): 12.0, (1, 2): 9.0, (0, 2): -10.0}, min_mean_weight=0.0) == [0, 0, 2]


def test_a_lone_pair_is_joined_by_its_own_weight() -> None:
    assert join(2, {(0, 1): 0.5}) == [0, 0]
    assert join(2, {(0, 1): 0.5}, min_mean_weight=1.0) == [0, 1]
    assert join(2, {(0, 1): -0.5}) == [0, 1]


weighted_graphs = st.dictionaries(
    st.tuples(st.integers(0, 7), st.integers(0, 7)).filter(lambda pair: pair[0] < pair[1]),
    st.integers(-9, 9).map(float),
    min_size=1,
)


@settings(deadline=None, max_examples=60)
@given(weighted_graphs)
def test_groups_lie_inside_components_and_meet_them_without_a_veto(
    weighted: dict[tuple[int, int], float],
) -> None:
    links = [pair for pair, weight in weighted.items() if weight >= 0]
    component = connect(8, *positions(*links)).tolist()
    assert join(8, weighted, min_mean_weight=-10.0) == component
    for record, group in enumerate(join(8, weighted)):
        assert component[record] == component[group]


@settings(deadline=None, max_examples=60)
@given(weighted_graphs, st.permutations(range(28)))
def test_groups_do_not_depend_on_the_order_of_links(
    weighted: dict[tuple[int, int], float], order: list[int]
) -> None:
    items = list(weighted.items())
    shuffled = dict(items[place] for place in order if place < len(items))
    assert join(8, weighted) == join(8, shuffled)
