"""From counts to rules with their evidence in both parts of the history.

Add here: figures of a rule. Not here: whether a rule is in force (it depends on earlier months).
"""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from ml.errors import InvalidDataError
from ml.frames import require_columns
from ml.sequences.config import SequenceConfig
from ml.sequences.stratified import Cells, Evidence, weigh

__all__ = ["CELL_COLUMNS", "RULE_KEYS", "TOTAL_COLUMNS", "judge_rules"]

RULE_KEYS = ["first_category", "then_category", "within_days"]
_STRATA = ("plain", "recent")
_COUNTS = ("day_count", "followed_count", "first_count", "first_followed_count")
CELL_COLUMNS = [
    *RULE_KEYS,
    "period",
    *(f"{stratum}_{count}" for stratum in _STRATA for count in _COUNTS),
    "customer_count",
]
TOTAL_COLUMNS = [*RULE_KEYS, "period", "customer_count", "exposure_count"]
_FIGURES = [
    "first_customer_count",
    "exposure_count",
    "support",
    "followed_count",
    "confidence",
    "base_rate",
    "lift",
    "lift_low",
    "lift_high",
    "expected_followed",
    "z_score",
    "p_value",
]


def judge_rules(
    cells: pd.DataFrame, totals: pd.DataFrame, config: SequenceConfig | None = None
) -> pd.DataFrame:
    """Figures of every rule that was counted; ``q_value`` is null for those not tested.

    Args:
        cells: customers by their counts, ``CELL_COLUMNS`` (model ``int_sequence_cells``).
        totals: customers with A and never B, ``TOTAL_COLUMNS`` (``int_sequence_totals``).
        config: levels and limits.

    Returns:
        One row per rule of the discovery period, by ``RULE_KEYS``: its figures there and, with the
        prefix ``holdout_``, in the hold-out. ``base_rate`` is confidence over lift: how often B
        would have followed, had these days been like the same customers' other days.
    """
    config = config or SequenceConfig()
    require_columns(cells, CELL_COLUMNS, frame_name="cells")
    require_columns(totals, TOTAL_COLUMNS, frame_name="totals")
    if (cells["first_category"] == cells["then_category"]).any():
        raise InvalidDataError(
            "cells: a category follows itself; that is replenishment, not a sequence",
            remedy="leave out the days on which the second category itself was bought",
        )
    figures = pd.concat([_count(cells, totals), _weigh_all(cells, config)], axis=1).reset_index()
    figures = _with_rates(figures, config)
    found = figures[figures["period"] == "discovery"].drop(columns="period").set_index(RULE_KEYS)
    fresh = figures[figures["period"] == "holdout"].drop(columns="period").set_index(RULE_KEYS)
    found["q_value"] = _q_values(found, config)
    joined = found.join(fresh[_FIGURES].add_prefix("holdout_"), how="left").sort_index()
    return joined.reset_index()


def _count(cells: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    """Customers and days of A, and of these the followed ones."""
    keys = [*RULE_KEYS, "period"]
    customers = cells["customer_count"]
    days = cells["plain_first_count"] + cells["recent_first_count"]
    followed = cells["plain_first_followed_count"] + cells["recent_first_followed_count"]
    counted = cells[keys].assign(
        first_customer_count=customers * (days > 0),
        exposure_count=customers * days,
        support=customers * (followed > 0),
        followed_count=customers * followed,
    )
    never = totals.rename(columns={"customer_count": "first_customer_count"})
    summed = pd.concat([counted, never.assign(support=0, followed_count=0)[counted.columns]])
    return summed.groupby(keys, sort=True).sum().astype("int64")


def _weigh_all(cells: pd.DataFrame, config: SequenceConfig) -> pd.DataFrame:
    keys = [*RULE_KEYS, "period"]
    by_key = cells.groupby(keys, sort=True)
    numbers = by_key.ngroup().to_numpy()
    order = np.argsort(numbers, kind="stable")
    tables = [
        cells[[f"{stratum}_{count}" for stratum in _STRATA]].to_numpy(np.int64)[order]
        for count in _COUNTS
    ]
    customers = cells["customer_count"].to_numpy(np.int64)[order]
    index = by_key.size().index
    ends = np.searchsorted(numbers[order], np.arange(len(index) + 1))
    rows = []
    for part in (slice(start, end) for start, end in pairwise(ends)):
        days, followed, first_days, first_followed = (table[part] for table in tables)
        rows.append(
            weigh(
                Cells(days, followed, first_days, first_followed, customers[part]),
                exact_until_variance=config.exact_until_variance,
                interval_z=config.interval_z,
            )
        )
    columns = [field.name for field in fields(Evidence)]
    values = np.array([[getattr(row, name) for name in columns] for row in rows], dtype=float)
    return pd.DataFrame(values.reshape(-1, len(columns)), index=index, columns=columns)


def _with_rates(figures: pd.DataFrame, config: SequenceConfig) -> pd.DataFrame:
    """Rates of the counts. Nobody to compare is no evidence: p is 1, the lift unknown."""
    confidence = figures["followed_count"] / figures["exposure_count"].replace(0, np.nan)
    figures["p_value"] = figures["p_value"].fillna(1.0)
    figures["expected_followed"] = figures["expected_followed"].fillna(0.0)
    figures["z_score"] = figures["z_score"].fillna(0.0)
    figures["base_rate"] = confidence / figures["lift"].replace(0.0, np.nan)
    figures["confidence"] = confidence
    floats = figures.select_dtypes("float").columns
    # p-values span many orders of magnitude: of them the leading digits are kept.
    rounded = [name for name in floats if name != "p_value"]
    figures[rounded] = figures[rounded].round(config.decimals)
    figures["p_value"] = _significant(figures["p_value"], config)
    return figures


def _q_values(found: pd.DataFrame, config: SequenceConfig) -> pd.Series:
    """Benjamini–Yekutieli over the rules that are tested.

    Windows of one pair are nested and pairs share days, some rules speak against others: the
    procedure must hold under any dependence (Benjamini, Yekutieli 2001, Ann. Stat. 29:1165).
    """
    tested = (found["first_customer_count"] >= config.min_first_customers) & (
        found["expected_followed"] >= config.min_expected_followed
    )
    values = pd.Series(np.nan, index=found.index, dtype="float64")
    if tested.any():
        values[tested] = false_discovery_control(found.loc[tested, "p_value"], method="by")
    return _significant(values, config)


def _significant(values: pd.Series, config: SequenceConfig) -> pd.Series:
    return values.map(lambda value: float(f"{value:.{config.significant_digits}g}"))
