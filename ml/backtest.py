"""What a model said at a past day, beside what happened after it.

Add here: the shape every backtest returns, so that reports and promotion read one thing.
Not here: measures (``metrics``), the backtest of a model (its own package).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import pandas as pd

__all__ = ["Backtest", "FeatureEffect"]


@dataclass(frozen=True)
class Backtest:
    """One honest look back: everything learned by ``cutoff_date``, judged on what came after.

    Args:
        cutoff_date: The day the predictions would have been made.
        horizon_days: Days after it in which the outcome was counted.
        figures: Named measures, finite; those of a baseline begin with its name.
        customers: One row per customer with a known outcome, by rising customer id: ``actual`` and
            ``predicted``, and one column per baseline that is drawn beside the model. No ids.
    """

    cutoff_date: date
    horizon_days: int
    figures: Mapping[str, float]
    customers: pd.DataFrame = field(repr=False)


@dataclass(frozen=True)
class FeatureEffect:
    """How one input moves the prediction.

    Args:
        feature: Column of ``customer_features``, or a ratio the model derives from it.
        share_pct: Share of all contributions, in per cent.
        points: (value, mean prediction at that value) at rising values; the rest as it is.
    """

    feature: str
    share_pct: float
    points: tuple[tuple[float, float], ...]
