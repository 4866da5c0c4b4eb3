"""Below which quality of identity nothing is published: ``identity_floors.csv``.

Add here: what a floor row may say.
Not here: how quality is measured (``lib/identity/quality``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable, refuse_problems

FILE = "identity_floors.csv"
COLUMNS = ("metric", "least", "most", "note")
RATES = ("pairwise_precision", "pairwise_recall", "pairwise_f1", "match_rate")
SIZES = ("cluster_size_p99", "cluster_size_max")
METRICS = (*RATES, *SIZES)


@dataclass(frozen=True)
class Floor:
    """The span one metric must stay in; ``None`` is open."""

    metric: str
    least: float | None
    most: float | None

    def is_kept_by(self, value: float) -> bool:
        """Whether a measured value lies in the span, both ends included."""
        is_above = self.least is None or value >= self.least
        return is_above and (self.most is None or value <= self.most)


def read_identity_floors(seeds_dir: Path) -> RuleTable:
    """The table with every problem in it."""
    return _read(seeds_dir)[0]


def load_identity_floors(seeds_dir: Path) -> tuple[Floor, ...]:
    """The floors of a table without problems.

    Raises:
        RuleError: Lists every problem with its row, column and what to write instead.
    """
    table, floors = _read(seeds_dir)
    refuse_problems(table.problems, "the identity floors", seeds_dir / FILE)
    return floors


def _read(seeds_dir: Path) -> tuple[RuleTable, tuple[Floor, ...]]:
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    floors = []
    for row in table.rows:
        metric = table.one_of(row, "metric", METRICS)
        least, most = (_number(table, row, column, metric) for column in ("least", "most"))
        if not (row.cells["least"] or row.cells["most"]):
            table.complain(row.number, "least", "the row asks for nothing", "Write least or most")
        if least is not None and most is not None and least > most:
            table.complain(row.number, "most", "it is below least", "Write the larger one here")
        if metric is not None:
            floors.append(Floor(metric, least, most))
    if table.rows:
        table.unique("metric")
    return table, tuple(floors)


def _number(table: RuleTable, row: Row, column: str, metric: str | None) -> float | None:
    """A share from 0 to 1, or a whole number of accounts."""
    text = row.cells[column]
    if not text or metric is None:
        return None
    if metric in SIZES:
        return table.whole_number(row, column, least=1)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 <= value <= 1:
        return value
    table.complain(row.number, column, f"'{text}' is no share", "Write a number from 0 to 1")
    return None
