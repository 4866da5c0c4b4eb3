"""Rules of thumb every model must beat.

Add here: scores anybody could make from three columns. Not here: models, measures.
"""

import pandas as pd

from ml.frames import to_float_frame

__all__ = ["score_rfm"]


def score_rfm(features: pd.DataFrame) -> pd.Series:
    """RFM heuristic: sum of the percentile ranks of recency, frequency and spend; high is good."""
    columns = ("days_since_last_order", "order_count", "spend_amount")
    numbers = to_float_frame(features, columns, frame_name="customer_features")
    numbers["days_since_last_order"] *= -1
    ranks: pd.Series = numbers.rank(pct=True).sum(axis=1)
    return ranks
