"""Every figure of the monthly report, by the query that makes it.

Add here: a query with a name, and what it reads.
Not here: how a figure is shown (``tier_report``), figures no mart holds (dbt makes them).

The queries read the published build and nothing else. A mart that is not in the build has no
figures, and the report says so.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

Row = Mapping[str, Any]

# Official tiers where the month end has made them; in the middle of a month those of today.
_TIERS = """
    select
        customer_id,
        case when official_as_of_date = $as_of then official_rfm_tier else rfm_tier end as tier,
        spend_amount_in_window,
        order_count_in_window,
        days_since_last_order
    from marts.rfm_tiers
"""
_TIERS_BEFORE = """
    select customer_id, rfm_tier as tier
    from marts.tier_history
    where
        valid_from <= $month_before and (valid_until is null or valid_until > $month_before)
        and ladder = (select ladder from ops.build)
"""
# Moves on record, unless the month before is the first one; within a month, those of today so far.
_OFFICIAL_MOVES = """
    select nullif(from_tier, 'none') as from_tier, to_tier, sum(customer_count) as customer_count
    from marts.tier_transitions
    where month_end = $as_of and ladder = (select ladder from ops.build)
    group by from_tier, to_tier
"""
_MOVES = f"""
    official as ({_OFFICIAL_MOVES}),
    now as ({_TIERS}),
    before as ({_TIERS_BEFORE}),
    today as (
        select before.tier as from_tier, now.tier as to_tier, count(*) as customer_count
        from now
        left join before using (customer_id)
        where not exists (from official) and exists (from before)
        group by before.tier, now.tier
    ),
    moves as (
        from official where exists (select 1 from official where from_tier is not null)
        union all
        from today
    )
"""
_SALES = """
    select
        coalesce(sum(order_count), 0) as order_count,
        coalesce(sum(net_amount), 0) as net_amount,
        sum(net_amount) / nullif(sum(order_count - unconverted_order_count), 0)
            as average_order_amount
    from metrics.sales_daily
    where business_date between {first} and {last}
"""
_BUYERS = """
    select count(distinct customer_id) as buyer_count
    from marts.fct_orders
    where document_kind = 'sale' and business_date between {first} and {last}
"""
_NEW = """
    select count(*) filter (first_seen_date between {first} and {last}) as new_customer_count
    from marts.rfm_tiers
"""


def _compared(query: str, columns: tuple[str, ...]) -> str:
    """The figures of the month, of the month before, and the change in per cent."""
    now = query.format(first="$first", last="$as_of")
    then = query.format(first="$first_before", last="$last_before")
    shown = ", ".join(
        f"n.{name}, b.{name} as {name}_before, "
        f"100 * (n.{name} - b.{name})::double / nullif(b.{name}, 0)::double as {name}_change_pct"
        for name in columns
    )
    return f"with n as ({now}), b as ({then}) select {shown} from n cross join b"


@dataclass(frozen=True)
class Query:
    """One query: its SQL, the columns that name a row, and the marts it reads."""

    sql: str
    key: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


QUERIES: Mapping[str, Query] = {
    "customers": Query(
        "select count(*) as customer_count, "
        "count(*) filter (order_count > 0) as ever_bought_count, "
        "count(*) filter (official_as_of_date = $as_of) as official_count from marts.rfm_tiers",
        needs=("marts.rfm_tiers",),
    ),
    "sales": Query(
        _compared(_SALES, ("order_count", "net_amount", "average_order_amount")),
        needs=("metrics.sales_daily",),
    ),
    "buyers": Query(_compared(_BUYERS, ("buyer_count",)), needs=("marts.fct_orders",)),
    "new_customers": Query(_compared(_NEW, ("new_customer_count",)), needs=("marts.rfm_tiers",)),
    "monthly_sales": Query(
        """
        select
            strftime(business_date, '%Y-%m') as month,
            sum(net_amount) as net_amount,
            sum(order_count) as order_count
        from metrics.sales_daily
        where business_date between $first_of_year and $as_of
        group by month order by month
        """,
        key=("month",),
        needs=("metrics.sales_daily",),
    ),
    "tiers": Query(
        f"""
        with now as ({_TIERS}), before as ({_TIERS_BEFORE}),
        counted_before as (select tier, count(*) as customer_count from before group by tier),
        counted as (
            select
                tier,
                count(*) as customer_count,
                coalesce(sum(spend_amount_in_window), 0) as spend_amount,
                sum(spend_amount_in_window) / nullif(sum(order_count_in_window), 0)
                    as average_order_amount,
                avg(days_since_last_order) as average_silent_days
            from now group by tier
        )
        select
            tier,
            coalesce(n.customer_count, 0) as customer_count,
            100 * coalesce(n.customer_count, 0)::double / sum(n.customer_count) over ()
                as customer_share_pct,
            case when exists (from before) then coalesce(b.customer_count, 0) end
                as customer_count_before,
            coalesce(n.spend_amount, 0) as spend_amount,
            100 * coalesce(n.spend_amount, 0)::double
                / nullif(sum(n.spend_amount) over (), 0)::double as spend_share_pct,
            n.average_order_amount,
            n.average_silent_days
        from counted as n
        full join counted_before as b using (tier)
        order by tier
        """,
        key=("tier",),
        needs=("marts.rfm_tiers", "marts.tier_history"),
    ),
    "moves": Query(
        f"""
        with {_MOVES}
        select coalesce(from_tier, '') as from_tier, to_tier, customer_count
        from moves
        order by from_tier, to_tier
        """,
        key=("from_tier", "to_tier"),
        needs=("marts.rfm_tiers", "marts.tier_history", "marts.tier_transitions"),
    ),
    "moved": Query(
        f"""
        with {_MOVES}
        select
            coalesce(sum(customer_count) filter (from_tier <> to_tier), 0) as moved_count,
            100 * coalesce(sum(customer_count) filter (from_tier <> to_tier), 0)::double
                / nullif(sum(customer_count) filter (from_tier is not null), 0) as moved_share_pct
        from moves
        """,
        needs=("marts.rfm_tiers", "marts.tier_history", "marts.tier_transitions"),
    ),
    "top_moves": Query(
        f"""
        with now as ({_TIERS}), before as ({_TIERS_BEFORE}),
        official as (select * from marts.tier_history where valid_from = $as_of),
        changed as (
            select customer_id, previous_rfm_tier as from_tier, rfm_tier as to_tier
            from official
            union all
            select customer_id, before.tier, now.tier
            from now
            inner join before using (customer_id)
            where not exists (from official)
        )
        select
            changed.from_tier,
            changed.to_tier,
            count(*) as customer_count,
            coalesce(sum(now.spend_amount_in_window), 0) as spend_amount
        from changed
        left join now using (customer_id)
        where changed.from_tier <> changed.to_tier
        group by changed.from_tier, changed.to_tier
        order by spend_amount desc, customer_count desc, from_tier, to_tier
        limit 10
        """,
        key=("from_tier", "to_tier"),
        needs=("marts.rfm_tiers", "marts.tier_history"),
    ),
    "lifecycle": Query(
        """
        select
            lifecycle_stage as stage,
            count(*) as customer_count,
            100 * count(*)::double / sum(count(*)) over () as customer_share_pct
        from marts.lifecycle_stages group by stage order by stage
        """,
        key=("stage",),
        needs=("marts.lifecycle_stages",),
    ),
    "lifecycle_moves": Query(
        """
        select from_stage, to_stage, customer_count
        from marts.lifecycle_transitions
        where month_end = $as_of and stage_model = 'lifecycle' and from_stage <> to_stage
        order by customer_count desc, from_stage, to_stage
        """,
        key=("from_stage", "to_stage"),
        needs=("marts.lifecycle_transitions",),
    ),
    "tags": Query(
        """
        with held as (
            select tag, count(distinct customer_id) as holder_count
            from marts.customer_tags group by tag
        ),
        changed as (
            select
                tag,
                count(*) filter (change = 'entered') as entered_count,
                count(*) filter (change = 'left') as left_count
            from marts.customer_tag_changes
            where changed_on between $first and $as_of
            group by tag
        )
        select
            tag,
            coalesce(holder_count, 0) as holder_count,
            coalesce(entered_count, 0) as entered_count,
            coalesce(left_count, 0) as left_count
        from held full join changed using (tag)
        order by holder_count desc, tag
        """,
        key=("tag",),
        needs=("marts.customer_tags", "marts.customer_tag_changes"),
    ),
    "clusters": Query(
        """
        select
            cluster_number::varchar as cluster,
            cluster_name,
            fitted_as_of_date,
            customer_count,
            customer_share_pct,
            mean_days_since_last_order as mean_silent_days,
            mean_order_count_in_window as mean_orders,
            mean_spend_in_window_amount as mean_spend_amount,
            mean_product_view_count as mean_views
        from marts.cluster_profiles order by cluster_number
        """,
        key=("cluster",),
        needs=("marts.cluster_profiles",),
    ),
    "channels": Query(
        """
        with latest as (
            select feed_channel as channel, max(business_date) as latest_date
            from marts.customer_timeline group by feed_channel
        )
        select
            b.channel,
            count(*) as file_count,
            sum(received_count) as received_count,
            sum(accepted_count) as accepted_count,
            sum(quarantined_count) as quarantined_count,
            sum(duplicate_count) as duplicate_count,
            100 * sum(quarantined_count)::double / nullif(sum(received_count), 0)
                as quarantined_share_pct,
            any_value(l.latest_date) as latest_date,
            date_diff('day', any_value(l.latest_date), $as_of) as quiet_days
        from ops.feed_balance as b
        left join latest as l using (channel)
        group by b.channel order by b.channel
        """,
        key=("channel",),
        needs=("ops.feed_balance", "marts.customer_timeline"),
    ),
    "records": Query(
        """
        select
            sum(received_count) as received_count,
            sum(accepted_count) as accepted_count,
            sum(quarantined_count) as quarantined_count,
            sum(duplicate_count) as duplicate_count,
            100 * sum(quarantined_count)::double / nullif(sum(received_count), 0)
                as quarantined_share_pct
        from ops.feed_balance
        """,
        needs=("ops.feed_balance",),
    ),
    "reasons": Query(
        """
        select reason_code, sum(record_count) as record_count
        from ops.quarantine_summary group by reason_code order by record_count desc, reason_code
        limit 10
        """,
        key=("reason_code",),
        needs=("ops.quarantine_summary",),
    ),
    "late": Query(
        """
        select
            coalesce(within_days::varchar, '') as within,
            sum(record_count) as record_count,
            100 * sum(record_count)::double / sum(sum(record_count)) over () as record_share_pct,
            coalesce(sum(record_count) filter (not is_in_time), 0) as left_out_count
        from ops.late_records
        group by within_days order by within_days nulls last
        """,
        key=("within",),
        needs=("ops.late_records",),
    ),
    "identity": Query(
        """
        select
            reviewed_pair_count,
            100 * pairwise_precision as precision_pct,
            100 * pairwise_recall as recall_pct,
            account_count,
            customer_count
        from marts.identity_quality where rule_set = 'full_rules'
        """,
        needs=("marts.identity_quality",),
    ),
}


@dataclass(frozen=True)
class Build:
    """Which build is told about, and the months it is compared over."""

    as_of: dt.date
    currency: str
    ladder: str
    window_days: int

    @property
    def is_month_end(self) -> bool:
        """Whether the month is over; otherwise equal stretches of both months are compared."""
        return (self.as_of + dt.timedelta(days=1)).day == 1

    @property
    def parameters(self) -> dict[str, dt.date]:
        """What the queries may ask for by name."""
        first = self.as_of.replace(day=1)
        month_before = first - dt.timedelta(days=1)
        last_before = month_before
        if not self.is_month_end:
            last_before = month_before.replace(day=min(self.as_of.day, month_before.day))
        return {
            "as_of": self.as_of,
            "first": first,
            "first_before": month_before.replace(day=1),
            "last_before": last_before,
            "month_before": month_before,
            "first_of_year": (first - dt.timedelta(days=330)).replace(day=1),
        }


@dataclass(frozen=True)
class Figures:
    """All figures of one build: query → rows. A query whose marts are absent is not in it."""

    build: Build
    rows: Mapping[str, tuple[Row, ...]]
    absent_marts: tuple[str, ...] = ()

    def one(self, name: str) -> Row:
        """The only row of a query; without its marts there is none."""
        (row,) = self.rows.get(name) or ({},)
        return row


def read_build(connection: duckdb.DuckDBPyConnection) -> Build:
    """What the published build says of itself."""
    rows = connection.execute(
        "select as_of_date, reporting_currency, ladder, rfm_window_days from ops.build"
    ).fetchall()
    (row,) = rows
    return Build(*row)


def read_figures(connection: duckdb.DuckDBPyConnection) -> Figures:
    """Runs every query whose marts are in the build."""
    build = read_build(connection)
    there = {
        f"{schema}.{name}"
        for schema, name in connection.execute(
            "select table_schema, table_name from information_schema.tables"
        ).fetchall()
    }
    rows = {
        name: run_query(connection, query, build)
        for name, query in QUERIES.items()
        if set(query.needs) <= there
    }
    needed = {mart for query in QUERIES.values() for mart in query.needs}
    return Figures(build, rows, tuple(sorted(needed - there)))


def run_query(connection: duckdb.DuckDBPyConnection, query: Query, build: Build) -> tuple[Row, ...]:
    """The rows of one query, in its order."""
    asked = set(re.findall(r"\$(\w+)", query.sql))
    given = {name: day for name, day in build.parameters.items() if name in asked}
    cursor = connection.execute(query.sql, given)
    names = [column[0] for column in cursor.description or []]
    return tuple(dict(zip(names, row, strict=True)) for row in cursor.fetchall())
