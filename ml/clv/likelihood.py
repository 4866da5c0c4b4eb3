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
from threadpoolctl import threadpool_limits

from ml.clv.config import FitConfig
from ml.errors import ConvergenceError

__all__ = [
    "Floats",
    "Levels",
    "Optimum",
    "group_into_cells",
    "group_into_level_cells",
    "group_into_levels",
    "maximize",
]

Floats = NDArray[np.float64]
# Log-parameters in; mean log-likelihood and its gradient out.
Likelihood = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True)
class Optimum:
    """Where the search ended: parameters on their own scale, and those stopped by a limit."""

    parameters: Floats
    value: float
    iterations: int
    at_limit: tuple[str, ...]


@dataclass(frozen=True)
class Levels:
    """A column as its distinct values, rising, and the position of each row's value among them."""

    values: Floats
    codes: NDArray[np.int64]


def group_into_levels(columns: Sequence[Floats]) -> list[Levels]:
    """Return each column as its distinct values and positions; rows stay as they are."""
    levels = []
    for column in columns:
        codes, values = pd.factorize(np.asarray(column, dtype=np.float64), sort=True)
        levels.append(Levels(values, codes.astype(np.int64, copy=False)))
    return levels


def group_into_level_cells(columns: Sequence[Floats]) -> tuple[list[Levels], Floats]:
    """Return the distinct rows of ``columns``, sorted, and how many customers each stands for.

    Sorting makes sums, and so the fit, independent of the order of the input. The three positions
    are packed into one whole number, so that one sort of plain numbers finds the distinct rows.
    """
    levels = group_into_levels(columns)
    packed = np.zeros(len(columns[0]), dtype=np.int64)
    for level in levels:
        packed = packed * len(level.values) + level.codes
    packed.sort()
    starts = np.flatnonzero(np.concatenate([[True], packed[1:] != packed[:-1]]))
    weights = np.diff(np.append(starts, len(packed))).astype(np.float64)
    rest, cells = packed[starts], []
    for level in reversed(levels):
        rest, codes = np.divmod(rest, len(level.values))
        cells.append(Levels(level.values, codes))
    return cells[::-1], weights


def group_into_cells(columns: Sequence[Floats]) -> tuple[list[Floats], Floats]:
    """``group_into_level_cells`` with plain values."""
    levels, weights = group_into_level_cells(columns)
    return [level.values[level.codes] for level in levels], weights


def maximize(
    likelihood: Likelihood,
    *,
    names: Sequence[str],
    starts: Sequence[Sequence[float]],
    config: FitConfig,
    lower_limits: dict[str, float] | None = None,
    sample: Likelihood | None = None,
) -> Optimum:
    """Maximise ``likelihood`` over log-parameters by L-BFGS and prove that it is a maximum.

    Later starts are tried only when an earlier one failed. With ``sample``, the likelihood of a
    small part of the customers, that part is climbed first; its curvature then leads the whole to
    its top in a few steps, and the ordinary search remains for where this does not arrive.

    Args:
        likelihood: Mean log-likelihood and gradient by log-parameters.
        names: Names of the parameters, for messages.
        starts: Start values on the parameters' own scale.
        config: Limits and tolerance.
        lower_limits: Parameters that may not go below a value.
        sample: Likelihood of a part of the customers.

    Raises:
        ConvergenceError: No start led to a point where the gradient vanishes.
    """
    # One thread: sums of a few numbers gain nothing from two, and come out equal on any machine.
    with threadpool_limits(limits=1, user_api="blas"):
        return _search(likelihood, names, starts, config, lower_limits or {}, sample)


def _search(
    likelihood: Likelihood,
    names: Sequence[str],
    starts: Sequence[Sequence[float] | Floats],
    config: FitConfig,
    lower_limits: dict[str, float],
    sample: Likelihood | None,
) -> Optimum:
    limit = config.log_parameter_limit
    bounds = np.array([[-limit, limit]] * len(names))
    for name, value in lower_limits.items():
        bounds[list(names).index(name), 0] = np.log(value)
    if sample is not None and not lower_limits:
        near = _search(sample, names, starts, config, {}, None)
        arrived = None if near.at_limit else _step_to_the_top(likelihood, sample, near, config)
        if arrived is not None:
            return arrived
        starts = [near.parameters, *starts]
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
                value=-float(result.fun),
                iterations=int(result.nit),
                at_limit=tuple(np.array(names)[at_low | at_high].tolist()),
            )
        slopes.append(f"{slope:.3g}")
    raise ConvergenceError(
        f"the likelihood of ({', '.join(names)}) has no maximum that the search could reach: "
        f"slopes left {', '.join(slopes)}, allowed {config.gradient_tolerance}",
        remedy="check the input for copies of one customer, or raise max_iterations",
    )


def _step_to_the_top(
    likelihood: Likelihood, sample: Likelihood, near: Optimum, config: FitConfig
) -> Optimum | None:
    """Newton's steps with the curvature of the sample; None when they do not arrive."""
    point = np.log(near.parameters)
    curvature = _curvature(sample, point)
    if not np.isfinite(curvature).all() or np.linalg.eigvalsh(curvature).max() >= 0:
        return None
    slope = np.inf
    for step in range(config.max_steps_to_the_top):
        value, gradient = likelihood(point)
        previous, slope = slope, float(np.abs(gradient).max())
        if slope <= config.step_gradient_tolerance:
            return Optimum(np.exp(point), value, near.iterations + step, ())
        if not slope < previous:
            break
        point = point - np.linalg.solve(curvature, gradient)
    return None


def _curvature(likelihood: Likelihood, point: Floats, step: float = 1e-5) -> Floats:
    """Second derivatives by central differences of the gradient."""
    rows = [
        (likelihood(point + shift)[1] - likelihood(point - shift)[1]) / (2 * step)
        for shift in np.eye(len(point)) * step
    ]
    matrix = np.array(rows)
    return np.asarray((matrix + matrix.T) / 2)


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
