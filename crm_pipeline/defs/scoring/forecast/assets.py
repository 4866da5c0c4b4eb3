"""Sales forecast.

Add here: assets writing forecasts of sums by day.
Not here: maths (``ml.forecast``), from sums to rows (``lib/scoring/forecast``).
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pandas as pd
import pyarrow as pa

from crm_pipeline.lib.progress import step
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.partitions import ONE_DAY_A_RUN, business_days
from crm_pipeline.resources import POOL, Warehouse

KEY = dg.AssetKey(["scores", "sales_forecast"])
CHECK = "forecast_beats_last_week"


@dg.asset(
    key=KEY,
    # The features are not read: made with the other scores, it costs no dbt call of its own.
    deps=[
        dg.AssetKey(["intermediate", "int_sales_days"]),
        dg.AssetKey(["marts", "customer_features"]),
    ],
    group_name="scoring",
    kinds={"python", "duckdb"},
    owners=["team:crm"],
    partitions_def=business_days(),
    backfill_policy=ONE_DAY_A_RUN,
    pool=POOL,
    check_specs=[dg.AssetCheckSpec(CHECK, asset=KEY)],
    code_version="1",
)
def sales_forecast(
    context: dg.AssetExecutionContext, warehouse: Warehouse
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Sales of the four weeks after ``as_of``, in total and by category, with their backtest."""
    from crm_pipeline.lib.scoring.forecast import forecast_sales  # takes seconds to import

    as_of = date.fromisoformat(context.partition_key)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        days = connection.sql("from intermediate.int_sales_days").df()
        with step("sales forecast"):
            made = forecast_sales(days, as_of)
        rows = made.assign(as_of_date=as_of, scored_at=pd.Timestamp(as_of))
        replace_table(connection, ".".join(KEY.path), pa.Table.from_pandas(rows))
    series = made.drop_duplicates("series")
    tested = series[series["backtest_mase"].notna()]
    figures = {
        name: float(tested[name].median())
        for name in ("backtest_mase", "baseline_mase", "backtest_wape", "backtest_coverage_pct")
        if len(tested)
    }
    yield dg.MaterializeResult(
        metadata={"dagster/row_count": len(rows), "series": len(series), **figures}
    )
    beaten = tested["backtest_mase"] < tested["baseline_mase"]
    yield dg.AssetCheckResult(
        check_name=CHECK,
        asset_key=KEY,
        passed=bool(beaten.all()),  # an untested series has nothing to be beaten by
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"no better than last week": ", ".join(tested["series"][~beaten]), **figures},
    )
