"""What people call the tiers.

Add here: where the names are found.
Not here: which tier a customer has (dbt).
"""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("zh-CN", "en")

# To be replaced by the rule table of tier names as soon as there is one.
TIER_NAMES: Mapping[str, Mapping[str, str]] = {
    "core": {"zh-CN": "核心客户", "en": "Core"},
    "core_potential": {"zh-CN": "核心潜力客户", "en": "Core potential"},
    "potential": {"zh-CN": "潜力客户", "en": "Potential"},
    "new": {"zh-CN": "新客户", "en": "New"},
    "dormant": {"zh-CN": "沉睡客户", "en": "Dormant"},
    "high_value_loyal": {"zh-CN": "高价值忠诚客户", "en": "High-value loyal"},
    "high_potential_growth": {"zh-CN": "高潜成长客户", "en": "High-potential growth"},
    "general_value": {"zh-CN": "一般价值客户", "en": "General value"},
    "churn_risk": {"zh-CN": "低价值流失风险客户", "en": "Churn risk"},
}


def tier_name(tier: str | None, language: str) -> str:
    """The name of a tier; one without a name keeps its code, none is told as such."""
    if not tier:
        return "尚无" if language == "zh-CN" else "none yet"
    return TIER_NAMES.get(tier, {}).get(language, tier)
