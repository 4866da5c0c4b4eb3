"""Proof that a tier ladder gives every customer exactly one tier, or customers it fails.

Add here: what follows from the limits of one ladder, whoever the customers are.
Not here: reading the table (``ladders``), applying it to customers (dbt, ``int_customers_tiered``).

The space is what ``int_customers_tiered`` may be handed: R and F are whole numbers from 0; M is
either nothing (null, 0 or below: it meets no limit on spend) or two measures that only the customer
base links, the percentile place and the per cent of the mean. One link holds in every base: the
least spend is not above the mean and the largest is not below it. A spend shared by many stands at
every place from its first to its last; each of them is judged, and so is the customer.

Every axis is cut where a limit changes what is met, so one point per cell decides its cell: the
proof is exact and samples nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

MEAN = 100  # per cent of itself
TOP = 100  # the last percentile place
SHOWN = 5

Spend = tuple[float, float]  # percentile place, per cent of the mean


@dataclass(frozen=True)
class Limits:
    """Both ends are in; ``None`` is open."""

    least: int | None = None
    most: int | None = None

    def holds(self, value: float) -> bool:
        """Whether a value is within."""
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )


@dataclass(frozen=True)
class LadderRule:
    """One row of a ladder; ``place`` is where its editor finds it."""

    rule_id: str
    tier: str
    priority: int | None
    days: Limits
    orders: Limits
    spend_basis: str  # percentile, mean or none
    spend: Limits
    place: int = 0

    def takes(self, customer: Customer) -> bool:
        """Whether a customer meets every limit, as ``int_customers_tiered`` reads them."""
        if not self.days.holds(customer.days_since_last_order):
            return False
        if not self.orders.holds(customer.order_count):
            return False
        return self.allows(customer.spend)

    def allows(self, spend: Spend | None) -> bool:
        """Whether the limits on spend are met; who spent nothing meets none."""
        if self.spend_basis == "none":
            return True
        if spend is None:
            return False
        percentile, mean_pct = spend
        return self.spend.holds(percentile if self.spend_basis == "percentile" else mean_pct)


@dataclass(frozen=True)
class Customer:
    """One point of the space; without a spend it is null, 0 or below."""

    days_since_last_order: int
    order_count: int
    spend: Spend | None

    def __str__(self) -> str:
        if self.spend is None:
            money = "spent nothing"
        else:
            money = f"spend at P{self.spend[0]:g} and {self.spend[1]:g} % of the mean"
        return f"R {self.days_since_last_order} days, F {self.order_count}, {money}"


@dataclass(frozen=True)
class Overlap:
    """Two rules that take the same customers."""

    first: LadderRule
    second: LadderRule
    cell_count: int
    example: Customer


@dataclass(frozen=True)
class _Region:
    """All cells the same rules take."""

    takers: tuple[LadderRule, ...]  # in the order they are tried
    cell_count: int
    customers: tuple[Customer, ...]  # one of every cell where nobody takes it, else one

    @property
    def winners(self) -> tuple[LadderRule, ...]:
        """The takers that are tried first: one, or several of the same priority."""
        return tuple(rule for rule in self.takers if rule.priority == self.takers[0].priority)


@dataclass(frozen=True)
class Ladder:
    """The rules of one ladder, with what can be proven about them.

    Without any priority the ladder is literal: no rule comes first, so an overlap is a fault.
    """

    name: str
    rules: tuple[LadderRule, ...]

    @property
    def is_literal(self) -> bool:
        """Whether no rule comes before another."""
        return all(rule.priority is None for rule in self.rules)

    @cached_property
    def regions(self) -> tuple[_Region, ...]:
        """The cells by who takes them; customers who spent nothing come before the others."""
        ordered = sorted(self.rules, key=lambda rule: (rule.priority or 0, rule.place))
        counts: Counter[int] = Counter()
        customers: dict[int, list[Customer]] = {}
        for customer, mask in _cells(ordered):
            counts[mask] += 1
            if mask == 0 or mask not in customers:
                customers.setdefault(mask, []).append(customer)
        return tuple(
            _Region(
                tuple(rule for place, rule in enumerate(ordered) if mask >> place & 1),
                count,
                tuple(customers[mask]),
            )
            for mask, count in counts.items()
        )

    @cached_property
    def cell_count(self) -> int:
        """How many cells the limits cut the space into."""
        return sum(region.cell_count for region in self.regions)

    @cached_property
    def gaps(self) -> tuple[Customer, ...]:
        """A customer of every cell without a tier."""
        return next((region.customers for region in self.regions if not region.takers), ())

    @property
    def gap_share_pct(self) -> float:
        """How many of the cells have no tier."""
        return 100 * len(self.gaps) / self.cell_count

    @cached_property
    def overlaps(self) -> tuple[Overlap, ...]:
        """Every pair of rules that take one cell; with priorities the smaller one decides."""
        return self._pairs([region.takers for region in self.regions])

    @cached_property
    def ambiguities(self) -> tuple[Overlap, ...]:
        """The pairs that no priority decides: of the rules tried first, both take a cell."""
        return self._pairs([region.winners for region in self.regions])

    def _pairs(self, takers_by_region: Sequence[Sequence[LadderRule]]) -> tuple[Overlap, ...]:
        counts: Counter[tuple[LadderRule, LadderRule]] = Counter()
        examples: dict[tuple[LadderRule, LadderRule], Customer] = {}
        for region, takers in zip(self.regions, takers_by_region, strict=True):
            for pair in combinations(takers, 2):
                counts[pair] += region.cell_count
                examples.setdefault(pair, region.customers[0])
        return tuple(Overlap(*pair, counts[pair], examples[pair]) for pair in counts)

    @cached_property
    def dead_rules(self) -> tuple[tuple[LadderRule, tuple[LadderRule, ...]], ...]:
        """Rules nobody reaches, each with the earlier rules that take its customers."""
        if self.is_literal:
            return ()
        alive: set[LadderRule] = set()
        shadows: dict[LadderRule, dict[LadderRule, None]] = {rule: {} for rule in self.rules}
        for region in self.regions:
            alive.update(region.winners)
            for taker in region.takers[len(region.winners) :]:
                shadows[taker][region.takers[0]] = None
        return tuple((rule, tuple(shadows[rule])) for rule in self.rules if rule not in alive)

    @property
    def is_total(self) -> bool:
        """Whether every customer there can be gets a tier."""
        return not self.gaps

    @property
    def is_unambiguous(self) -> bool:
        """Whether nobody gets two."""
        return not self.ambiguities

    def tell(self) -> Iterator[str]:
        """The findings for a person, line by line."""
        kind = "no priorities, read literally" if self.is_literal else "first match wins"
        yield f"ladder {self.name}: {len(self.rules)} rules, {self.cell_count} cells, {kind}"
        if self.is_total:
            yield "  total: every customer gets a tier"
        else:
            share = f"{len(self.gaps)} of {self.cell_count} cells ({self.gap_share_pct:.1f} %)"
            yield f"  NOT TOTAL: {share} have no tier, for example"
            yield from (f"    {customer}" for customer in spread(self.gaps))
        if self.is_unambiguous:
            yield "  unambiguous: nobody gets two"
        for overlap in self.ambiguities:
            pair = f"{overlap.first.rule_id} and {overlap.second.rule_id}"
            yield f"  AMBIGUOUS: {pair} both take {overlap.cell_count} cells, for example"
            yield f"    {overlap.example}"
        undecided = {(pair.first, pair.second) for pair in self.ambiguities}
        decided = sum((pair.first, pair.second) not in undecided for pair in self.overlaps)
        if decided:
            yield f"  {decided} pairs of rules overlap; the smaller priority decides"
        for rule, earlier in self.dead_rules:
            yield f"  NEVER REACHED: {rule.rule_id}, {tell_shadow(earlier)}"


def tell_shadow(earlier: Sequence[LadderRule]) -> str:
    """Why a rule is never reached."""
    if not earlier:
        return "no customer can meet its limits"
    names = ", ".join(rule.rule_id for rule in earlier)
    return f"earlier rules take all its customers: {names}"


def spread(customers: Sequence[Customer], shown: int = SHOWN) -> list[Customer]:
    """A few customers as different as they are: of each recency one, then of each order count."""
    chosen: dict[Customer, None] = {}
    for seen_by in ("days_since_last_order", "order_count"):
        seen = {getattr(customer, seen_by) for customer in chosen}
        for customer in customers:
            if getattr(customer, seen_by) not in seen:
                seen.add(getattr(customer, seen_by))
                chosen[customer] = None
    return list(chosen)[:shown]


# An axis in half steps: 2 v is the value v and 2 v + 1 stands for everything between v and v + 1.
# So limits that include their ends cut percentiles and per cents exactly.
def _starts(limits: Sequence[Limits], first: int, last: int | None = None) -> list[int]:
    """The first half step of every band in which no limit changes what is met."""
    steps = {first}
    steps.update(2 * limit.least for limit in limits if limit.least is not None)
    steps.update(2 * limit.most + 1 for limit in limits if limit.most is not None)
    return sorted(step for step in steps if step >= first and (last is None or step <= last))


def _whole(limits: Sequence[Limits]) -> list[int]:
    """The first whole number of every band from 0."""
    return sorted({(step + 1) // 2 for step in _starts(limits, 0)})


def _cells(rules: Sequence[LadderRule]) -> Iterator[tuple[Customer, int]]:
    """A customer of every cell, and the rules that take it as bits in their order."""
    days = [(day, _mask([r.days.holds(day) for r in rules]))
            for day in _whole([rule.days for rule in rules])]  # fmt: skip
    orders = [(count, _mask([r.orders.holds(count) for r in rules]))
              for count in _whole([rule.orders for rule in rules])]  # fmt: skip
    for spend in (None, *_spend_points(rules)):
        by_spend = _mask([rule.allows(spend) for rule in rules])
        for (day, by_day), (count, by_count) in product(days, orders):
            yield Customer(day, count, spend), by_spend & by_day & by_count


def _mask(holds: Sequence[bool]) -> int:
    return sum(1 << place for place, held in enumerate(holds) if held)


def _spend_points(rules: Sequence[LadderRule]) -> Iterator[Spend]:
    """Both measures of one spend for every cell that some base has."""
    by_place = [rule.spend for rule in rules if rule.spend_basis == "percentile"]
    by_mean = [rule.spend for rule in rules if rule.spend_basis == "mean"]
    # Spend is above 0, so is its share of a mean: that axis begins behind 0.
    places = _bands(_starts(by_place, 0, 2 * TOP), 2 * TOP)
    means = _bands(_starts(by_mean, 1), None)
    for (first, last), (mean, last_mean) in product(places, means):
        if last == 0:  # the least spend of a base, never above its mean
            if mean <= 2 * MEAN:
                yield 0, min(_middle(mean, last_mean), 2 * MEAN) / 2
        elif first == 2 * TOP:  # the largest, never below it
            if last_mean is None or last_mean >= 2 * MEAN:
                yield TOP, max(_middle(mean, last_mean), 2 * MEAN) / 2
        else:
            place = min(max(_middle(first, last), 1), 2 * TOP - 1)
            yield place / 2, _middle(mean, last_mean) / 2


def _bands(starts: Sequence[int], last: int | None) -> list[tuple[int, int | None]]:
    """Each band's first and last half step; an open end is ``None``."""
    return list(zip(starts, [*(start - 1 for start in starts[1:]), last], strict=True))


def _middle(first: int, last: int | None) -> int:
    """A half step in the middle of a band, a whole value where one is as near."""
    middle = first + 1 if last is None else (first + last) // 2
    for step in (middle + middle % 2, middle - middle % 2, middle):
        if first <= step and (last is None or step <= last):
            return step
    return first
