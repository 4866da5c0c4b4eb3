"""Messages and limits as arrays: checked, and reduced to what is contested.

Add here: what is checked or left out before anything is searched.
Not here: the search (``enumeration``, ``greedy``, ``solver``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import csgraph

from ml.errors import InvalidDataError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_MOST = 1 << 62  # sums of two such numbers stay within int64
_EXACT = 1 << 53  # up to here a float is a whole number exactly


@dataclass(frozen=True)
class Problem:
    """A message weighs ``weight`` on ``limit``; one row per pair, sorted, weights positive."""

    value: Ints
    message: Ints
    limit: Ints
    weight: Ints
    capacity: Ints

    @property
    def message_count(self) -> int:
        """How many messages there are."""
        return len(self.value)

    def room(self, chosen: Flags) -> Ints:
        """What is left of every limit."""
        room = self.capacity.copy()
        is_used = chosen[self.message]
        np.subtract.at(room, self.limit[is_used], self.weight[is_used])
        return room

    def only(self, is_kept: Flags) -> Problem:
        """The rows of these messages alone; the others keep their numbers and have no row."""
        rows = is_kept[self.message]
        return replace(
            self, message=self.message[rows], limit=self.limit[rows], weight=self.weight[rows]
        )


@dataclass(frozen=True)
class Reduced:
    """The messages that compete, numbered anew.

    Attributes:
        problem: They and the limits that can bind.
        origin: Number of each in the problem as given.
        component: Which of them compete with each other, by message.
        component_count: How many such components there are.
        free: Messages of the problem as given that nothing stops.
    """

    problem: Problem
    origin: Ints
    component: Ints
    component_count: int
    free: Flags


def read_problem(
    value: ArrayLike,
    members: tuple[ArrayLike, ArrayLike, ArrayLike],
    capacity: ArrayLike,
    *,
    value_units: int,
) -> Problem:
    """The problem as whole numbers.

    Raises:
        InvalidDataError: names what cannot be, and what to pass instead.
    """
    units = _value_units(value, value_units)
    if len(members) != 3:
        raise InvalidDataError(
            f"members has {len(members)} parts", remedy="pass (message, limit, weight)"
        )
    names = ("message", "limit", "weight")
    message, limit, weight = (_whole(part, name) for part, name in zip(members, names, strict=True))
    room = _whole(capacity, "capacity")
    if not len(message) == len(limit) == len(weight):
        raise InvalidDataError(
            f"members are {len(message)} messages, {len(limit)} limits, {len(weight)} weights",
            remedy="pass three arrays of one length",
        )
    _require_range(message, len(units), "message")
    _require_range(limit, len(room), "limit")
    if float(weight.sum(dtype=np.float64)) + float(room.max(initial=0)) >= _MOST:
        raise InvalidDataError(
            "weights and capacities are too large to be summed exactly",
            remedy="pass money in a coarser unit, such as cents",
        )
    return _merged(Problem(units, message, limit, weight, room))


def _merged(problem: Problem) -> Problem:
    """One row per message and limit, in their order; what weighs nothing is left out."""
    rows = np.flatnonzero(problem.weight > 0)
    rows = rows[np.lexsort((problem.limit[rows], problem.message[rows]))]
    message, limit, weight = problem.message[rows], problem.limit[rows], problem.weight[rows]
    if len(rows):
        is_first = np.ones(len(rows), np.bool_)
        is_first[1:] = (message[1:] != message[:-1]) | (limit[1:] != limit[:-1])
        starts = np.flatnonzero(is_first)
        weight = np.add.reduceat(weight, starts)
        message, limit = message[starts], limit[starts]
    return Problem(problem.value, message, limit, weight, problem.capacity)


def _value_units(value: ArrayLike, value_units: int) -> Ints:
    given = np.asarray(value, dtype=np.float64)
    remedy = "pass one finite value of 0 or more per message"
    if given.ndim != 1:
        raise InvalidDataError(f"value has {given.ndim} dimensions", remedy=remedy)
    is_wrong = ~np.isfinite(given) | (given < 0)
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise InvalidDataError(f"the value of message {first} is {given[first]}", remedy=remedy)
    if float(given.sum()) * value_units >= _MOST:
        raise InvalidDataError("the values are too large to be summed", remedy="divide them all")
    units: Ints = np.rint(given * value_units).astype(np.int64)
    return units


def _whole(values: ArrayLike, name: str) -> Ints:
    given: NDArray[Any] = np.asarray(values)
    remedy = f"pass {name} as whole numbers of 0 or more; count money in its smallest unit"
    if given.size == 0:
        return np.zeros(0, np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise InvalidDataError(f"{name} is {given.dtype} of {given.ndim} dimensions", remedy=remedy)
    is_wrong = ~(given >= 0)
    if given.dtype.kind == "f":
        is_wrong |= ~((given < _EXACT) & (np.floor(given) == given))
    elif given.dtype.kind == "u":
        is_wrong |= given >= _MOST
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise InvalidDataError(f"{name}[{first}] is {given[first]}", remedy=remedy)
    return given.astype(np.int64)


def _require_range(numbers: Ints, count: int, name: str) -> None:
    if len(numbers) and int(numbers.max()) >= count:
        raise InvalidDataError(
            f"members name {name} {int(numbers.max())} of {count}",
            remedy=f"number every {name} from 0 and pass its row",
        )


def reduce_problem(problem: Problem) -> Reduced:
    """Leaves out messages that fit nowhere, limits that cannot bind, and messages thus free."""
    is_too_heavy = problem.weight > problem.capacity[problem.limit]
    is_open = np.ones(problem.message_count, np.bool_)
    is_open[problem.message[is_too_heavy]] = False
    rows = np.flatnonzero(is_open[problem.message])
    asked = np.zeros(len(problem.capacity), np.int64)
    np.add.at(asked, problem.limit[rows], problem.weight[rows])
    rows = rows[(asked > problem.capacity)[problem.limit[rows]]]
    origin, message = np.unique(problem.message[rows], return_inverse=True)
    limits, limit = np.unique(problem.limit[rows], return_inverse=True)
    free = is_open.copy()
    free[origin] = False
    contested = Problem(
        value=problem.value[origin],
        message=message.astype(np.int64),
        limit=limit.astype(np.int64),
        weight=problem.weight[rows],
        capacity=problem.capacity[limits],
    )
    count, component = _components(contested)
    return Reduced(contested, origin, component, count, free)


def _components(problem: Problem) -> tuple[int, Ints]:
    """Messages that share a limit, directly or through others."""
    if not problem.message_count:
        return 0, np.zeros(0, np.int64)
    nodes = problem.message_count + len(problem.capacity)
    edges = (problem.message, problem.limit + problem.message_count)
    graph = sparse.coo_array((np.ones(len(problem.message), np.int8), edges), shape=(nodes, nodes))
    count, label = csgraph.connected_components(graph.tocsr(), directed=False)
    return int(count), label[: problem.message_count].astype(np.int64)
