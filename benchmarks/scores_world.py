"""Scores in the made-up world, beside what is really so: calibration, coverage, value, sequences.

Add here: a score whose truth the world knows. Not here: public data (``ml_online_retail``), cost
(``scoring_cost``).

Run: ``python -m benchmarks.scores_world --home data`` on a home that ``crm run`` has filled with
the made-up shop. Backtests learn from the panel in its warehouse and never see ``truth/``; the
truth judges what the home's own scores say of today.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.warehouse import open_warehouse
from ml.backtest import Backtest
from ml.churn.backtest import backtest_churn
from ml.clv.backtest import backtest_clv
from ml.errors import MlError
from ml.metrics import (
    calibration_slope,
    expected_calibration_error,
    normalized_gini,
    spearman,
)

NOMINAL_PCT = 80.0
COVERAGE_TOLERANCE = 5.0
HORIZONS = (365, 90)

# People behind the customers: a customer is worth what the people are who were found to be it.
CUSTOMERS = """
    select
        a.customer_id,
        sum(p.expected_value) as expected_value,
        bool_and(p.churn_date is not null) as has_left,
        sum(p.order_count) as order_count
    from (
        select distinct a.customer_id, i.person_id
        from identity.customer_accounts as a
        inner join read_parquet('{truth}/identity.parquet') as i
            using (channel, source_customer_id)
    ) as a
    inner join read_parquet('{truth}/people.parquet') as p using (person_id)
    group by a.customer_id
"""


@dataclass(frozen=True)
class Found:
    """One figure, and between what it has to lie."""

    what: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the target is held; a figure without one always does."""
        is_low = self.low is not None and not self.value >= self.low
        is_high = self.high is not None and not self.value <= self.high
        return not (is_low or is_high)

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return f"{self.what:62} {self.value:9.3f}"
        wanted = f"{_edge(self.low)} … {_edge(self.high)}"
        return (
            f"{self.what:62} {self.value:9.3f}   {wanted:17} {'held' if self.holds else 'MISSED'}"
        )


def main() -> int:
    """Print every figure with its target; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a home with the made-up shop")
    parser.add_argument("--warehouse", type=Path, help="instead of the home's, for example a copy")
    options = parser.parse_args()
    home = CrmHome(options.home.resolve())
    truth = home.root / "truth"
    warehouse = options.warehouse or home.warehouse
    if missing := [path for path in (truth, warehouse) if not path.exists()]:
        print(f"skipped: {', '.join(map(str, missing))} absent; fill a home with `crm run`")
        return 0
    everything: list[Found] = []
    with open_warehouse(warehouse, read_only=True) as connection:
        panel = connection.sql("from marts.customer_features").df()
        for part in (
            judge_churn(panel),
            judge_value(panel),
            judge_scores(connection, truth),
            judge_sequences(connection, truth),
        ):
            for found in part:
                print(found, flush=True)
                everything.append(found)
    return 0 if all(found.holds for found in everything) else 1


def judge_churn(panel: pd.DataFrame) -> Iterator[Found]:
    """Out of time, at every cut-off with enough before it; the slope of all of them together."""
    backtests = list(
        _look_back(panel, "label_order_count", lambda day: backtest_churn(panel, cutoff_date=day))
    )
    for backtest in backtests:
        for name in ("auc", "ece", "calibration_slope"):
            yield Found(f"churn at {backtest.cutoff_date}: {name}", backtest.figures[name])
    if backtests:
        everybody = pd.concat([backtest.customers for backtest in backtests])
        actual, predicted = everybody["actual"], everybody["predicted"]
        yield Found("churn: ece of all", expected_calibration_error(actual, predicted))
        slope = calibration_slope(actual, predicted)
        yield Found("churn: calibration slope of all, out of time", slope, 0.9, 1.1)


def judge_value(panel: pd.DataFrame) -> Iterator[Found]:
    """Intervals of value hold what they promise; how much of the order of customers is right."""
    for horizon in HORIZONS:
        label = "label_year_order_count" if horizon == 365 else "label_order_count"
        if label not in panel:
            continue

        def look_back(day: pd.Timestamp, horizon: int = horizon) -> Backtest:
            return backtest_clv(panel, cutoff_date=day, horizon_days=horizon)

        for backtest in _look_back(panel, label, look_back):
            where = f"value in {horizon} days at {backtest.cutoff_date}"
            for name in ("spearman", "normalized_gini", "total_error_pct"):
                yield Found(f"{where}: {name}", backtest.figures[name])
            promised = backtest.figures.get("interval_promised_pct", NOMINAL_PCT)
            customers = backtest.customers
            inside = customers["actual"].between(customers["low"], customers["high"])
            low, high = promised - COVERAGE_TOLERANCE, promised + COVERAGE_TOLERANCE
            yield Found(f"{where}: outcomes inside, %", 100 * inside.mean(), low, high)


def judge_scores(connection: duckdb.DuckDBPyConnection, truth: Path) -> Iterator[Found]:
    """What the home's own scores say of today, beside who has left and what people are worth."""
    known = CUSTOMERS.format(truth=str(truth).replace("'", "''"))
    rows = connection.sql(
        f"""
        select k.*, v.predicted_clv, c.churn_probability
        from ({known}) as k
        left join scores.clv_scores as v using (customer_id)
        left join scores.churn_scores as c using (customer_id)
        where k.order_count > 0
        order by k.customer_id
        """
    ).df()
    valued = rows.dropna(subset=["predicted_clv"])
    if len(valued) > 1:
        worth, said = valued["expected_value"], valued["predicted_clv"]
        yield Found("value today: customers with a score", len(valued))
        yield Found("value today: rank correlation with expected net value", spearman(worth, said))
        yield Found("value today: normalised Gini of it", normalized_gini(worth, said))
        gap = 100 * (said.sum() / worth.sum() - 1)
        yield Found("value today: predicted over expected total, % off", gap)
    scored = rows.dropna(subset=["churn_probability"])
    if scored["has_left"].nunique() == 2:
        auc = roc_auc_score(scored["has_left"], scored["churn_probability"])
        yield Found("churn today: AUC against who has really left", auc)


def judge_sequences(connection: duckdb.DuckDBPyConnection, truth: Path) -> Iterator[Found]:
    """Planted pairs among the rules in force; rules in force that nobody planted."""
    tables = connection.sql(
        "select table_schema || '.' || table_name from information_schema.tables"
    )
    if ("marts.sequence_rules",) not in tables.fetchall():
        print("skipped: sequences; this home has no marts.sequence_rules")
        return
    pair = "first_category, then_category"
    planted = connection.sql(f"select distinct {pair} from '{truth}/sequences.parquet'").df()
    rules = connection.sql(
        f"select distinct {pair} from marts.sequence_rules where status = 'active'"
    ).df()
    both = planted.merge(rules, on=["first_category", "then_category"])
    share = 100 * len(both) / len(planted) if len(planted) else np.nan
    yield Found(f"sequences: of {len(planted)} planted in force, %", share, 100.0, None)
    yield Found("sequences: others in force", len(rules) - len(both))


def _look_back(
    panel: pd.DataFrame, label: str, backtest: Callable[[pd.Timestamp], Backtest]
) -> Iterator[Backtest]:
    """Every cut-off whose outcome is known and that has enough before it."""
    known = panel.loc[panel[label].notna(), "cutoff_date"]
    for day in sorted(pd.to_datetime(known).unique()):
        try:
            yield backtest(pd.Timestamp(day))
        except MlError as error:
            print(f"skipped: {pd.Timestamp(day).date()}: {error}")


def _edge(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
