"""All rule tables together.

Add here: a rule table to the list.
Not here: what one table may say (its own module).
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from crm_pipeline.lib.rules.ad_platforms import read_ad_platforms
from crm_pipeline.lib.rules.advisor_tasks import read_advisor_tasks
from crm_pipeline.lib.rules.browse_lists import read_browse_lists
from crm_pipeline.lib.rules.caps import read_caps
from crm_pipeline.lib.rules.category_cadences import read_category_cadences
from crm_pipeline.lib.rules.channel_policies import read_channel_policies
from crm_pipeline.lib.rules.churn_cause_labels import read_churn_cause_labels
from crm_pipeline.lib.rules.churn_reasons import read_churn_reasons
from crm_pipeline.lib.rules.content_library import read_content_library
from crm_pipeline.lib.rules.content_policies import read_content_policies
from crm_pipeline.lib.rules.content_variables import read_content_variables
from crm_pipeline.lib.rules.festivals import read_festivals
from crm_pipeline.lib.rules.forbidden_words import read_forbidden_words
from crm_pipeline.lib.rules.identifier_kinds import read_identifier_kinds
from crm_pipeline.lib.rules.identity_floors import read_identity_floors
from crm_pipeline.lib.rules.intent_lexicon import read_intent_lexicon
from crm_pipeline.lib.rules.journey_windows import read_journey_windows
from crm_pipeline.lib.rules.ladders import read_ladders
from crm_pipeline.lib.rules.life_stages import read_life_stage_evidence, read_life_stages
from crm_pipeline.lib.rules.lifecycle import read_lifecycle_labels, read_lifecycle_rules
from crm_pipeline.lib.rules.localities import read_localities
from crm_pipeline.lib.rules.outreach_budgets import read_outreach_budgets
from crm_pipeline.lib.rules.outreach_gates import read_outreach_gates
from crm_pipeline.lib.rules.outreach_rules import read_outreach_rules
from crm_pipeline.lib.rules.price_bands import read_price_bands
from crm_pipeline.lib.rules.quiet_days import read_quiet_days
from crm_pipeline.lib.rules.reach_rules import read_reach_rules
from crm_pipeline.lib.rules.recommendation_reasons import read_recommendation_reasons
from crm_pipeline.lib.rules.replenishment_lives import read_replenishment_lives
from crm_pipeline.lib.rules.score_gates import read_score_gates
from crm_pipeline.lib.rules.sentiment_lexicon import read_sentiment_lexicon
from crm_pipeline.lib.rules.spend_benchmarks import read_spend_benchmarks
from crm_pipeline.lib.rules.survivorship import named_channels, read_survivorship
from crm_pipeline.lib.rules.table import RuleProblem, RuleTable, refuse_problems
from crm_pipeline.lib.rules.tag_rules import read_industry_packs, read_tag_rules
from crm_pipeline.lib.rules.tier_labels import read_tier_labels
from crm_pipeline.lib.rules.tier_lifts import read_tier_lifts
from crm_pipeline.lib.rules.tier_margins import read_tier_margins
from crm_pipeline.lib.rules.weather_words import read_weather_words

READERS = (
    read_ad_platforms,
    read_advisor_tasks,
    read_browse_lists,
    read_caps,
    read_category_cadences,
    read_channel_policies,
    read_churn_cause_labels,
    read_churn_reasons,
    read_content_library,
    read_content_policies,
    read_content_variables,
    read_festivals,
    read_forbidden_words,
    read_identifier_kinds,
    read_identity_floors,
    read_industry_packs,
    read_intent_lexicon,
    read_journey_windows,
    read_ladders,
    read_life_stage_evidence,
    read_life_stages,
    read_lifecycle_labels,
    read_lifecycle_rules,
    read_localities,
    read_outreach_budgets,
    read_outreach_gates,
    read_outreach_rules,
    read_price_bands,
    read_quiet_days,
    read_reach_rules,
    read_recommendation_reasons,
    read_replenishment_lives,
    read_score_gates,
    read_sentiment_lexicon,
    read_spend_benchmarks,
    read_tag_rules,
    read_tier_labels,
    read_tier_lifts,
    read_tier_margins,
    read_weather_words,
)


def validate_rules(
    seeds_dir: Path, *, channels: Collection[str] | None = None
) -> list[RuleProblem]:
    """Every problem in every rule table, in the order of the files and rows.

    Args:
        seeds_dir: where the tables are.
        channels: the channels there are; without them any name of a channel is accepted.
    """
    survivorship = read_survivorship(seeds_dir)
    if channels is not None:
        _check_channels_exist(survivorship, channels)
    tables = [*(reader(seeds_dir) for reader in READERS), survivorship]
    problems = [problem for table in tables for problem in table.problems]
    return sorted(problems, key=lambda problem: (problem.file, problem.row_number))


def check_rules(seeds_dir: Path, *, channels: Collection[str] | None = None) -> None:
    """Refuses rule tables with any problem; ``channels`` as in ``validate_rules``.

    Raises:
        RuleError: Lists all problems with file, row, column and what to write instead.
    """
    problems = validate_rules(seeds_dir, channels=channels)
    refuse_problems(problems, "the rule tables", seeds_dir)


def _check_channels_exist(table: RuleTable, channels: Collection[str]) -> None:
    for row, name in named_channels(table):
        if name not in channels:
            what = f"no feed delivers a channel called '{name}'"
            remedy = f"Take it out, or write one of {', '.join(sorted(channels))}"
            table.complain(row.number, "channels", what, remedy)
