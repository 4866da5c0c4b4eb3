"""Measures of predictions, as plain floats.

Add here: one function per measure, and the sets reported together. Not here: backtests.
Customers with equal predictions share their mean outcome, so that no measure depends on the order
of the input.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

__all__ = [
    "brier_score",
    "calibration_slope",
    "expected_calibration_error",
    "lift_at",
    "log_loss",
    "measure_amounts",
    "measure_classification",
    "measure_ranking",
    "normalized_gini",
    "spearman",
]

Floats = NDArray[np.float64]
# Keeps the logarithm of a certain prediction finite.
_EDGE = 1e-6


def brier_score(outcome: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared distance between probability and outcome (Brier 1950); 0 is perfect."""
    return float(np.mean((_floats(probability) - _floats(outcome)) ** 2))


def expected_calibration_error(
    outcome: ArrayLike, probability: ArrayLike, *, bin_count: int = 10
) -> float:
    """Mean gap between predicted and observed share over equally wide bins, weighted by size.

    Source: Guo et al. (2017), "On Calibration of Modern Neural Networks", eq. 5.
    """
    actual, predicted = _floats(outcome), _floats(probability)
    bins = np.minimum((predicted * bin_count).astype(int), bin_count - 1)
    gaps = np.bincount(bins, weights=predicted - actual, minlength=bin_count)
    return float(np.abs(gaps).sum() / len(actual))


def log_loss(outcome: ArrayLike, probability: ArrayLike) -> float:
    """Mean negative log-likelihood of the outcomes; a probability of 0 or 1 counts as a millionth.

    Source: Good (1952), "Rational Decisions".
    """
    actual, predicted = _floats(outcome), np.clip(_floats(probability), _EDGE, 1 - _EDGE)
    return float(-np.mean(np.log(np.where(actual == 1, predicted, 1 - predicted))))


def calibration_slope(outcome: ArrayLike, probability: ArrayLike) -> float:
    """Slope of the outcomes on the predicted log-odds; 1 is right, below 1 the score is too bold.

    0 when all predictions are equal. Source: Cox (1958), "Two Further Applications of a Model for
    Binary Regression".
    """
    margin = logit(np.clip(_floats(probability), _EDGE, 1 - _EDGE))
    actual = _floats(outcome)
    if margin.min() == margin.max() or actual.min() == actual.max():
        return 0.0
    line = LogisticRegression(C=np.inf, max_iter=1000, tol=1e-8)
    return float(line.fit(margin[:, np.newaxis], actual).coef_[0, 0])


def lift_at(outcome: ArrayLike, score: ArrayLike, *, share: float = 0.1) -> float:
    """Share of positives among the highest ``share`` of scores over that of everyone; 1 is chance.

    0 when there is no positive at all.
    """
    actual = _in_order_of(_floats(score), _floats(outcome))
    if not actual.sum():
        return 0.0
    return float(actual[: max(1, round(share * len(actual)))].mean() / actual.mean())


def spearman(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Rank correlation, ties at their mean rank; 0 when one side is constant."""
    ranks = pd.DataFrame({"actual": _floats(actual), "predicted": _floats(predicted)}).rank()
    if ranks.nunique().min() < 2:
        return 0.0
    return float(ranks["actual"].corr(ranks["predicted"]))


def normalized_gini(actual: ArrayLike, predicted: ArrayLike) -> float:
    """Gini of ``actual`` in the order of ``predicted``, over that in its own order; 1 is perfect.

    Negative amounts count as 0. 0 when everybody spends the same.
    """
    spent = np.maximum(_floats(actual), 0.0)
    best = _gini(spent, spent)
    return _gini(spent, _floats(predicted)) / best if best > 0 else 0.0


def measure_ranking(outcome: ArrayLike, score: ArrayLike) -> dict[str, float]:
    """``auc, pr_auc, lift_at_10pct`` of a score that need not be a probability."""
    return {
        "auc": float(roc_auc_score(_floats(outcome), _floats(score))),
        "pr_auc": float(average_precision_score(_floats(outcome), _floats(score))),
        "lift_at_10pct": lift_at(outcome, score),
    }


def measure_classification(outcome: ArrayLike, probability: ArrayLike) -> dict[str, float]:
    """``auc, pr_auc, lift_at_10pct, brier, ece`` of a probability."""
    return {
        **measure_ranking(outcome, probability),
        "brier": brier_score(outcome, probability),
        "ece": expected_calibration_error(outcome, probability),
    }


def measure_amounts(actual: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """``spearman, normalized_gini, mae_over_mean, total_error_pct`` of predicted amounts.

    ``total_error_pct`` is (predicted − actual) / actual of the sums, times 100; both errors are
    relative to what was spent, so they are infinite when nobody spent anything.
    """
    spent, expected = _floats(actual), _floats(predicted)
    total = spent.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "spearman": spearman(spent, expected),
            "normalized_gini": normalized_gini(spent, expected),
            "mae_over_mean": float(np.abs(expected - spent).sum() / total),
            "total_error_pct": float((expected.sum() - total) / total * 100),
        }


def _gini(spent: Floats, order_by: Floats) -> float:
    if not spent.sum():
        return 0.0
    captured = np.cumsum(_in_order_of(order_by, spent)) / spent.sum()
    chance = np.arange(1, len(spent) + 1) / len(spent)
    return float(np.mean(captured - chance))


def _in_order_of(score: Floats, values: Floats) -> Floats:
    """Return ``values`` by falling ``score``; equal scores share the mean of their values."""
    _, group = np.unique(-score, return_inverse=True)
    counts = np.bincount(group)
    return np.repeat(np.bincount(group, weights=values) / counts, counts)


def _floats(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64)
