"""The report of a training, from what a night has found.

Add here: which facts of a training a report is handed.
Not here: what it says of them (``lib/reporting``).
"""

from __future__ import annotations

from pathlib import Path

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.reporting.labels import LANGUAGES
from crm_pipeline.lib.reporting.model_report import HealthCheck, ModelReport, write_model_reports
from crm_pipeline.lib.scoring.health import FEATURE_PSI, FEATURE_PSI_LIMIT
from crm_pipeline.lib.scoring.promotion import ModelDecision
from crm_pipeline.lib.scoring.recipe import Recipe
from crm_pipeline.lib.scoring.scores import NightScores, Training


def write_training_reports(home: CrmHome, recipe: Recipe, night: NightScores) -> list[Path]:
    """Writes the report of what this night has trained; returns those of the version in force.

    A night that trained nothing writes nothing. A refused challenger has its report as well.
    """
    if night.training is not None:
        write_model_reports(home, describe(recipe, night, night.training))
    version = night.decision.version_in_force
    if version is None:
        return []
    folder = home.reports / "models" / recipe.name
    pages = [folder / f"{version}.{language}.html" for language in LANGUAGES]
    return [page for page in pages if page.exists()]


VERDICTS_ZH = {
    "first": "首个版本：此前没有可比较的版本",
    "promoted": "已启用",
    "kept": "沿用原版本",
    "refused": "未通过界限",
    "not_trained": "未能训练",
}


def explain(decision: ModelDecision) -> tuple[str, str]:
    """Why a version is in use or not, in Chinese and English."""
    chinese = VERDICTS_ZH[decision.verdict]
    if decision.challenger_value is not None and decision.champion_value is not None:
        chinese += (
            f"：{decision.measure} 新版本 {decision.challenger_value:.4f}，"
            f"原版本 {decision.champion_value:.4f}，一个标准差 {decision.deviation or 0:.4f}"
        )
    elif decision.verdict in ("refused", "not_trained"):
        chinese += f"：{decision.reason}"
    return chinese, f"{decision.verdict.replace('_', ' ')}: {decision.reason}"


def describe(recipe: Recipe, night: NightScores, training: Training) -> ModelReport:
    """What the report of a training is made from; ``night`` is the one that trained it."""
    decision, record = night.decision, training.record
    backtest = training.backtest
    return ModelReport(
        name=record.name,
        version=record.version,
        trained_until=decision.as_of_date,
        horizon_days=recipe.horizon_days,
        data_sha256=record.training_data_sha256,
        code_version=record.code_version,
        is_promoted=decision.version_in_force == record.version,
        reasons=(explain(decision),),
        backtests=() if backtest is None else (backtest,),
        champion_version=decision.champion_version,
        training=record.metrics,
        effects=recipe.effects(training.artifact, training.sample),
        checks=[
            HealthCheck(check.measure, check.value, check.limits, check.is_passed)
            for check in night.checks
            if check.measure != FEATURE_PSI
        ],
        drift={
            check.feature: check.value
            for check in night.checks
            if check.feature is not None and check.value is not None
        },
        drift_limit=FEATURE_PSI_LIMIT,
    )
