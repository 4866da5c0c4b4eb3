"""Churn and value by their real recipes, on shops of every size."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest
from scoring_support import gate

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger import open_ledger
from crm_pipeline.lib.rules.score_gates import ScoreGate
from crm_pipeline.lib.scoring.recipe import Recipe
from crm_pipeline.lib.scoring.recipes import make_churn_recipe, make_clv_recipe
from crm_pipeline.lib.scoring.report import write_training_reports
from crm_pipeline.lib.scoring.scores import BY_BG_NBD, Day, NightScores, score_night
from crm_pipeline.lib.warehouse import create_source_views, export_snapshot, open_warehouse
from ml.churn import CHURN_REASONS, ChurnModelConfig
from tests.purchase_support import build_panel

TODAY = dt.date(2025, 9, 9)
QUICK = ChurnModelConfig(max_rounds=60, early_stopping_rounds=10, learning_rate=0.1)
CALIBRATION = (gate("ece", score="churn", at_most=0.15),)
Shop = tuple[CrmHome, NightScores, list[tuple[object, ...]]]


def score(
    root: Path, panel: pd.DataFrame, recipe: Recipe, gates: tuple[ScoreGate, ...] = ()
) -> Shop:
    """One night of a home whose warehouse holds this panel; the latest cut-off is also today."""
    home = CrmHome(root).ensure()
    ledger = open_ledger(home)
    labels = ["label_order_count", "label_spend_amount"]
    today = panel[panel["cutoff_date"] == panel["cutoff_date"].max()].assign(
        cutoff_date=pd.Timestamp(TODAY), **dict.fromkeys(labels)
    )
    rows = pd.concat([panel, today]) if len(panel) else panel
    rows = rows.astype(dict.fromkeys(rows.columns[2:], "Float64"))
    with open_warehouse(home.warehouse) as connection:
        snapshot = export_snapshot(ledger, home.snapshots / "run")
        create_source_views(connection, home, snapshot, {})
        connection.execute("create schema marts")
        connection.register("panel", rows)
        connection.execute(
            "create table marts.customer_features as "
            "select * replace (cutoff_date::date as cutoff_date) from panel"
        )
        connection.unregister("panel")
        night = score_night(connection, home, ledger, recipe, gates, Day(TODAY))
        table = connection.execute(f"from {recipe.table} order by customer_id").fetchall()
    return home, night, table


def columns_first(panel: pd.DataFrame) -> pd.DataFrame:
    """The key in front, as the warehouse has it."""
    return panel[
        ["cutoff_date", "customer_id", *panel.columns.drop(["cutoff_date", "customer_id"])]
    ]


@pytest.mark.requirement("SCO-2", "SCO-7")
def test_a_night_scores_everybody_with_reasons_and_leaves_a_report(tmp_path: Path) -> None:
    panel = columns_first(build_panel(1500))
    home, night, rows = score(tmp_path, panel, make_churn_recipe(QUICK), CALIBRATION)
    assert night.decision.verdict == "first" and night.held_by == []
    assert len(rows) == night.row_count == panel["customer_id"].nunique()
    assert all(0 <= row[2] <= 1 and row[1] == TODAY for row in rows)
    reasons = {reason for row in rows for reason in row[3:6] if reason}
    assert "long_silence" in reasons and reasons <= set(CHURN_REASONS)
    pages = write_training_reports(home, make_churn_recipe(QUICK), night)
    assert [page.suffixes[-2] for page in pages] == [".zh-CN", ".en"]
    chinese, english = (page.read_text(encoding="utf-8") for page in pages)
    assert str(night.decision.version_in_force) in english
    assert "首个版本" in chinese and "first: there was none before" in english
    for measure in ("realised_ece", "score_psi", "model_age_days"):
        assert measure not in english.split("<footer")[0], "a check has a name people read"


@pytest.mark.requirement("SCO-2")
@pytest.mark.bad_input("F21")
def test_a_shop_too_small_for_trees_is_scored_by_bg_nbd_with_its_own_look_back(
    tmp_path: Path,
) -> None:
    panel = columns_first(build_panel(150))
    drift = gate("score_psi", score="churn", at_most=0.25)
    age = gate("model_age_days", score="churn", at_most=100)
    _, night, rows = score(tmp_path, panel, make_churn_recipe(QUICK), (*CALIBRATION, drift, age))
    assert night.held_by == [], "a small shop may act on what is known of its scores"
    assert night.decision.verdict == "not_trained"
    assert night.note is not None and night.note.startswith("scored by BG/NBD: churn: 150 ")
    assert len(rows) == 150 and all(0 <= row[2] <= 1 for row in rows)
    assert {row[7] for row in rows} == {rows[0][7]} and str(rows[0][7]).startswith(BY_BG_NBD)
    (calibration,) = [check for check in night.checks if check.measure == "ece"]
    assert calibration.value is not None


@pytest.mark.bad_input("B93", "F21")
@pytest.mark.parametrize("make", [make_churn_recipe, make_clv_recipe])
def test_a_shop_without_history_has_no_scores_and_says_why(tmp_path: Path, make: object) -> None:
    recipe: Recipe = make()  # type: ignore[operator]
    whole = columns_first(build_panel(12))
    for number, panel in enumerate((whole, whole.head(1), whole.head(0))):
        _, night, rows = score(tmp_path / str(number), panel, recipe, CALIBRATION)
        assert rows == [] and night.note
        assert night.held_by == ["ece"]


@pytest.mark.requirement("SCO-3")
def test_value_is_scored_with_an_interval_that_holds_it(tmp_path: Path) -> None:
    _, night, rows = score(tmp_path, columns_first(build_panel(400)), make_clv_recipe())
    assert night.decision.verdict == "first"
    assert all(0 <= row[3] <= row[4] and row[2] >= 0 for row in rows)
    assert sum(row[3] <= row[2] <= row[4] for row in rows) > 0.95 * len(rows)
