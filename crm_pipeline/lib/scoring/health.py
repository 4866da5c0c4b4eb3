"""Whether last night's scores may be acted on: drift, calibration, age.

Add here: a measure of scores, and its verdict by ``score_gates.csv``.
Not here: who is held back by it (``lib/outreach``), whether a new model is used (``promotion``).

A failed check never stops the warehouse from being published: BI shows the scores with their date.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import duckdb
import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import active_slices, read_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.rules.score_gates import ScoreGate
from crm_pipeline.lib.scoring.recipe import Recipe
from crm_pipeline.lib.scoring.registry import ModelRecord
from crm_pipeline.lib.scoring.stream import Matrix
from ml.drift import Reference, population_stability_index, psi_expected_by_chance
from ml.metrics import expected_calibration_error

FEATURE_PSI, FEATURE_PSI_LIMIT = "feature_psi", 0.25  # told, and stops nothing: tenure only grows
TOLD_FEATURES = 5
NOT_KNOWN = "not known"
NOT_YET = "no scores of a month end are a whole horizon old yet"

CHECK_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),
        ("score", pa.string()),
        ("measure", pa.string()),
        ("feature", pa.string()),  # null: the check is about the score itself
        ("value", pa.float64()),  # null: not known
        ("limits", pa.string()),
        ("is_passed", pa.bool_()),
        ("holds_outreach", pa.bool_()),  # whether it does when it is not passed
        ("note", pa.string()),
        ("model_version", pa.string()),
    ]
)


@dataclass(frozen=True)
class ScoreCheck:
    """One measure of one night's scores; the fields are those of ``CHECK_SCHEMA``."""

    as_of_date: dt.date
    score: str
    measure: str
    value: float | None
    limits: str
    is_passed: bool
    holds_outreach: bool
    feature: str | None = None
    note: str | None = None
    model_version: str | None = None

    @property
    def stops_outreach(self) -> bool:
        """Whether journeys that rely on this score wait because of this check."""
        return self.holds_outreach and not self.is_passed


def used_table(score: str) -> str:
    """Name of the history table of the scores of month ends."""
    return f"{score}_scores_used"


def check_scores(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    ledger: sa.Engine,
    recipe: Recipe,
    gates: Sequence[ScoreGate],
    record: ModelRecord | None,
    figures: Mapping[str, float],
    sample: Matrix,
    *,
    as_of: dt.date,
) -> list[ScoreCheck]:
    """Every check of a night.

    Args:
        connection: the warehouse, after tonight's scores were written.
        home: with the scores of past month ends.
        ledger: points to them.
        recipe: the score.
        gates: its limits.
        record: the version in force, None when a simpler model or none has scored.
        figures: backtest of what has scored.
        sample: inputs of some of tonight's customers, columns as the recipe's features.
        as_of: the night's business date.
    """
    version = record.version if record else None
    values, notes = dict(figures), dict[str, str]()
    scored_on, values["score_psi"], limit_by_chance = _look_at_scores(connection, recipe, record)
    if scored_on is not None:
        values["score_age_days"] = float((as_of - scored_on).days)
    if record is not None:
        values["model_age_days"] = float((as_of - dt.date.fromisoformat(record.trained_until)).days)
    if any(gate.measure == "realised_ece" for gate in gates):
        realised = _measure_realised(connection, home, ledger, recipe, as_of)
        if realised is None:
            notes["realised_ece"] = NOT_YET
        else:
            values["realised_ece"] = realised
    checks = []
    for gate in gates:
        value = values.get(gate.measure, math.nan)
        is_passed, note = gate.allows(value), notes.get(gate.measure)
        if gate.measure == "score_psi" and not is_passed and value <= limit_by_chance:
            is_passed, note = True, f"chance alone brings up to {limit_by_chance:.3f} on so few"
        checks.append(
            ScoreCheck(
                as_of_date=as_of,
                score=recipe.name,
                measure=gate.measure,
                value=value if math.isfinite(value) else None,
                limits=gate.limits,
                is_passed=is_passed or gate.measure in notes,
                holds_outreach=gate.holds_outreach,
                note=note or (None if math.isfinite(value) else NOT_KNOWN),
                model_version=version,
            )
        )
    return [*checks, *_check_features(recipe, record, sample, as_of)]


def to_table(checks: Sequence[ScoreCheck]) -> pa.Table:
    """The checks as a table."""
    return pa.Table.from_pylist([asdict(check) for check in checks], CHECK_SCHEMA)


def describe_matrix(recipe: Recipe, matrix: Matrix) -> dict[str, Reference]:
    """Distribution of every input."""
    return {name: Reference.of(matrix[:, n]) for n, name in enumerate(recipe.features)}


def _look_at_scores(
    connection: duckdb.DuckDBPyConnection, recipe: Recipe, record: ModelRecord | None
) -> tuple[dt.date | None, float, float]:
    """Newest day with scores, how far they are from training's, and what chance alone explains."""
    (scored_on,) = connection.sql(f"select max(as_of_date) from {recipe.table}").fetchall()[0]
    reference = record.references()[0] if record else None
    if scored_on is None or reference is None:
        return scored_on, math.nan, 0.0
    query = f"select {recipe.headline} as score from {recipe.table} where as_of_date = ?"
    scores = connection.execute(query, [scored_on]).fetchnumpy()["score"]
    numbers = np.ma.filled(scores, np.nan).astype(np.float64)
    return (
        scored_on,
        population_stability_index(reference, numbers),
        psi_expected_by_chance(reference, len(numbers)),
    )


def _measure_realised(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    ledger: sa.Engine,
    recipe: Recipe,
    as_of: dt.date,
) -> float | None:
    """ECE of the probabilities of the newest month end whose horizon is over, as they were used.

    None while there is no such month end. Customers whose id has gone since (merged, erased) are
    left out; where all have, it is no number.
    """
    latest = as_of - dt.timedelta(days=recipe.horizon_days)
    with ledger.connect() as ledger_connection:
        slices = active_slices(home, ledger_connection, used_table(recipe.name))
    over = [one for one in slices if one.as_of_date <= latest]
    if not over:
        return None
    connection.register("_used", read_slice(over[-1]))
    try:
        found = connection.execute(
            f"""
            select
                used.{recipe.headline} as probability,
                cast(not bool_or(coalesce(
                    days.order_count > 0 and days.business_date > $day
                    and days.business_date <= $day + $horizon::integer, false
                )) as double) as outcome
            from _used as used
            inner join intermediate.int_customer_days as days using (customer_id)
            group by used.customer_id, used.{recipe.headline}
            """,
            {"day": over[-1].as_of_date, "horizon": recipe.horizon_days},
        ).fetchnumpy()
    finally:
        connection.unregister("_used")
    if not len(found["probability"]):
        return math.nan
    return expected_calibration_error(found["outcome"], found["probability"])


def _check_features(
    recipe: Recipe, record: ModelRecord | None, sample: Matrix, as_of: dt.date
) -> Iterator[ScoreCheck]:
    """The inputs that moved most since training."""
    if record is None or not len(sample):
        return
    _, references = record.references()
    moved = {
        name: population_stability_index(references[name], sample[:, n])
        for n, name in enumerate(recipe.features)
        if name in references
    }
    for name, value in sorted(moved.items(), key=lambda item: (-item[1], item[0]))[:TOLD_FEATURES]:
        by_chance = psi_expected_by_chance(references[name], len(sample))
        yield ScoreCheck(
            as_of_date=as_of,
            score=recipe.name,
            measure=FEATURE_PSI,
            feature=name,
            value=value,
            limits=f"at most {FEATURE_PSI_LIMIT:g}",
            is_passed=value <= max(FEATURE_PSI_LIMIT, by_chance),
            holds_outreach=False,
            model_version=record.version,
        )
