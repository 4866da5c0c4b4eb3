"""Tables for people with a spreadsheet.

Add here: what a spreadsheet would do to a cell, and how it is kept from it.
Not here: which tables are written.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from crm_pipeline.lib.files import atomic_path

# The last four are the full-width forms, which some spreadsheets run as well.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def neutralise(value: str) -> str:
    """``value`` so that no spreadsheet takes it for a formula."""
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value


def write_private_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, str]]
) -> None:
    """UTF-8 with a mark, as spreadsheets need it; every cell neutralised; for the owner alone."""
    with atomic_path(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8-sig", newline="", errors="replace") as target:
            writer = csv.DictWriter(target, columns, quoting=csv.QUOTE_ALL)
            writer.writeheader()
            for row in rows:
                writer.writerow({name: neutralise(value) for name, value in row.items()})
