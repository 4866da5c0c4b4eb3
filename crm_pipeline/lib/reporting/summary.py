"""The summary ``crm run`` prints.

Add here: a section made from the published build or a model's metadata.
Not here: figures computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

BAR_WIDTH = 24

MANY_FEEDS = 12  # from here on the records are told by channel
FEEDS = """
    select feed, count(*), sum(received_count), sum(accepted_count),
        sum(quarantined_count), sum(duplicate_count)
    from ops.feed_balance group by feed order by feed
"""
CHANNELS = """
    select channel, count(distinct feed), count(*), sum(received_count), sum(accepted_count),
        sum(quarantined_count), sum(duplicate_count)
    from ops.feed_balance group by channel order by channel
"""
REASONS = """
    select reason_code, sum(record_count) from ops.quarantine_summary
    group by reason_code order by 2 desc, 1
"""
TIERS = "select rfm_tier, count(*) from marts.rfm_tiers group by rfm_tier order by 2 desc, 1"
MONEY = """
    select
        (select any_value(reporting_currency) from ops.build),
        (select count(*) from marts.dim_customers),
        count(*) filter (customer_id is not null and document_kind = 'sale'),
        sum(net_exact_amount) filter (customer_id is not null),
        count(*) filter (customer_id is null)
    from marts.fct_orders
"""
ACCOUNTS = "select count(*), count(distinct channel) from marts.source_customers"
QUALITY = """
    select pairwise_precision, pairwise_recall, reviewed_pair_count,
        (select pairwise_recall from marts.identity_quality where rule_set = 'exact_keys')
    from marts.identity_quality where rule_set = 'full_rules'
"""
DECISIONS = """
    select journey, outcome, count(*) from marts.outreach_decisions
    where as_of_date = (select as_of_date from ops.build)
    group by journey, outcome order by journey, 3 desc, 2
"""


def summarise(build_dir: Path, models: Mapping[str, Mapping[str, Any]]) -> str:
    """Text about one published build.

    Args:
        build_dir: folder of the build (``published/current``).
        models: model name → metrics of its backtest.
    """
    with duckdb.connect(str(build_dir / "crm.duckdb"), read_only=True) as connection:
        sections = [
            *_feeds(connection),
            *_customers(connection),
            *_tiers(connection),
            *_backtests(models),
            *_outreach(connection),
        ]
    return "\n".join(sections)


def _feeds(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    counts = ("files", "received", "accepted", "quarantined", "duplicate")
    rows = connection.execute(FEEDS).fetchall()
    yield "\nRecords"
    if len(rows) < MANY_FEEDS:
        yield from table(("feed", *counts), rows, indent="  ")
    else:
        rows = connection.execute(CHANNELS).fetchall()
        yield from table(("channel", "feeds", *counts), rows, indent="  ")
    reasons = connection.execute(REASONS).fetchall()
    if reasons:
        told = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
        yield f"  quarantined because: {told}"


def _customers(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    ((currency, customers, orders, spend, guests),) = connection.execute(MONEY).fetchall()
    yield "\nCustomers"
    yield (
        f"  {customers:,} customers, {orders or 0:,} orders, "
        f"{spend or 0:,.2f} {currency} spent net of discounts and refunds; "
        f"{guests:,} documents of guests"
    )
    ((accounts, channels),) = connection.execute(ACCOUNTS).fetchall()
    yield f"  from {accounts:,} accounts of {channels} channels; {_quality(connection)}"


def _quality(connection: duckdb.DuckDBPyConnection) -> str:
    for precision, recall, pairs, exact_recall in connection.execute(QUALITY).fetchall():
        if pairs and precision is not None and recall is not None:
            baseline = "" if exact_recall is None else f", equal texts alone {exact_recall:.3f}"
            figures = f"precision {precision:.3f}, recall {recall:.3f}{baseline}"
            return f"{pairs:,} reviewed pairs: {figures}"
    return "no reviewed pairs to judge identity by"


def _tiers(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    rows = connection.execute(TIERS).fetchall()
    yield "\nTiers"
    most = max((count for _, count in rows), default=1)
    for tier, count in rows:
        bar = "█" * max(1, round(BAR_WIDTH * count / most))
        yield f"  {tier:<22}{count:>8,}  {bar}"


def _backtests(models: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if not models:
        return
    yield "\nBacktest (out of time)"
    for name, metrics in sorted(models.items()):
        figures = "  ".join(
            f"{metric} {value:.3f}" if isinstance(value, float) else f"{metric} {value}"
            for metric, value in metrics.items()
        )
        yield f"  {name:<8}{figures}"


def _outreach(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    journeys: dict[str, list[str]] = {}
    for journey, outcome, count in connection.execute(DECISIONS).fetchall():
        journeys.setdefault(journey, []).append(f"{outcome} {count:,}")
    yield "\nOutreach decisions"
    if not journeys:
        yield "  no candidates today"
    for journey, outcomes in journeys.items():
        yield f"  {journey}: {', '.join(outcomes)}"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, indent: str) -> Iterator[str]:
    """Lines of a plain table: the first column left, the others right."""
    cells = [list(head)] + [
        [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield indent + "  ".join([first, *rest])
