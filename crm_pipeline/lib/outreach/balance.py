"""Candidates are the sum of the outcomes.

Add here: another way to count who should have been decided.
Not here: the decisions themselves (``decisions``).

The count reads the audiences and the zones of customers alone, with queries of its own, so that
what the decisions lose or double is seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.moments import Moment
from crm_pipeline.lib.warehouse.connection import fetch_row


def count_candidates(
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    *,
    moment: Moment,
    zone: ZoneInfo,
) -> dict[str, int]:
    """Customer × occurrence × step of each journey that is due by the end of the day of sending."""
    counts = {}
    for spec in journeys:
        entries = f"select customer_id, triggered_at from {spec.audience}"
        if spec.re_entry == "never":
            entries = (
                f"select customer_id, min(triggered_at) as triggered_at from {spec.audience} "
                "group by customer_id"
            )
        delays = ", ".join(f"({step.delay_hours})" for step in spec.steps)
        (counts[spec.journey],) = fetch_row(
            connection,
            f"""
            with zones as (
                select timezone, timezone('UTC', timezone(timezone, $day_end::timestamp)) as ends_at
                from (select timezone from activation.outreach_customers union select $zone)
                where timezone is not null
            ),
            entries as ({entries})
            select count(*)
            from entries as e
            cross join (values {delays}) as steps (delay_hours)
            left join activation.outreach_customers as c on e.customer_id = c.customer_id
            inner join zones as z on coalesce(c.timezone, $zone) = z.timezone
            where e.triggered_at + to_hours(steps.delay_hours) < z.ends_at
            """,
            {"zone": zone.key, "day_end": moment.day_after_sending},
        )
    return counts


def count_outcomes(
    connection: duckdb.DuckDBPyConnection, table: str, as_of: dt.date
) -> dict[str, int]:
    """Decisions of the night of a day by journey, as a table shows them.

    A journey with a repeated decision is left out: it then differs from any count of candidates.
    """
    rows = connection.execute(
        f"select journey, count(distinct (customer_id, step, occurrence)) from {table} "
        "where as_of_date = ? and run_kind = 'nightly' group by journey "
        "having count(*) = count(distinct decision_id) order by journey",
        [as_of],
    ).fetchall()
    return dict(rows)


def find_imbalance(found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """Every journey whose outcomes are not as many as its candidates, in words."""
    return [
        f"{name}: {expected.get(name, 0)} candidates, {found.get(name, 0)} outcomes"
        for name in sorted({*found, *expected})
        if expected.get(name, 0) != found.get(name, 0)
    ]


def require_balance(decisions: pa.Table, expected: Mapping[str, int]) -> None:
    """Refuses decisions that are not one for every candidate, each with an id of its own.

    Raises:
        OutreachError: names every journey that differs.
    """
    counts = decisions.column("journey").value_counts().to_pylist()
    problems = find_imbalance({one["values"]: one["counts"] for one in counts}, expected)
    ids = decisions.column("decision_id")
    if not pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():  # sorted: each is another
        distinct = len(ids.unique())
        problems.append(f"{decisions.num_rows} outcomes, {distinct} of them distinct")
    if problems:
        raise OutreachError(
            "candidates are not the sum of the outcomes: " + "; ".join(problems),
            where="decisions of outreach",
            remedy="this is a defect in lib/outreach; nothing is sent",
        )
