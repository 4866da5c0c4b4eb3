"""Arbitration: as good as trying everything, never over a limit, the same every time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.arbitration import ArbitrationConfig, Choice, arbitrate
from ml.arbitration.greedy import order_by_density, order_by_value, pack_in_order
from ml.arbitration.problem import Ints, read_problem, reduce_problem
from ml.errors import InvalidDataError

pytestmark = pytest.mark.requirement("OUT-9")

SOLVER_ONLY = ArbitrationConfig(enumerate_at_most=1)
GREEDY_ONLY = ArbitrationConfig(enumerate_at_most=1, solve_at_most=1)
METHODS = {"default": ArbitrationConfig(), "solver": SOLVER_ONLY, "greedy": GREEDY_ONLY}


@dataclass(frozen=True)
class Case:
    value: np.ndarray
    weight: np.ndarray  # limit by message
    capacity: np.ndarray

    @property
    def members(self) -> tuple[Ints, Ints, Ints]:
        limit, message = np.nonzero(self.weight)
        return message, limit, self.weight[limit, message]

    def solve(self, config: ArbitrationConfig | None = None) -> Choice:
        return arbitrate(self.value, self.members, self.capacity, config or ArbitrationConfig())

    def check(self, choice: Choice) -> None:
        load = self.weight @ choice.chosen
        assert (load <= self.capacity).all()
        room = self.capacity - load
        for message, limit in enumerate(choice.binding_limit):
            stops = np.flatnonzero(self.weight[:, message] > room)
            assert limit == (-1 if choice.chosen[message] else stops[0])
        assert choice.objective == pytest.approx(self.value[choice.chosen].sum())


def random_case(seed: int, *, most: int = 11) -> Case:
    """Caps of people, quotas of channels and a budget over a few messages."""
    rng = np.random.default_rng(seed)
    count, limits = int(rng.integers(1, most + 1)), int(rng.integers(1, 7))
    weight = rng.integers(0, 2, (limits, count))
    if rng.random() < 0.6:
        weight = weight * rng.integers(1, 60, (limits, count))
    total = weight.sum(axis=1)
    capacity = np.floor(total * rng.uniform(0, 1.1, limits)).astype(np.int64)
    value = rng.integers(1, 9, count).astype(float)
    if rng.random() < 0.5:
        value = np.round(rng.uniform(0.1, 100, count), 3)
    return Case(value, weight, capacity)


def best_by_trying_all(case: Case) -> float:
    subsets = np.array(list(itertools.product((0, 1), repeat=len(case.value))))
    fits = (subsets @ case.weight.T <= case.capacity).all(axis=1)
    return float((subsets @ case.value)[fits].max())


def better_greedy(case: Case) -> float:
    """Both greedy orders in plain Python, as a reference."""
    share = np.zeros(len(case.value))
    for limit, capacity in enumerate(case.capacity):
        if capacity:
            share += case.weight[limit] / capacity
    density = np.divide(case.value, share, out=np.full(len(share), np.inf), where=share > 0)
    totals = []
    for order in (np.argsort(-case.value, kind="stable"), np.argsort(-density, kind="stable")):
        room, total = case.capacity.copy(), 0.0
        for message in order:
            if (case.weight[:, message] <= room).all():
                room -= case.weight[:, message]
                total += float(case.value[message])
        totals.append(total)
    return max(totals)


@pytest.mark.parametrize("method", ["default", "solver"])
def test_two_hundred_small_cases_equal_trying_every_choice(method: str) -> None:
    for seed in range(200):
        case = random_case(seed)
        choice = case.solve(METHODS[method])
        case.check(choice)
        assert choice.objective == pytest.approx(best_by_trying_all(case)), seed
        assert choice.is_proven, seed


@pytest.mark.parametrize("method", METHODS)
def test_every_case_is_at_least_as_good_as_greedy(method: str) -> None:
    for seed in range(200):
        case = random_case(1000 + seed, most=24)
        choice = case.solve(METHODS[method])
        case.check(choice)
        if method != "greedy":
            assert choice.objective >= better_greedy(case) - 1e-9, seed


def test_greedy_takes_one_dear_message_where_two_cheap_ones_are_worth_more() -> None:
    """Three messages, one person may get two units: value 10 weighs both, 6 and 6 weigh one."""
    case = Case(np.array([10.0, 6.0, 6.0]), np.array([[2, 1, 1]]), np.array([2]))
    problem = read_problem(case.value, case.members, case.capacity, value_units=1)
    by_value = pack_in_order(
        problem, order_by_value(problem), np.zeros(3, np.bool_), rounds_at_most=9
    )
    assert by_value.tolist() == [True, False, False]
    assert case.solve().chosen.tolist() == [False, True, True]


def test_both_greedy_orders_are_strictly_worse_than_the_best_choice() -> None:
    """A budget of 10: the best and densest message (10 for 6) leaves no room for two of 6 for 5."""
    case = Case(np.array([10.0, 6.0, 6.0]), np.array([[6, 5, 5]]), np.array([10]))
    assert better_greedy(case) == case.solve(GREEDY_ONLY).objective == 10
    assert not case.solve(GREEDY_ONLY).is_proven
    assert case.solve().chosen.tolist() == [False, True, True]
    assert case.solve(SOLVER_ONLY).chosen.tolist() == [False, True, True]


def test_a_large_component_is_solved_at_least_as_well_as_greedily() -> None:
    rng = np.random.default_rng(5)
    count = 400
    weight = np.zeros((102, count), np.int64)
    weight[rng.integers(0, 100, count), np.arange(count)] = 1
    weight[100] = rng.integers(1, 40, count)
    weight[101] = rng.integers(0, 2, count)
    capacity = np.array([*[1] * 100, 900, 45])
    case = Case(np.round(rng.uniform(1, 100, count), 2), weight, capacity)
    choice, greedy = case.solve(), case.solve(GREEDY_ONLY)
    case.check(choice)
    case.check(greedy)
    assert choice.methods == {"solved": 1}
    assert choice.objective > better_greedy(case)
    assert greedy.objective == pytest.approx(better_greedy(case), rel=0.05)


cases = st.integers(0, 2**32).map(lambda seed: random_case(seed, most=20))


@settings(max_examples=120, deadline=None)
@given(case=cases, method=st.sampled_from(sorted(METHODS)))
def test_no_limit_is_ever_exceeded_and_every_rejection_names_one(case: Case, method: str) -> None:
    case.check(case.solve(METHODS[method]))


@settings(max_examples=60, deadline=None)
@given(case=cases, seed=st.integers(0, 1000), method=st.sampled_from(sorted(METHODS)))
def test_the_order_of_the_rows_of_members_does_not_matter(
    case: Case, seed: int, method: str
) -> None:
    order = np.random.default_rng(seed).permutation(len(case.members[0]))
    message, limit, weight = (part[order] for part in case.members)
    again = arbitrate(case.value, (message, limit, weight), case.capacity, METHODS[method])
    assert np.array_equal(again.chosen, case.solve(METHODS[method]).chosen)


def test_messages_in_another_order_are_worth_the_same_and_alike_where_no_two_are_equal() -> None:
    rng = np.random.default_rng(3)
    for seed in range(60):
        case = random_case(seed)
        distinct = 2.0 ** np.arange(len(case.value))
        order = rng.permutation(len(distinct))
        one = Case(distinct, case.weight, case.capacity).solve()
        other = Case(distinct[order], case.weight[:, order], case.capacity).solve()
        assert np.array_equal(one.chosen[order], other.chosen)


def test_of_equal_messages_the_earlier_ones_go() -> None:
    for config in (ArbitrationConfig(), GREEDY_ONLY):
        case = Case(np.full(6, 5.0), np.ones((1, 6), np.int64), np.array([2]))
        assert case.solve(config).chosen.tolist() == [True, True, False, False, False, False]


def test_a_capacity_of_nothing_lets_nothing_through() -> None:
    case = Case(np.array([3.0, 4.0]), np.array([[1, 1]]), np.array([0]))
    choice = case.solve()
    assert not choice.chosen.any()
    assert choice.binding_limit.tolist() == [0, 0]


def test_without_messages_or_limits_everything_there_is_goes() -> None:
    assert arbitrate([], ([], [], []), []).chosen.tolist() == []
    choice = arbitrate([1.0, 0.0], ([], [], []), [])
    assert choice.chosen.tolist() == [True, True]
    assert choice.binding_limit.tolist() == [-1, -1]
    assert choice.methods == {}


def test_a_message_worth_nothing_goes_where_there_is_room() -> None:
    case = Case(np.array([0.0, 1.0, 0.0]), np.array([[1, 1, 1]]), np.array([2]))
    assert case.solve().chosen.tolist() == [True, True, False]
    assert case.solve(SOLVER_ONLY).chosen.sum() == 2


def test_a_pair_named_twice_counts_twice() -> None:
    choice = arbitrate([5.0, 1.0], ([0, 0, 1], [0, 0, 0], [1, 1, 1]), [1])
    assert choice.chosen.tolist() == [False, True]


def test_money_of_many_digits_is_added_up_exactly() -> None:
    """0.1 and 0.2 of a currency make 0.3: as floats they would be more."""
    tenth = 100_000
    members = ([0, 1], [0, 0], [tenth, 2 * tenth])
    assert arbitrate([1.0, 1.0], members, [3 * tenth]).chosen.all()
    assert arbitrate([1.0, 1.0], members, [3 * tenth - 1]).chosen.sum() == 1


@pytest.mark.parametrize(
    ("value", "members", "capacity", "told"),
    [
        ([-1.0], ([0], [0], [1]), [1], "value of message 0 is -1.0"),
        ([float("nan")], ([0], [0], [1]), [1], "value of message 0 is nan"),
        ([[1.0]], ([0], [0], [1]), [1], "2 dimensions"),
        ([1.0], ([0], [0], [-1]), [1], r"weight\[0\] is -1"),
        ([1.0], ([0], [0], [0.5]), [1], r"weight\[0\] is 0.5"),
        ([1.0], ([0], [0], [float("nan")]), [1], r"weight\[0\] is nan"),
        ([1.0], ([0], [0], [1]), [-2], r"capacity\[0\] is -2"),
        ([1.0], ([1], [0], [1]), [1], "message 1 of 1"),
        ([1.0], ([0], [3], [1]), [1], "limit 3 of 1"),
        ([1.0], ([0], [0, 0], [1]), [1], "1 messages, 2 limits"),
        ([1.0], ([0], [0]), [1], "2 parts"),
        ([1.0], (["a"], [0], [1]), [1], "message is <U1"),
        ([1.0], ([0], [0], [1]), [2**62], "too large"),
        ([1e14, 1e14], ([0], [0], [1]), [1], "too large"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(
    value: object, members: object, capacity: object, told: str
) -> None:
    with pytest.raises(InvalidDataError, match=told) as refusal:
        arbitrate(value, members, capacity)  # type: ignore[arg-type]
    assert "do: " in str(refusal.value)


def test_packing_whole_arrays_is_packing_one_message_after_the_other() -> None:
    rng = np.random.default_rng(8)
    count, limits, rows = 3000, 700, 8000
    given_problem = read_problem(
        rng.uniform(1, 9, count),
        (rng.integers(0, count, rows), rng.integers(0, limits, rows), rng.integers(1, 9, rows)),
        rng.integers(0, 40, limits),
        value_units=1000,
    )
    problem = reduce_problem(given_problem).problem
    order = order_by_density(problem)
    none = np.zeros(problem.message_count, np.bool_)
    at_once = pack_in_order(problem, order, none, rounds_at_most=40)
    in_turn = pack_in_order(problem, order, none, rounds_at_most=0)
    assert np.array_equal(at_once, in_turn)
    assert 0 < at_once.sum() < problem.message_count
