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
        reasons=(f"{decision.verdict}: {decision.reason}",),
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
