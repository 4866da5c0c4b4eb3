"""Sales by day become rows of a forecast."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest

from crm_pipeline.lib.scoring.forecast import COLUMNS, forecast_sales
from ml.forecast import ForecastConfig

pytestmark = pytest.mark.requirement("SCO-8")

AS_OF = dt.date(2024, 6, 30)


def sold(series: str, days: int, amount: str = "10.00", last: dt.date = AS_OF) -> pd.DataFrame:
    dates = [last - dt.timedelta(days=ago) for ago in range(days)]
    return pd.DataFrame(
        {"series": series, "business_date": dates, "sales_amount": [Decimal(amount)] * days}
    )


def test_every_series_is_forecast_for_four_weeks_from_the_next_day_on() -> None:
    made = forecast_sales(pd.concat([sold("total", 150), sold("category: tea", 20)]), AS_OF)
    assert list(made.columns) == COLUMNS
    assert made.groupby("series").size().to_dict() == {"category: tea": 28, "total": 28}
    assert made["forecast_date"].min() == AS_OF + dt.timedelta(days=1)
    assert made["forecast_date"].max() == AS_OF + dt.timedelta(days=28)
    assert made.loc[made["series"] == "total", "backtest_mase"].notna().all()
    assert made.loc[made["series"] == "category: tea", "backtest_mase"].isna().all()


def test_days_without_a_sale_count_as_nothing_sold_also_the_last_ones() -> None:
    made = forecast_sales(sold("total", 20, last=AS_OF - dt.timedelta(days=14)), AS_OF)
    assert made["expected_amount"].unique().tolist() == [0.0]


def test_a_shop_without_sales_gets_no_row_and_no_error() -> None:
    nothing = pd.DataFrame(columns=["series", "business_date", "sales_amount"])
    assert forecast_sales(nothing, AS_OF).empty


def test_later_days_are_not_known() -> None:
    until = forecast_sales(sold("total", 30), AS_OF)
    later = pd.concat([sold("total", 30), sold("total", 5, "999", AS_OF + dt.timedelta(days=5))])
    pd.testing.assert_frame_equal(until, forecast_sales(later, AS_OF))


def test_promotion_days_are_said_not_to_be_known_before_two_years() -> None:
    assert forecast_sales(sold("total", 729), AS_OF)["note"].str.contains("618").all()
    assert not forecast_sales(sold("total", 730), AS_OF)["note"].str.contains("618").any()


def test_only_the_largest_series_are_forecast() -> None:
    days = [sold("total", 20, "90"), sold("category: a", 20, "30"), sold("category: b", 20, "60")]
    made = forecast_sales(pd.concat(days), AS_OF, ForecastConfig(most_series=2))
    assert set(made["series"]) == {"total", "category: b"}
