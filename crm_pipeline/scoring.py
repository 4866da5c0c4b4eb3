"""From a panel in the warehouse to a table of scores.

Add here: what every scoring asset does alike.
Not here: which model scores (``lib/scoring``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.progress import say, step
from crm_pipeline.lib.warehouse import replace_table
from crm_pipeline.resources import Warehouse

if TYPE_CHECKING:
    from crm_pipeline.lib.scoring.scores import Panel, Scores


def last_day_of_previous_month(as_of: date) -> date:
    """The day models are trained as of (DECISIONS 5)."""
    return as_of.replace(day=1) - timedelta(days=1)


def materialise_scores(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    table: str,
    score: Callable[[CrmHome, Panel], Scores],
) -> dg.MaterializeResult:
    """Reads the panel, scores today's customers and replaces ``scores.<table>``."""
    from crm_pipeline.lib.scoring.scores import Panel  # its libraries take seconds to import

    as_of = date.fromisoformat(context.partition_key)
    with warehouse.connect(context.run_id, context.partition_key) as connection:
        frame = connection.sql("from marts.customer_features").df()
        panel = Panel(frame, as_of, last_day_of_previous_month(as_of))
        with step(table.replace("_", " ")):
            scores = score(warehouse.deployment.crm_home, panel)
        rows = scores.rows.assign(
            as_of_date=as_of, scored_at=pd.Timestamp(as_of), horizon_days=scores.horizon_days
        )
        replace_table(connection, f"scores.{table}", pa.Table.from_pandas(rows))
    if scores.note:
        say(f"    {scores.note}")
    record = scores.record
    figures: dict[str, Any] = dict(record.backtest) if record else {}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "note": scores.note or "",
            "model_version": record.version if record else "none",
            **{f"backtest_{name}": value for name, value in figures.items()},
        }
    )
