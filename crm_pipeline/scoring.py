"""From a panel in the warehouse to a table of scores, as Dagster sees it.

Add here: what every scoring asset does alike.
Not here: which model scores and whether that may be acted on (``lib/scoring``).
"""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from crm_pipeline.lib.progress import say, step
from crm_pipeline.lib.rules.score_gates import load_score_gates
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.partitions import OFFICIAL, ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Deployment, Warehouse

if TYPE_CHECKING:
    from crm_pipeline.lib.scoring.recipe import Recipe
    from crm_pipeline.lib.scoring.scores import NightScores

SEEDS = Path(__file__).resolve().parents[1] / "dbt_project" / "seeds"
FEATURES = dg.AssetKey(["marts", "customer_features"])


def checks_table(score: str) -> str:
    """Address of the checks of a score."""
    return f"scores.{score}_checks"


def build_score_assets(
    score: str, *, description: str, kinds: set[str], load: str
) -> dg.AssetsDefinition:
    """The assets of one score: its rows, and the checks outreach asks.

    Args:
        score: its name; the tables are ``scores.<score>_scores`` and ``scores.<score>_checks``.
        description: what it says of a customer.
        kinds: what it is made with.
        load: name of the function in ``lib/scoring/recipes`` that makes its recipe.
    """
    key = dg.AssetKey(["scores", f"{score}_scores"])
    checks_key = dg.AssetKey(checks_table(score).split("."))
    may_be_used = dg.AssetCheckSpec(
        "scores_may_be_acted_on",
        asset=key,
        description="Drift, calibration and age by score_gates.csv. Journeys that rely on this "
        "score are held back when it fails; publishing goes on.",
    )

    @dg.multi_asset(
        name=f"{score}_scores",
        specs=[
            dg.AssetSpec(
                key,
                deps=[FEATURES],
                group_name="scoring",
                kinds=kinds,
                owners=["team:crm"],
                description=description,
                code_version="2",
            ),
            dg.AssetSpec(
                checks_key,
                deps=[FEATURES, dg.AssetKey(["intermediate", "int_customer_days"])],
                group_name="scoring",
                kinds={"python", "duckdb"},
                owners=["team:crm"],
                description=f"Measures of tonight's {score} scores against score_gates.csv.",
                code_version="1",
            ),
        ],
        partitions_def=business_days(),
        backfill_policy=ONE_DAY_A_RUN,
        pool=POOL,
        check_specs=[may_be_used],
    )
    def assets(
        context: dg.AssetExecutionContext, deployment: Deployment, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        # Its libraries take seconds to import.
        from crm_pipeline.lib.scoring import recipes, scores
        from crm_pipeline.lib.scoring.health import to_table
        from crm_pipeline.lib.scoring.report import write_training_reports

        recipe: Recipe = getattr(recipes, load)()
        as_of = date.fromisoformat(context.partition_key)
        home, ledger = deployment.crm_home, deployment.ledger
        plan = warehouse.plan(context.run_id, context.partition_key)
        day = scores.Day(as_of, is_backfill=plan.is_backfill)
        gates = load_score_gates(SEEDS, score)
        with (
            warehouse.connect(context.run_id, context.partition_key) as connection,
            step(f"{score} scores"),
        ):
            night = scores.score_night(connection, home, ledger, recipe, gates, day)
            replace_table(connection, checks_table(score), to_table(night.checks))
            # A month that is on record is never decided again by a run for the past.
            if OFFICIAL.items() <= context.run.tags.items() and not plan.is_backfill:
                scores.keep_used_scores(connection, home, ledger, recipe, as_of)
        reports = write_training_reports(home, recipe, night)
        if night.note:
            say(f"    {night.note}")
        yield dg.MaterializeResult(asset_key=key, metadata=_tell(night, reports))
        yield dg.MaterializeResult(
            asset_key=checks_key, metadata={"dagster/row_count": len(night.checks)}
        )
        yield dg.AssetCheckResult(
            check_name=may_be_used.name,
            asset_key=key,
            passed=not night.held_by,
            # Outreach fails closed by the table of checks; the build itself is not at fault.
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"held_by": night.held_by, "note": night.note or ""},
        )

    return assets


def _tell(night: "NightScores", reports: Sequence[Path]) -> dict[str, dg.MetadataValue]:
    """Figures of the version in force; nothing about any one person."""
    decision, record = night.decision, night.record
    told: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(night.row_count),
        "note": dg.MetadataValue.text(night.note or ""),
        "model_version": dg.MetadataValue.text(record.version if record else "none"),
        "verdict": dg.MetadataValue.text(f"{decision.verdict}: {decision.reason}"),
    }
    for name, value in (record.backtest if record else {}).items():
        told[f"backtest_{name}"] = dg.MetadataValue.float(value)
    for path in reports:
        told[f"report_{path.suffixes[0].lstrip('.')}"] = dg.MetadataValue.path(path)
    return told
