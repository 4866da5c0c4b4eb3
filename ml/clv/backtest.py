"""Backtest of the lifetime value: what the champion would have said at a past day, beside all
candidates and the rules of thumb.

Add here: which figures are told of CLV. Not here: measures (``ml.metrics``), the model.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ml.backtest import Backtest
from ml.baselines import score_rfm
from ml.clv.candidates import (
    CANDIDATES,
    decile_calibration_error,
    gini_gate_margin,
    group_by_decile,
)
from ml.clv.config import ClvModelConfig
from ml.clv.likelihood import Floats
from ml.clv.model import ClvModel
from ml.clv.panel import YEAR_DAYS, Labels, list_labels
from ml.errors import NotEnoughDataError
from ml.frames import require_columns, to_float_frame
from ml.metrics import measure_amounts

__all__ = ["backtest_clv"]

_REMEDY = "choose a cut-off whose horizon is over and at which there were customers"
# A cut-off this near to a year ago looks ahead at the same season.
_SEASON_TOLERANCE_DAYS = 16
_WINDOWS = (90, 180, 365)


def backtest_clv(
    panel: pd.DataFrame,
    *,
    cutoff_date: Any,
    horizon_days: int,
    config: ClvModelConfig | None = None,
) -> Backtest:
    """Learn what was known at ``cutoff_date`` and compare with the net spend after it.

    Only outcomes whose horizon was over by ``cutoff_date`` are learned from; the champion is the
    one that would have been chosen then.

    Args:
        panel: ``customer_features`` with labels at several cut-offs, ``cutoff_date`` among them.
        cutoff_date: The day the scores would have been made.
        horizon_days: Days the labels cover: 365 for ``label_year_*``, else those of ``label_*``.
        config: Settings of the model.

    Returns:
        Figures ``spearman, normalized_gini, mae_over_mean, total_error_pct,
        decile_calibration_error`` of the champion; the same of every candidate, with its name in
        front; ``season_factor`` and the two errors after it (``season_…``); ``gini_gate_margin``
        and ``is_gate_passed``; ``interval_coverage_pct`` beside ``interval_promised_pct``;
        ``decile_01_…`` to ``decile_10_…`` mean amounts by rising prediction; the first two with
        ``rfm_`` for the sum of RFM ranks; counts. Customers with ``actual``, ``predicted``, the
        interval and one column per candidate.

    Raises:
        NotEnoughDataError: Too few customers at ``cutoff_date``, or no outcome after it.
    """
    config = config or ClvModelConfig()
    if horizon_days != YEAR_DAYS:
        config = replace(config, label_horizon_days=horizon_days)
    labels = _find_labels(panel, horizon_days, config)
    dates = pd.to_datetime(panel["cutoff_date"])
    day = pd.Timestamp(cutoff_date)
    test = panel[dates == day].sort_values("customer_id").reset_index(drop=True)
    test, actual = _take_finished(test, labels, day)
    model = ClvModel(config).fit(panel[dates <= day], as_of=day, horizon_days=horizon_days)
    scored = model.predict(test, horizon_days)
    rivals = model.predict_candidates(test, horizon_days)
    predicted = scored["predicted_clv"].to_numpy()
    rfm = score_rfm(test).to_numpy()
    factor = _season_factor(model, panel[dates < day], test, labels, day, predicted)
    low, high = (scored[f"predicted_clv_{side}"].to_numpy() for side in ("low", "high"))
    # Unrounded as the others are, so that a champion that is the best rule of thumb equals it.
    margin = gini_gate_margin(actual, rivals, model.champion, config)
    never = 1 - model.pair_outlook(test, horizon_days).buying
    rank = measure_amounts(actual, rfm)
    season = measure_amounts(actual, predicted * factor)
    figures = {
        **_measure(actual, predicted),
        **{
            f"{name}_{key}": value
            for name, values in rivals.items()
            for key, value in _measure(actual, values).items()
        },
        **{f"rfm_{key}": rank[key] for key in ("spearman", "normalized_gini")},
        "season_factor": factor,
        "season_mae_over_mean": season["mae_over_mean"],
        "season_total_error_pct": season["total_error_pct"],
        "gini_gate_margin": margin,
        "is_gate_passed": float(margin >= 0),
        "interval_coverage_pct": 100 * float(np.mean((actual >= low) & (actual <= high))),
        "interval_promised_pct": 100 * float(np.mean(np.maximum(never, config.interval_level))),
        "is_interval_by_past_errors": float(model.interval_source == "past_errors"),
        **_deciles(actual, predicted),
        **{f"is_{name}_champion": float(name == model.champion) for name in CANDIDATES},
        "customer_count": float(len(test)),
        "actual_spend_amount": float(actual.sum()),
        "training_cutoff_count": model.metrics.get("training_cutoff_count", 0.0),
    }
    customers = pd.DataFrame(
        {"actual": actual, "predicted": predicted, "low": low, "high": high, "rfm": rfm, **rivals}
    )
    return Backtest(day.date(), horizon_days, figures, customers)


def _find_labels(panel: pd.DataFrame, horizon_days: int, config: ClvModelConfig) -> Labels:
    names = "label_year_" if horizon_days == YEAR_DAYS else "label_"
    needed = ("cutoff_date", f"{names}order_count", f"{names}spend_amount")
    require_columns(panel, needed, frame_name="customer_features")
    return next(one for one in list_labels(panel, config) if one.horizon_days == horizon_days)


def _take_finished(
    test: pd.DataFrame, labels: Labels, day: pd.Timestamp
) -> tuple[pd.DataFrame, Floats]:
    """The customers at the cut-off whose outcome is known, and what they spent."""
    columns = (labels.order_count, labels.spend_amount)
    outcome = to_float_frame(test, columns, frame_name="customer_features")
    known = outcome[labels.order_count].notna() & test["tenure_days"].notna()
    spend = outcome.loc[known, labels.spend_amount].fillna(0.0).to_numpy()
    if not np.maximum(spend, 0).sum() > 0 or not spend.sum() > 0:
        raise NotEnoughDataError(
            f"{int(known.sum())} customers with a known outcome at {day.date()}, and nothing was "
            "spent after it",
            remedy=_REMEDY,
        )
    return test[known].reset_index(drop=True), spend


def _measure(actual: Floats, predicted: Floats) -> dict[str, float]:
    return {
        **measure_amounts(actual, predicted),
        "decile_calibration_error": decile_calibration_error(actual, predicted),
    }


def _deciles(actual: Floats, predicted: Floats) -> dict[str, float]:
    """Mean of prediction and outcome in ten equal groups by rising prediction."""
    counts = group_by_decile(np.ones(len(predicted)), predicted)
    figures = {}
    for name, values in (("predicted", predicted), ("actual", actual)):
        sums = group_by_decile(values, predicted)
        for number, (total, count) in enumerate(zip(sums, counts, strict=True), start=1):
            figures[f"decile_{number:02}_{name}_amount"] = float(total / max(count, 1))
    return figures


def _season_factor(
    model: ClvModel,
    past: pd.DataFrame,
    test: pd.DataFrame,
    labels: Labels,
    day: pd.Timestamp,
    predicted: Floats,
) -> float:
    """What the same window brought a year ago, over what a model without seasons says.

    The geometric mean of two forecasts of the total, over the predicted total: the prediction times
    (came / predicted) a year ago, and the latest window's spend times (came / latest window) a year
    ago. The first trusts the level of the model, the second that of the latest sales. 1 where no
    finished cut-off lies near a year back, and for a whole year, which has every season.
    """
    if labels.horizon_days >= YEAR_DAYS or past.empty:
        return 1.0
    dates = pd.to_datetime(past["cutoff_date"])
    away = (dates - (day - pd.Timedelta(days=YEAR_DAYS))).abs()
    over = dates + pd.Timedelta(days=labels.horizon_days) <= day
    near = over & (away <= pd.Timedelta(days=_SEASON_TOLERANCE_DAYS))
    if not near.any():
        return 1.0
    rows = past[dates == dates[near].iloc[int(np.argmin(away[near].to_numpy()))]]
    then = rows.sort_values("customer_id").reset_index(drop=True)
    then, came = _take_finished(then, labels, day)
    window = min(_WINDOWS, key=lambda days: abs(days - labels.horizon_days))
    recent_then, recent_now = (
        to_float_frame(frame, (f"spend_{window}d_amount",), frame_name="customer_features")
        .to_numpy()
        .sum()
        for frame in (then, test)
    )
    said = model.look_back(then, labels.horizon_days).sum()
    factors = (came.sum() / said, came.sum() / recent_then * recent_now / predicted.sum())
    if not all(np.isfinite(one) and one > 0 for one in factors):
        return 1.0
    return float(np.sqrt(factors[0] * factors[1]))
