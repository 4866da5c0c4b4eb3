"""How right identity is, measured on the pairs clerks have reviewed.

Add here: a rule set to compare with, a figure of the report.
Not here: the measures (``ml.identity.evaluation``), floors (``seeds/identity_floors.csv``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from crm_pipeline.lib.identity.resolution import CONFIG, read_resolution, resolving_kinds
from crm_pipeline.lib.rules.identity_floors import Floor
from crm_pipeline.lib.warehouse.sources import PYTHON_TABLES
from ml.identity import IdentifierKind, Semantics, resolve
from ml.identity.evaluation import IdentityQuality, evaluate_on_labels

__all__ = ["FULL_RULES", "QUALITY_TABLE", "Breach", "find_breaches", "measure_quality"]

FULL_RULES, EXACT_KEYS = "full_rules", "exact_keys"

QUALITY_TABLE = "identity.quality"
_TYPES = {"varchar": pa.string(), "double": pa.float64(), "bigint": pa.int64()}
_SCHEMA = pa.schema([(n, _TYPES[kind]) for n, kind in PYTHON_TABLES[QUALITY_TABLE].items()])

# A pair that was judged twice counts as it was judged last; who was unsure said nothing.
_LABELS = """
select "left", "right", verdict = 'same' as is_same
from (
    select
        least(l, r) as "left",
        greatest(l, r) as "right",
        arg_max(verdict, (reviewed_at, pair_id)) as verdict
    from (
        select
            left_channel || ':' || left_customer_id as l,
            right_channel || ':' || right_customer_id as r,
            verdict, reviewed_at, pair_id
        from staging.stg_identity_pairs
    )
    where l <> r
    group by all
)
where verdict in ('same', 'different')
order by all
"""

_CLUSTERS = "select account as record_id, cluster as cluster_id from identity.clusters"

# What one exact join per column would do: texts as delivered, no rule, no guard.
_SPELLINGS = """
create or replace temp table spellings as
select
    s.channel || ':' || s.source_customer_id as account,
    s.identifier_kind as kind,
    s.spelling_token as value,
    min(s.seen_from) as seen_from,
    max(s.seen_to) as seen_to
from identity.sightings as s
semi join identity.identifiers as i
    on s.channel = i.channel and s.source_customer_id = i.source_customer_id
where s.visible_on <= $as_of and s.identifier_kind in (select unnest($linking))
    and s.identifier_state in ('key', 'excluded')
group by all
"""

# All there is to know about the components somebody has reviewed an account of.
_JUDGED_KEYS = """
create or replace temp table judged_keys as
with reviewed as (
    select distinct c.component
    from identity.clusters as c
    where c.account in (select "left" from labels union all select "right" from labels)
),
members as (
    select account from identity.clusters semi join reviewed using (component)
),
their_values as (
    select distinct kind, value from identity.resolved_keys semi join members using (account)
)
select * from identity.resolved_keys semi join their_values using (kind, value)
"""


@dataclass(frozen=True)
class Breach:
    """A measured figure outside its floor."""

    metric: str
    value: float
    floor: Floor

    def __str__(self) -> str:
        wanted = [
            f"{word} {limit:g}"
            for word, limit in (("at least", self.floor.least), ("at most", self.floor.most))
            if limit is not None
        ]
        return f"{self.metric} is {self.value:.4g}, {' and '.join(wanted)} is asked for"


def measure_quality(
    connection: duckdb.DuckDBPyConnection,
    kinds: Sequence[IdentifierKind],
    floors: Sequence[Floor],
    as_of: Any,
) -> pa.Table:
    """The quality of the resolution in the warehouse, beside what less would have reached.

    Returns:
        The rows of ``identity.quality``: one for the full rules, one for equality of delivered
        texts, and one per linking kind with what its absence would cost (``precision_gain`` and
        ``recall_gain`` are full rules minus without it). Without reviewed pairs the last two sorts
        of rows are absent, and precision, recall and F1 are null.
    """
    labels = connection.execute(_LABELS).df()
    connection.register("labels", labels)
    try:
        full = evaluate_on_labels(connection.sql(_CLUSTERS).df(), labels)
        rows = [_row(connection, full, floors)]
        if len(labels):
            rows.append(_measure_exact_keys(connection, kinds, labels, as_of))
            rows.extend(_measure_without(connection, kinds, labels, full))
    finally:
        connection.unregister("labels")
    return pa.Table.from_pylist(rows, _SCHEMA)


def find_breaches(quality: IdentityQuality, floors: Sequence[Floor]) -> list[Breach]:
    """Floors the figures do not keep; a figure that is unknown breaks none."""
    measured = ((floor, getattr(quality, floor.metric)) for floor in floors)
    return [
        Breach(floor.metric, value, floor)
        for floor, value in measured
        if value is not None and not floor.is_kept_by(value)
    ]


def _row(
    connection: duckdb.DuckDBPyConnection, full: IdentityQuality, floors: Sequence[Floor]
) -> dict[str, Any]:
    edges, dropped = connection.execute(
        "select (select count(*) from identity.edges), "
        "(select count(*) from identity.dropped_edges)"
    ).fetchall()[0]
    breaches = "; ".join(str(breach) for breach in find_breaches(full, floors))
    return {
        **_figures(FULL_RULES, full),
        "edge_count": edges,
        "dropped_count": dropped,
        "breached_floors": breaches or None,
    }


def _figures(rule_set: str, quality: IdentityQuality) -> dict[str, Any]:
    told = quality.as_dict()
    return {
        **{name: told[name] for name in _SCHEMA.names if name in told and name != "warnings"},
        "rule_set": rule_set,
        "account_count": quality.record_count,
        "customer_count": quality.cluster_count,
        "reviewed_pair_count": quality.judged_pair_count,
        "same_pair_count": quality.true_pair_count,
        "warnings": "; ".join(quality.warnings) or None,
    }


def _measure_exact_keys(
    connection: duckdb.DuckDBPyConnection,
    kinds: Sequence[IdentifierKind],
    labels: pd.DataFrame,
    as_of: Any,
) -> dict[str, Any]:
    linking = [kind.name for kind in kinds if kind.links]
    connection.execute(_SPELLINGS, {"as_of": as_of, "linking": linking})
    plain = [IdentifierKind(name, Semantics.EQUALITY_ONLY, 1) for name in linking]
    found = resolve(
        connection.table("spellings"), plain, config=replace(CONFIG, component_limit=None)
    )
    connection.execute("drop table spellings")
    return _figures(EXACT_KEYS, evaluate_on_labels(_as_clusters(found.clusters), labels))


def _measure_without(
    connection: duckdb.DuckDBPyConnection,
    kinds: Sequence[IdentifierKind],
    labels: pd.DataFrame,
    full: IdentityQuality,
) -> Iterator[dict[str, Any]]:
    """The full rules without one kind at a time, on the reviewed components alone."""
    connection.execute(_JUDGED_KEYS)
    used, overrides = resolving_kinds(kinds), read_resolution(connection, kinds).overrides
    edges = dict(
        connection.execute("select kind, count(*) from identity.edges group by kind").fetchall()
    )
    for left_out in kinds:
        if not left_out.links:
            continue
        keys = connection.sql(
            "select * from judged_keys where kind <> $kind", params={"kind": left_out.name}
        ).to_arrow_table()
        found = resolve(keys, used, overrides=overrides, config=CONFIG)
        quality = evaluate_on_labels(_as_clusters(found.clusters), labels)
        yield {
            "rule_set": f"without_{left_out.name}",
            "identifier_kind": left_out.name,
            **{
                name: getattr(quality, name)
                for name in ("pairwise_precision", "pairwise_recall", "pairwise_f1",
                             "b_cubed_precision", "b_cubed_recall", "b_cubed_f1")
            },
            "precision_gain": _difference(full.pairwise_precision, quality.pairwise_precision),
            "recall_gain": _difference(full.pairwise_recall, quality.pairwise_recall),
            "edge_count": edges.get(left_out.name, 0),
            "reviewed_pair_count": quality.judged_pair_count,
            "same_pair_count": quality.true_pair_count,
        }  # fmt: skip
    connection.execute("drop table judged_keys")


def _as_clusters(clusters: pa.Table) -> pd.DataFrame:
    frame = clusters.select(["account", "cluster"]).to_pandas()
    return frame.rename(columns={"account": "record_id", "cluster": "cluster_id"})


def _difference(more: float | None, less: float | None) -> float | None:
    return None if more is None or less is None else more - less
