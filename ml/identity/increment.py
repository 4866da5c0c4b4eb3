"""What changes from one resolution to the next.

Add here: which components a change can touch.
Not here: how a component is resolved (``graph``).

A change reaches the accounts it names, the holders of the values it names, and the components these
were part of; nothing else can become different, because guards on a value look at its own sightings
and constraints at one component. The touched components are resolved anew and put in their places.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import InvalidDataError, MissingColumnsError
from ml.identity.graph import resolve
from ml.identity.links import OF_VALUE, DropReason
from ml.identity.overrides import read_overrides
from ml.identity.resolution import (
    DROPPED_ORDER,
    EDGE_ORDER,
    Resolution,
    sort_table,
    tell_unknown,
)
from ml.identity.semantics import IdentifierKind
from ml.identity.sightings import as_relation, ask, connect, excluded_sql

__all__ = ["resolve_increment"]

_CHANGED_COLUMNS = ("account", "kind", "value")


def resolve_increment(
    previous: Resolution,
    sightings: pa.Table | duckdb.DuckDBPyRelation,
    changed: pa.Table,
    *,
    overrides: pa.Table | None = None,
) -> Resolution:
    """The same as ``resolve`` of all sightings, at the price of the touched components.

    Args:
        previous: The last resolution; its kinds and settings are used again. After a change of
            these, resolve in full.
        sightings: All sightings there are now, as for ``resolve``. Only rows of touched accounts
            and values are read out; a relation is evaluated up to three times.
        changed: ``account, kind, value`` of every sighting that came, went or got another span
            since ``previous``; more rows than that do no harm, one too few does.
        overrides: All overrides there are now; what is new or gone among them is found here.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: Rows that cannot be, or accounts of another type than before.
    """
    account_type = previous.clusters.schema.field("account").type
    now = read_overrides(overrides, account_type)
    store = _Store(as_relation(sightings), previous)
    touched_values = _read_changed(changed, account_type)
    touched = store.find_touched(touched_values, now)
    current = store.read_affected(touched, touched_values.select(["kind", "value"]))
    affected = resolve(
        current,
        previous.kinds,
        overrides=_within(now, touched),
        config=previous.config,
    )
    return _put_in_place(previous, affected, touched, touched_values, current, now)


class _Store:
    """Questions to the previous resolution and to the sightings of today."""

    def __init__(self, sightings: duckdb.DuckDBPyRelation, previous: Resolution) -> None:
        self.sightings = sightings
        self.previous = previous
        is_text = pa.types.is_string(previous.clusters.schema.field("account").type)
        account = "varchar" if is_text else "bigint"
        self._columns = f"account::{account} as account, kind::varchar as kind, value"

    def find_touched(self, changed: pa.Table, overrides: pa.Table) -> pa.Table:
        """Accounts of all components that a change can reach, one column ``account``."""
        named = pc.unique(
            pa.chunked_array(
                [
                    *changed["account"].chunks,
                    *self._holders(changed)["account"].chunks,
                    *_ends(_difference(self.previous.overrides, overrides)).chunks,
                ],
                changed["account"].type,
            )
        )
        # Someone new may be waited for by an override, on either side.
        waiting = overrides.filter(
            pc.or_(
                pc.is_in(overrides["account_a"], value_set=named),
                pc.is_in(overrides["account_b"], value_set=named),
            )
        )
        named = pc.unique(pa.chunked_array([named, *_ends(waiting).chunks], named.type))
        clusters = self.previous.clusters
        reached = clusters.filter(pc.is_in(clusters["account"], value_set=named))["component"]
        members = clusters.filter(pc.is_in(clusters["component"], value_set=pc.unique(reached)))
        everyone = pa.chunked_array([named, *members["account"].chunks], named.type)
        return pa.table({"account": pc.unique(everyone)})

    def read_affected(self, accounts: pa.Table, values: pa.Table) -> pa.Table:
        """All sightings of the accounts' values and of these values, whoever has them."""
        seen = self._join(accounts, "distinct kind::varchar as kind, value", "account")
        wanted = pa.concat_tables([seen, values]).group_by(["kind", "value"]).aggregate([])
        columns = f"{self._columns}, seen_from, seen_to"
        return self._join(wanted, columns, "kind, value")

    def _holders(self, changed: pa.Table) -> pa.Table:
        """Accounts that now have a changed value, unless it linked nobody then and now."""
        kinds = self.previous.kinds
        values = changed.group_by(["kind", "value"]).aggregate([])
        excluded = f"{excluded_sql(kinds)} as is_excluded"
        rows = self._join(values, f"distinct {self._columns}, {excluded}", "kind, value")
        linking = pa.array([kind.name for kind in kinds if kind.links], pa.string())
        rows = rows.filter(
            pc.and_(pc.is_in(rows["kind"], value_set=linking), pc.invert(rows["is_excluded"]))
        )
        return _without(rows, self._still_junk(rows, kinds))

    def _still_junk(self, rows: pa.Table, kinds: Sequence[IdentifierKind]) -> pa.Table:
        dropped = self.previous.dropped
        was_junk = dropped.filter(pc.equal(dropped["reason"], str(DropReason.JUNK_VALUE)))
        counts = rows.group_by(["kind", "value"]).aggregate([("account", "count")])
        limits = pa.table(
            {
                "kind": pa.array([kind.name for kind in kinds], pa.string()),
                "most": pa.array([kind.account_limit for kind in kinds], pa.int64()),
            }
        )
        return _ask(
            "select kind, value from counts join limits using (kind) "
            "semi join was_junk using (kind, value) where account_count > most",
            counts=counts, limits=limits, was_junk=was_junk,
        )  # fmt: skip

    def _join(self, wanted: pa.Table, columns: str, keys: str) -> pa.Table:
        """Rows of the sightings whose keys stand in ``wanted``."""
        question = f"select {columns} from sightings semi join wanted using ({keys})"
        return ask(self.sightings, question, wanted).to_arrow_table()


def _put_in_place(
    previous: Resolution,
    affected: Resolution,
    touched: pa.Table,
    changed: pa.Table,
    current: pa.Table,
    overrides: pa.Table,
) -> Resolution:
    """Replaces what the touched accounts and values had before."""
    accounts = touched["account"].combine_chunks()
    is_touched = pc.is_in(current["account"], value_set=accounts)
    seen = current.filter(is_touched).select(["kind", "value"])
    values = pa.concat_tables([seen, changed.select(["kind", "value"])])
    values = values.group_by(["kind", "value"]).aggregate([])

    def renew(name: str, order: Sequence[str]) -> pa.Table:
        old, new = getattr(previous, name), getattr(affected, name)
        key = "account" if name == "clusters" else "account_a"
        kept = old.filter(pc.invert(pc.is_in(old[key], value_set=accounts)))
        fresh = new.filter(pc.is_in(new[key], value_set=accounts))
        return sort_table(pa.concat_tables([kept, fresh.cast(kept.schema)]), order)

    clusters = renew("clusters", ("account",))
    dropped = _renew_dropped(previous.dropped, affected.dropped, accounts, values)
    unknown = tell_unknown(_unknown(overrides, clusters))
    dropped = sort_table(pa.concat_tables([dropped, unknown.cast(dropped.schema)]), DROPPED_ORDER)
    return Resolution.from_tables(
        clusters,
        renew("edges", EDGE_ORDER),
        dropped,
        overrides,
        kinds=previous.kinds,
        config=previous.config,
        touched_count=touched.num_rows,
    )


def _renew_dropped(old: pa.Table, new: pa.Table, accounts: pa.Array, values: pa.Table) -> pa.Table:
    """Rows about a value go by the value, rows about a component by its accounts."""
    of_value = pa.array([str(reason) for reason in OF_VALUE])
    parts = []
    for table, is_wanted in ((old, False), (new, True)):
        by_value = pc.is_in(table["reason"], value_set=of_value)
        about_values = table.filter(by_value)
        join = "semi" if is_wanted else "anti"
        parts.append(
            _ask(
                f"select * from told {join} join touched using (kind, value)",
                told=about_values, touched=values,
            ).cast(old.schema)
        )  # fmt: skip
        is_unknown = pc.equal(table["reason"], str(DropReason.UNKNOWN_ACCOUNT))
        about_accounts = table.filter(pc.invert(pc.or_(by_value, is_unknown)))
        is_in = pc.is_in(about_accounts["account_a"], value_set=accounts)
        wanted = about_accounts.filter(is_in if is_wanted else pc.invert(is_in))
        parts.append(wanted.cast(old.schema))
    return pa.concat_tables(parts)


def _read_changed(changed: pa.Table, account_type: pa.DataType) -> pa.Table:
    missing = [name for name in _CHANGED_COLUMNS if name not in changed.column_names]
    if missing:
        raise MissingColumnsError(missing, frame_name="changed sightings")
    columns = changed.select(_CHANGED_COLUMNS)
    if any(column.null_count for column in columns.columns):
        raise InvalidDataError(
            "changed sightings: rows with an empty cell",
            remedy="name account, kind and value of every sighting that came or went",
        )
    return columns.cast(
        pa.schema([("account", account_type), ("kind", pa.string()), ("value", pa.string())])
    )


def _difference(before: pa.Table, now: pa.Table) -> pa.Table:
    """Overrides that stand in one of the two only."""
    return _ask(
        "(select * from was_there except all select * from is_there) "
        "union all (select * from is_there except all select * from was_there)",
        was_there=before, is_there=now,
    ).cast(now.schema)  # fmt: skip


def _within(overrides: pa.Table, touched: pa.Table) -> pa.Table:
    """Overrides between two touched accounts; others have no effect on touched components."""
    accounts = touched["account"].combine_chunks()
    ends = [pc.is_in(overrides[name], value_set=accounts) for name in ("account_a", "account_b")]
    return overrides.filter(pc.and_(*ends))


def _unknown(overrides: pa.Table, clusters: pa.Table) -> pa.Table:
    named = _ends(overrides)
    known = clusters.filter(pc.is_in(clusters["account"], value_set=named))["account"]
    ends = [pc.is_in(overrides[name], value_set=known) for name in ("account_a", "account_b")]
    return overrides.filter(pc.invert(pc.and_(*ends)))


def _ends(overrides: pa.Table) -> pa.ChunkedArray:
    chunks = [*overrides["account_a"].chunks, *overrides["account_b"].chunks]
    return pa.chunked_array(chunks, overrides["account_a"].type)


def _without(rows: pa.Table, values: pa.Table) -> pa.Table:
    return _ask("select * from held anti join gone using (kind, value)", held=rows, gone=values)


def _ask(question: str, **tables: pa.Table) -> pa.Table:
    connection = connect()
    for name, table in tables.items():
        connection.register(name, table)
    return connection.sql(question).to_arrow_table()
