"""What must hold of the tier rules themselves, whoever the customers are.

Add here: checks of the rules of segmentation.
Not here: the proof (``lib/rules/ladder_compiler``), checks over customers (dbt tests).
"""

from pathlib import Path

import dagster as dg

from crm_pipeline.lib.rules.ladders import FILE, load_ladders

SEEDS = Path(__file__).resolve().parents[3] / "dbt_project" / "seeds"


@dg.asset_check(asset=dg.AssetKey(["rules", "rfm_ladders"]), blocking=True)
def ladder_is_total_and_unambiguous() -> dg.AssetCheckResult:
    """Every customer there can be gets exactly one tier from each ladder."""
    ladders = load_ladders(SEEDS / FILE)
    return dg.AssetCheckResult(
        passed=all(ladder.is_total and ladder.is_unambiguous for ladder in ladders),
        metadata={ladder.name: "\n".join(ladder.tell()) for ladder in ladders},
    )
