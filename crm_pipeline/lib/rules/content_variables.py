"""What the texts of a journey may show: ``content_variables.csv``.

Add here: what a row may say.
Not here: the values (the audiences' columns), the texts (``content_library``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "content_variables.csv"
COLUMNS = (
    "journey", "variable", "can_be_null", "max_signs", "example_zh", "example_en", "meaning",
)  # fmt: skip

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class ContentVariable:
    """A variable of a journey (or of one scene) and its longest value."""

    journey: str
    variable: str
    can_be_null: bool
    max_signs: int
    example_zh: str
    example_en: str

    def longest(self, language: str) -> str:
        """A value as long as one may be."""
        example = self.example(language)
        return (example * (self.max_signs // len(example) + 1))[: self.max_signs]

    def example(self, language: str) -> str:
        """A value a person may read, for previews."""
        return self.example_zh if language == "zh-CN" else self.example_en


def read_content_variables(seeds_dir: Path) -> RuleTable:
    """The table of variables with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        for column in ("journey", "variable"):
            if not _NAME.fullmatch(row.cells[column]):
                table.complain(row.number, column, f"'{row.cells[column]}' is no name",
                               "Write small letters, digits and _")  # fmt: skip
        table.one_of(row, "can_be_null", ("true", "false"))
        longest = table.whole_number(row, "max_signs", least=1, most=1000)
        if not row.cells["max_signs"]:
            table.complain(
                row.number, "max_signs", "it is empty", "Write the longest value's signs"
            )
        for column in ("example_zh", "example_en", "meaning"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write what people will read")
        for column in ("example_zh", "example_en"):
            if longest is not None and len(row.cells[column]) > longest:
                what = f"'{row.cells[column]}' is longer than max_signs"
                table.complain(row.number, column, what, "Write a shorter one, or raise max_signs")
    if table.rows:
        table.unique_together("journey", "variable")
    return table


def content_variables(seeds_dir: Path) -> tuple[ContentVariable, ...]:
    """The variables there are; empty when the table cannot be read."""
    table = read_content_variables(seeds_dir)
    return () if table.problems else tuple(
        ContentVariable(
            journey=row.cells["journey"],
            variable=row.cells["variable"],
            can_be_null=row.cells["can_be_null"] == "true",
            max_signs=int(row.cells["max_signs"]),
            example_zh=row.cells["example_zh"],
            example_en=row.cells["example_en"],
        )
        for row in table.rows
    )  # fmt: skip


def variables_of(scene: str, known: tuple[ContentVariable, ...]) -> dict[str, ContentVariable]:
    """The variables of a scene: those of its journey, and those of a row that names the scene."""
    mine = [v for v in known if scene == v.journey or scene.startswith(f"{v.journey}_")]
    mine.sort(key=lambda variable: len(variable.journey))
    return {variable.variable: variable for variable in mine}
