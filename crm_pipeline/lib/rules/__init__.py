"""Rule tables (dbt seeds) checked before anything runs on them.

Add here: what callers use.
Not here: what the rules do (dbt models).
"""

from __future__ import annotations

from crm_pipeline.lib.rules.seeds import check_rules, validate_rules
from crm_pipeline.lib.rules.table import RuleProblem

__all__ = ["RuleProblem", "check_rules", "validate_rules"]
