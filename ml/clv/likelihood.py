"""Maximum likelihood on weighted cells: shared by BG/NBD and Gamma-Gamma.

Add here: grouping of equal customers, the search, the proof that it converged.
Not here: likelihoods.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, minimize

from ml.clv.config import FitConfig
from ml.errors import ConvergenceError

__all__ = ["Floats", "Optimum", "group_into_cells", "maximize"]

Floats = NDArray[np.float64]
# Log-parameters in; mean log-likelihood and its gradient out.
Likelihood = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True)
class Optimum:
    """Where the search ended: parameters on their own scale, and those stopped by a limit."""

    parameters: Floats
    iterations: int
    at_limit: tuple[str, ...]


def group_into_cells(columns: Sequence[Floats]) -> tuple[list[Floats], Floats]:
    """Return the distinct rows of ``columns``, sorted, and how many customers each stands for.

    Sorting makes sums, and so the fit, independent of the order of the input.
    """
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        column_codes, uniques = pd.factorize(column, sort=True)
        codes = codes * len(uniques) + column_codes
    _, first_rows, counts = np.unique(codes, return_index=True, return_counts=True)
    return [column[first_rows] for column in columns], counts.astype(np.float64)


def maximize(
    likelihood: Likelihood,
    *,
    names: Sequence[str],
    starts: Sequence[Sequence[float]],
    config: FitConfig,
    lower_limits: dict[str, float] | None = None,
) -> Optimum:
    """Maximise ``likelihood`` over log-parameters by L-BFGS and prove that it is a maximum.

    Later starts are tried only when an earlier one failed.

    Args:
        likelihood: Mean log-likelihood and gradient by log-parameters.
        names: Names of the parameters, for messages.
        starts: Start values on the parameters' own scale.
        config: Limits and tolerance.
        lower_limits: Parameters that may not go below a value.

    Raises:
        ConvergenceError: No start led to a point where the gradient vanishes.
    """
    limit = config.log_parameter_limit
    bounds = np.array([[-limit, limit]] * len(names))
    for name, value in (lower_limits or {}).items():
        bounds[list(names).index(name), 0] = np.log(value)
    slopes = []
    for start in starts:
        result = _climb(
            likelihood, np.clip(np.log(start), bounds[:, 0], bounds[:, 1]), bounds, config
        )
        slope = _free_slope(result, bounds)
        if np.isfinite(slope) and slope <= config.gradient_tolerance:
            at_low, at_high = _touches(result.x, bounds).T
            return Optimum(
                parameters=np.exp(result.x),
                iterations=int(result.nit),
                at_limit=tuple(np.array(names)[at_low | at_high].tolist()),
            )
        slopes.append(f"{slope:.3g}")
    raise ConvergenceError(
        f"the likelihood of ({', '.join(names)}) has no maximum that the search could reach: "
        f"slopes left {', '.join(slopes)}, allowed {config.gradient_tolerance}",
        remedy="check the input for copies of one customer, or raise max_iterations",
    )


def _climb(
    likelihood: Likelihood, start: Floats, bounds: Floats, config: FitConfig
) -> OptimizeResult:
    def descend(log_parameters: Floats) -> tuple[float, Floats]:
        value, gradient = likelihood(log_parameters)
        return -value, -gradient

    return minimize(
        descend,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": config.max_iterations, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 20},
    )


def _touches(point: Floats, bounds: Floats) -> NDArray[np.bool_]:
    return np.abs(bounds - point[:, None]) < 1e-9


def _free_slope(result: OptimizeResult, bounds: Floats) -> float:
    """Largest slope in a direction the limits leave open."""
    if not np.isfinite(result.fun):
        return float("nan")
    at_low, at_high = _touches(result.x, bounds).T
    descent = -np.asarray(result.jac)
    blocked = (at_low & (descent < 0)) | (at_high & (descent > 0))
    return float(np.max(np.where(blocked, 0.0, np.abs(descent)), initial=0.0))
