"""Tag rules: the shipped ones pass, and every mistake is told with its row and a remedy."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from crm_pipeline.lib.rules.intent_lexicon import read_intent_lexicon
from crm_pipeline.lib.rules.table import RuleProblem
from crm_pipeline.lib.rules.tag_rules import (
    COLUMNS,
    RULE_KINDS,
    TAG_KINDS,
    read_industry_packs,
    read_tag_rules,
)

SEEDS = Path(__file__).resolve().parents[4] / "dbt_project" / "seeds"
Cells = dict[str, str]

PREMIUM: Cells = {
    "rule_id": "premium", "tag": "premium_browser", "tag_kind": "behaviour",
    "rule_kind": "consecutive_days", "signal": "product_viewed", "is_premium": "true",
    "min_count": "3", "without_purchase_of": "subject", "without_purchase_days": "0",
    "ttl_days": "30", "name_zh": "高端", "name_en": "Premium",
}  # fmt: skip
FAN: Cells = {
    "rule_id": "fan", "tag": "fan", "tag_kind": "interest", "rule_kind": "consecutive_events",
    "signal": "product_viewed", "category_name": "健身", "min_count": "3", "window_days": "30",
    "name_zh": "迷", "name_en": "Fan",
}  # fmt: skip
USER: Cells = {
    "rule_id": "user", "tag": "user", "tag_kind": "interest", "rule_kind": "purchase",
    "signal": "purchased", "category_name": "健身", "requires_tag": "fan", "replaces": "fan",
    "name_zh": "用户", "name_en": "User",
}  # fmt: skip
VISIT: Cells = {
    "rule_id": "visit", "tag": "visitor", "tag_kind": "behaviour", "rule_kind": "count_in_window",
    "signal": "store_visited", "min_count": "3", "window_days": "7", "name_zh": "访", "name_en":
    "Visitor",
}  # fmt: skip
NOTE: Cells = {
    "rule_id": "note", "tag": "noted", "tag_kind": "scene", "rule_kind": "guide_tag",
    "signal": "guide_tag", "match_text": "宝妈|宝爸", "name_zh": "宝妈", "name_en": "Parent",
}  # fmt: skip
WORDS = NOTE | {"rule_kind": "text_intent", "signal": "text_intent", "match_text": "newborn"}
AGE: Cells = {
    "rule_id": "age", "tag": "silver", "tag_kind": "scene", "rule_kind": "profile",
    "signal": "birth_year", "age_from": "60", "name_zh": "银发", "name_en": "Silver",
}  # fmt: skip


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    for name in ("industry_packs.csv", "intent_lexicon.csv"):
        shutil.copy(SEEDS / name, tmp_path)
    return tmp_path


def problems(seeds: Path, *rows: Cells) -> list[RuleProblem]:
    with (seeds / "tag_rules.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return read_tag_rules(seeds).problems


def test_the_shipped_tag_rules_have_no_problem_and_use_every_rule_kind() -> None:
    table = read_tag_rules(SEEDS)
    assert [str(problem) for problem in table.problems] == []
    assert read_industry_packs(SEEDS).problems == []
    assert {row.cells["rule_kind"] for row in table.rows} <= set(RULE_KINDS)
    assert {row.cells["tag_kind"] for row in table.rows} <= set(TAG_KINDS)


def test_rules_of_every_kind_pass(seeds: Path) -> None:
    assert problems(seeds, PREMIUM, FAN, USER, VISIT, NOTE, AGE) == []


@pytest.mark.requirement("CUS-8")
@pytest.mark.parametrize(
    ("row", "changed", "column", "what"),
    [
        (PREMIUM, {"tag": "Premium Line"}, "tag", "is no name"),
        (PREMIUM, {"tag": ""}, "tag", "it is empty"),
        (PREMIUM, {"tag_kind": "habit"}, "tag_kind", "'habit' is not known"),
        (PREMIUM, {"rule_kind": "sometimes"}, "rule_kind", "'sometimes' is not known"),
        (PREMIUM, {"signal": "text_intent"}, "signal", "'text_intent' is not known"),
        (PREMIUM, {"industry": "cars"}, "industry", "'cars' is not known"),
        (PREMIUM, {"is_premium": "yes"}, "is_premium", "'yes' is not known"),
        (PREMIUM, {"min_count": "1"}, "min_count", "two at least"),
        (PREMIUM, {"min_count": "three"}, "min_count", "no whole number"),
        (PREMIUM, {"window_days": "3"}, "window_days", "never used"),
        (PREMIUM, {"ttl_days": "0"}, "ttl_days", "out of range"),
        (PREMIUM, {"name_zh": ""}, "name_zh", "it is empty"),
        (PREMIUM, {"name_en": ""}, "name_en", "it is empty"),
        (PREMIUM, {"match_text": "x"}, "match_text", "never used"),
        (PREMIUM, {"age_to": "9"}, "age_to", "never used"),
        (PREMIUM, {"product_words": "a.*"}, "product_words", "no letter"),
        (PREMIUM, {"product_words": "a||b"}, "product_words", "is missing"),
        (PREMIUM, {"is_premium": ""}, "without_purchase_of", "about it"),
        (PREMIUM, {"without_purchase_of": ""}, "without_purchase_days", "never used"),
        (PREMIUM, {"without_purchase_of": "all"}, "without_purchase_of", "not known"),
        (FAN, {"category_name": ""}, "category_name", "need one category"),
        (FAN, {"category_name": "a|b"}, "category_name", "need one category"),
        (FAN, {"is_premium": "true"}, "is_premium", "never used"),
        (FAN, {"requires_tag": "nobody"}, "requires_tag", "no rule gives 'nobody'"),
        (FAN, {"replaces": "nobody"}, "replaces", "no rule gives 'nobody'"),
        (FAN, {"replaces": "fan"}, "replaces", "circle: fan -> fan"),
        (VISIT, {"window_days": "2"}, "window_days", "3 days can never lie within 2"),
        (VISIT, {"category_name": "x"}, "category_name", "never used"),
        (VISIT, {"without_purchase_of": "product"}, "without_purchase_of", "has no product"),
        (NOTE, {"match_text": ""}, "match_text", "it is empty"),
        (NOTE, {"min_count": "2"}, "min_count", "never used"),
        (WORDS, {"match_text": "宝妈"}, "match_text", "no intent '宝妈'"),
        (AGE, {"age_from": ""}, "age_from", "needs an age"),
        (AGE, {"age_to": "50"}, "age_from", "60 is above age_to 50"),
        (AGE, {"ttl_days": "5"}, "ttl_days", "never used"),
    ],
)  # fmt: skip
def test_a_bad_cell_is_told_with_row_column_and_remedy(
    seeds: Path, row: Cells, changed: Cells, column: str, what: str
) -> None:
    other = {**VISIT, "rule_id": "first", "tag": "first"}
    [problem] = problems(seeds, other, row | changed)
    assert (problem.file, problem.row_number, problem.column) == ("tag_rules.csv", 3, column)
    assert what in problem.what
    assert problem.remedy


@pytest.mark.requirement("CUS-8")
def test_tags_that_replace_each_other_in_a_circle_are_told_with_the_way(seeds: Path) -> None:
    second = {**USER, "replaces": "fan", "requires_tag": ""}
    third = {**FAN, "replaces": "visitor"}
    fourth = {**VISIT, "replaces": "user"}
    told = problems(seeds, second, third, fourth)
    assert [(p.row_number, p.column) for p in told] == [
        (2, "replaces"), (3, "replaces"), (4, "replaces"),
    ]  # fmt: skip
    assert "user -> fan -> visitor -> user" in told[0].what


def test_a_chain_of_replacements_is_written_out(seeds: Path) -> None:
    best = {**USER, "rule_id": "best", "tag": "best", "requires_tag": "", "replaces": "user"}
    [problem] = problems(seeds, FAN, USER, best)
    assert (problem.row_number, problem.column) == (4, "replaces")
    assert "'user' replaces 'fan'" in problem.what
    assert problems(seeds, FAN, USER, best | {"replaces": "user fan"}) == []


def test_a_tag_that_builds_on_another_cannot_be_built_on(seeds: Path) -> None:
    best = {**USER, "rule_id": "best", "tag": "best", "requires_tag": "user", "replaces": ""}
    [problem] = problems(seeds, FAN, USER, best)
    assert (problem.row_number, problem.column) == (4, "requires_tag")


def test_rules_of_one_tag_call_it_alike(seeds: Path) -> None:
    [problem] = problems(seeds, FAN, {**VISIT, "tag": "fan", "tag_kind": "interest",
                                      "name_zh": "迷", "name_en": "Admirer"})  # fmt: skip
    assert (problem.row_number, problem.column) == (3, "name_en")
    assert "row 2 says 'Fan'" in problem.what


@pytest.mark.requirement("CUS-12")
def test_an_industry_is_switched_by_true_and_false_only(seeds: Path) -> None:
    text = "industry,is_enabled,name_zh,name_en,note\nbeauty,yes,美妆,Beauty,\n"
    (seeds / "industry_packs.csv").write_text(text, encoding="utf-8")
    [problem] = read_industry_packs(seeds).problems
    assert (problem.row_number, problem.column) == (2, "is_enabled")


@pytest.mark.requirement("CUS-9")
@pytest.mark.parametrize(
    ("row", "column", "what"),
    [
        ("p1,eco,环保(,false,zh,", "pattern", "no regular expression"),
        ("p1,eco,,false,zh,", "pattern", "in every text"),
        ("p1,eco,环?,false,zh,", "pattern", "in every text"),
        ("p1,eco,(?<!不)环保,false,zh,", "pattern", "not every database"),
        ("p1,eco,ECO,false,en,", "pattern", "capitals"),
        ("p1,eco,环保,no,zh,", "is_negation", "'no' is not known"),
        ("p1,eco,环保,false,de,", "language", "'de' is not known"),
        ("P 1,eco,环保,false,zh,", "pattern_id", "is no name"),
        ("p1,,环保,false,zh,", "intent", "it is empty"),
        ("p1,green,不环保,true,zh,", "intent", "only negations"),
        ("first,eco,环保,false,zh,", "pattern_id", "already in row 2"),
    ],
)
def test_a_bad_pattern_is_told_with_row_column_and_remedy(
    tmp_path: Path, row: str, column: str, what: str
) -> None:
    text = f"pattern_id,intent,pattern,is_negation,language,note\nfirst,eco,绿色,false,zh,\n{row}\n"
    (tmp_path / "intent_lexicon.csv").write_text(text, encoding="utf-8")
    [problem] = read_intent_lexicon(tmp_path).problems
    assert (problem.file, problem.row_number, problem.column) == ("intent_lexicon.csv", 3, column)
    assert what in problem.what
    assert problem.remedy


def test_the_shipped_lexicon_has_no_problem() -> None:
    assert [str(problem) for problem in read_intent_lexicon(SEEDS).problems] == []
