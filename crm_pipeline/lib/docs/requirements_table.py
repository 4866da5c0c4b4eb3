"""The table requirement -> state -> config -> model -> test.

Add here: how rows and tests are brought together.
Not here: the rows (``docs/requirements.yml``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.docs.marks import find_marks
from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.strict_yaml import load_document

SOURCE = "docs/requirements.yml"
PRIORITIES = {"M": "must", "S": "should", "B": "beyond"}
STATES = ("planned", "built")
KEYS = {"priority", "state", "title", "config", "model"}


@dataclass(frozen=True)
class Requirement:
    """One row of the table."""

    id: str
    group: str
    priority: str
    state: str
    title: str
    config: str = ""
    model: str = ""


def read_requirements(root: Path) -> list[Requirement]:
    """The rows in their order; a row with an unknown key, state or priority is refused."""
    groups = load_document(root / SOURCE).data
    return list(_rows(groups))


def find_problems(root: Path) -> list[str]:
    """Built rows without a test and tests that name a row which does not exist."""
    rows = {row.id: row for row in read_requirements(root)}
    marks = find_marks(root, "requirement")
    untested = [row.id for row in rows.values() if row.state == "built" and row.id not in marks]
    problems = [
        f"{SOURCE}: {name} is built but no test names it;"
        f' add @pytest.mark.requirement("{name}") to the test that proves it'
        for name in untested
    ]
    for name in sorted(set(marks) - set(rows)):
        tests = ", ".join(sorted(marks[name]))
        problems.append(f"{tests}: names requirement {name}, which is not in {SOURCE}")
    return problems


def render(root: Path) -> str:
    """The page ``docs/requirements.md``."""
    rows = read_requirements(root)
    marks = find_marks(root, "requirement")
    built = sum(row.state == "built" for row in rows)
    parts = [
        heading("Requirements", SOURCE),
        f"{built} of {len(rows)} rows are built. A built row has at least one test that fails when"
        " the row is broken;\na planned row may have tests for the part that exists.\n"
        "Priority: must, should, beyond (what others do not have).\n",
    ]
    for group in dict.fromkeys(row.group for row in rows):
        cells = [_cells(row, marks) for row in rows if row.group == group]
        parts.append(f"## {group}\n")
        parts.append(
            table(
                ["Id", "What", "Priority", "State", "Config", "Model or asset", "Tests"],
                cells,
            )
        )
    return "\n".join(parts)


def _cells(row: Requirement, marks: dict[str, set[str]]) -> list[str]:
    tests = "<br>".join(code(name) for name in sorted(marks.get(row.id, ())))
    # What a planned row will be called may still change: only built rows name their place.
    places = [code(row.config), code(row.model)] if row.state == "built" else ["", ""]
    return [row.id, row.title, PRIORITIES[row.priority], row.state, *places, tests]


def _rows(groups: dict[str, Any]) -> Iterator[Requirement]:
    for prefix, group in groups.items():
        for name, row in group["rows"].items():
            _check(prefix, name, row)
            yield Requirement(id=name, group=group["name"], **row)


def _check(prefix: str, name: str, row: dict[str, str]) -> None:
    if unknown := set(row) - KEYS:
        raise _refusal(name, f"unknown keys {sorted(unknown)}", f"use only {sorted(KEYS)}")
    if not name.startswith(f"{prefix}-"):
        raise _refusal(name, f"stands under {prefix}", "move it to its group")
    if row.get("state") not in STATES:
        raise _refusal(name, f"has state {row.get('state')!r}", f"use one of {STATES}")
    if row.get("priority") not in PRIORITIES:
        raise _refusal(name, f"has priority {row.get('priority')!r}", "use M, S or B")


def _refusal(name: str, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"requirement {name} {what}", where=SOURCE, remedy=remedy)
