"""Arbitration: which of the messages that compete may go.

Add here: the order in which the methods are tried.
Not here: a method (``enumeration``, ``solver``, ``greedy``), what a limit stands for (the caller).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ml.arbitration.config import DEFAULT_CONFIG, ArbitrationConfig
from ml.arbitration.enumeration import enumerate_components
from ml.arbitration.greedy import order_by_density, order_by_value, pack_in_order
from ml.arbitration.layout import Layout
from ml.arbitration.problem import Flags, Ints, Problem, Reduced, read_problem, reduce_problem
from ml.arbitration.solver import solve_component


@dataclass(frozen=True)
class Choice:
    """Which messages go.

    Attributes:
        chosen: By message, whether it goes.
        binding_limit: By message -1 if it goes, else the first limit without room for it beside
            the chosen ones. There always is one.
        objective: Sum of the values of the chosen messages.
        methods: How many components were settled by which method: ``enumerated``, ``solved``,
            ``greedy``.
        is_proven: Whether no other choice has a larger objective.
    """

    chosen: Flags
    binding_limit: Ints
    objective: float
    methods: dict[str, int] = field(default_factory=dict)
    is_proven: bool = True


def arbitrate(
    value: ArrayLike,
    members: tuple[ArrayLike, ArrayLike, ArrayLike],
    capacity: ArrayLike,
    config: ArbitrationConfig = DEFAULT_CONFIG,
) -> Choice:
    """Chooses messages of the largest total value within every limit.

    maximise sum v_i x_i, subject to sum_i w_il x_i <= c_l for every limit l, x_i in {0, 1}: the
    multi-dimensional knapsack problem. Source: Kellerer, Pferschy and Pisinger (2004), "Knapsack
    Problems", Springer, chapter 9.

    Weights and capacities are whole numbers (messages, or money in its smallest unit), so that no
    limit is ever exceeded by a rounding. The same input gives the same choice; of choices of equal
    value a small component takes the earlier messages, so pass messages in an order of meaning.
    No component gets less than the better of two greedy choices.

    Args:
        value: Worth of each message, 0 or more; told apart down to a millionth.
        members: (message, limit, weight), one row each per message that counts towards a limit.
        capacity: What each limit holds, 0 or more.
        config: The numbers of the search.

    Raises:
        InvalidDataError: A value, weight, capacity or number of a row cannot be.
    """
    problem = read_problem(value, members, capacity, value_units=config.value_units)
    reduced = reduce_problem(problem)
    within, methods, is_proven = _choose(reduced, config)
    chosen = reduced.free.copy()
    chosen[reduced.origin[within]] = True
    return Choice(
        chosen=chosen,
        binding_limit=_binding_limit(problem, chosen),
        objective=int(problem.value[chosen].sum()) / config.value_units,
        methods=methods,
        is_proven=is_proven,
    )


def _choose(reduced: Reduced, config: ArbitrationConfig) -> tuple[Flags, dict[str, int], bool]:
    layout = Layout.of(reduced)
    sizes = layout.messages.sizes
    is_small = sizes <= config.enumerate_at_most
    small, large = np.flatnonzero(is_small), np.flatnonzero(~is_small)
    chosen = enumerate_components(layout, small, cells_at_once=config.cells_at_once)
    if not len(large):
        return chosen, _counts(len(small), 0, 0), True
    is_of_large = ~is_small[reduced.component]
    chosen |= _greedy(reduced, is_of_large, config)
    solved, proven = 0, 0
    for component in large[sizes[large] <= config.solve_at_most].tolist():
        messages = layout.messages.of_group(component)
        found = solve_component(layout.part(component), config)
        if found is None:
            continue
        value = reduced.problem.value[messages]
        if value[found.chosen].sum() >= value[chosen[messages]].sum():
            chosen[messages] = found.chosen
            solved += 1
        proven += found.is_proven
    counts = _counts(len(small), solved, len(large) - solved)
    return chosen, counts, proven == len(large)


def _counts(enumerated: int, solved: int, greedy: int) -> dict[str, int]:
    counts = {"enumerated": enumerated, "solved": solved, "greedy": greedy}
    return {method: count for method, count in counts.items() if count}


def _greedy(reduced: Reduced, is_asked: Flags, config: ArbitrationConfig) -> Flags:
    """For each component the better of two greedy choices; of equals the one by value."""
    problem = reduced.problem
    part = problem.only(is_asked)
    none = np.zeros(problem.message_count, np.bool_)
    made = [
        pack_in_order(part, order, none, rounds_at_most=config.rounds_at_most)
        for order in (order_by_value(problem), order_by_density(problem))
    ]
    totals = np.zeros((2, reduced.component_count), np.int64)
    for total, packed in zip(totals, made, strict=True):
        np.add.at(total, reduced.component[packed], problem.value[packed])
    is_denser = (totals[1] > totals[0])[reduced.component]
    better: Flags = np.where(is_denser, made[1], made[0])
    return better


def _binding_limit(problem: Problem, chosen: Flags) -> Ints:
    binding = np.full(problem.message_count, -1, np.int64)
    rows = np.flatnonzero(~chosen[problem.message])
    rows = rows[problem.weight[rows] > problem.room(chosen)[problem.limit[rows]]]
    messages, first = np.unique(problem.message[rows], return_index=True)
    binding[messages] = problem.limit[rows[first]]
    return binding
