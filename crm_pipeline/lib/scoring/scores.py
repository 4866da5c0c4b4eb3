"""Scores of one night: which model is in force, what it says, and whether that may be acted on.

Add here: the way from the panel in the warehouse to a table of scores.
Not here: one score's own matters (``recipes``), judging a new model (``promotion``), limits
(``health``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from crm_pipeline.lib.history import write_slice
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.rules.score_gates import ScoreGate
from crm_pipeline.lib.scoring.health import ScoreCheck, check_scores, describe_matrix, used_table
from crm_pipeline.lib.scoring.promotion import ModelDecision, judge, last_decision, record_decision
from crm_pipeline.lib.scoring.recipe import (
    CODE_VERSION,
    Columns,
    Recipe,
    newest_labelled_cutoff,
)
from crm_pipeline.lib.scoring.registry import (
    ModelRecord,
    find_trained,
    keep_version,
    read_version,
)
from crm_pipeline.lib.scoring.stream import Matrix, Scorer, read_matrix, score_table
from crm_pipeline.lib.warehouse import replace_table
from ml.artifacts import ModelArtifact
from ml.backtest import Backtest
from ml.churn import label_churned
from ml.clv import ClvModel
from ml.clv.summary import BTYD_FEATURES
from ml.drift import Reference
from ml.errors import MlError, NotEnoughDataError
from ml.frames import to_matrix
from ml.metrics import measure_classification

_Found = TypeVar("_Found")

BY_BG_NBD = "bg_nbd"
# Rows a training reads at most: some hundred thousand customers say as much as millions, and the
# memory stays bounded. Who is drawn hangs on the customer alone, at every cut-off.
MAX_TRAINING_ROWS = 1_000_000
SAMPLE_ROWS = 50_000  # customers whose inputs are compared with those of training
_BUCKETS = 1 << 28
_BUCKET = "cast('0x' || left(md5(customer_id), 7) as bigint)"


@dataclass(frozen=True)
class Training:
    """What a training day has brought beside the decision; None where nothing was trained now."""

    artifact: ModelArtifact
    record: ModelRecord
    backtest: Backtest | None
    sample: Matrix


@dataclass(frozen=True)
class NightScores:
    """What a night's scoring came to."""

    row_count: int
    decision: ModelDecision
    record: ModelRecord | None
    checks: list[ScoreCheck]
    training: Training | None
    note: str | None = None

    @property
    def held_by(self) -> list[str]:
        """Measures because of which journeys that rely on this score wait."""
        return [check.measure for check in self.checks if check.stops_outreach]


@dataclass(frozen=True)
class Day:
    """The day scores are for, and the last one a training may know.

    ``is_backfill``: a run for the past decides nothing and puts nothing on record.
    """

    as_of: dt.date
    is_backfill: bool = False

    @property
    def trained_until(self) -> dt.date:
        """Models are trained as of the end of the month before (DECISIONS 5)."""
        return self.as_of.replace(day=1) - dt.timedelta(days=1)

    @property
    def today(self) -> str:
        """Query of the rows to be scored."""
        return f"select * from marts.customer_features where cutoff_date = date '{self.as_of}'"

    @property
    def training(self) -> str:
        """Query of the rows a model may learn from."""
        until = self.trained_until
        return f"select * from marts.customer_features where cutoff_date <= date '{until}'"


def score_night(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    ledger: sa.Engine,
    recipe: Recipe,
    gates: tuple[ScoreGate, ...],
    day: Day,
) -> NightScores:
    """Scores the customers of a day by the model in force and checks what came of it.

    Where no model may score, a simpler one does if there is one; where none can, the scores of the
    night before stay in the table with their date.
    """
    decision, training = _find_model_in_force(connection, home, ledger, recipe, gates, day)
    record, score, note = _open(home, recipe, decision)
    rows_before = _count_rows(connection, recipe.table)
    constants: Columns = {
        "as_of_date": day.as_of,
        "scored_at": dt.datetime.combine(day.as_of, dt.time()),
        "horizon_days": recipe.horizon_days,
    }
    count = rows_before
    if score is not None and record is not None:
        count = score_table(
            connection,
            query=day.today,
            features=recipe.features,
            score=score,
            address=recipe.table,
            constants={**constants, "model_version": record.version},
        )
    elif recipe.name == "churn":
        by_rule = _score_churn_simply(connection, recipe, day)
        if isinstance(by_rule, str):
            note = f"{note}; {by_rule}"
        else:
            rows, record = by_rule
            columns = {**constants, "model_version": record.version}
            count = _write_simple(connection, recipe, rows, columns)
            note = f"scored by BG/NBD: {note}"
    figures = dict(record.backtest) if record else {}
    sample = read_sample(connection, recipe, day.today)
    checks = check_scores(
        connection, home, ledger, recipe, gates, record, figures, sample, as_of=day.as_of
    )
    return NightScores(count, decision, record, checks, training, note)


def keep_used_scores(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    ledger: sa.Engine,
    recipe: Recipe,
    as_of: dt.date,
) -> None:
    """Puts the scores of a month end on record, to be held against what comes."""
    rows: pa.Table = connection.sql(
        f"select customer_id, {recipe.headline}, horizon_days, model_version, as_of_date "
        f"from {recipe.table} where as_of_date = $as_of order by customer_id",
        params={"as_of": as_of},
    ).to_arrow_table()
    if rows.num_rows:
        write_slice(
            home,
            ledger,
            table_name=used_table(recipe.name),
            as_of=as_of,
            data=rows,
            reason="monthly job",
        )


def read_sample(
    connection: duckdb.DuckDBPyConnection, recipe: Recipe, query: str, *, rows: int = SAMPLE_ROWS
) -> Matrix:
    """Inputs of some customers, always the same ones of the same base."""
    matrix, _ = read_matrix(connection, _draw(connection, query, rows), recipe.features)
    return matrix


def _find_model_in_force(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    ledger: sa.Engine,
    recipe: Recipe,
    gates: tuple[ScoreGate, ...],
    day: Day,
) -> tuple[ModelDecision, Training | None]:
    """The decision that holds on a day, made now where the training data asks for it."""
    until = day.trained_until
    query = _draw(connection, day.training, MAX_TRAINING_ROWS)
    key = _hash_training(connection, query, recipe, gates)
    known = last_decision(home, ledger, recipe.name, until=until)
    if known is not None and known.as_of_date == until:
        in_force = known.version_in_force
        is_whole = in_force is None or _is_readable(home, recipe, in_force)
        # What a night has decided is never decided again by a run for the past.
        if day.is_backfill or (known.training_key == key and is_whole):
            return known, None
    champion = last_decision(home, ledger, recipe.name, until=until - dt.timedelta(days=1))
    kept = find_trained(home, recipe.name, key)
    if day.is_backfill and kept is not None and _is_readable(home, recipe, kept.version):
        return _for_the_past(kept, until), None
    panel = connection.sql(query).df()
    training: Training | None = None
    try:
        made = training = _train(home, recipe, panel, key, until)
    except MlError as error:
        decision = ModelDecision(
            as_of_date=until,
            training_key=key,
            verdict="not_trained",
            reason=error.what,
            champion_version=champion.version_in_force if champion else None,
            version_in_force=champion.version_in_force if champion else None,
            in_force_trained_until=champion.in_force_trained_until if champion else None,
        )
    else:
        decision = judge(
            home,
            recipe,
            made.record,
            made.backtest,
            panel,
            gates,
            trained_until=until,
            champion=champion,
        )
    if not day.is_backfill:
        record_decision(home, ledger, recipe.name, decision)
    return decision, training


def _for_the_past(record: ModelRecord, until: dt.date) -> ModelDecision:
    return ModelDecision(
        as_of_date=until,
        training_key=record.training_key,
        verdict="first",
        reason="a run for the past trains for itself and decides nothing",
        challenger_version=record.version,
        version_in_force=record.version,
        in_force_trained_until=until,
    )


def _train(
    home: CrmHome, recipe: Recipe, panel: pd.DataFrame, key: str, until: dt.date
) -> Training:
    """Trains a version, looks back with its recipe, and keeps both."""
    if panel.empty:
        raise NotEnoughDataError(
            "no customer had ordered by the first cut-off",
            remedy="wait until there is more history",
        )
    artifact = recipe.train(panel, until)
    backtest = _or_none(lambda: recipe.look_back(panel))
    newest = panel[pd.to_datetime(panel["cutoff_date"]) == _newest_cutoff(panel)]
    # By id, which is a hash: the same and a fair draw, whatever order rows are stored in.
    matrix = to_matrix(newest.sort_values("customer_id").head(SAMPLE_ROWS), recipe.features)
    scores = np.asarray(recipe.score(artifact)(matrix)[recipe.headline], dtype=np.float64)
    record = ModelRecord(
        name=recipe.name,
        version=artifact.version,
        training_key=key,
        trained_until=until.isoformat(),
        training_data_sha256=artifact.training_data_sha256,
        code_version=artifact.code_version,
        metrics=dict(artifact.metrics),
        backtest=dict(backtest.figures) if backtest else {},
        score_reference=asdict(Reference.of(scores)),
        feature_references={
            name: asdict(one) for name, one in describe_matrix(recipe, matrix).items()
        },
    )
    keep_version(home, artifact, record)
    return Training(artifact, record, backtest, matrix)


def _newest_cutoff(panel: pd.DataFrame) -> pd.Timestamp:
    return pd.to_datetime(panel["cutoff_date"]).max()


def _open(
    home: CrmHome, recipe: Recipe, decision: ModelDecision
) -> tuple[ModelRecord | None, Scorer | None, str | None]:
    """The version in force, ready to score; or why there is none."""
    version = decision.version_in_force
    if version is None:
        return None, None, decision.reason
    try:
        artifact, record = read_version(
            home, recipe.name, version, kind=recipe.kind, features=recipe.features
        )
        return record, recipe.score(artifact), None
    except MlError as error:
        return None, None, error.what


def _is_readable(home: CrmHome, recipe: Recipe, version: str) -> bool:
    try:
        read_version(home, recipe.name, version, kind=recipe.kind, features=recipe.features)
    except MlError:
        return False
    return True


def _score_churn_simply(
    connection: duckdb.DuckDBPyConnection, churn: Recipe, day: Day
) -> tuple[pd.DataFrame, ModelRecord] | str:
    """Silence by BG/NBD with its own look back, where no trees may score; or why not.

    It is fitted anew each night and kept nowhere; its record lives for the checks of the night.
    """
    panel = connection.sql(_draw(connection, day.training, MAX_TRAINING_ROWS)).df()
    wanted = ", ".join(("customer_id", *BTYD_FEATURES))
    try:
        newest = panel[pd.to_datetime(panel["cutoff_date"]) == _newest_cutoff(panel)]
        if newest.empty:
            raise NotEnoughDataError("no customer had ordered by the first cut-off", remedy="wait")
        model = ClvModel().fit(newest, as_of=day.trained_until)
        rows = model.predict_churn(
            connection.sql(f"select {wanted} from ({day.today})").df(), churn.horizon_days
        )
        then = model.predict_churn(newest, churn.horizon_days)["churn_probability"]
    except MlError as error:
        return error.what
    artifact = model.to_artifact(code_version=CODE_VERSION)
    record = ModelRecord(
        name=churn.name,
        version=f"{BY_BG_NBD}-{artifact.version}",
        training_key="",
        trained_until=day.trained_until.isoformat(),
        training_data_sha256=artifact.training_data_sha256,
        code_version=artifact.code_version,
        metrics=dict(artifact.metrics),
        backtest=_or_none(lambda: _look_back_simply(panel, churn.horizon_days)) or {},
        score_reference=asdict(Reference.of(then)),
    )
    return rows, record


def _look_back_simply(panel: pd.DataFrame, horizon_days: int) -> dict[str, float]:
    cutoff = newest_labelled_cutoff(panel)
    rows = panel[pd.to_datetime(panel["cutoff_date"]) == cutoff]
    actual = label_churned(rows)
    rows, actual = rows[actual.notna()], actual[actual.notna()].astype(float)
    if actual.nunique() < 2:
        raise NotEnoughDataError("all outcomes are of one kind", remedy="wait for more history")
    model = ClvModel().fit(rows, as_of=cutoff.date())
    probability = model.predict_churn(rows, horizon_days)["churn_probability"]
    return measure_classification(actual, probability)


def _write_simple(
    connection: duckdb.DuckDBPyConnection, recipe: Recipe, rows: pd.DataFrame, constants: Columns
) -> int:
    """Scores as one table, two columns wide; BG/NBD names no reasons."""
    nobody = dict.fromkeys(("reason_1", "reason_2", "reason_3"))
    frame = rows[["customer_id", "churn_probability"]].assign(**nobody, **constants)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    return replace_table(connection, recipe.table, table)


def _draw(connection: duckdb.DuckDBPyConnection, query: str, rows: int) -> str:
    """The query, or its customers in the lowest buckets where it has more rows than may be read."""
    (count,) = connection.sql(f"select count(*) from ({query})").fetchall()[0]
    if count <= rows:
        return query
    return f"{query} and {_BUCKET} < {int(_BUCKETS * rows / count)}"


def _hash_training(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    recipe: Recipe,
    gates: tuple[ScoreGate, ...],
) -> str:
    """Hash of all a training and its verdict depend on; the order of rows does not count."""
    rows = connection.sql(
        f"select count(*), sum(cast(hash(panel) as hugeint)), bit_xor(hash(panel)) "
        f"from ({query}) as panel"
    ).fetchall()
    said: list[Any] = [
        *map(str, rows[0]),
        connection.sql(query).columns,
        recipe.kind,
        list(recipe.features),
        repr(recipe.settings),
        repr(gates),
        CODE_VERSION,
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _count_rows(connection: duckdb.DuckDBPyConnection, address: str) -> int:
    (count,) = connection.sql(f"select count(*) from {address}").fetchall()[0]
    return int(count)


def _or_none(look_back: Callable[[], _Found]) -> _Found | None:
    """A base too small for a backtest still gets its model; it then has no figures."""
    try:
        return look_back()
    except MlError:
        return None
