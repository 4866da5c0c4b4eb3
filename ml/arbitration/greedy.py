"""Packing in an order: each message is taken if it still fits.

Add here: an order worth trying.
Not here: choices that look further than the next message (``enumeration``, ``solver``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ml.arbitration.problem import Flags, Ints, Problem

_FEW = 256  # rows left, from which a loop is faster than another round over arrays


def order_by_value(problem: Problem) -> Ints:
    """The most valuable first; of equals the earlier."""
    order: Ints = np.argsort(-problem.value, kind="stable")
    return order


def order_by_density(problem: Problem) -> Ints:
    """The most value for the share it takes of its limits first; of equals the earlier.

    Source: Toyoda (1975), "A Simplified Algorithm for Obtaining Approximate Solutions to Zero-One
    Programming Problems", Management Science 21(12), 1417-1427, with equal prices of the limits.
    """
    share = problem.weight / problem.capacity[problem.limit]
    taken = np.bincount(problem.message, weights=share, minlength=problem.message_count)
    order: Ints = np.argsort(-(problem.value / taken), kind="stable")
    return order


@dataclass(frozen=True)
class _Rows:
    """Rows of messages not yet decided, by limit and then by rank."""

    message: Ints
    limit: Ints
    weight: Ints

    def keep(self, is_kept: Flags) -> _Rows:
        return _Rows(self.message[is_kept], self.limit[is_kept], self.weight[is_kept])


def pack_in_order(problem: Problem, order: Ints, chosen: Flags, *, rounds_at_most: int) -> Flags:
    """Adds to ``chosen``, in ``order``, every message that still fits.

    In each round a message is taken that fits even if all before it were taken, and left that does
    not fit even now: the same as one after the other, a whole array at a time.
    """
    made = chosen.copy()
    room = problem.room(chosen)
    rank = np.empty(problem.message_count, np.int64)
    rank[order] = np.arange(problem.message_count)
    by_limit = np.lexsort((rank[problem.message], problem.limit))
    by_limit = by_limit[~made[problem.message[by_limit]]]
    rows = _Rows(problem.message[by_limit], problem.limit[by_limit], problem.weight[by_limit])
    for _ in range(rounds_at_most):
        if len(rows.message) <= _FEW:
            break
        rows = _round(rows, room, made)
    _one_by_one(rows, rank, room, made)
    return made


def _round(rows: _Rows, room: Ints, made: Flags) -> _Rows:
    is_first = np.ones(len(rows.limit), np.bool_)
    is_first[1:] = rows.limit[1:] != rows.limit[:-1]
    starts = np.flatnonzero(is_first)
    total = np.cumsum(rows.weight)
    before = np.repeat(total[starts] - rows.weight[starts], np.diff(starts, append=len(total)))
    is_late = np.zeros(len(made), np.bool_)
    is_late[rows.message[total - before > room[rows.limit]]] = True
    is_taken = ~is_late[rows.message]
    made[rows.message[is_taken]] = True
    np.subtract.at(room, rows.limit[is_taken], rows.weight[is_taken])
    rows = rows.keep(~is_taken)
    is_out = np.zeros(len(made), np.bool_)
    is_out[rows.message[rows.weight > room[rows.limit]]] = True
    return rows.keep(~is_out[rows.message])


def _one_by_one(rows: _Rows, rank: Ints, room: Ints, made: Flags) -> None:
    by_message: dict[int, list[tuple[int, int]]] = {}
    for row in np.argsort(rank[rows.message], kind="stable").tolist():
        pair = (int(rows.limit[row]), int(rows.weight[row]))
        by_message.setdefault(int(rows.message[row]), []).append(pair)
    for message, pairs in by_message.items():
        if all(weight <= room[limit] for limit, weight in pairs):
            made[message] = True
            for limit, weight in pairs:
                room[limit] -= weight


def repair(problem: Problem, wanted: Flags, *, rounds_at_most: int) -> Flags:
    """Of the messages wanted those that fit together, then whatever fits beside them."""
    none = np.zeros(problem.message_count, np.bool_)
    order = order_by_density(problem)
    kept = pack_in_order(problem.only(wanted), order, none, rounds_at_most=rounds_at_most)
    order = order_by_value(problem)
    return pack_in_order(problem, order, kept, rounds_at_most=rounds_at_most)
