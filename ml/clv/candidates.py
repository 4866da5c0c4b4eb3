"""The models that compete for predicted_clv, and the rule that picks the champion.

Add here: candidates, how they are compared. Not here: how each is made.
"""

from collections.abc import Mapping

import numpy as np

from ml.clv.buy_till_you_die import Outlook
from ml.clv.config import ClvModelConfig
from ml.clv.features import Matrix, column_of
from ml.clv.likelihood import Floats
from ml.comparison import compare
from ml.metrics import measure_amounts, normalized_gini

__all__ = [
    "CANDIDATES",
    "choose_champion",
    "decile_calibration_error",
    "gini_gate_margin",
    "predict_by_rules",
]

# From the plainest to the least plain: the first of equals wins.
CANDIDATES = ("past_spend", "rfm_decay", "bg_nbd", "tweedie", "two_part", "geometric_mean")
STEADIEST = "geometric_mean"
BASELINES = ("rfm_decay", "bg_nbd")
YEAR_DAYS = 365


def predict_by_rules(
    matrix: Matrix, outlook: Outlook, horizon_days: float, config: ClvModelConfig
) -> dict[str, Floats]:
    """What needs no trees: last year's spend, the same fading with silence, and BG/NBD.

    The fading one is a ranking on the scale of past spend until a level is learned for it.
    """
    last_year = np.nan_to_num(column_of(matrix, "spend_365d_amount"), nan=0.0)
    past = np.maximum(last_year, 0.0) * horizon_days / YEAR_DAYS
    silence = np.nan_to_num(column_of(matrix, "days_since_last_order"), nan=np.inf)
    return {
        "past_spend": past,
        "rfm_decay": past * 0.5 ** (np.maximum(silence, 0) / config.half_life_days),
        "bg_nbd": outlook.spend,
    }


def blend(predictions: Mapping[str, Floats], bg_nbd_weight: float) -> Floats:
    """Weighted geometric mean of the two tree models and BG/NBD: opposite errors cancel."""
    by_trees = (1 - bg_nbd_weight) / 2
    weights = {"tweedie": by_trees, "two_part": by_trees, "bg_nbd": bg_nbd_weight}
    logs = [weight * np.log(np.maximum(predictions[n], 1e-12)) for n, weight in weights.items()]
    return np.exp(np.sum(logs, axis=0))


def choose_champion(
    actual: Floats, predictions: Mapping[str, Floats], config: ClvModelConfig
) -> tuple[str, dict[str, float]]:
    """The candidate with the least loss among those that pass the gate, and all losses.

    The mean of several models stays champion unless another one leads by ``min_lead``.

    Loss = weighted sum of what is missing to a perfect normalised Gini and Spearman, of the decile
    calibration error and of the total error.
    """
    losses = {}
    for name in CANDIDATES:
        if name not in predictions:
            continue
        measured = measure_amounts(actual, predictions[name])
        losses[name] = (
            config.gini_weight * (1 - measured["normalized_gini"])
            + config.spearman_weight * (1 - measured["spearman"])
            + config.decile_weight * decile_calibration_error(actual, predictions[name])
            + config.total_weight * abs(measured["total_error_pct"]) / 100
        )
    allowed = [n for n in losses if gini_gate_margin(actual, predictions, n, config) >= 0]
    best = min(allowed or ["bg_nbd"], key=lambda name: round(losses[name], 9))
    # The trees stopped growing where this very cut-off liked it: a small lead proves nothing.
    if STEADIEST in allowed and losses[STEADIEST] <= losses[best] + config.min_lead:
        best = STEADIEST
    return best, losses


def gini_gate_margin(
    actual: Floats, predictions: Mapping[str, Floats], name: str, config: ClvModelConfig
) -> float:
    """How far ``name`` is above the lowest Gini the gate lets through; below 0 it fails.

    The gate: no worse than the best of RFM decay and BG/NBD by more than one standard deviation
    of the difference over bootstrap samples of the customers.
    """
    ginis = {base: normalized_gini(actual, predictions[base]) for base in BASELINES}
    best = max(BASELINES, key=lambda base: ginis[base])
    if name == best:
        return 0.0
    compared = compare(
        actual,
        predictions[best],
        predictions[name],
        normalized_gini,
        round_count=config.bootstrap_count,
        seed=config.seed,
    )
    return compared.difference + compared.deviation


def decile_calibration_error(actual: Floats, predicted: Floats) -> float:
    """Share of spend that stands in the wrong decile of prediction, totals made equal; 0 is best.

    Half the sum over deciles of |share of predicted − share of actual|.
    """
    spent = np.maximum(actual, 0.0)
    if not spent.sum() > 0 or not predicted.sum() > 0:
        return 1.0
    expected, came = (group_by_decile(values, predicted) for values in (predicted, spent))
    return float(np.abs(expected / expected.sum() - came / came.sum()).sum() / 2)


def group_by_decile(values: Floats, predicted: Floats) -> Floats:
    """Sums of ``values`` over ten groups of equal size by rising prediction."""
    order = np.argsort(predicted, kind="stable")
    return np.array([float(part.sum()) for part in np.array_split(values[order], 10)])
