"""The interval around predicted_clv, and which of its two sources is used.

Add here: intervals by past errors, by probability, and the choice. Not here: point predictions.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from ml.clv.buy_till_you_die import BuyTillYouDie, Outlook
from ml.clv.config import ClvModelConfig
from ml.clv.likelihood import Floats
from ml.clv.posterior import SpendDistribution

__all__ = ["ErrorBands", "promised_coverage", "spend_interval"]


def spend_interval(
    pair: BuyTillYouDie,
    summary: pd.DataFrame,
    outlook: Outlook,
    horizon_days: float,
    level: float,
) -> tuple[Floats, Floats]:
    """Low and high of the spend under BG/NBD and Gamma-Gamma.

    Equal tails on both sides; where no order is likelier than the lower tail, the low is 0 and the
    high leaves the whole remainder above it, so that the level is kept and not exceeded.
    """
    tail = (1 - level) / 2
    from_nothing = (1 - outlook.buying) >= tail
    levels = [np.full(len(summary), tail), np.where(from_nothing, level, 1 - tail)]
    low, high = SpendDistribution(pair, horizon_days).quantiles(summary, outlook, levels)
    return np.where(from_nothing, 0.0, low), high


def promised_coverage(outlook: Outlook, level: float) -> float:
    """Mean chance of lying inside: a customer who stays away more surely than ``level`` is inside
    by that alone.
    """
    return float(np.mean(np.maximum(1 - outlook.buying, level)))


@dataclass(frozen=True)
class ErrorBands:
    """Spread of outcome over prediction on the latest finished cut-off, by group of prediction.

    Source: Vovk, Gammerman and Shafer (2005), "Algorithmic Learning in a Random World", ch. 4.5
    (Mondrian), with a split by time: the predictions come from a model that had not seen the
    cut-off. ``offset`` keeps ratios of small predictions finite.
    """

    offset: float
    edges: tuple[float, ...]
    low_ratios: tuple[float, ...]
    high_ratios: tuple[float, ...]

    @classmethod
    def fit(cls, actual: Floats, predicted: Floats, config: ClvModelConfig) -> Self:
        """Learn the ratios of ``interval_groups`` groups of equal size."""
        offset = max(float(predicted.mean()) * 0.01, 1e-9)
        ratio = np.maximum(actual, 0.0) / (predicted + offset)
        order = np.argsort(predicted, kind="stable")
        groups = np.array_split(order, config.interval_groups)
        tail = (1 - config.interval_level) / 2
        lows, highs = [], []
        for rows in groups:
            reach = config.interval_level
            low = 0.0
            if (ratio[rows] <= 0).mean() < tail:
                reach, low = 1 - tail, float(np.quantile(ratio[rows], tail, method="lower"))
            rank = min(int(np.ceil((len(rows) + 1) * reach)), len(rows)) - 1
            highs.append(float(np.sort(ratio[rows])[rank]))
            lows.append(low)
        edges = tuple(float(predicted[rows[0]]) for rows in groups[1:])
        return cls(offset, edges, tuple(lows), tuple(highs))

    def apply(self, predicted: Floats) -> tuple[Floats, Floats]:
        """Low and high for new predictions."""
        group = np.searchsorted(np.array(self.edges), predicted, side="right")
        base = predicted + self.offset
        return np.array(self.low_ratios)[group] * base, np.array(self.high_ratios)[group] * base
