"""The tiers of each ladder, their order and names: ``rfm_tier_labels.csv``.

Add here: what a label may say.
Not here: who gets a tier (``ladders``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from crm_pipeline.lib.rules.table import RuleTable

FILE = "rfm_tier_labels.csv"
COLUMNS = ("ladder", "tier", "rank", "name_zh", "name_en")

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def read_tier_labels(seeds_dir: Path) -> RuleTable:
    """The table of tiers with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    ranks: dict[tuple[str, int], int] = {}
    for row in table.rows:
        ladder = row.cells["ladder"]
        for column in ("ladder", "tier"):
            name = row.cells[column]
            if not _NAME.fullmatch(name):
                remedy = "Write small letters, digits and underscores"
                table.complain(row.number, column, f"'{name}' is no name", remedy)
        for column in ("name_zh", "name_en"):
            if not row.cells[column]:
                table.complain(row.number, column, "it is empty", "Write what people will read")
        rank = table.whole_number(row, "rank", least=1)
        if rank is None:
            if not row.cells["rank"]:
                table.complain(row.number, "rank", "it is empty", "Write 1 for the highest tier")
        elif (ladder, rank) in ranks:
            what = f"{rank} is already in row {ranks[ladder, rank]} of this ladder"
            table.complain(row.number, "rank", what, "Give each tier a rank of its own")
        else:
            ranks[ladder, rank] = row.number
    table.unique_together("ladder", "tier")
    return table


def labelled_tiers(seeds_dir: Path) -> Mapping[str, tuple[str, ...]]:
    """The tiers there are by ladder, the highest first; empty when the table cannot be read."""
    table = read_tier_labels(seeds_dir)
    tiers: dict[str, list[str]] = defaultdict(list)
    if not table.problems:
        for row in sorted(table.rows, key=lambda row: int(row.cells["rank"])):
            tiers[row.cells["ladder"]].append(row.cells["tier"])
    return {ladder: tuple(names) for ladder, names in tiers.items()}
