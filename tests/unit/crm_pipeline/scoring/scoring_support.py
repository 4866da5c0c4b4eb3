"""A shop with one input and a model of one number.

Add here: what tests of nights and promotion share. Not here: tests.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.rules.score_gates import ScoreGate
from crm_pipeline.lib.scoring.recipe import Recipe, newest_labelled_cutoff
from crm_pipeline.lib.scoring.scores import Day, NightScores, score_night
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, open_warehouse
from ml.artifacts import ModelArtifact
from ml.backtest import Backtest
from ml.errors import NotEnoughDataError
from ml.metrics import normalized_gini

JULY, AUGUST = dt.date(2024, 7, 9), dt.date(2024, 8, 9)
JUNE_END, JULY_END = dt.date(2024, 6, 30), dt.date(2024, 7, 31)
CUTOFF = dt.date(2024, 3, 31)
CUSTOMERS = 400


@dataclass
class Toy:
    """What the next training learns: the sign of the one input, and whether it learns at all."""

    sign: float = 1.0
    error: str | None = None
    trained: list[dt.date] = field(default_factory=list)

    def recipe(self) -> Recipe:
        return Recipe(
            name="clv",
            kind="toy",
            features=("x",),
            settings="toy",
            horizon_days=90,
            headline="predicted_clv",
            measure_name="normalized_gini",
            measure=normalized_gini,
            high_is_good=True,
            train=self._train,
            look_back=self._look_back,
            score=lambda artifact: lambda matrix: columns(sign_of(artifact) * matrix[:, 0]),
            predict=lambda artifact, rows, _: sign_of(artifact) * rows["x"].to_numpy(float),
            effects=lambda artifact, matrix: [],
        )

    def _train(self, panel: pd.DataFrame, day: dt.date) -> ModelArtifact:
        self.trained.append(day)
        if self.error:
            raise NotEnoughDataError(self.error, remedy="wait")
        return ModelArtifact(
            kind="toy",
            features=("x",),
            config={},
            parameters={},
            metrics={},
            training_data_sha256=f"{len(panel)}-{day}",
            code_version="1",
            model=json.dumps({"sign": self.sign}).encode(),
        )

    def _look_back(self, panel: pd.DataFrame) -> Backtest:
        cutoff = newest_labelled_cutoff(panel)
        rows = panel[pd.to_datetime(panel["cutoff_date"]) == cutoff].sort_values("customer_id")
        actual = rows["label_spend_amount"].to_numpy(float)
        predicted = self.sign * rows["x"].to_numpy(float)
        return Backtest(
            cutoff_date=cutoff.date(),
            horizon_days=90,
            figures={"normalized_gini": normalized_gini(actual, predicted)},
            customers=pd.DataFrame({"actual": actual, "predicted": predicted}),
        )


def sign_of(artifact: ModelArtifact) -> float:
    sign: float = json.loads(artifact.model)["sign"]
    return sign


def columns(clv: np.ndarray) -> dict[str, Any]:
    names = ("predicted_clv", "predicted_clv_low", "predicted_clv_high",
             "predicted_number_of_orders", "predicted_order_value",
             "probability_alive")  # fmt: skip
    return dict.fromkeys(names, clv.astype(np.float64))


class Shop:
    """A home whose warehouse holds features of one past cut-off and of a day."""

    def __init__(self, root: Path) -> None:
        self.home = CrmHome(root).ensure()
        self.ledger: sa.Engine = open_ledger(self.home)
        self.toy = Toy()
        snapshot = export_snapshot(self.ledger, self.home.snapshots / "run")
        with open_warehouse(self.home.warehouse) as connection:
            create_source_views(connection, self.home, snapshot, {})
            connection.execute("create schema marts; create schema intermediate")
            connection.execute(
                "create table intermediate.int_customer_days "
                "(customer_id varchar, business_date date, order_count bigint)"
            )
        self.fill(JULY)

    def fill(self, today: dt.date, *, noise: int = 0, shift: float = 0.0) -> None:
        """Features of the cut-off and of today; spend after the cut-off grows with ``x``."""
        with open_warehouse(self.home.warehouse) as connection:
            connection.execute(
                "create or replace table marts.customer_features as "
                "select d.cutoff_date, 'c' || n as customer_id, "
                "n::double + if(d.cutoff_date = $today, $shift, 0) as x, "
                "if(d.cutoff_date = $today, null, 1) as label_order_count, "
                "if(d.cutoff_date = $today, null, n + $noise)::decimal(18, 2) "
                "as label_spend_amount "
                f"from range({CUSTOMERS}) as r (n), "
                "(values ($cutoff::date), ($today::date)) as d (cutoff_date)",
                {"today": today, "cutoff": CUTOFF, "noise": noise, "shift": shift},
            )

    def score(
        self, day: dt.date = JULY, *, gates: tuple[ScoreGate, ...] = (), past: bool = False
    ) -> NightScores:
        with open_warehouse(self.home.warehouse) as connection:
            return score_night(
                connection, self.home, self.ledger, self.toy.recipe(), gates,
                Day(day, is_backfill=past),
            )  # fmt: skip

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with open_warehouse(self.home.warehouse, read_only=True) as connection:
            return connection.execute(query).fetchall()


def gate(measure: str, **changes: Any) -> ScoreGate:
    """A limit that holds outreach, and promotion where it is asked to."""
    values: dict[str, Any] = {
        "score": "clv", "at_least": None, "at_most": None, "holds_promotion": False,
        "holds_outreach": True, **changes,
    }  # fmt: skip
    return ScoreGate(measure=measure, **values)
