"""Words of rules, and numbers of reach: the shipped ones pass, every mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crm_pipeline.lib.rules import outreach_rules, reach_rules
from crm_pipeline.lib.rules.outreach_rules import find_words, load_rule_words, read_outreach_rules
from crm_pipeline.lib.rules.reach_rules import read_reach_rules

pytestmark = pytest.mark.requirement("OUT-3")

ROOT = Path(__file__).resolve().parents[4]
SEEDS = ROOT / "dbt_project" / "seeds"
# A rule as it is written in SQL: a whole id, or its beginning before something is appended.
RULE = re.compile(
    r"'((?:send|consent|reach|suppression|claim|trigger|exit|complaint|stock|price|gate|content|"
    r"quiet|holdout|fatigue|cap|quota|budget|priority)\.[a-z_]*)'"
)


def rule_ids() -> set[str]:
    """Every rule id in code and models."""
    texts = [
        path.read_text("utf-8")
        for folder, pattern in (
            (ROOT / "crm_pipeline" / "lib" / "outreach", "*.py"),
            (ROOT / "dbt_project" / "models" / "activation", "*.sql"),
            (ROOT / "dbt_project" / "models" / "intermediate" / "outreach", "*.sql"),
            (ROOT / "dbt_project" / "macros", "*.sql"),
        )
        for path in folder.rglob(pattern)
    ]
    return {rule for text in texts for rule in RULE.findall(text)}


def test_the_shipped_tables_have_no_problem() -> None:
    assert read_outreach_rules(SEEDS).problems == []
    assert read_reach_rules(SEEDS).problems == []


def test_every_rule_in_the_code_has_words() -> None:
    words = load_rule_words(SEEDS)
    known = rule_ids()
    assert {"reach.failures", "fatigue.unopened"} <= known
    silent = {
        rule
        for rule in known
        if find_words(words, rule + ("x" if rule.endswith(".") else "")) is None
    }
    assert silent == set()


def test_a_rule_is_told_by_its_own_words_before_those_of_its_group() -> None:
    words = load_rule_words(SEEDS)

    def found(rule_id: str) -> tuple[str, str] | None:
        match = find_words(words, rule_id)
        return (match[0].rule_id, match[1]) if match else None

    assert found("suppression.unknown_customer") == ("suppression.unknown_customer", "")
    assert found("suppression.deceased") == ("suppression.*", "deceased")
    assert found("cap.sms_week.person") == ("cap.*", "sms_week.person")
    assert found("nothing.like_it") is None


@pytest.mark.parametrize(
    ("old", "new", "column", "what"),
    [
        ("quiet.day,held", "quiet.day,later", "outcome", "'later' is not known"),
        ("quiet.day,held", "Quiet,held", "rule_id", "'Quiet' is no rule"),
        ("quiet.hours,held", "quiet.day,held", "rule_id", "is already in row"),
        ("{holdout_pct}", "{salary}", "text_zh", "{salary} is no input of a decision"),
        ("{holdout_pct}", "{{holdout_pct}}", "text_zh", "is no placeholder"),
        ("没有适合的文案", "", "text_zh", "it is empty"),
        ("result.refused", "result.lost", "rule_id", "result.refused has no words"),
    ],
)
def test_wrong_words_are_told(tmp_path: Path, old: str, new: str, column: str, what: str) -> None:
    text = (SEEDS / outreach_rules.FILE).read_text("utf-8")
    assert old in text
    (tmp_path / outreach_rules.FILE).write_text(text.replace(old, new, 1), "utf-8")
    problems = read_outreach_rules(tmp_path).problems
    assert any(what in p.what and p.column == column and p.remedy for p in problems), problems


@pytest.mark.requirement("OUT-8")
@pytest.mark.parametrize(
    ("old", "new", "column", "what"),
    [
        ("email,3,6,90", "fax,3,6,90", "consent_channel", "'fax' is not known"),
        ("email,3,6,90", "sms,3,6,90", "consent_channel", "email has no row"),
        ("email,3,6,90", "email,,6,90", "max_failures", "it is empty"),
        ("email,3,6,90", "email,0,6,90", "max_failures", "0 is out of range"),
        ("email,3,6,90", "email,3,6,", "unopened_days", "one of max_unopened and unopened_days"),
        (
            "6,90,3,2,9,20,Mail",
            "6,90,3,2,21,20,Mail",
            "best_hour_until",
            "is before best_hour_from",
        ),
        ("6,90,3,2,9,20,Mail", "6,90,3,2,9,24,Mail", "best_hour_until", "24 is out of range"),
    ],
)
def test_wrong_numbers_of_reach_are_told(
    tmp_path: Path, old: str, new: str, column: str, what: str
) -> None:
    text = (SEEDS / reach_rules.FILE).read_text("utf-8")
    assert old in text
    (tmp_path / reach_rules.FILE).write_text(text.replace(old, new, 1), "utf-8")
    problems = read_reach_rules(tmp_path).problems
    assert any(what in p.what and p.column == column and p.remedy for p in problems), problems
