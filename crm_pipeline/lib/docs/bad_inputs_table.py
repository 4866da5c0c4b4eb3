"""The table bad input -> outcome -> test.

Add here: how cases and tests are brought together.
Not here: the cases (``docs/bad_inputs.yml``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.docs.test_marks import find_marks

SOURCE = "docs/bad_inputs.yml"
REASONS = {"open": "not yet", "not_applicable": "does not apply"}


def read_cases(root: Path) -> dict[str, dict[str, Any]]:
    """Case number -> case, outcome and, where there is no test, the reason."""
    cases: dict[str, dict[str, Any]] = yaml.safe_load((root / SOURCE).read_text(encoding="utf-8"))
    return cases


def find_problems(root: Path) -> list[str]:
    """Cases with neither test nor reason, and tests of cases that do not exist."""
    cases = read_cases(root)
    marks = find_marks(root, "bad_input")
    problems = [
        f"{SOURCE}: {name} has no test and no reason;"
        f' add @pytest.mark.bad_input("{name}") to its test, or say open or not_applicable'
        for name, case in cases.items()
        if name not in marks and not REASONS.keys() & case.keys()
    ]
    for name in sorted(set(marks) - set(cases)):
        tests = ", ".join(sorted(marks[name]))
        problems.append(f"{tests}: names bad input {name}, which is not in {SOURCE}")
    return problems


def render(root: Path) -> str:
    """The page ``docs/bad_inputs.md``."""
    cases = read_cases(root)
    marks = find_marks(root, "bad_input")
    rows = [[name, case["case"], case["outcome"], _proof(name, case, marks)]
            for name, case in cases.items()]  # fmt: skip
    tested = sum(name in marks for name in cases)
    return "\n".join(
        [
            heading("Bad inputs", SOURCE),
            f"{tested} of {len(cases)} cases have a test. Refused means: the whole file, its raw"
            " bytes are kept.\nQuarantined means: that record, with a reason; the others go on.\n",
            table(["Case", "What arrives", "What happens", "Test"], rows),
        ]
    )


def _proof(name: str, case: dict[str, Any], marks: dict[str, set[str]]) -> str:
    proofs = [code(test) for test in sorted(marks.get(name, ()))]
    proofs += [f"{word}: {case[key]}" for key, word in REASONS.items() if key in case]
    return "<br>".join(proofs)
