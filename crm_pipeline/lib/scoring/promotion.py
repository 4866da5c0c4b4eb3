"""Champion and challenger: which version of a model scores from a training day on.

Add here: how a new version is judged and what of that is put on record.
Not here: what a model is (``recipe``), versions on disk (``registry``), nights (``health``).

A training day's decision is history: ``<score>_model_decisions`` holds one row per training day. It
is made anew only when the training data has changed since, and then as a new revision.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import active_slices, read_slice, write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.rules.score_gates import ScoreGate
from crm_pipeline.lib.scoring.recipe import Recipe
from crm_pipeline.lib.scoring.registry import ModelRecord, read_version
from ml.backtest import Backtest
from ml.comparison import Comparison, compare
from ml.errors import MlError

DECISION_SCHEMA = pa.schema(
    [
        ("as_of_date", pa.date32()),  # the training day
        ("training_key", pa.string()),
        ("verdict", pa.string()),  # first, promoted, kept, refused, not_trained
        ("reason", pa.string()),
        ("challenger_version", pa.string()),  # null: nothing could be trained
        ("champion_version", pa.string()),  # null: there was none to beat
        ("measure", pa.string()),
        ("challenger_value", pa.float64()),
        ("champion_value", pa.float64()),
        ("deviation", pa.float64()),  # of the difference, by bootstrap
        ("version_in_force", pa.string()),  # null: no model may score yet
        ("in_force_trained_until", pa.date32()),
    ]
)


@dataclass(frozen=True)
class ModelDecision:
    """What a training day has brought; the fields are those of ``DECISION_SCHEMA``."""

    as_of_date: dt.date
    training_key: str
    verdict: str
    reason: str
    challenger_version: str | None = None
    champion_version: str | None = None
    measure: str | None = None
    challenger_value: float | None = None
    champion_value: float | None = None
    deviation: float | None = None
    version_in_force: str | None = None
    in_force_trained_until: dt.date | None = None


def table_of(score: str) -> str:
    """Name of the history table of a score's decisions."""
    return f"{score}_model_decisions"


def last_decision(
    home: CrmHome, ledger: sa.Engine, score: str, *, until: dt.date
) -> ModelDecision | None:
    """The decision of the latest training day up to ``until``, that day included."""
    with ledger.connect() as connection:
        slices = active_slices(home, connection, table_of(score))
    known = [one for one in slices if one.as_of_date <= until]
    if not known:
        return None
    (row,) = read_slice(known[-1]).to_pylist()
    return ModelDecision(**row)


def record_decision(
    home: CrmHome, ledger: sa.Engine, score: str, decision: ModelDecision
) -> ModelDecision:
    """Puts a training day's decision on record; the same one again changes nothing."""
    write_slice(
        home,
        ledger,
        table_name=table_of(score),
        as_of=decision.as_of_date,
        data=pa.Table.from_pylist([asdict(decision)], DECISION_SCHEMA),
        reason=decision.verdict,
    )
    return decision


def judge(
    home: CrmHome,
    recipe: Recipe,
    challenger: ModelRecord,
    backtest: Backtest | None,
    panel: pd.DataFrame,
    gates: Sequence[ScoreGate],
    *,
    trained_until: dt.date,
    champion: ModelDecision | None,
) -> ModelDecision:
    """Whether the challenger takes over.

    It is refused where a figure of its backtest lies beyond a gate that holds promotion. Else both
    are asked about the customers of the backtest, whose outcome the challenger's recipe did not
    know, and it stays out where it is worse than the champion by more than one bootstrap deviation.
    The champion may have seen a part of that outcome, so that a doubt is decided for it. One that
    would be older than its own gate allows before the next training day is replaced all the same.
    """
    before = champion.version_in_force if champion else None
    found: dict[str, Any] = {
        "as_of_date": trained_until,
        "training_key": challenger.training_key,
        "challenger_version": challenger.version,
        "champion_version": before,
        "version_in_force": before,
        "in_force_trained_until": champion.in_force_trained_until if champion else None,
    }
    in_force = {
        "version_in_force": challenger.version,
        "in_force_trained_until": trained_until,
    }
    beyond = _list_beyond(challenger.backtest, gates)
    if beyond:
        return ModelDecision(**found, verdict="refused", reason="; ".join(beyond))
    if before is None:
        return ModelDecision(**(found | in_force), verdict="first", reason="there was none before")
    if before == challenger.version:
        return ModelDecision(**(found | in_force), verdict="kept", reason="it is the same version")
    compared = _compare_with_champion(home, recipe, before, backtest, panel)
    if isinstance(compared, str):
        return ModelDecision(**(found | in_force), verdict="promoted", reason=compared)
    found |= {
        "measure": recipe.measure_name,
        "challenger_value": compared.challenger,
        "champion_value": compared.champion,
        "deviation": compared.deviation,
    }
    told = (
        f"{recipe.measure_name} {compared.challenger:.4f} against {compared.champion:.4f}, "
        f"one deviation is {compared.deviation:.4f}"
    )
    if not compared.is_worse(high_is_good=recipe.high_is_good):
        return ModelDecision(**(found | in_force), verdict="promoted", reason=told)
    if _is_too_old(champion, trained_until, gates):
        reason = f"{told}; the champion grows older than its gate allows"
        return ModelDecision(**(found | in_force), verdict="promoted", reason=reason)
    return ModelDecision(**found, verdict="kept", reason=told)


def _list_beyond(figures: dict[str, float], gates: Sequence[ScoreGate]) -> list[str]:
    """Figures beyond a gate that holds promotion; one that is not known holds nothing."""
    return [
        f"{gate.measure} is {figures[gate.measure]:.3f}, allowed is {gate.limits}"
        for gate in gates
        if gate.holds_promotion
        and gate.measure in figures
        and not gate.allows(figures[gate.measure])
    ]


def _compare_with_champion(
    home: CrmHome, recipe: Recipe, champion: str, backtest: Backtest | None, panel: pd.DataFrame
) -> Comparison | str:
    """Both on the customers of the backtest, or why that cannot be."""
    if backtest is None:
        return "there is too little history to compare it with the one before"
    try:
        artifact, _ = read_version(
            home, recipe.name, champion, kind=recipe.kind, features=recipe.features
        )
        rows = recipe.rows_of_backtest(panel, backtest)
        by_champion = recipe.predict(artifact, rows, backtest.horizon_days)
    except MlError as error:
        return f"the one before cannot be used any more: {error.what}"
    actual = backtest.customers["actual"].to_numpy(dtype=np.float64)
    by_challenger = backtest.customers["predicted"].to_numpy(dtype=np.float64)
    return compare(actual, by_champion, by_challenger, recipe.measure)


def _is_too_old(
    champion: ModelDecision | None, trained_until: dt.date, gates: Sequence[ScoreGate]
) -> bool:
    """Whether the champion would pass the limit of its age before the next training day."""
    if champion is None or champion.in_force_trained_until is None:
        return False
    next_month = (trained_until + dt.timedelta(days=32)).replace(day=1)
    age = (next_month - dt.timedelta(days=1) - champion.in_force_trained_until).days
    return any(gate.measure == "model_age_days" and not gate.allows(age) for gate in gates)
