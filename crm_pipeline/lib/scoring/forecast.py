"""Sales of the coming days.

Add here: from a frame of daily sums to rows of a forecast.
Not here: methods (``ml.forecast``), reading or writing the warehouse (``defs/scoring``).
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from ml.forecast import ForecastConfig, SeriesForecast, forecast_series
from ml.forecast.methods import Floats

CODE_VERSION = "1"  # raise it when a forecast changes on equal data
TWO_YEARS = 730
COLUMNS = [
    "series",
    "forecast_date",
    "expected_amount",
    "low_amount",
    "high_amount",
    "method",
    "backtest_mase",
    "baseline_mase",
    "backtest_wape",
    "backtest_coverage_pct",
    "backtest_origin_count",
    "note",
    "model_version",
]


def forecast_sales(
    days: pd.DataFrame, as_of: dt.date, config: ForecastConfig | None = None
) -> pd.DataFrame:
    """The forecast of every series from the day after ``as_of`` on.

    Args:
        days: ``series``, ``business_date``, ``sales_amount``; days without a row sold nothing.
        as_of: the last known day.
        config: numbers of the forecast.

    Returns:
        One row per series and day; none for a shop that has not sold anything.
    """
    config = config or ForecastConfig()
    days = days[pd.to_datetime(days["business_date"]) <= pd.Timestamp(as_of)]
    sums = days["sales_amount"].astype(float).groupby(days["series"]).sum()
    # The total is the largest; of equal categories the first of the alphabet.
    largest = sums.sort_index().sort_values(ascending=False, kind="stable")
    days = days[days["series"].isin(largest.index[: config.most_series])]
    parts = []
    for series, rows in days.groupby("series", sort=True):
        made = forecast_series(_filled(rows, as_of), config)
        if made is not None:
            known = (as_of - pd.to_datetime(rows["business_date"]).min().date()).days + 1
            parts.append(_rows(str(series), made, as_of, known))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def _filled(rows: pd.DataFrame, as_of: dt.date) -> Floats:
    """One value per day from the first sale until ``as_of``."""
    dates = pd.to_datetime(rows["business_date"])
    amounts = pd.Series(rows["sales_amount"].astype(float).to_numpy(), index=dates)
    span = pd.date_range(amounts.index.min(), as_of)
    return np.asarray(amounts.groupby(level=0).sum().reindex(span, fill_value=0.0), float)


def _rows(series: str, made: SeriesForecast, as_of: dt.date, known_days: int) -> pd.DataFrame:
    backtest = made.backtest
    notes = [made.note] if made.note else []
    if known_days < TWO_YEARS:
        notes.append("promotion days such as 618 and 11.11 are not in it: under two years known")
    empty = np.full(len(made.expected), np.nan)
    return pd.DataFrame(
        {
            "series": series,
            "forecast_date": [
                as_of + dt.timedelta(days=ahead) for ahead in range(1, len(made.expected) + 1)
            ],
            "expected_amount": made.expected,
            "low_amount": empty if made.low is None else made.low,
            "high_amount": empty if made.high is None else made.high,
            "method": made.method,
            "backtest_mase": round(backtest.mase[made.method], 6) if backtest else None,
            "baseline_mase": round(backtest.baseline_mase, 6) if backtest else None,
            "backtest_wape": round(backtest.wape[made.method], 6) if backtest else None,
            "backtest_coverage_pct": round(backtest.coverage_pct, 6) if backtest else None,
            "backtest_origin_count": backtest.origin_count if backtest else 0,
            "note": "; ".join(notes),
            "model_version": f"forecast-{CODE_VERSION}",
        }
    )
