"""The tables bad input -> outcome -> test and fault -> what holds -> test.

Add here: how cases and tests are brought together.
Not here: the cases (``docs/bad_inputs.yml``, ``docs/faults.yml``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.docs.marks import find_marks
from crm_pipeline.lib.strict_yaml import load_document

INPUTS = "docs/bad_inputs.yml"
FAULTS = "docs/faults.yml"
REASONS = {"open": "not yet", "not_applicable": "does not apply"}
Cases = dict[str, dict[str, Any]]


def read_cases(root: Path, source: str) -> Cases:
    """Case number -> case, outcome and, where there is no test, the reason."""
    cases: Cases = load_document(root / source).data
    return cases


def find_problems(root: Path) -> list[str]:
    """Bad inputs with neither test nor reason, and tests of cases that do not exist."""
    inputs, faults = read_cases(root, INPUTS), read_cases(root, FAULTS)
    marks = find_marks(root, "bad_input")
    problems = [
        f"{INPUTS}: {name} has no test and no reason;"
        f' add @pytest.mark.bad_input("{name}") to its test, or say open or not_applicable'
        for name, case in inputs.items()
        if name not in marks and not REASONS.keys() & case.keys()
    ]
    for name in sorted(set(marks) - set(inputs) - set(faults)):
        tests = ", ".join(sorted(marks[name]))
        problems.append(f"{tests}: names case {name}, which is in neither {INPUTS} nor {FAULTS}")
    return problems


def render_inputs(root: Path) -> str:
    """The page ``docs/bad_inputs.md``."""
    intro = (
        "Refused means: the whole file, its raw bytes are kept.\n"
        "Quarantined means: that record, with a reason; the others go on.\n"
    )
    return _page(root, INPUTS, "Bad inputs", intro, "What arrives")


def render_faults(root: Path) -> str:
    """The page ``docs/faults.md``."""
    intro = "Each tested fault is injected on purpose.\n"
    return _page(root, FAULTS, "Faults", intro, "What breaks")


def _page(root: Path, source: str, title: str, intro: str, first: str) -> str:
    cases = read_cases(root, source)
    marks = find_marks(root, "bad_input")
    tested = sum(name in marks for name in cases)
    rows = [
        [name, case["case"], case["outcome"], _proof(name, case, marks)]
        for name, case in cases.items()
    ]
    return "\n".join(
        [
            heading(title, source),
            f"{tested} of {len(cases)} cases have a test. {intro}",
            table(["Case", first, "What happens", "Test"], rows),
        ]
    )


def _proof(name: str, case: dict[str, Any], marks: dict[str, set[str]]) -> str:
    proofs = [code(test) for test in sorted(marks.get(name, ()))]
    proofs += [f"{word}: {case[key]}" for key, word in REASONS.items() if key in case]
    return "<br>".join(proofs) or "no test yet"
