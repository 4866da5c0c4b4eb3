"""All rule tables together.

Add here: a rule table to the list.
Not here: what one table may say (its own module).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.rules.caps import read_caps
from crm_pipeline.lib.rules.identifier_kinds import read_identifier_kinds
from crm_pipeline.lib.rules.identity_floors import read_identity_floors
from crm_pipeline.lib.rules.ladders import read_ladders
from crm_pipeline.lib.rules.table import RuleProblem

READERS = (read_ladders, read_caps, read_identifier_kinds, read_identity_floors)


def validate_rules(seeds_dir: Path) -> list[RuleProblem]:
    """Every problem in every rule table, in the order of the files and rows."""
    problems = [problem for reader in READERS for problem in reader(seeds_dir).problems]
    return sorted(problems, key=lambda problem: (problem.file, problem.row_number))


def check_rules(seeds_dir: Path) -> None:
    """Refuses rule tables with any problem.

    Raises:
        RuleError: Lists all problems with file, row, column and what to write instead.
    """
    problems = validate_rules(seeds_dir)
    if problems:
        raise RuleError(
            "the rule tables are refused:\n" + "\n".join(f"  {problem}" for problem in problems),
            where=str(seeds_dir),
            remedy="mend the rows named above; `make check` reads them again",
        )
