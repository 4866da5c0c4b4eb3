"""Limits of scores: ``score_gates.csv``.

Add here: what a limit may say.
Not here: who is measured (``lib/scoring``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from crm_pipeline.lib.rules.table import Row, RuleTable, refuse_problems

FILE = "score_gates.csv"
COLUMNS = (
    "score",
    "measure",
    "at_least",
    "at_most",
    "holds_promotion",
    "holds_outreach",
    "reason",
)
# What each score can be measured by: of its backtest, of its past scores, of a night.
OF_A_NIGHT = ("score_psi", "model_age_days", "score_age_days")
MEASURES = {
    "churn": ("auc", "pr_auc", "lift_at_10pct", "brier", "ece", "realised_ece", *OF_A_NIGHT),
    "clv": (
        "spearman",
        "normalized_gini",
        "gini_gate_margin",
        "mae_over_mean",
        "interval_coverage_pct",
        *OF_A_NIGHT,
    ),
}
NOT_AT_TRAINING = ("realised_ece", *OF_A_NIGHT)


@dataclass(frozen=True)
class ScoreGate:
    """The span a measure of a score has to stay within, and what waits when it does not."""

    score: str
    measure: str
    at_least: float | None
    at_most: float | None
    holds_promotion: bool
    holds_outreach: bool

    def allows(self, value: float) -> bool:
        """Whether a value lies within the limits; one that is no number never does."""
        if not math.isfinite(value):
            return False
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    @property
    def limits(self) -> str:
        """The limits in words: ``0.55 to 0.93``, ``at most 0.25``."""
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}"


def read_score_gates(seeds_dir: Path) -> RuleTable:
    """The table of limits with every problem in it."""
    table = RuleTable(seeds_dir / FILE, COLUMNS)
    for row in table.rows:
        _check_row(table, row)
    table.unique_together("score", "measure")
    return table


def load_score_gates(seeds_dir: Path, score: str) -> tuple[ScoreGate, ...]:
    """The limits of one score.

    Raises:
        RuleError: The table has a problem; all of them are listed.
    """
    table = read_score_gates(seeds_dir)
    refuse_problems(table.problems, "the limits of scores", seeds_dir)
    return tuple(
        ScoreGate(
            score=score,
            measure=row.cells["measure"],
            at_least=_number(row.cells["at_least"]),
            at_most=_number(row.cells["at_most"]),
            holds_promotion=row.cells["holds_promotion"] == "yes",
            holds_outreach=row.cells["holds_outreach"] == "yes",
        )
        for row in table.rows
        if row.cells["score"] == score
    )


def _check_row(table: RuleTable, row: Row) -> None:
    score = table.one_of(row, "score", tuple(MEASURES))
    if score is not None:
        table.one_of(row, "measure", MEASURES[score])
    for name in ("holds_promotion", "holds_outreach"):
        table.one_of(row, name, ("yes", "no"))
    limits = [_limit(table, row, name) for name in ("at_least", "at_most")]
    if limits == [None, None] and not row.cells["at_least"] and not row.cells["at_most"]:
        table.complain(row.number, "at_least", "both limits are empty", "Write one of them")
    lower, upper = limits
    if lower is not None and upper is not None and lower > upper:
        what = f"nothing is at least {lower:g} and at most {upper:g}"
        table.complain(row.number, "at_most", what, "Write the smaller number into at_least")
    if row.cells["measure"] in NOT_AT_TRAINING and row.cells["holds_promotion"] == "yes":
        what = f"{row.cells['measure']} is not known when a model is trained"
        table.complain(row.number, "holds_promotion", what, "Write no")
    if not row.cells["reason"]:
        table.complain(row.number, "reason", "it is empty", "Say why the limit is where it is")


def _limit(table: RuleTable, row: Row, column: str) -> float | None:
    text = row.cells[column]
    try:
        number = _number(text)
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        remedy = "Write a number such as 0.25, or leave it empty for no limit"
        table.complain(row.number, column, f"'{text}' is no number", remedy)
        return None
    return number


def _number(text: str) -> float | None:
    return float(text) if text else None
