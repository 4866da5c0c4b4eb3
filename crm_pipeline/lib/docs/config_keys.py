"""The page that lists every key the YAML of a feed or a pull source may hold.

Add here: how a JSON schema becomes a page.
Not here: the keys (``lib/ingestion/feed_spec.py``, ``lib/pull/spec.py``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from crm_pipeline.lib.docs.markdown import code, heading, table
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.pull import PullSpec

SOURCE = "crm_pipeline/lib/ingestion/feed_spec.py and crm_pipeline/lib/pull/spec.py"
PULL = (
    "A source that is asked ([pull_sources.md](pull_sources.md)) stands in the file of its feed:"
    "\n`type: crm_pipeline.components.PullSource` and, below `attributes:`, these keys.\n"
)
COLUMNS = ["Key", "Value", "Default", "Meaning", "Example"]
Schema = dict[str, Any]


def render(root: Path) -> str:
    """The page ``docs/config_keys.md``; ``root`` is not used, the model is imported."""
    del root
    schema = FeedSpec.model_json_schema(by_alias=True)
    intro = (
        "A channel is added with one file `crm_pipeline/defs/channels/<channel>/defs.yaml`:"
        " `type: crm_pipeline.components.ChannelFeed`\nand, below `attributes:`, the keys of this"
        " page. Every other key is refused with file, line and what to write instead.\n"
        "The columns of each entity stand in [entities.md](entities.md).\n"
    )
    sections = [_section("Feed", schema)]
    sections += [_section(name, part) for name, part in schema["$defs"].items()]
    pull = PullSpec.model_json_schema(by_alias=True)
    sections += [PULL, _section("Pull source", pull)]
    sections += [_section(name, part) for name, part in pull["$defs"].items()]
    return "\n".join([heading("Settings of a feed", SOURCE), intro, *sections])


def _section(name: str, schema: Schema) -> str:
    required = schema.get("required", [])
    rows = [_row(key, part, key in required) for key, part in schema["properties"].items()]
    text = schema.get("description", "").replace("``", "`")
    return f"## {name}\n\n{text}\n\n{table(COLUMNS, rows)}"


def _row(key: str, schema: Schema, is_required: bool) -> list[str]:
    default = "**required**" if is_required else _default(schema.get("default"))
    examples = ", ".join(code(str(example)) for example in schema.get("examples", []))
    meaning = schema.get("description", "").replace("<", "&lt;")
    return [code(key), _kind(schema), default, meaning, examples]


def _default(value: object) -> str:
    if value in (None, "", []):
        return ""
    return code(json.dumps(value, ensure_ascii=False))


def _kind(schema: Schema) -> str:
    """What may stand there, in words; absent (null) goes without saying."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        kinds = [_kind(part) for part in schema["anyOf"] if part.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return " / ".join(code(str(value)) for value in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return f"mapping to {_kind(inner)}"
    words = {"string": "text", "integer": "whole number", "boolean": "true / false"}
    kind = str(schema.get("type", "anything"))
    return words.get(kind, kind)
