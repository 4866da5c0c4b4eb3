"""Words of weather warnings and advisors' tasks: the shipped are whole, mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_pipeline.lib.rules import advisor_tasks, weather_words
from crm_pipeline.lib.rules.advisor_tasks import read_advisor_tasks
from crm_pipeline.lib.rules.table import RuleTable
from crm_pipeline.lib.rules.weather_words import read_weather_words

pytestmark = pytest.mark.requirement("OUT-1")

ROOT = Path(__file__).resolve().parents[4]
SEEDS = ROOT / "dbt_project" / "seeds"


def shipped_and(folder: Path, file: str, *rows: str, without: str = "-") -> Path:
    """The shipped table with rows added, and without those that begin with a word."""
    lines = (SEEDS / file).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(without)]
    (folder / file).write_text("\n".join([*kept, *rows]) + "\n", encoding="utf-8")
    return folder


def told(table: RuleTable) -> list[tuple[str, str]]:
    assert all(problem.remedy for problem in table.problems)
    return [(problem.column, problem.what) for problem in table.problems]


def test_the_shipped_words_have_no_problem() -> None:
    assert told(read_weather_words(SEEDS)) == []
    assert told(read_advisor_tasks(SEEDS)) == []


def test_every_kind_of_task_the_audience_gives_has_words() -> None:
    model = ROOT / "dbt_project" / "models" / "activation" / "advisor_task_audience.sql"
    text = model.read_text(encoding="utf-8")
    assert all(f"'{kind}'" in text for kind in advisor_tasks.KINDS)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("hail,冰雹,hail,小心,beware", ("alert_kind", "'hail' is not known")),
        ("heat,高温,heat,小心,beware", ("alert_kind", "'heat' is already in row 2")),
        ("heat,,heat,小心,beware", ("alert_zh", "it is empty")),
        ("heat,高温,heat,小心,", ("care_en", "it is empty")),
    ],
)
def test_a_wrong_word_for_the_weather_is_told(
    tmp_path: Path, row: str, problem: tuple[str, str]
) -> None:
    assert problem in told(read_weather_words(shipped_and(tmp_path, weather_words.FILE, row)))


def test_a_warning_without_words_is_told(tmp_path: Path) -> None:
    table = read_weather_words(shipped_and(tmp_path, weather_words.FILE, without="snow"))
    what = "no row is for snow, so nobody would be warned of it"
    assert told(table) == [("alert_kind", what)]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("chat,聊天,chat", ("task_kind", "'chat' is not known")),
        ("rhythm_broken,,why", ("task_zh", "it is empty")),
        ("rhythm_broken,聊天,why", ("task_kind", "'rhythm_broken' is already in row 2")),
    ],
)
def test_a_wrong_task_is_told(tmp_path: Path, row: str, problem: tuple[str, str]) -> None:
    assert problem in told(read_advisor_tasks(shipped_and(tmp_path, advisor_tasks.FILE, row)))


def test_a_missing_task_is_told(tmp_path: Path) -> None:
    folder = shipped_and(tmp_path, advisor_tasks.FILE, without="after_purchase")
    what = "no row is for after_purchase, so nobody would be called for it"
    assert told(read_advisor_tasks(folder)) == [("task_kind", what)]
