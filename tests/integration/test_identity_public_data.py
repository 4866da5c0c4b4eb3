"""Identity on public person records with known links: the figures this project stands by.

Add here: floors on data nobody here made. Not here: figures without a floor
(``benchmarks/identity_records.py`` prints all).
"""

from functools import cache
from pathlib import Path

import pytest

from benchmarks.identity_records import Result, run


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    for name in ("febrl", "splink_fake"):
        if not (shared_data / name).is_dir():
            pytest.skip(f"{name} is not among the public data sets beside this checkout")
    return shared_data


@cache
def run_once(dataset: str, engine: str, folder: Path) -> Result:
    if engine == "probabilistic":
        pytest.importorskip("splink", reason="Splink is not installed: pip install '.[identity]'")
    return run(dataset, engine, folder)


@pytest.mark.requirement("IDN-6")
@pytest.mark.parametrize("dataset", ["febrl1", "febrl2", "febrl3", "splink_fake"])
def test_rules_find_more_than_raw_keys_without_a_wrong_pair(dataset: str, folder: Path) -> None:
    raw = run_once(dataset, "exact_keys", folder).clusters
    ruled = run_once(dataset, "deterministic", folder).clusters
    assert ruled.pairwise_precision and ruled.pairwise_precision >= 0.995
    assert ruled.pairwise_recall and raw.pairwise_recall
    assert ruled.pairwise_recall > raw.pairwise_recall + 0.05


@pytest.mark.slow
@pytest.mark.requirement("IDN-7")
def test_splink_reaches_pair_f1_of_99_percent_on_febrl_3(folder: Path) -> None:
    result = run_once("febrl3", "probabilistic", folder)
    assert result.pairs.pairwise_f1 and result.pairs.pairwise_f1 >= 0.99
    assert result.clusters.pairwise_f1 and result.clusters.pairwise_f1 >= 0.99


@pytest.mark.slow
@pytest.mark.requirement("IDN-7")
def test_splink_reaches_clustered_f1_of_95_percent_on_splink_fake(folder: Path) -> None:
    result = run_once("splink_fake", "probabilistic", folder)
    assert result.clusters.pairwise_f1 and result.clusters.pairwise_f1 >= 0.95
    assert result.pairs.pairwise_f1 and result.pairs.pairwise_f1 >= 0.90


@pytest.mark.slow
@pytest.mark.requirement("IDN-7")
@pytest.mark.parametrize("dataset", ["febrl1", "splink_fake"])
def test_splink_finds_more_than_the_rules_do(dataset: str, folder: Path) -> None:
    ruled = run_once(dataset, "deterministic", folder).clusters
    scored = run_once(dataset, "probabilistic", folder).clusters
    assert scored.pairwise_f1 and ruled.pairwise_f1
    assert scored.pairwise_f1 > ruled.pairwise_f1
