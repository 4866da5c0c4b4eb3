"""Backtest of churn and CLV on Online Retail II, three cut-offs, 90 days ahead.

Add here: how the models of ``ml`` do on the public orders, beside the floors they must beat.
Not here: the models. The features are made by one hand-written query, so that these figures do not
depend on the warehouse.

Run: ``python benchmarks/ml_online_retail.py --data ../shared/data/online_retail_ii``.
Data: Online Retail II, D. Chen (2012), UCI, doi 10.24432/C5CG6D, CC BY 4.0.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ml.evaluation import backtest_churn, backtest_clv

CUTOFFS = (date(2011, 3, 9), date(2011, 6, 9), date(2011, 9, 9))
HORIZON_DAYS = 90
STEP_DAYS = 30
FIRST_CUTOFF = date(2010, 3, 1)

# measure: (floor, whether higher is better)
CHURN_FLOORS = {"auc": (0.795, True), "brier": (0.180, False), "ece": (0.10, False)}
CLV_FLOORS = {
    "spearman": (0.53, True),
    "normalized_gini": (0.81, True),
    "mae_over_mean": (0.85, False),
}

# The second file repeats 2010-12-01 … 09 of the first: those rows are taken from the first only.
CLEAN_LINES = """
create table lines as
with
first_year as (select * from read_csv($first, all_varchar = true)),
second_year as (
    select * from read_csv($second, all_varchar = true)
    where InvoiceDate::timestamp >= timestamp '2010-12-10'
),
raw_lines as (select * from first_year union all select * from second_year),
typed as (
    select
        Invoice as order_id,
        split_part("Customer ID", '.', 1) as customer_id,
        InvoiceDate::timestamp::date as order_date,
        upper(trim(StockCode)) as sku,
        Quantity::integer as quantity,
        Price::decimal(15, 6) as price,
        -- exact, so that sums do not depend on the order of rows
        Quantity::decimal(9, 0) * Price::decimal(15, 6) as amount,
    from raw_lines
    where nullif(trim("Customer ID"), '') is not null
)
select *, quantity > 0 and price > 0 as is_sale, quantity < 0 and price > 0 as is_refund
from typed
"""

# What the data's README states of the cleaned lines.
KNOWN_TRUTH = (791_045, 36_969, 5_878, Decimal("17431551.178"))
CONTROL_TOTALS = """
select count(*), count(distinct order_id), count(distinct customer_id), sum(amount)
from lines
where is_sale
"""

FEATURES = """
with
cutoffs as (select unnest($cutoffs::date[]) as cutoff_date),
sales as (select * from lines where is_sale),
orders as (
    select customer_id, order_id, order_date, sum(amount) as amount, count(*) as line_count
    from sales
    group by all
),
days as (
    select
        customer_id,
        order_date,
        sum(amount) as amount,
        row_number() over customer_days as day_number,
        order_date - lag(order_date) over customer_days as gap_days,
    from orders
    group by customer_id, order_date
    window customer_days as (partition by customer_id order by order_date)
),
by_order as (
    select
        cutoff_date,
        customer_id,
        count(*) as order_count,
        sum(amount) as spend_amount,
        coalesce(sum(amount) filter (order_date > cutoff_date - 90), 0) as spend_90d_amount,
        coalesce(sum(amount) filter (order_date > cutoff_date - 180), 0) as spend_180d_amount,
        coalesce(sum(amount) filter (order_date > cutoff_date - 365), 0) as spend_365d_amount,
        count(*) filter (order_date > cutoff_date - 90) as order_count_90d,
        count(*) filter (order_date > cutoff_date - 180) as order_count_180d,
        count(*) filter (order_date > cutoff_date - 365) as order_count_365d,
        avg(amount) as average_order_amount,
        avg(line_count) as average_lines_per_order,
    from cutoffs
    join orders on order_date <= cutoff_date
    group by cutoff_date, customer_id
),
by_day as (
    select
        cutoff_date,
        customer_id,
        cutoff_date - max(order_date) as days_since_last_order,
        cutoff_date - min(order_date) as days_since_first_order,
        count(*) - 1 as frequency_days,
        max(order_date) - min(order_date) as recency_days,
        cutoff_date - min(order_date) as tenure_days,
        avg(amount) filter (day_number > 1) as monetary_value,
        avg(gap_days) as average_days_between_orders,
        stddev_samp(gap_days) as days_between_orders_stddev,
    from cutoffs
    join days on order_date <= cutoff_date
    group by cutoff_date, customer_id
),
by_line as (
    select
        cutoff_date,
        customer_id,
        coalesce(-sum(amount) filter (is_refund), 0) as refund_amount,
        count(distinct sku) filter (is_sale) as product_count,
    from cutoffs
    join lines on order_date <= cutoff_date
    group by cutoff_date, customer_id
),
labels as (
    select
        cutoff_date,
        customer_id,
        count(*) as label_order_count,
        sum(amount) as label_spend_amount,
    from cutoffs
    join orders on order_date > cutoff_date and order_date <= cutoff_date + $horizon::integer
    group by cutoff_date, customer_id
)
select
    * exclude (label_order_count, label_spend_amount),
    100 * refund_amount / nullif(spend_amount, 0) as refund_share_pct,
    coalesce(label_order_count, 0) as label_order_count,
    coalesce(label_spend_amount, 0) as label_spend_amount,
from by_order
join by_day using (cutoff_date, customer_id)
join by_line using (cutoff_date, customer_id)
left join labels using (cutoff_date, customer_id)
"""


def list_training_cutoffs(cutoff: date) -> list[date]:
    """Monthly cut-offs whose horizon had ended by ``cutoff``, as far as the history goes."""
    latest = cutoff - timedelta(days=HORIZON_DAYS)
    step_count = (latest - FIRST_CUTOFF).days // STEP_DAYS
    return [latest - timedelta(days=STEP_DAYS * step) for step in range(step_count + 1)]


def backtest_churn_at(panel: pd.DataFrame, cutoff: date) -> dict[str, float]:
    """Backtest with this cut-off's own training cut-offs."""
    days = pd.to_datetime([*list_training_cutoffs(cutoff), cutoff])
    return dict(backtest_churn(panel[panel["cutoff_date"].isin(days)], cutoff_date=cutoff).figures)


def make_panel(folder: Path) -> pd.DataFrame:
    """Return ``customer_features`` with labels at every cut-off."""
    with duckdb.connect() as con:
        con.execute(
            CLEAN_LINES,
            {name: str(folder / f"year_{years}.csv") for name, years in
             (("first", "2009_2010"), ("second", "2010_2011"))},
        )  # fmt: skip
        totals = con.execute(CONTROL_TOTALS).fetchone()
        if totals != KNOWN_TRUTH:
            raise SystemExit(f"cleaned lines {totals} are not the known truth {KNOWN_TRUTH}")
        cutoffs = {*CUTOFFS, *(day for cutoff in CUTOFFS for day in list_training_cutoffs(cutoff))}
        return con.execute(FEATURES, {"cutoffs": sorted(cutoffs), "horizon": HORIZON_DAYS}).df()


def print_table(
    title: str, results: Sequence[dict[str, float]], floors: dict[str, tuple[float, bool]]
) -> bool:
    """Print one row per measure; return whether every floor holds for the mean."""
    frame = pd.DataFrame(list(results), index=[str(day) for day in CUTOFFS]).T
    frame["mean"] = frame.mean(axis=1)
    frame["floor"] = [
        f"{'≥' if floors[name][1] else '≤'} {floors[name][0]}" if name in floors else ""
        for name in frame.index
    ]
    print(f"\n{title}\n{frame.to_string(float_format=lambda value: f'{value:.3f}')}")
    return all(
        (frame.loc[name, "mean"] >= floor) == higher or frame.loc[name, "mean"] == floor
        for name, (floor, higher) in floors.items()
    )


def main() -> int:
    """Print both tables and the time taken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "online_retail_ii"
    parser.add_argument("--data", type=Path, default=default, help="folder with both yearly files")
    folder = parser.parse_args().data
    if not folder.is_dir():
        print(f"skipped: {folder} is absent; name the folder with --data")
        return 0
    started = time.perf_counter()
    panel = make_panel(folder)
    made = time.perf_counter()
    churn = [backtest_churn_at(panel, day) for day in CUTOFFS]
    clv = [backtest_clv(panel, cutoff_date=day, horizon_days=HORIZON_DAYS) for day in CUTOFFS]
    churn_holds = print_table(f"Churn, {HORIZON_DAYS} days", churn, CHURN_FLOORS)
    clv_holds = print_table(f"CLV, {HORIZON_DAYS} days, BG/NBD + Gamma-Gamma", clv, CLV_FLOORS)
    print(f"\npanel {len(panel):,} rows in {made - started:.1f} s, ", end="")
    print(f"six backtests in {time.perf_counter() - made:.1f} s")
    print(f"floors: churn {'held' if churn_holds else 'MISSED'}, ", end="")
    print(f"CLV {'held' if clv_holds else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
