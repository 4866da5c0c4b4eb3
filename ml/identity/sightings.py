"""Sightings as arrays of numbers, and the rows that share a value.

Add here: how sightings are read and grouped.
Not here: which shared value may link (``links``).

Texts are compared by their MD5 (128 bits; never a key, never shown), so that grouping ten million
of them is one sort of integers. Accidental equality has odds of 1 to 10^20 at a billion values,
and nobody can choose an identifier that collides with another person's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ml.errors import InvalidDataError, MissingColumnsError
from ml.identity.semantics import IdentifierKind

__all__ = [
    "SIGHTING_COLUMNS",
    "CodedSightings",
    "Flags",
    "Ints",
    "ValueGroups",
    "as_relation",
    "ask",
    "connect",
    "excluded_sql",
    "group_rows",
    "read_sightings",
]

Ints: TypeAlias = NDArray[Any]
Flags: TypeAlias = NDArray[np.bool_]

SIGHTING_COLUMNS = ("account", "kind", "value", "seen_from", "seen_to")
_ACCOUNTS = "identity_accounts_of_this_run"
# Account numbers spread over at most this many times the rows are their own table of codes.
_DENSE = 8
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT"}


@dataclass(frozen=True)
class CodedSightings:
    """One entry per sighting; accounts are numbered in their own order.

    Attributes:
        accounts: Distinct accounts, ascending: the code of an account is its place here.
        code: Account of each sighting.
        kind: Place of its kind in the list of kinds.
        value: Its value, as text.
        low: Half of the value's digest, different for each kind.
        high: The other half.
        seen_from: Microseconds since 1970.
        seen_to: Microseconds since 1970.
        is_excluded: Whether a pattern of the kind says that the value is nobody's.
    """

    accounts: pa.Array
    code: Ints
    kind: Ints
    value: pa.ChunkedArray
    low: Ints
    high: Ints
    seen_from: Ints
    seen_to: Ints
    is_excluded: Flags

    @property
    def account_count(self) -> int:
        """Number of distinct accounts."""
        return len(self.accounts)


@dataclass(frozen=True)
class ValueGroups:
    """Rows put together; group ``i`` is ``rows[starts[i] : starts[i + 1]]``."""

    rows: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> Ints:
        """Rows per group."""
        return np.diff(self.starts)

    @property
    def first(self) -> Ints:
        """One row of each group."""
        return self.rows[self.starts[:-1]]

    def numbers(self) -> Ints:
        """The group of each row."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def select(self, wanted: Flags) -> ValueGroups:
        """Some of the groups, in their order."""
        if wanted.all():
            return self
        sizes = self.sizes
        return from_sizes(self.rows[np.repeat(wanted, sizes)], sizes[wanted])


def from_sizes(rows: Ints, sizes: Ints) -> ValueGroups:
    """Groups of the given sizes, one after the other."""
    starts = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=starts[1:])
    return ValueGroups(rows, starts)


def as_relation(sightings: pa.Table | duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Something DuckDB can ask questions of."""
    if isinstance(sightings, duckdb.DuckDBPyRelation):
        return sightings
    return connect().from_arrow(sightings)


def connect() -> duckdb.DuckDBPyConnection:
    """A connection of its own to an empty database all of the process share: a new one is dear."""
    return _engine().cursor()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def ask(
    sightings: duckdb.DuckDBPyRelation, question: str, wanted: pa.Table | None = None
) -> duckdb.DuckDBPyRelation:
    """Answer to SQL about ``sightings`` and, by DuckDB's look at local names, about ``wanted``."""
    answer = sightings.query("sightings", question)
    if answer is None:
        raise TypeError("the question returns no rows")
    return answer


def read_sightings(
    sightings: pa.Table | duckdb.DuckDBPyRelation, kinds: Sequence[IdentifierKind]
) -> CodedSightings:
    """Reads ``SIGHTING_COLUMNS``: account (text or whole number), kind, value, two instants.

    A relation is evaluated twice, three times when its accounts are texts or widely spread numbers.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: Empty cells, a kind nobody declared, an end before its start.
    """
    relation = as_relation(sightings)
    missing = [name for name in SIGHTING_COLUMNS if name not in relation.columns]
    if missing:
        raise MissingColumnsError(missing, frame_name="sightings")
    is_text = _is_text(relation)
    row_count, least, most = _check(relation, kinds)
    is_dense = not is_text and row_count > 0 and most - least < _DENSE * row_count + 1000
    accounts = None if is_dense else _number_accounts(relation)
    try:
        table = _read_coded(relation, kinds, is_dense=is_dense)
    finally:
        if accounts is not None:
            relation.query("sightings", f"drop table if exists {_ACCOUNTS}")
    code = table["code"].to_numpy()
    if accounts is None:
        accounts, code = _number_dense(code, least, most)
    kind = table["kind"].to_numpy()
    of_kind = np.arange(1, len(kinds) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return CodedSightings(
        accounts=accounts,
        code=code,
        kind=kind,
        value=table["value"],
        low=table["low"].to_numpy() ^ of_kind[kind],
        high=table["high"].to_numpy(),
        seen_from=table["seen_from"].to_numpy(),
        seen_to=table["seen_to"].to_numpy(),
        is_excluded=table["is_excluded"].to_numpy(),
    )


def group_rows(low: Ints, high: Ints, code: Ints) -> ValueGroups:
    """Rows whose value two accounts hold at least, put together by value.

    One sort of integers made of as many bits of ``low`` as there is room for, and the row's number;
    equal ``high`` decides among the rows that this puts side by side.
    """
    count = len(low)
    mask = np.uint64((1 << max(1, (count - 1).bit_length())) - 1)
    keys = (low & ~mask) | np.arange(count, dtype=np.uint64)
    keys.sort()
    is_same = (keys[1:] ^ keys[:-1]) <= mask
    is_repeated = np.zeros(count, np.bool_)
    is_repeated[1:] = is_same
    is_repeated[:-1] |= is_same
    is_start = np.ones(count, np.bool_)
    is_start[1:] = ~is_same
    is_start = is_start[is_repeated]
    rows = (keys[is_repeated] & mask).astype(np.int64)
    rows, is_start = _split_collisions(rows, is_start, low, high)
    if not len(rows):
        return ValueGroups(rows, np.zeros(1, np.int64))
    starts = np.flatnonzero(is_start)
    groups = ValueGroups(rows, np.append(starts, len(rows)))
    accounts = code[rows]
    is_shared = np.minimum.reduceat(accounts, starts) != np.maximum.reduceat(accounts, starts)
    return groups.select(is_shared)


def excluded_sql(kinds: Sequence[IdentifierKind]) -> str:
    """SQL that says whether a sighting's value is excluded."""
    cases = [
        f"when {_quote(kind.name)} then regexp_full_match(value, "
        f"{_quote('|'.join(f'(?:{pattern})' for pattern in kind.exclude_patterns))})"
        for kind in kinds
        if kind.exclude_patterns
    ]
    return f"case kind {' '.join(cases)} else false end" if cases else "false"


def _split_collisions(rows: Ints, is_start: Flags, low: Ints, high: Ints) -> tuple[Ints, Flags]:
    digest = high[rows]
    differs = ~is_start[1:] & (digest[1:] != digest[:-1])
    if not differs.any():
        return rows, is_start
    number = np.cumsum(is_start)
    places = np.flatnonzero(np.isin(number, number[1:][differs]))
    order = np.lexsort((low[rows[places]], digest[places], number[places]))
    rows, is_start = rows.copy(), is_start.copy()
    rows[places] = rows[places[order]]
    keys = np.stack([number[places], high[rows[places]], low[rows[places]]])
    is_start[places[1:]] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    return rows, is_start


def _is_text(relation: duckdb.DuckDBPyRelation) -> bool:
    found = str(relation.types[relation.columns.index("account")])
    if found != "VARCHAR" and found not in _INTEGERS:
        raise InvalidDataError(
            f"sightings: account is {found}", remedy="pass it as varchar or bigint"
        )
    return found == "VARCHAR"


def _check(
    relation: duckdb.DuckDBPyRelation, kinds: Sequence[IdentifierKind]
) -> tuple[int, Any, Any]:
    """Number of rows and the span of accounts; refuses rows that cannot be."""
    rows = ask(
        relation,
        "select kind, count(*), count(*) - least(count(account), count(kind), count(nullif(value, "
        "'')), count(seen_from), count(seen_to)), count(*) filter (where seen_to < seen_from), "
        "min(account), max(account) from sightings group by kind",
    ).fetchall()
    names = {kind.name for kind in kinds}
    problems = [
        f"kind {name!r} is not declared ({count} rows)"
        for name, count, *_ in sorted(rows, key=lambda row: str(row[0]))
        if name is not None and name not in names
    ]
    if empty := sum(row[2] for row in rows):
        problems.append(f"at least {empty} rows with an empty cell")
    if backwards := sum(row[3] for row in rows):
        problems.append(f"{backwards} rows with seen_to before seen_from")
    if problems:
        raise InvalidDataError(
            "sightings: " + "; ".join(problems),
            remedy="correct the query that makes them, or declare the kind",
        )
    if not rows:
        return 0, None, None
    return sum(row[1] for row in rows), min(row[4] for row in rows), max(row[5] for row in rows)


def _read_coded(
    relation: duckdb.DuckDBPyRelation, kinds: Sequence[IdentifierKind], *, is_dense: bool
) -> pa.Table:
    numbers = " ".join(f"when {_quote(kind.name)} then {n}" for n, kind in enumerate(kinds))
    account = "account::bigint as code" if is_dense else f"{_ACCOUNTS}.code"
    return ask(
        relation,
        f"""
        select
            {account}, (case kind {numbers} end)::utinyint as kind, value,
            (digest & 18446744073709551615::uhugeint)::ubigint as low,
            (digest >> 64)::ubigint as high,
            epoch_us(seen_from) as seen_from, epoch_us(seen_to) as seen_to,
            {excluded_sql(kinds)} as is_excluded
        from (select *, md5_number(value)::uhugeint as digest from sightings) as digested
        {"" if is_dense else f"join {_ACCOUNTS} using (account)"}
        """,
    ).to_arrow_table()


def _number_accounts(relation: duckdb.DuckDBPyRelation) -> pa.Array:
    relation.query(
        "sightings",
        f"create or replace temp table {_ACCOUNTS} as "
        "select account, (row_number() over (order by account) - 1)::integer as code "
        "from (select distinct account from sightings)",
    )
    accounts = ask(relation, f"select account from {_ACCOUNTS} order by code")
    column = accounts.to_arrow_table()["account"].combine_chunks()
    return column if pa.types.is_string(column.type) else column.cast(pa.int64())


def _number_dense(account: Ints, least: int, most: int) -> tuple[pa.Array, Ints]:
    place = account - least
    is_there = np.zeros(most - least + 1, np.bool_)
    is_there[place] = True
    rank = np.cumsum(is_there, dtype=np.int32) - np.int32(1)
    return pa.array(np.flatnonzero(is_there) + least), rank[place]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
