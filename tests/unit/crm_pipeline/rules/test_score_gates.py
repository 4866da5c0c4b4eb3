"""Limits of scores, read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.reporting.model_words import WORDS
from crm_pipeline.lib.rules.score_gates import (
    COLUMNS,
    FILE,
    MEASURES,
    load_score_gates,
    read_score_gates,
)

SEEDS = Path(__file__).parents[4] / "dbt_project" / "seeds"
GOOD = "churn,auc,0.55,0.93,yes,yes,because"


def problems(folder: Path, *rows: str) -> list[str]:
    (folder / FILE).write_text("\n".join([",".join(COLUMNS), *rows]) + "\n", encoding="utf-8")
    return [str(problem) for problem in read_score_gates(folder).problems]


def test_the_shipped_limits_have_no_problem_and_guard_what_the_mission_names() -> None:
    assert read_score_gates(SEEDS).problems == []
    for score, calibration in (("churn", "ece"), ("clv", "interval_coverage_pct")):
        held = {gate.measure for gate in load_score_gates(SEEDS, score) if gate.holds_outreach}
        assert {"score_psi", calibration, "score_age_days"} <= held


def test_every_shipped_limit_has_a_name_in_the_reports() -> None:
    measures = {gate.measure for score in MEASURES for gate in load_score_gates(SEEDS, score)}
    assert {f"check_{measure}" for measure in measures} <= WORDS.keys()


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("chrn,auc,0.5,,yes,yes,because", "'chrn' is not known"),
        ("churn,au,0.5,,yes,yes,because", "'au' is not known"),
        ("churn,normalized_gini,0.5,,yes,yes,because", "'normalized_gini' is not known"),
        ("churn,auc,half,,yes,yes,because", "'half' is no number"),
        ("churn,auc,nan,,yes,yes,because", "'nan' is no number"),
        ("churn,auc,,,yes,yes,because", "both limits are empty"),
        ("churn,auc,0.9,0.5,yes,yes,because", "nothing is at least 0.9 and at most 0.5"),
        ("churn,auc,0.5,,ja,yes,because", "'ja' is not known"),
        ("churn,score_psi,,0.2,yes,yes,because", "score_psi is not known when a model is trained"),
        ("churn,auc,0.5,,yes,yes,", "it is empty"),
    ],
)
def test_a_limit_that_cannot_be_is_named_with_its_row(tmp_path: Path, row: str, told: str) -> None:
    (found,) = problems(tmp_path, row)
    assert "row 2" in found and told in found
    with pytest.raises(RuleError, match="row 2"):
        load_score_gates(tmp_path, "churn")


def test_a_measure_has_one_limit_per_score(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, GOOD, GOOD)
    assert "row 3" in found and "already in row 2" in found


def test_limits_are_allowed_themselves_and_no_number_never_is(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD, "clv,score_psi,,0.25,no,yes,because") == []
    (gate,) = load_score_gates(tmp_path, "churn")
    assert gate.allows(0.55) and gate.allows(0.93)
    assert not gate.allows(0.5499) and not gate.allows(0.9301) and not gate.allows(float("nan"))
    assert gate.limits == "0.55 to 0.93"
    (drift,) = load_score_gates(tmp_path, "clv")
    assert drift.limits == "at most 0.25" and drift.allows(0.25) and not drift.allows(0.26)
