"""The pages that describe the canonical entities: an index, and one page per family.

Add here: what a person who maps a channel or reads staging wants to see.
Not here: the contracts (``lib/ingestion/contracts``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.ingestion.contracts import (
    behaviour,
    customers,
    marketing,
    reference,
    sales,
    service,
    supply,
)
from crm_pipeline.lib.ingestion.contracts.columns import Column, Entity
from crm_pipeline.lib.ingestion.feeds import load_feeds

SOURCE = "crm_pipeline/lib/ingestion/contracts"
CHANNELS = "crm_pipeline/defs/channels"
FAMILIES: dict[str, ModuleType] = {
    module.__name__.rsplit(".", 1)[-1]: module
    for module in (sales, customers, behaviour, service, supply, marketing, reference)
}
KIND_NAMES = {
    "id": "text, kept exactly",
    "money": "amount, decimal(18,6)",
    "quantity": "quantity, decimal(18,3)",
    "timestamp": "instant",
    "integer": "whole number",
    "boolean": "yes or no",
    "currency": "ISO 4217 code",
}
PII_NAMES = {
    "none": "",
    "indirect": "leads to a person",
    "direct": "names or reaches a person; never leaves the private part",
    "sensitive": "needs care by law",
}
COLUMNS = ["Column", "Kind", "Unit", "Required", "Meaning", "Personal data"]
Feeds = Mapping[str, list[str]]


def family_pages() -> dict[str, Callable[[Path], str]]:
    """Path of each family's page -> the function that renders it."""
    return {f"docs/entities/{name}.md": partial(render_family, name) for name in FAMILIES}


def render(root: Path) -> str:
    """The page ``docs/entities.md``: every entity with its feeds, by family."""
    intro = (
        "A channel's YAML maps its columns to the columns of one of these entities; whatever the"
        " channel calls them,\nbehind the door they are called, typed and meant like this. The key"
        " is unique within a channel.\n"
    )
    feeds = _feeds_by_entity(root)
    parts = [heading("Entities", SOURCE), intro]
    for name, module in FAMILIES.items():
        rows = [_index_row(name, entity, feeds) for entity in entities_of(module)]
        columns = ["Entity", "One record is", "Staging model", "Feeds"]
        parts.append(f"## {_title(module)}\n\n{table(columns, rows)}")
    return "\n".join(parts)


def render_family(name: str, root: Path) -> str:
    """The page of one family: columns, units and meaning of its entities."""
    module, feeds = FAMILIES[name], _feeds_by_entity(root)
    intro = (
        "**Required** columns must be mapped or given as a constant, and are never empty. Instants"
        " are kept in UTC,\nwhatever zone the channel writes.\n"
    )
    sections = [_section(entity, feeds) for entity in entities_of(module)]
    return "\n".join([heading(_title(module), f"{SOURCE}/{name}.py"), intro, *sections])


def entities_of(module: ModuleType) -> list[Entity]:
    """The entities a module of contracts defines, in its order."""
    return [value for value in vars(module).values() if isinstance(value, Entity)]


def staging_model(entity: Entity) -> str:
    """The dbt model that reads the entity's records."""
    return f"stg_{entity.name}"


def _feeds_by_entity(root: Path) -> Feeds:
    found: dict[str, list[str]] = {}
    for feed in load_feeds(root / CHANNELS):
        found.setdefault(feed.entity, []).append(feed.feed)
    return found


def _title(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0].rstrip(".")


def _index_row(family: str, entity: Entity, feeds: Feeds) -> list[str]:
    link = f"[{entity.name}](entities/{family}.md#{entity.name})"
    grain = entity.grain.removeprefix("One ").rstrip(".")
    return [link, grain, code(f"staging.{staging_model(entity)}"), _listed(entity, feeds)]


def _section(entity: Entity, feeds: Feeds) -> str:
    key = ", ".join(code(name) for name in entity.natural_key)
    facts = [f"Key: {key}.", f"Staging model: {code(staging_model(entity))}."]
    if entity.event_time:
        facts.insert(1, f"Happens at: {code(entity.event_time)}.")
    facts.append(f"Feeds: {_listed(entity, feeds) or 'none yet'}.")
    rows = table(COLUMNS, [_row(column, entity) for column in entity.columns])
    return f"## {entity.name}\n\n{entity.grain} {' '.join(facts)}\n\n{rows}"


def _listed(entity: Entity, feeds: Feeds) -> str:
    return ", ".join(code(name) for name in feeds.get(entity.name, []))


def _row(column: Column, entity: Entity) -> list[str]:
    kind = " / ".join(column.values) if column.values else KIND_NAMES.get(column.kind, column.kind)
    meaning = column.meaning
    if column.may_allow:
        meaning += f" A feed may allow: {', '.join(column.may_allow)}."
    required = "yes" if column.required else ""
    unit = _unit(column, entity)
    return [code(column.name), kind, unit, required, meaning, PII_NAMES[column.pii]]


def _unit(column: Column, entity: Entity) -> str:
    """The unit; for money the column beside it that names the currency (a rate has none)."""
    if column.unit != "currency":
        return column.unit
    return f"in {code('currency')}" if "currency" in entity.column_names else ""
