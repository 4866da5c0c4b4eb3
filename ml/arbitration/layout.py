"""Where the messages, limits and rows of each component are found.

Add here: how a component's part of the arrays is cut out.
Not here: which components there are (``problem``), what is done with one (the searches).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ml.arbitration.problem import Ints, Problem, Reduced


@dataclass(frozen=True)
class Grouping:
    """Things in the order of their groups: group g has ``order[starts[g]:starts[g + 1]]``."""

    order: Ints
    starts: Ints

    @classmethod
    def of(cls, group: Ints, count: int) -> Grouping:
        """The things of each of ``count`` groups, in their own order."""
        starts = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(group, minlength=count), out=starts[1:])
        return cls(np.argsort(group, kind="stable").astype(np.int64), starts)

    @cached_property
    def sizes(self) -> Ints:
        """How many things each group has."""
        return np.diff(self.starts)

    @cached_property
    def place(self) -> Ints:
        """Number of each thing within its group."""
        place = np.empty(len(self.order), np.int64)
        place[self.order] = np.arange(len(self.order)) - np.repeat(self.starts[:-1], self.sizes)
        return place

    def of_group(self, group: int) -> Ints:
        """The things of one group."""
        return self.order[self.starts[group] : self.starts[group + 1]]

    def table(self, groups: Ints, size: int) -> Ints:
        """The things of groups that all have ``size`` of them, one line per group."""
        return self.order[self.starts[groups][:, None] + np.arange(size)]

    def rows(self, groups: Ints) -> tuple[Ints, Ints]:
        """The things of several groups, and beside each the position of its group."""
        sizes = self.sizes[groups]
        shift = np.cumsum(sizes) - sizes
        within = np.arange(int(sizes.sum())) - np.repeat(shift, sizes)
        found = self.order[np.repeat(self.starts[groups], sizes) + within]
        return found, np.repeat(np.arange(len(groups)), sizes)


@dataclass(frozen=True)
class Layout:
    """Messages, limits and rows of a problem by component."""

    problem: Problem
    messages: Grouping
    limits: Grouping
    rows: Grouping

    @classmethod
    def of(cls, reduced: Reduced) -> Layout:
        """The layout of a reduced problem: each of its limits has messages of one component."""
        problem, count = reduced.problem, reduced.component_count
        of_row = reduced.component[problem.message]
        of_limit = np.zeros(len(problem.capacity), np.int64)
        of_limit[problem.limit] = of_row
        return cls(
            problem,
            Grouping.of(reduced.component, count),
            Grouping.of(of_limit, count),
            Grouping.of(of_row, count),
        )

    def part(self, component: int) -> Problem:
        """One component as a problem of its own; its messages are ``messages.of_group``."""
        rows, whole = self.rows.of_group(component), self.problem
        return Problem(
            value=whole.value[self.messages.of_group(component)],
            message=self.messages.place[whole.message[rows]],
            limit=self.limits.place[whole.limit[rows]],
            weight=whole.weight[rows],
            capacity=whole.capacity[self.limits.of_group(component)],
        )
