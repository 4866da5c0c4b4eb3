"""The ladder compiler: shipped and literal ladders, and random ones against a plain reading."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner

from crm_pipeline.cli import main
from crm_pipeline.lib.errors import RuleError
from crm_pipeline.lib.rules.ladder_compiler import Customer, Ladder, LadderRule, Limits
from crm_pipeline.lib.rules.ladders import COLUMNS, FILE, load_ladders

ROOT = Path(__file__).resolve().parents[4]
SEEDS = ROOT / "dbt_project" / "seeds"
LITERAL = ROOT / "examples" / "ladders" / "playbook_literal.csv"

RANDOM_LADDERS = 500
Span = tuple[int | None, int | None]


def rule(number: int, days: Span, orders: Span, basis: str, spend: Span) -> LadderRule:
    return LadderRule(
        f"r{number}", "t", number, Limits(*days), Limits(*orders), basis, Limits(*spend), number
    )


def is_taken(rule: LadderRule, customer: Customer) -> bool:
    """The join of ``int_customers_tiered`` read once more, apart from the compiler."""
    if rule.spend_basis != "none" and customer.spend is None:
        return False
    spend = dict(zip(("percentile", "mean"), customer.spend or (), strict=False))
    tested = [
        (customer.days_since_last_order, rule.days),
        (customer.order_count, rule.orders),
        (spend.get(rule.spend_basis, 0), rule.spend),
    ]
    return all(
        (limits.least is None or limits.least <= value)
        and (limits.most is None or value <= limits.most)
        for value, limits in tested
    )


def tier_count(rules: Sequence[LadderRule], customer: Customer) -> int:
    """How many tiers first match gives a customer: 1 is right."""
    taken = [rule.priority for rule in rules if is_taken(rule, customer)]
    return taken.count(min(taken)) if taken else 0  # type: ignore[type-var]


def is_possible(customer: Customer) -> bool:
    """The only link between both measures that holds whatever the others spend."""
    place, mean = customer.spend or (50, 50)
    return mean > 0 and (place > 0 or mean <= 100) and (place < 100 or mean >= 100)


def random_customer(chance: random.Random) -> Customer:
    while True:
        spend = (chance.randrange(0, 201) / 2, chance.randrange(1, 601) / 2)
        nothing = chance.random() < 0.2
        customer = Customer(chance.randrange(15), chance.randrange(8), None if nothing else spend)
        if is_possible(customer):
            return customer


def random_span(chance: random.Random, most: int) -> Span:
    low, high = sorted(chance.choices(range(most + 1), k=2))
    return chance.choice([(low, high), (low, None), (None, high), (None, None)])


def random_rule(chance: random.Random, number: int) -> LadderRule:
    basis = chance.choice(["percentile", "mean", "none"])
    spend: Span = (None, None)
    while basis != "none" and spend == (None, None):
        spend = random_span(chance, 100 if basis == "percentile" else 300)
    return rule(number, random_span(chance, 12), random_span(chance, 6), basis, spend)


def random_partition(chance: random.Random) -> list[LadderRule]:
    """Total without a rule that takes everybody: days cut, orders cut, the rest by spend."""
    day, order, share = chance.randrange(12), chance.randrange(6), chance.randrange(1, 100)
    rules: list[LadderRule] = []
    for days, orders in product([(None, day), (day + 1, None)], [(None, order), (order + 1, None)]):
        basis = chance.choice(["percentile", "mean"])
        if chance.random() < 0.5:
            rules.append(rule(len(rules) + 1, days, orders, basis, (share, None)))
        rules.append(rule(len(rules) + 1, days, orders, "none", (None, None)))
    return rules


def random_valid_rules(chance: random.Random) -> list[LadderRule]:
    """Valid by the way it is made."""
    if chance.random() < 0.5:
        return random_partition(chance)
    some = [random_rule(chance, number) for number in range(1, chance.randrange(2, 7))]
    return [*some, rule(99, (None, None), (None, None), "none", (None, None))]


def without(chance: random.Random, rule: LadderRule, customer: Customer) -> list[LadderRule]:
    """The rule in one or two pieces that leave this customer out."""
    if not is_taken(rule, customer):
        return [rule]
    axis, value = chance.choice(
        [("days", customer.days_since_last_order), ("orders", customer.order_count)]
    )
    old: Limits = getattr(rule, axis)
    pieces = []
    if value > (old.least or 0):
        pieces.append(replace(rule, **{axis: Limits(old.least, value - 1)}))
    if old.most is None or value < old.most:
        pieces.append(replace(rule, **{axis: Limits(value + 1, old.most)}))
    return chance.sample(pieces, k=min(1, len(pieces)))


@pytest.mark.requirement("CUS-6")
def test_each_of_500_random_valid_ladders_is_accepted() -> None:
    for seed in range(RANDOM_LADDERS):
        rules = random_valid_rules(random.Random(seed))
        ladder = Ladder(f"valid_{seed}", tuple(rules))
        assert ladder.is_total, list(ladder.tell())
        assert ladder.is_unambiguous, list(ladder.tell())


@pytest.mark.requirement("CUS-6")
def test_each_of_500_random_broken_ladders_has_a_confirmed_counter_example() -> None:
    for seed in range(RANDOM_LADDERS):
        chance = random.Random(10_000 + seed)
        rules, victim = random_valid_rules(chance), random_customer(chance)
        if chance.random() < 0.5:
            rules = [piece for rule in rules for piece in without(chance, rule, victim)]
            assert tier_count(rules, victim) == 0
        else:
            first = min((r for r in rules if is_taken(r, victim)), key=lambda r: r.priority or 0)
            rules.append(replace(first, rule_id="again", place=1000, tier="other"))
            assert tier_count(rules, victim) == 2
        ladder = Ladder(f"broken_{seed}", tuple(rules))
        failed = [*ladder.gaps, *(pair.example for pair in ladder.ambiguities)]
        assert failed, rules
        for customer in failed:
            assert tier_count(rules, customer) != 1, (customer, rules)
            assert is_possible(customer), customer


@pytest.mark.requirement("CUS-6")
def test_what_the_compiler_proves_holds_for_random_customers_of_any_ladder() -> None:
    """Ladders nobody made valid or broken: verdict and cells against customers drawn at random."""
    verdicts = set()
    for seed in range(150):
        chance = random.Random(20_000 + seed)
        rules = [random_rule(chance, number) for number in range(1, chance.randrange(3, 9))]
        rules.append(rule(9, (None, chance.choice([None, 9])), (None, None), "none", (None, None)))
        ladder = Ladder(f"any_{seed}", tuple(rules))
        drawn = [random_customer(chance) for _ in range(300)]
        missed = [customer for customer in drawn if tier_count(rules, customer) == 0]
        assert not (ladder.is_total and missed), (missed[:3], rules)
        dead = {shadowed for shadowed, _ in ladder.dead_rules}
        for customer in drawn:
            taken = [rule for rule in rules if is_taken(rule, customer)]
            assert not taken or taken[0] not in dead, (customer, taken[0])
        verdicts.add((ladder.is_total, bool(dead)))
    assert verdicts == set(product([True, False], repeat=2)), "every verdict must have been met"


@pytest.mark.requirement("CUS-6")
def test_the_shipped_ladders_are_total_and_unambiguous_and_every_rule_is_reached() -> None:
    ladders = load_ladders(SEEDS / FILE)
    assert "playbook" in {ladder.name for ladder in ladders}
    for ladder in ladders:
        assert (ladder.gaps, ladder.ambiguities, ladder.dead_rules) == ((), (), ())


@pytest.mark.requirement("CUS-6")
def test_the_literal_playbook_table_leaves_76_per_cent_of_the_cells_without_a_tier() -> None:
    """R 0-7, 8-15, 16-89, 90+; F 0, 1, 2, 3-4, 5+; M nothing, or four places by two of the mean."""
    [ladder] = load_ladders(LITERAL)
    assert ladder.is_literal
    assert ladder.cell_count == 4 * 5 * (1 + 4 * 2)
    assert len(ladder.gaps) == 138
    assert int(ladder.gap_share_pct) == 76
    [both] = ladder.ambiguities
    assert {both.first.tier, both.second.tier} == {"new", "potential"}
    assert both.cell_count == 2
    assert both.example == Customer(0, 1, (50, 50))
    assert all(tier_count([replace(r, priority=1) for r in ladder.rules], gap) == 0
               for gap in ladder.gaps)  # fmt: skip


@pytest.mark.parametrize(
    ("basis", "first", "second", "is_total"),
    [
        ("percentile", (None, 50), (51, None), False),  # between P50 and P51
        ("percentile", (None, 50), (50, None), True),
        ("mean", (None, 99), (100, None), False),
        ("mean", (None, 100), (100, None), True),
    ],
)
def test_limits_with_a_hole_between_whole_per_cents_are_no_total_ladder(
    basis: str, first: Span, second: Span, is_total: bool
) -> None:
    open_span: Span = (None, None)
    rules = [
        rule(1, open_span, open_span, basis, first),
        rule(2, open_span, open_span, basis, second),
    ]
    ladder = Ladder("two_halves", tuple(rules))
    [nothing, *others] = ladder.gaps
    assert nothing.spend is None, "who spent nothing meets no limit on spend"
    assert (others == []) is is_total


@pytest.mark.parametrize(
    ("place", "mean", "meet"),
    [
        ((None, 0), (101, None), False),  # the least spend of a base is never above its mean
        ((None, 0), (100, None), True),  # where all spend the same it is the mean
        ((None, 1), (101, None), True),
        ((100, None), (None, 99), False),  # the largest is never below it
        ((100, None), (None, 100), True),
        ((99, None), (None, 99), True),
    ],
)
def test_place_and_mean_are_linked_only_at_the_ends_of_the_base(
    place: Span, mean: Span, meet: bool
) -> None:
    open_span: Span = (None, None)
    rules = (
        rule(1, open_span, open_span, "percentile", place),
        rule(2, open_span, open_span, "mean", mean),
    )
    overlaps = Ladder("ends", rules).overlaps
    assert bool(overlaps) is meet
    assert all(is_possible(overlap.example) for overlap in overlaps)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["rules", "check", *arguments])
    return result.exit_code, result.output


def test_the_command_proves_the_shipped_ladders_and_refuses_the_literal_table() -> None:
    code, text = run()
    assert code == 0
    assert "ladder playbook: 9 rules" in text
    assert "total: every customer gets a tier" in text
    code, text = run("--ladder-file", str(LITERAL))
    assert code == 1
    assert "NOT TOTAL: 138 of 180 cells (76.7 %) have no tier" in text
    assert "AMBIGUOUS: literal_potential and literal_new" in text
    assert "R 16 days, F 0, spent nothing" in text


def test_a_ladder_file_with_a_bad_row_or_half_its_priorities_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ladders.csv"
    rows = [",".join(COLUMNS), "mine,1,gold,,7,x,,none,,,r1,", "mine,,rest,,,,,none,,,r2,"]
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    with pytest.raises(RuleError, match=r"row 2, column min_order_count: 'x' is no whole number"):
        load_ladders(file)
    file.write_text("\n".join(rows).replace(",x,", ",3,") + "\n", encoding="utf-8")
    with pytest.raises(RuleError, match=r"row 3, column priority: it is empty, but other rules"):
        load_ladders(file)
