"""The page that describes the canonical entities.

Add here: what a person who maps a channel wants to see.
Not here: the contracts (``lib/ingestion/entities.py``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.ingestion.entities import ENTITIES, Column, Entity

SOURCE = "crm_pipeline/lib/ingestion/entities.py"
KIND_NAMES = {
    "id": "text, kept exactly",
    "money": "amount, decimal(18,6)",
    "quantity": "quantity, decimal(18,3)",
    "timestamp": "instant in UTC",
    "integer": "whole number",
    "boolean": "yes or no",
    "currency": "ISO 4217 code",
}


def render(root: Path) -> str:
    """The page ``docs/entities.md``; ``root`` is not used, the contracts are imported."""
    del root
    intro = (
        "A channel's YAML maps its columns to the columns of one of these entities. **Required**"
        " columns must be mapped or\ngiven as a constant, and are never empty. The key is unique"
        " within a channel.\n"
    )
    return "\n".join([heading("Entities", SOURCE), intro, *map(_section, ENTITIES.values())])


def _section(entity: Entity) -> str:
    key = ", ".join(code(name) for name in entity.natural_key)
    rows = [_row(column) for column in entity.columns]
    columns = ["Column", "Kind", "Required", "Meaning", "Personal data"]
    return f"## {entity.name}\n\n{entity.grain} Key: {key}.\n\n{table(columns, rows)}"


def _row(column: Column) -> list[str]:
    kind = " / ".join(column.values) if column.values else KIND_NAMES.get(column.kind, column.kind)
    meaning = column.meaning
    if column.may_allow:
        meaning += f" A feed may allow: {', '.join(column.may_allow)}."
    required = "yes" if column.required else ""
    return [code(column.name), kind, required, meaning, "" if column.pii == "none" else column.pii]
