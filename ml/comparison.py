"""Whether one set of predictions is worse than another, beyond what chance would bring.

Add here: comparisons of two models on the same customers. Not here: measures (``metrics``).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Comparison", "compare"]

Floats = NDArray[np.float64]
Measure = Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class Comparison:
    """Both measures, their difference (challenger less champion) and its bootstrap deviation."""

    champion: float
    challenger: float
    difference: float
    deviation: float

    def is_worse(self, *, high_is_good: bool) -> bool:
        """Whether the challenger is worse by more than one standard deviation."""
        loss = -self.difference if high_is_good else self.difference
        return loss > self.deviation


def compare(
    actual: ArrayLike,
    champion: ArrayLike,
    challenger: ArrayLike,
    measure: Measure,
    *,
    round_count: int = 200,
    max_rows: int = 20_000,
    seed: int = 20,
) -> Comparison:
    """Measure two models on the same customers and on the same bootstrap draws of them.

    Source: Efron and Tibshirani (1993), "An Introduction to the Bootstrap", chapter 6; drawn in
    pairs, so that a difficult customer counts in both. Of a large base each draw takes
    ``max_rows`` and the deviation is scaled to the whole.
    """
    spent, first, second = (np.asarray(v, dtype=np.float64) for v in (actual, champion, challenger))
    rng = np.random.default_rng(seed)
    size = min(len(spent), max_rows)
    differences = []
    for _ in range(round_count):
        drawn = rng.integers(0, len(spent), size)
        outcome = spent[drawn]
        differences.append(measure(outcome, second[drawn]) - measure(outcome, first[drawn]))
    before, after = measure(spent, first), measure(spent, second)
    scale = float(np.sqrt(size / len(spent))) if len(spent) else 0.0
    return Comparison(before, after, after - before, float(np.std(differences)) * scale)
