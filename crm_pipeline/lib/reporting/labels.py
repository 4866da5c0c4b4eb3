"""What people call tiers, stages, tags and clusters.

Add here: where names are found.
Not here: who has which (dbt).

The rule tables carry the names (``name_zh``, ``name_en``); what has none keeps its code.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LANGUAGES = ("zh-CN", "en")
Names = Mapping[str, tuple[str, str]]

# Where the rule table of tier names has none for a ladder.
TIER_NAMES: Names = {
    "core": ("核心客户", "Core"),
    "core_potential": ("核心潜力客户", "Core potential"),
    "potential": ("潜力客户", "Potential"),
    "new": ("新客户", "New"),
    "dormant": ("沉睡客户", "Dormant"),
    "high_value_loyal": ("高价值忠诚客户", "High-value loyal"),
    "high_potential_growth": ("高潜成长客户", "High-potential growth"),
    "general_value": ("一般价值客户", "General value"),
    "churn_risk": ("低价值流失风险客户", "Low-value churn risk"),
}
STAGE_NAMES: Names = {
    "aware": ("认知", "Aware"),
    "first_purchase": ("首购", "First purchase"),
    "repeat": ("复购", "Repeat"),
    "loyal": ("忠诚", "Loyal"),
    "churned": ("流失", "Churned"),
    "not_seen": ("首次出现", "Not seen before"),
}
CLUSTER_WORDS: Names = {
    "high_spend": ("高消费", "high spend"),
    "middle_spend": ("中等消费", "middle spend"),
    "low_spend": ("低消费", "low spend"),
    "silent": ("沉默", "silent"),
    "recent": ("近期活跃", "recent"),
    "browsing": ("爱浏览", "browsing"),
}
NONE = ("尚无", "none yet")


@dataclass(frozen=True)
class Labels:
    """The names in both languages, by code, and the order of the tiers."""

    tiers: Names
    stages: Names = field(default_factory=lambda: STAGE_NAMES)
    tags: Names = field(default_factory=dict)

    def tier(self, code: str | None, language: str) -> str:
        """The name of a tier; nobody's is told as none."""
        return _name(self.tiers.get(code, (code, code)) if code else NONE, language)

    def stage(self, code: str, language: str) -> str:
        """The name of a stage of the lifecycle."""
        return _name(self.stages.get(code, (code, code)), language)

    def tag(self, code: str, language: str) -> str:
        """The name of a tag."""
        return _name(self.tags.get(code, (code, code)), language)

    def cluster(self, code: str, language: str) -> str:
        """The name of a cluster, put together from its words."""
        rest, words = code, []
        for word, names in CLUSTER_WORDS.items():
            if rest == word or rest.startswith(f"{word}_"):
                words.append(_name(names, language))
                rest = rest[len(word) :].lstrip("_")
        words += [rest] if rest else []
        return ("、" if language == "zh-CN" else ", ").join(words)

    def tier_order(self, codes: set[str]) -> list[str]:
        """Codes in the order of the ladder, unknown ones behind."""
        known = [code for code in self.tiers if code in codes]
        return known + sorted(codes - set(known))


def read_labels(seeds_dir: Path, ladder: str) -> Labels:
    """The names in the rule tables, and the usual ones where a table has none."""
    tiers = _read(seeds_dir / "rfm_tier_labels.csv", "tier", {"ladder": ladder}, by="rank")
    stages = _read(seeds_dir / "lifecycle_labels.csv", "stage", {"stage_model": "lifecycle"})
    tags = _read(seeds_dir / "tag_rules.csv", "tag", {})
    return Labels(tiers or TIER_NAMES, {**STAGE_NAMES, **stages}, tags)


def _read(
    path: Path, code: str, where: Mapping[str, str], *, by: str | None = None
) -> dict[str, tuple[str, str]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8-sig", newline="") as source:
        rows = [
            row
            for row in csv.DictReader(source)
            if all(row.get(column, value) == value for column, value in where.items())
        ]
    if by and rows and by in rows[0]:
        rows.sort(key=lambda row: int(row[by]))
    return {row[code]: (row["name_zh"], row["name_en"]) for row in rows if row.get("name_zh")}


def _name(names: tuple[str | None, str | None], language: str) -> str:
    return names[LANGUAGES.index(language)] or ""
