"""What is told of a training, and every figure of its report.

Add here: a table of figures.
Not here: measures of predictions (``ml.metrics``), how figures are shown (``model_report``).

Every table is computed from the training's own backtests; ``<version>.figures.json`` beside the
report holds them all unrounded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.backtest import Backtest, FeatureEffect

Row = Mapping[str, Any]
Floats = NDArray[np.float64]
Text = str | tuple[str, str]  # the same in both languages, or Chinese and English

MODEL = "model"
# Columns of ``Backtest.customers`` that are no baseline.
TRIGGER = "playbook"
LOW, HIGH = "low", "high"
OWN_COLUMNS = ("actual", "predicted", TRIGGER, LOW, HIGH)

MEASURES = (
    "auc", "pr_auc", "lift_at_10pct", "brier", "log_loss", "ece", "calibration_slope",
    "spearman", "normalized_gini", "mae_over_mean", "total_error_pct", "decile_calibration_error",
)  # fmt: skip
# Figures of a backtest that other tables of the report hold.
OF_RULES = tuple(f"_{measure}" for measure in MEASURES)
TOLD_ELSEWHERE = ("decile_", "playbook_", "at_playbook_")
GROUPS = 10
INTERVAL_GROUPS = 5
GAIN_STEPS = 50

# Columns that name a row of each table.
KEYS = {
    "about": (),
    "training": ("name",),
    "measures": ("cutoff_date", "who"),
    "context": ("cutoff_date", "name"),
    "versus": ("measure",),
    "deciles": ("decile",),
    "gains": ("who", "share_pct"),
    "budget": ("who",),
    "intervals": ("group",),
    "effects": ("feature",),
    "checks": ("name",),
    "drift": ("feature",),
}


@dataclass(frozen=True)
class HealthCheck:
    """One condition a version must meet before anybody is contacted because of it."""

    name: str
    value: float | None
    limit: float | str  # a number, or the limits in words
    passed: bool


@dataclass(frozen=True)
class ModelReport:
    """One training of one model.

    Args:
        name: The score, for example ``churn``.
        version: Version of the model this report is about.
        trained_until: Last day it could know.
        horizon_days: Days its prediction covers.
        data_sha256: Hash of its training rows.
        code_version: Version of the code that trained it.
        is_promoted: Whether it scores from now on.
        reasons: Why it does or does not.
        backtests: Its looks back, oldest first; none when the base is too small for one.
        champion_version: The version it was compared with, None for the first.
        champion_backtests: That version's looks back at the same cut-offs.
        training: Figures measured while training.
        effects: How its inputs move the prediction, strongest first.
        checks: Conditions of health.
        drift: Input → population stability index between training and today.
        drift_limit: Above it an input has moved.
        interval_pct: Share of outcomes its intervals are to hold, where the backtest promises none.
    """

    name: str
    version: str
    trained_until: dt.date
    horizon_days: int
    data_sha256: str
    code_version: str
    is_promoted: bool
    reasons: Sequence[Text] = ()
    backtests: Sequence[Backtest] = ()
    champion_version: str | None = None
    champion_backtests: Sequence[Backtest] = ()
    training: Mapping[str, float] = field(default_factory=dict)
    effects: Sequence[FeatureEffect] = ()
    checks: Sequence[HealthCheck] = ()
    drift: Mapping[str, float] = field(default_factory=dict)
    drift_limit: float = 0.2
    interval_pct: float = 80.0

    @property
    def newest(self) -> Backtest | None:
        """The latest look back, which the charts show."""
        return max(self.backtests, key=lambda one: one.cutoff_date, default=None)

    @property
    def is_probability(self) -> bool:
        """Whether outcomes happen or not; otherwise they are amounts."""
        newest = self.newest
        return newest is None or bool(newest.customers["actual"].isin((0, 1)).all())


def compute_figures(report: ModelReport) -> dict[str, list[Row]]:
    """Every table of the report by name; a table nothing is known for is empty.

    What is no finite number (an error relative to nothing) is None.
    """
    newest = report.newest
    customers = newest.customers if newest is not None and len(newest.customers) else None
    tables: dict[str, list[Row]] = {
        "about": [_describe(report)],
        "training": [{"name": name, "value": value} for name, value in report.training.items()],
        "measures": _measure(report),
        "context": _list_context(report),
        "versus": _compare(report),
        "deciles": _cut_into_groups(customers) if customers is not None else [],
        "gains": _draw_gains(customers) if customers is not None else [],
        "budget": _spend_equally(customers) if customers is not None else [],
        "intervals": _count_covered(customers) if customers is not None else [],
        "effects": [
            {"feature": effect.feature, "share_pct": effect.share_pct} for effect in report.effects
        ],
        "checks": [
            {"name": one.name, "value": one.value, "limit": one.limit, "passed": one.passed}
            for one in report.checks
        ],
        "drift": [
            {"feature": name, "psi": value}
            for name, value in sorted(report.drift.items(), key=lambda pair: (-pair[1], pair[0]))
        ],
    }
    return {
        name: [{column: _finite(value) for column, value in row.items()} for row in rows]
        for name, rows in tables.items()
    }


def baselines_of(backtest: Backtest) -> list[str]:
    """Rules the model is drawn beside, in the order the backtest names them."""
    return [name for name in backtest.customers.columns if name not in OWN_COLUMNS]


def _describe(report: ModelReport) -> Row:
    newest = report.newest
    # A customer who surely stays away is inside by that alone: more is promised than the level.
    promised = newest.figures.get("interval_promised_pct") if newest else None
    return {
        "version": report.version,
        "trained_until": report.trained_until,
        "horizon_days": report.horizon_days,
        "data_sha256": report.data_sha256,
        "code_version": report.code_version,
        "champion_version": report.champion_version,
        "cutoff_date": newest.cutoff_date if newest else None,
        "judged_days": newest.horizon_days if newest else None,
        "customer_count": len(newest.customers) if newest else 0,
        "interval_pct": promised if promised is not None else report.interval_pct,
        "drift_limit": report.drift_limit,
    }


def _measure(report: ModelReport) -> list[Row]:
    """One row per cut-off and contender, and the means over the cut-offs when there are several."""
    rows: list[dict[str, Any]] = []
    for backtest in report.backtests:
        for who in (MODEL, *baselines_of(backtest)):
            found = {name: backtest.figures.get(_named(who, name)) for name in MEASURES}
            if any(value is not None for value in found.values()):
                rows.append({"cutoff_date": backtest.cutoff_date.isoformat(), "who": who, **found})
    if len(report.backtests) > 1:
        frame = pd.DataFrame(rows)
        for who in dict.fromkeys(frame["who"]):
            numbers = frame.loc[frame["who"] == who, list(MEASURES)].astype(float)
            rows.append({"cutoff_date": "mean", "who": who, **numbers.mean().to_dict()})
    return list(rows)


def _list_context(report: ModelReport) -> list[Row]:
    """The backtest's figures that are no measure: how many customers, how many left."""
    rows: list[Row] = []
    for backtest in report.backtests:
        known = {_named(who, m) for who in (MODEL, *baselines_of(backtest)) for m in MEASURES}
        for name, value in backtest.figures.items():
            is_of_rule = name.endswith(OF_RULES) and not name.startswith("season_")
            is_told = is_of_rule or name.startswith(TOLD_ELSEWHERE)
            is_beaten = name.startswith("is_") and name.endswith("_champion") and not value
            if not (name in known or is_told or is_beaten):
                day = backtest.cutoff_date.isoformat()
                rows.append({"cutoff_date": day, "name": name, "value": value})
    return rows


def _compare(report: ModelReport) -> list[Row]:
    """Means over the cut-offs both versions were judged at."""
    ours = {one.cutoff_date: one.figures for one in report.backtests}
    theirs = {one.cutoff_date: one.figures for one in report.champion_backtests}
    common = sorted(ours.keys() & theirs.keys())
    rows: list[Row] = []
    for measure in MEASURES:
        pairs = [(ours[day].get(measure), theirs[day].get(measure)) for day in common]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if known:
            challenger, champion = (float(np.mean(side)) for side in zip(*known, strict=True))
            rows.append(
                {
                    "measure": measure,
                    "challenger": challenger,
                    "champion": champion,
                    "difference": challenger - champion,
                    "cutoff_count": len(known),
                }
            )
    return rows


def _cut_into_groups(customers: pd.DataFrame) -> list[Row]:
    """Tenths by falling prediction; equal predictions share their mean outcome."""
    predicted, actual = _by_falling(customers, "predicted")
    total, overall = actual.sum(), actual.mean()
    edges = _edges(len(actual), GROUPS)
    rows: list[Row] = []
    for number, (first, last) in enumerate(pairwise(edges), start=1):
        captured = actual[:last].sum()
        rows.append(
            {
                "decile": number,
                "customer_count": last - first,
                "mean_predicted": float(predicted[first:last].mean()),
                "mean_actual": float(actual[first:last].mean()),
                "captured_pct": 100 * captured / total if total else None,
                "lift": captured / last / overall if total else None,
            }
        )
    return rows


def _draw_gains(customers: pd.DataFrame) -> list[Row]:
    """Share of all outcomes found among the highest share of each contender's ranking."""
    rows: list[Row] = []
    for who in ("predicted", *(n for n in customers.columns if n not in OWN_COLUMNS)):
        _, actual = _by_falling(customers, who)
        if not actual.sum():
            continue
        captured = np.concatenate([[0.0], np.cumsum(actual)]) / actual.sum() * 100
        shares = np.linspace(0, 1, GAIN_STEPS + 1)
        found = np.interp(shares * len(actual), np.arange(len(captured)), captured)
        name = MODEL if who == "predicted" else who
        rows += [
            {"who": name, "share_pct": float(100 * share), "captured_pct": float(value)}
            for share, value in zip(shares, found, strict=True)
        ]
    return rows


def _spend_equally(customers: pd.DataFrame) -> list[Row]:
    """The playbook's trigger, and each ranking cut where it names as many customers."""
    if TRIGGER not in customers:
        return []
    actual = customers["actual"].to_numpy(dtype=float)
    is_named = customers[TRIGGER].fillna(0).to_numpy(dtype=float) > 0
    budget = int(is_named.sum())
    if not budget or not actual.sum():
        return []
    found = {TRIGGER: actual[is_named].sum()}
    for who in ("predicted", *(n for n in customers.columns if n not in OWN_COLUMNS)):
        name = MODEL if who == "predicted" else who
        found[name] = _by_falling(customers, who)[1][:budget].sum()
    return [
        {
            "who": who,
            "customer_count": budget,
            "hit_pct": float(100 * hits / budget),
            "captured_pct": float(100 * hits / actual.sum()),
            "lift": float(hits / budget / actual.mean()),
        }
        for who, hits in found.items()
    ]


def _count_covered(customers: pd.DataFrame) -> list[Row]:
    """How often the outcome lay in its interval: overall, and by fifths of falling prediction."""
    if not {LOW, HIGH} <= set(customers.columns):
        return []
    ordered = customers.sort_values(
        ["predicted", LOW, HIGH, "actual"], ascending=False, ignore_index=True
    )
    low, high, actual = (ordered[name].to_numpy(dtype=float) for name in (LOW, HIGH, "actual"))
    is_covered = (low <= actual) & (actual <= high)
    edges = _edges(len(ordered), INTERVAL_GROUPS)
    groups = [("all", 0, len(ordered))]
    groups += [(str(n), a, b) for n, (a, b) in enumerate(pairwise(edges), 1)]
    return [
        {
            "group": name,
            "customer_count": last - first,
            "mean_low": float(low[first:last].mean()),
            "mean_actual": float(actual[first:last].mean()),
            "mean_high": float(high[first:last].mean()),
            "below_pct": float(100 * (actual < low)[first:last].mean()),
            "above_pct": float(100 * (actual > high)[first:last].mean()),
            "covered_pct": float(100 * is_covered[first:last].mean()),
        }
        for name, first, last in groups
    ]


def _by_falling(customers: pd.DataFrame, column: str) -> tuple[Floats, Floats]:
    """A ranking and the outcomes in its order; no rank (null) comes last."""
    score = customers[column].to_numpy(dtype=float)
    score = np.where(np.isnan(score), -np.inf, score)
    actual = customers["actual"].to_numpy(dtype=float)
    _, group = np.unique(-score, return_inverse=True)
    counts = np.bincount(group)
    shared = np.bincount(group, weights=actual) / counts
    return -np.sort(-score), np.repeat(shared, counts)


def _edges(count: int, groups: int) -> list[int]:
    """Borders of groups of nearly equal size; a small base has fewer groups, none empty."""
    return sorted({round(place * count / groups) for place in range(groups + 1)})


def _named(who: str, measure: str) -> str:
    return measure if who == MODEL else f"{who}_{measure}"


def _finite(value: Any) -> Any:
    """Plain Python numbers, None for those JSON does not know."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
