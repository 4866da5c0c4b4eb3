"""Generated documentation.

Add here: what the tables must refuse, and that the pages are current.
Not here: what the pages describe.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_pipeline.lib.docs import bad_inputs_table, config_keys, entity_pages, requirements_table
from crm_pipeline.lib.docs.__main__ import ROOT, main
from crm_pipeline.lib.docs.marks import find_marks
from crm_pipeline.lib.docs.pages import find_problems
from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.ingestion.contracts.columns import Entity

ROWS = """
ING:
  name: Ingestion
  rows:
    ING-1: {priority: M, state: built, title: "First | of two", config: "a.yaml", model: x}
    ING-2: {priority: S, state: planned, title: Second, config: "secret place"}
"""
CASES = """
B01: {case: mark, outcome: normalised}
B02: {case: text, outcome: refused, open: comes later}
"""
MARK = "pytest.mark"  # spelled apart, so that this file marks nothing by what it quotes


def put(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    put(tmp_path, "docs/requirements.yml", ROWS)
    put(tmp_path, "docs/bad_inputs.yml", CASES)
    put(tmp_path, "docs/faults.yml", "F01: {case: killed, outcome: nothing lost}\n")
    put(
        tmp_path,
        "tests/unit/test_a.py",
        f"import pytest\n@{MARK}.requirement('ING-1')\n@{MARK}.bad_input('B01')\n"
        "def test_it_works(): ...\n",
    )
    return tmp_path


def test_a_consistent_project_has_no_problems(project: Path) -> None:
    assert find_problems(project) == []


def test_a_built_row_without_a_test_is_a_problem(project: Path) -> None:
    (project / "tests/unit/test_a.py").unlink()
    (problem,) = requirements_table.find_problems(project)
    assert "ING-1 is built but no test names it" in problem


def test_a_test_naming_an_unknown_row_is_a_problem(project: Path) -> None:
    put(project, "tests/test_b.py", f"@{MARK}.requirement('ING-99')\ndef test_b(): ...\n")
    (problem,) = requirements_table.find_problems(project)
    assert "test_b.py::test_b: names requirement ING-99" in problem


def test_a_bad_input_needs_a_test_or_a_reason(project: Path) -> None:
    (project / "tests/unit/test_a.py").unlink()
    (problem,) = bad_inputs_table.find_problems(project)
    assert "B01 has no test and no reason" in problem


def test_a_test_of_an_unknown_bad_input_is_a_problem(project: Path) -> None:
    put(project, "tests/test_b.py", f"pytestmark = {MARK}.bad_input('B99')\n")
    (problem,) = bad_inputs_table.find_problems(project)
    assert problem.startswith("test_b.py: names case B99")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("state: built", "state: done", "has state 'done'"),
        ("priority: S", "priority: X", "has priority 'X'"),
        ("title: Second", "titel: Second", "unknown keys ['titel']"),
        ("ING-2:", "QLT-2:", "stands under ING"),
    ],
)
def test_a_bad_row_is_refused(project: Path, old: str, new: str, said: str) -> None:
    put(project, "docs/requirements.yml", ROWS.replace(old, new))
    with pytest.raises(ConfigError) as error:
        requirements_table.read_requirements(project)
    assert said in str(error.value)


def test_the_requirement_page_shows_proof_and_hides_plans(project: Path) -> None:
    page = requirements_table.render(project)
    assert "1 of 2 rows are built" in page
    assert "First \\| of two" in page
    assert "`unit/test_a.py::test_it_works`" in page
    assert "secret place" not in page


def test_the_bad_input_page_shows_test_or_reason(project: Path) -> None:
    page = bad_inputs_table.render_inputs(project)
    assert "| B01 | mark | normalised | `unit/test_a.py::test_it_works` |" in page
    assert "| B02 | text | refused | not yet: comes later |" in page


def test_marks_are_found_on_functions_classes_files_and_parameters(tmp_path: Path) -> None:
    put(
        tmp_path,
        "tests/test_marks_everywhere.py",
        f"pytestmark = [{MARK}.requirement('A-1')]\n"
        f"@{MARK}.requirement('A-2', 'A-3')\ndef test_f(): ...\n"
        f"@{MARK}.requirement('A-4')\nclass TestC:\n"
        f"    @{MARK}.requirement('A-5')\n    def test_m(self): ...\n"
        f"@{MARK}.parametrize('x', [pytest.param(1, marks={MARK}.requirement('A-6'))])\n"
        "def test_p(x): ...\n",
    )
    assert {
        name: sorted(tests)[0] for name, tests in find_marks(tmp_path, "requirement").items()
    } == {
        "A-1": "test_marks_everywhere.py",
        "A-2": "test_marks_everywhere.py::test_f",
        "A-3": "test_marks_everywhere.py::test_f",
        "A-4": "test_marks_everywhere.py::TestC",
        "A-5": "test_marks_everywhere.py::TestC::test_m",
        "A-6": "test_marks_everywhere.py::test_p",
    }


def test_marks_are_found_in_dbt_tests(tmp_path: Path) -> None:
    put(
        tmp_path,
        "dbt_project/models/tiers.yml",
        "unit_tests:\n- name: silent_is_dormant\n  config: {meta: {requirement: [CUS-5]}}\n"
        "models:\n- name: tiers\n  columns:\n  - name: tier\n    data_tests:\n"
        "    - unique: {name: one_tier_each, config: {meta: {requirement: CUS-4}}}\n",
    )
    put(
        tmp_path,
        "dbt_project/tests/singular/assert_money_balances.sql",
        "{{ config(meta={'requirement': ['QLT-3']}) }}\nselect 1 where false\n",
    )
    assert find_marks(tmp_path, "requirement") == {
        "CUS-5": {"dbt: silent_is_dormant"},
        "CUS-4": {"dbt: one_tier_each"},
        "QLT-3": {"dbt: assert_money_balances"},
    }


def test_every_entity_is_in_the_index_and_every_column_on_its_family_page() -> None:
    from crm_pipeline.lib.ingestion.entities import ENTITIES

    index = entity_pages.render(ROOT)
    described = set()
    for name, module in entity_pages.FAMILIES.items():
        page = entity_pages.render_family(name, ROOT)
        for entity in entity_pages.entities_of(module):
            described.add(entity.name)
            assert f"[{entity.name}](entities/{name}.md#{entity.name})" in index
            section = page.split(f"## {entity.name}\n")[1].split("\n## ")[0]
            assert all(f"| `{column}` |" in section for column in entity.column_names)
            assert all(f"| {unit} |" in section for unit in units_of(entity))
    assert described == set(ENTITIES)


def units_of(entity: Entity) -> set[str]:
    """Units as the page writes them; money names the column that holds its currency."""
    return {column.unit for column in entity.columns if column.unit} - {"currency"}


def test_every_key_of_a_feed_is_on_its_page() -> None:
    from crm_pipeline.lib.ingestion.feed_spec import FeedSpec

    page = config_keys.render(ROOT)
    for name, info in FeedSpec.model_fields.items():
        assert f"| `{info.alias or name}` |" in page


def test_the_generated_pages_are_up_to_date_and_nothing_contradicts_them() -> None:
    result = CliRunner().invoke(main, ["--check"])
    assert result.exit_code == 0, result.output
