"""The demo's world: the sequences it was told to plant are the rules, and there is no other."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from ml.sequences import SequenceConfig, judge_rules
from simulation.feeds import ORDER_CHANNELS
from tests.sequence_support import Calendar, Shop, count, shuffle
from tests.unit.simulation.world.support import FEW_SESSIONS, Read, make

pytestmark = [pytest.mark.requirement("SCO-5"), pytest.mark.slow]

WINDOWS = (7, 14, 30, 60, 90)  # var sequence_windows
HOLDOUT_DAYS = 180  # var sequence_holdout_days


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """As many people as the demo has, buying as often."""
    return make(tmp_path_factory.mktemp("world"), world__people=5000,
                purchases__rate_scale_days=45, **FEW_SESSIONS)  # fmt: skip


@pytest.fixture(scope="module")
def shop(world: Read) -> Shop:
    lines = " union all ".join(
        f"select person_id, ordered_at, sku from {name}_order_lines where line_kind = 'sale'"
        for name in ORDER_CHANNELS
    )
    bought: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    rows = world.rows(
        f"""
        select distinct person_id, (epoch(ordered_at)::bigint + {world.world.calendar.offset})
            // 86400 as day, category_name
        from ({lines}) inner join (select distinct sku, category_name from erp_products) using (sku)
        """
    )
    for person, day, category in rows:
        bought[str(person)][int(day)].add(category)
    return {person: {day: frozenset(names) for day, names in sorted(days.items())}
            for person, days in sorted(bought.items())}  # fmt: skip


def rules_of(shop: Shop) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Pairs found in the discovery period, and those the hold-out shows too."""
    until = max(day for days in shop.values() for day in days)
    config = SequenceConfig()
    rules = judge_rules(*count(shop, WINDOWS, Calendar(until - HOLDOUT_DAYS, until)), config)
    found = rules[rules["q_value"] <= config.false_discovery_rate]
    shown = found[found["holdout_p_value"] <= config.holdout_level]
    return tuple(  # type: ignore[return-value]
        set(zip(part["first_category"], part["then_category"], strict=True))
        for part in (found, shown)
    )


def test_the_planted_sequences_are_the_rules(world: Read, shop: Shop) -> None:
    planted = set(world.rows("select first_category, then_category from truth_sequences"))
    found, shown = rules_of(shop)
    assert len(planted) == 4
    assert found == planted
    assert shown == planted


def test_the_same_purchases_in_any_order_have_no_rule(shop: Shop) -> None:
    found, _ = rules_of(shuffle(shop, np.random.default_rng(1)))
    assert found == set()
