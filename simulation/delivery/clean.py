"""The clean records of one feed, as the world engine left them.

Add here: how clean records are found and read.
Not here: what becomes of them.

A feed's clean records lie in ``<clean>/<feed>/period=<YYYYMM>/*.parquet``. They have the contract's
columns and, where there is anything to say, ``updated_at`` (the version), ``deliver_at`` (a later
delivery than the normal one) and ``is_protected`` (never damaged). Absent columns are null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from crm_pipeline.lib.ingestion.entities import Entity, entity_named
from simulation.delivery.feed_writer import FeedWriter
from simulation.delivery.files import json_object
from simulation.delivery.plan import Delivery
from simulation.delivery.sql import literal

EXTRA_COLUMNS = {
    "person_id": "bigint",
    "updated_at": "timestamp",
    "deliver_at": "timestamp",
    "is_protected": "boolean",
    "period": "bigint",
}
Periods = dict[int, list[str]]


def periods_of(clean_dir: Path, feed: str) -> Periods:
    """The files of each period."""
    found: Periods = {}
    for path in sorted((clean_dir / feed).glob("period=*/*.parquet")):
        found.setdefault(int(path.parent.name.removeprefix("period=")), []).append(str(path))
    return found


def source_sql(entity: Entity, files: Sequence[str]) -> str:
    """A query over clean files with every column of the contract and the extra ones."""
    listed = "[" + ", ".join(literal(name) for name in files) + "]"
    scan = f"read_parquet({listed}, hive_partitioning = true, hive_types_autocast = true)"
    found = {*_columns_of(files[0]), "period"}
    wanted = {column.name: column.sql_type for column in entity.columns} | EXTRA_COLUMNS
    columns = [
        f"cast({name} as {kind}) as {name}" if name in found else f"cast(null as {kind}) as {name}"
        for name, kind in wanted.items()
    ]
    return f"select {', '.join(columns)} from {scan}"


@cache
def _columns_of(path: str) -> tuple[str, ...]:
    """All files of a feed have the columns of its first one."""
    return tuple(pq.read_schema(path).names)


@dataclass(frozen=True)
class Share:
    """What of a feed belongs to one delivery."""

    delivery: Delivery
    periods: tuple[int, ...]
    records: int


def happened_sql(writer: FeedWriter) -> str:
    """The instant that decides the delivery: of the version, else of the event, else the period."""
    instants = ["updated_at"] if writer.is_versioned else []
    kind = writer.contract.column(writer.event_time).kind
    # What has only a day is told when the day is over.
    event = "cast({} as timestamp)" if kind == "date" else "{}"
    instants.append(event.format(writer.event_time))
    start = "cast(strptime(cast(period as varchar), '%Y%m') as timestamp)"
    return f"coalesce({', '.join([*instants, start])})"


def turn_sql(plan: Sequence[Delivery], zone: str) -> str:
    """The number of the delivery a record belongs to.

    A late record waits for the first delivery of any kind that is not before ``deliver_at``; what
    would come after the last delivery comes with it.
    """
    late = _first_after("greatest(deliver_at, happened)", plan, zone)
    usual = _first_after("happened", [d for d in plan if not d.is_late], zone)
    return f"case when deliver_at is not null then {late} else {usual} end"


def _first_after(moment: str, plan: Sequence[Delivery], zone: str) -> str:
    *others, last = plan
    branches = " ".join(
        f"when {moment} < {_moment(delivery, zone)} then {delivery.number}" for delivery in others
    )
    return f"case {branches} else {last.number} end" if branches else str(last.number)


def belongs_sql(delivery: Delivery, plan: Sequence[Delivery], zone: str) -> str:
    """Whether a record belongs to ``delivery``: the same rule as ``turn_sql``, for one of them."""
    late = _between("greatest(deliver_at, happened)", delivery, plan, zone)
    normal = [d for d in plan if not d.is_late]
    usual = "false" if delivery.is_late else _between("happened", delivery, normal, zone)
    return f"case when deliver_at is null then {usual} else {late} end"


def _between(moment: str, delivery: Delivery, plan: Sequence[Delivery], zone: str) -> str:
    place = plan.index(delivery)
    after = [f"{moment} >= {_moment(plan[place - 1], zone)}"] if place else []
    before = [f"{moment} < {_moment(delivery, zone)}"] if place < len(plan) - 1 else []
    return " and ".join([*after, *before]) or "true"


def _moment(delivery: Delivery, zone: str) -> str:
    """The first moment after the second of a delivery."""
    return f"timestamp '{delivery.utc(zone) + timedelta(seconds=1):%Y-%m-%d %H:%M:%S}'"


def shares(
    connection: duckdb.DuckDBPyConnection,
    writer: FeedWriter,
    periods: Periods,
    plan: Sequence[Delivery],
    zone: str,
) -> list[Share]:
    """How many records each delivery has and in which periods they lie; empty ones are left out."""
    files = [name for names in periods.values() for name in names]
    if not files:
        return []
    query = f"""
        with told as ({told_sql(writer, files, plan, zone)})
        select turn, period, count(*) as records from told group by all order by all
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for turn, period, records in connection.execute(query).fetchall():
        found.setdefault(turn, []).append((period, records))
    return [
        Share(plan[turn], tuple(p for p, _ in parts), sum(n for _, n in parts))
        for turn, parts in sorted(found.items())
    ]


def told_sql(writer: FeedWriter, files: Sequence[str], plan: Sequence[Delivery], zone: str) -> str:
    """The records with the ``turn`` of their delivery; those that change after it have another.

    The other one is the first normal delivery behind the change, if there is one. No damage may
    touch such a record, so that both are as they should be.
    """
    changes = f"({writer.restated_at})" if writer.restated_at else "cast(null as timestamp)"
    again = _first_after("changed_at", [d for d in plan if not d.is_late], zone)
    return f"""
        with happening as (
            select *, {happened_sql(writer)} as happened, {changes} as changed_at
            from ({source_sql(writer.contract, files)})
        ),
        turned as (
            select *,
                {turn_sql(plan, zone)} as first_turn,
                changed_at < {_moment(plan[-1], zone)}
                    and {_first_after("changed_at", plan, zone)} > first_turn as is_restated,
                case when is_restated then {again} end as next_turn
            from happening
        )
        select * exclude (changed_at, first_turn, is_restated, next_turn) replace (
                coalesce(is_protected, false) or coalesce(is_restated, false) as is_protected
            ),
            case when is_restated then changed_at end as restated_at,
            unnest(case when is_restated then [first_turn, next_turn] else [first_turn] end) as turn
        from turned
    """


def load_batch(
    connection: duckdb.DuckDBPyConnection,
    writer: FeedWriter,
    share: Share,
    periods: Periods,
    others: Periods,
    plan: Sequence[Delivery],
    zone: str,
) -> None:
    """Makes the view ``batch``: the records of one delivery in the order of the file.

    ``rn`` counts them from 1. ``nested_text`` and ``nested_count`` hold the lines of another feed
    where the writer nests one.
    """
    files = [name for period in share.periods for name in periods[period]]
    # Lines have the month of their order; what stands beside a record may have any month.
    near = share.periods if writer.nested else tuple(others)
    other_files = [name for period in near for name in others.get(period, [])]
    order = ", ".join(dict.fromkeys(["happened", *writer.key, "updated_at"]))
    joined, extra = _joined(writer, other_files)
    connection.execute("drop view if exists batch")
    connection.execute(f"""
        create or replace temp table sorted as
        with told as ({_told_now(writer, files, share.delivery, plan, zone)}),
        chosen as (
            select
                * replace (coalesce(updated_at, happened) as updated_at),
                timestamp '{share.delivery.utc(zone):%Y-%m-%d %H:%M:%S}' as delivered_at
            from told
        )
        {joined}
        select chosen.*{extra}
        from chosen {_join_words(writer)}
        order by {order}
    """)
    connection.execute("create temp view batch as select rowid + 1 as rn, * from sorted")


def _told_now(
    writer: FeedWriter,
    files: Sequence[str],
    delivery: Delivery,
    plan: Sequence[Delivery],
    zone: str,
) -> str:
    """The records of one delivery; where nothing comes twice, its files' statistics are of use."""
    if writer.restated_at:
        told = told_sql(writer, files, plan, zone)
        return f"select * exclude (turn) from ({told}) where turn = {delivery.number}"
    return f"""
        select * from (
            select *, {happened_sql(writer)} as happened
            from ({source_sql(writer.contract, files)})
        )
        where {belongs_sql(delivery, plan, zone)}
    """


def _join_words(writer: FeedWriter) -> str:
    if writer.nested:
        return f"left join others on chosen.{writer.nested.on} = others.join_key"
    if writer.beside:
        return f"left join others on chosen.{writer.beside.on} = others.join_key"
    return ""


def _joined(writer: FeedWriter, files: Sequence[str]) -> tuple[str, str]:
    if writer.nested:
        nested = writer.nested
        if not files:
            raise ValueError(f"{writer.feed} has records and {nested.feed} has none")
        cells = ", ".join(f"{field.sql} as n{n}" for n, field in enumerate(nested.fields))
        line = f"concat({json_object(nested.fields, 'n')})"
        return (
            f""", pieces as (
                select {nested.on} as join_key, {nested.order_by} as place, {cells}
                from ({source_sql(entity_named(nested.entity), files)})
            ),
            others as (
                select
                    join_key,
                    '[' || string_agg({line}, ', ' order by place) || ']' as nested_text,
                    count(*) as nested_count
                from pieces group by join_key
            )""",
            ", others.nested_text, coalesce(others.nested_count, 0) as nested_count",
        )
    if writer.beside:
        beside = writer.beside
        if not files:
            raise ValueError(f"{writer.feed} has records and {beside.feed} has none")
        contract = entity_named(beside.entity)
        columns = _renamed(contract.column_names, beside.alias)
        return (
            f""", others as (
                select {beside.on} as join_key, {columns}
                from ({source_sql(contract, files)})
            )""",
            ", others.* exclude (join_key), 1 as nested_count",
        )
    return "", ", 0 as nested_count"


def _renamed(names: Iterable[str], alias: str) -> str:
    return ", ".join(f"{name} as {alias}_{name}" for name in names)
