"""One component as a mixed-integer programme.

Add here: how a component is put to the solver.
Not here: components small enough to try every subset (``enumeration``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from ml.arbitration.config import ArbitrationConfig
from ml.arbitration.greedy import repair
from ml.arbitration.problem import Flags, Problem


@dataclass(frozen=True)
class Solved:
    """What the solver found, made to fit in whole numbers."""

    chosen: Flags
    is_proven: bool


def solve_component(problem: Problem, config: ArbitrationConfig) -> Solved | None:
    """The best messages within the node limit; None where the solver found none at all.

    The solver is HiGHS: Huangfu and Hall (2018), "Parallelizing the dual revised simplex method",
    Mathematical Programming Computation 10(1), 119-142.
    """
    is_small = problem.message_count <= config.prove_at_most
    result = milp(
        -problem.value.astype(np.float64) / max(1, int(problem.value.max(initial=1))),
        integrality=np.ones(problem.message_count),
        bounds=Bounds(0, 1),
        constraints=_constraint(problem),
        options={
            "node_limit": config.node_limit,
            "mip_rel_gap": 0.0 if is_small else config.gap_of_large,
        },
    )
    if result.x is None:
        return None
    wanted = result.x > 0.5
    fitted = repair(problem, wanted, rounds_at_most=config.rounds_at_most)
    return Solved(fitted, is_small and result.status == 0)


def _constraint(problem: Problem) -> LinearConstraint:
    """Each limit divided by what all its weights share: small numbers, and the same choices."""
    shared = np.zeros(len(problem.capacity), np.int64)
    np.gcd.at(shared, problem.limit, problem.weight)
    weight = problem.weight // shared[problem.limit]
    capacity = problem.capacity // shared
    shape = (len(problem.capacity), problem.message_count)
    matrix = coo_array((weight.astype(np.float64), (problem.limit, problem.message)), shape=shape)
    return LinearConstraint(matrix.tocsr(), ub=capacity.astype(np.float64))
