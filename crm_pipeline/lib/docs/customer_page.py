"""The page that tells every column of ``customer_360``: what it is, in which unit, made from what.

Add here: what a reader of the one wide table wants to know of it.
Not here: the columns themselves (``customer_360.yml`` and the texts in ``dbt_project/docs``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from crm_pipeline.lib.docs.markdown import code, heading, table

CONTRACT = "dbt_project/models/marts/customers/customer_360.yml"
TEXTS = "dbt_project/docs/columns.md"

_SECTION = re.compile(r"^ {6}# (?P<title>.+)$")
_COLUMN = re.compile(r"^ {6}- name: (?P<name>\w+)$")
_TEXT = re.compile(r"\{% docs (\w+) %\}\s*(.*?)\s*\{% enddocs %\}", re.DOTALL)
_REFERENCE = re.compile(r"\{\{ doc\('(\w+)'\) \}\}")


def render(root: Path) -> str:
    """The page ``docs/customer_360.md``: one table per group of columns, in their order."""
    contract = (root / CONTRACT).read_text(encoding="utf-8")
    texts = dict(_TEXT.findall((root / TEXTS).read_text(encoding="utf-8")))
    [model] = yaml.safe_load(contract)["models"]
    columns = {column["name"]: column for column in model["columns"]}
    pages = [heading("The columns of customer_360", f"{CONTRACT} and {TEXTS}"), _INTRO]
    for title, names in _sections(contract).items():
        rows = [_row(columns[name], texts) for name in names]
        pages += [f"## {title}\n", table(["Column", "Type", "Unit", "Meaning", "From"], rows)]
    return "\n".join(pages)


_INTRO = (
    "`marts.customer_360` has one row per customer. A count is 0 where there is no fact; a mean, a"
    " share, a day or a\nname is null. What only a device is known of, a visitor before login,"
    " belongs to no customer and is not counted.\nEvents count as they stand in the rollups: those"
    " that came within the look-back (`late_lookback_days`). Windows and\nlimits are vars of"
    " `dbt_project/dbt_project.yml`.\n"
)


def _sections(contract: str) -> dict[str, list[str]]:
    """The comments between the columns -> the columns below each."""
    sections: dict[str, list[str]] = {}
    title = ""
    for line in contract.splitlines():
        if found := _SECTION.match(line):
            title = found["title"].rstrip(".")
        elif found := _COLUMN.match(line):
            sections.setdefault(title, []).append(found["name"])
    return sections


def _row(column: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    meta = column["config"]["meta"]
    meaning = _REFERENCE.sub(lambda found: texts[found[1]], column["description"])
    if waits_for := meta.get("filled_by"):
        meaning = f"{meaning} Null until the models of {waits_for} fill it."
    return [code(column["name"]), column["data_type"], meta["unit"], meaning, meta["source"]]
