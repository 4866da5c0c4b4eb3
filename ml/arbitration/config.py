"""Numbers of the arbitration.

Add here: a number the search uses, with its reason.
Not here: the limits themselves (the caller's).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ArbitrationConfig:
    """Every number of an arbitration. None is a time: a slower machine chooses the same."""

    value_units: int = 1_000_000  # values count in millionths: sums are exact, ties are ties
    enumerate_at_most: int = 12  # 4,096 subsets cost 0.1 ms, a call of the solver some 3 ms
    prove_at_most: int = 300  # messages up to which the solver goes on to a proven optimum
    solve_at_most: int = 20_000  # seconds; greedy was at most 1.3 % below it from here up
    gap_of_large: float = 1e-3  # of the objective, where it is not proven
    node_limit: int = 500  # of the solver's tree, per component
    cells_at_once: int = 1 << 21  # subsets held in memory at a time: some 50 MB
    rounds_at_most: int = 40  # of packing in parallel, before going message by message


DEFAULT_CONFIG = ArbitrationConfig()
