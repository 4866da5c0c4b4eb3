"""The rule tables of identity: every mistake is told with its row and what to write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.rules import validate_rules
from crm_pipeline.lib.rules.identifier_kinds import KINDS, load_identifier_kinds
from crm_pipeline.lib.rules.identity_floors import Floor, load_identity_floors

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    for path in SEEDS.glob("*.csv"):
        shutil.copy(path, tmp_path)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def told(seeds: Path) -> list[tuple[str, str]]:
    return [(problem.column, problem.what) for problem in validate_rules(seeds)]


@pytest.mark.requirement("IDN-2")
def test_the_shipped_kinds_are_those_the_columns_yield() -> None:
    kinds = {kind.name: kind for kind in load_identifier_kinds(SEEDS)}
    assert kinds.keys() == set(KINDS)
    assert {name for name, kind in kinds.items() if kind.is_unique} >= {"unionid", "member_number"}
    assert not kinds["receiver_phone"].links and not kinds["receiver_address"].links


@pytest.mark.requirement("IDN-2")
def test_a_kind_no_column_yields_and_a_kind_without_row_are_refused(seeds: Path) -> None:
    replace(seeds / "identifier_kinds.csv", "\nunionid,", "\npassport,")
    assert told(seeds) == [
        ("name", "no column yields 'passport'"),
        ("name", "no row for unionid"),
    ]
    with pytest.raises(RuleError, match=r"no column yields 'passport'.*Write one of"):
        load_identifier_kinds(seeds)


def test_what_a_row_may_say_is_judged_by_the_library(seeds: Path) -> None:
    replace(seeds / "identifier_kinds.csv", "\nunionid,unique,", "\nunionid,secret,")
    assert (
        told(seeds) == [("semantics", "'secret' is not known"), ("name", "no row for unionid")][:1]
    )


@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("happiness,0.5,,", "metric", "'happiness' is not known"),
        ("pairwise_f1,1.5,,", "least", "'1.5' is no share"),
        ("pairwise_f1,x,,", "least", "'x' is no share"),
        ("pairwise_f1,,,", "least", "the row asks for nothing"),
        ("pairwise_f1,0.9,0.5,", "most", "it is below least"),
        ("cluster_size_p99,,2.5,", "most", "'2.5' is no whole number"),
        ("match_rate,0.5,,", "metric", "'match_rate' is already in row 4"),
    ],
)
def test_a_wrong_floor_is_told(seeds: Path, row: str, column: str, what: str) -> None:
    path = seeds / "identity_floors.csv"
    path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    assert (column, what) in told(seeds)
    with pytest.raises(RuleError, match="identity floors are refused"):
        load_identity_floors(seeds)


def test_a_floor_includes_its_ends() -> None:
    floor = Floor("match_rate", 0.5, 0.9)
    assert [floor.is_kept_by(value) for value in (0.49, 0.5, 0.9, 0.91)] == [
        False, True, True, False,
    ]  # fmt: skip
