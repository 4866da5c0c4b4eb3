"""How far today's customers are from those a model has learned from.

Add here: distances between two samples of one number. Not here: what a distance may stop.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

__all__ = ["Reference", "population_stability_index", "psi_expected_by_chance"]

Floats = NDArray[np.float64]
# An empty bin would make the index infinite: no share counts as less than this.
_SMALLEST_SHARE = 1e-4


@dataclass(frozen=True)
class Reference:
    """A distribution as it was: inner edges of its bins, the share in each, and of nulls."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    row_count: int

    @classmethod
    def of(cls, values: ArrayLike, *, bin_count: int = 10) -> Self:
        """Bins of equal size where values allow it: a frequent value has a bin of its own."""
        numbers = np.asarray(values, dtype=np.float64)
        known = numbers[~np.isnan(numbers)]
        steps = np.arange(1, bin_count) / bin_count
        edges = _cut(np.quantile(known, steps)) if len(known) else np.empty(0)
        return cls(
            edges=tuple(edges.tolist()),
            shares=tuple(_shares(numbers, edges).tolist()),
            row_count=len(numbers),
        )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The reference ``dataclasses.asdict`` has written."""
        return cls(
            edges=tuple(map(float, stored["edges"])),
            shares=tuple(map(float, stored["shares"])),
            row_count=int(stored["row_count"]),
        )


def population_stability_index(reference: Reference, values: ArrayLike) -> float:
    """PSI = Σ (q − p) · ln(q / p) over the bins of the reference and one for nulls; 0 is equal.

    Source: Siddiqi (2006), "Credit Risk Scorecards": below .1 little has changed, above .25 much.
    Without any value to compare it is 0.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers) or not reference.row_count:
        return 0.0
    now = np.maximum(_shares(numbers, np.array(reference.edges)), _SMALLEST_SHARE)
    then = np.maximum(np.array(reference.shares), _SMALLEST_SHARE)
    return float(((now - then) * np.log(now / then)).sum())


def psi_expected_by_chance(
    reference: Reference, row_count: int, *, confidence: float = 0.999
) -> float:
    """What the index stays below when nothing has changed: it is noisy on small bases.

    Source: Yurdakul (2018), "Statistical Properties of Population Stability Index": under no change
    it is distributed as (1/n + 1/m) · χ² with one degree of freedom less than there are bins.
    """
    if not row_count or not reference.row_count:
        return 0.0
    used = int(np.count_nonzero(reference.shares))
    quantile = float(chi2.ppf(confidence, max(1, used - 1)))
    return (1 / row_count + 1 / reference.row_count) * quantile


def _cut(quantiles: Floats) -> Floats:
    """Distinct edges, with another one right above each value that takes a bin or more."""
    edges, counts = np.unique(quantiles, return_counts=True)
    above = np.nextafter(edges[counts > 1], np.inf)
    return np.unique(np.concatenate([edges, above]))


def _shares(numbers: Floats, edges: Floats) -> Floats:
    """Share of each bin (edges belong to the upper one), and of nulls as the last."""
    known = numbers[~np.isnan(numbers)]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return np.append(counts, len(numbers) - len(known)) / max(1, len(numbers))
