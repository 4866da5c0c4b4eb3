"""What the old system says about its own file.

Add here: where control totals may stand.
Not here: comparing them.

``<name>.control.json`` beside the file holds ``records``, ``distinct_keys`` and ``sums`` by column.
The door does not read it: a file with bad records is taken in, its bad records are rejected one by
one, and the difference is shown. (Totals of ``<name>.manifest.json`` refuse a file as a whole.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from crm_pipeline.lib.errors import ConfigError, LandingError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.landing import read_manifest

CONTROL = ".control.json"
KEYS = ("records", "distinct_keys", "sums")
LIMIT = 100_000


@dataclass(frozen=True)
class Control:
    """Control totals; what is absent was not declared."""

    records: int | None = None
    distinct_keys: int | None = None
    sums: Mapping[str, Decimal] = field(default_factory=dict)


def read_control(spec: FeedSpec, path: Path) -> Control | None:
    """The control totals of the landed file ``path``, by canonical column, if there are any.

    Raises:
        ConfigError: they cannot be understood.
    """
    companion = path.with_name(path.name + CONTROL)
    try:
        if companion.is_file():
            if companion.stat().st_size > LIMIT:
                raise ValueError("it is too large")
            return _control(spec, json.loads(companion.read_text(encoding="utf-8-sig")))
        manifest = read_manifest(path)
    except (ValueError, OSError, RecursionError, LandingError) as error:
        raise ConfigError(
            f"the control totals cannot be understood: {getattr(error, 'what', error)}",
            where=str(companion),
            remedy='write {"records": count, "distinct_keys": count, "sums": {column: "sum"}}',
        ) from None
    if manifest is None:
        return None
    return _control(spec, {"records": manifest.records, "sums": dict(manifest.control_totals)})


def _control(spec: FeedSpec, said: Any) -> Control:
    if not isinstance(said, dict) or set(said) - set(KEYS):
        raise ValueError(f"only {', '.join(KEYS)} may stand there")
    counts = {}
    for key in KEYS[:2]:
        count = said.get(key)
        if count is not None and (type(count) is not int or count < 0):
            raise ValueError(f"{key} is no count")
        counts[key] = count
    sums = said.get("sums") or {}
    if not isinstance(sums, dict):
        raise ValueError("sums is no object")
    names = {str(mapping.source): name for name, mapping in spec.columns.items() if mapping.source}
    found: dict[str, Decimal] = {}
    if not summed_columns(spec):  # a second feed of the file reads who, the first how much
        sums = {}
    for column, total in sums.items():
        name = names.get(column, column)
        if name not in summed_columns(spec):
            known = ", ".join(summed_columns(spec))
            raise ValueError(f"{column!r} is no column with a sum ({known})")
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]{1,6})?", str(total)) or isinstance(total, float):
            raise ValueError(f"the sum of {column} is no plain number written as text")
        found[name] = Decimal(str(total))
    return Control(counts["records"], counts["distinct_keys"], found)


def summed_columns(spec: FeedSpec) -> list[str]:
    """Columns whose sum means something: money and counts that come from the file."""
    kinds = {column.name: column.kind for column in spec.contract.columns}
    return [
        name
        for name, mapping in spec.columns.items()
        if mapping.source and kinds.get(name) in ("money", "quantity", "integer")
    ]
