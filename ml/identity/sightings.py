"""Sightings as arrays of numbers, and the rows that share a value.

Add here: how sightings are read and grouped.
Not here: which shared value may link (``links``).

Texts are compared by their MD5 (128 bits; never a key, never shown), so that grouping ten million
of them is one sort of integers. Accidental equality has odds of 1 to 10^20 at a billion values,
and nobody can choose an identifier that collides with another person's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn, TypeAlias

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
_HASH = "hash(account)"
_BATCH = 500_000
_COLUMNS = {
    "code": np.int64,
    "kind": np.uint8,
    "low": np.uint64,
    "high": np.uint64,
    "seen_from": np.int64,
    "seen_to": np.int64,
    "is_excluded": np.bool_,
}
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
        if not wanted.any():
            return from_sizes(self.rows[:0], self.starts[:0])
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

    A relation is counted and evaluated, once more when its accounts are texts.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: Empty cells, a kind nobody declared, an end before its start.
    """
    relation = as_relation(sightings)
    missing = [name for name in SIGHTING_COLUMNS if name not in relation.columns]
    if missing:
        raise MissingColumnsError(missing, frame_name="sightings")
    if not _is_text(relation):
        columns, value = _read_columns(relation, kinds)
        accounts, columns["code"] = _number_integers(columns["code"])
        return CodedSightings(accounts=accounts, value=value, **columns)
    try:
        accounts, join = _number_texts(relation)
        columns, value = _read_columns(relation, kinds, join)
    finally:
        relation.query("sightings", f"drop table if exists {_ACCOUNTS}")
    return CodedSightings(accounts=accounts, value=value, **columns)


def group_rows(low: Ints, high: Ints, code: Ints) -> ValueGroups:
    """Rows whose value two accounts hold at least, put together by value.

    One sort of integers made of as many bits of ``low`` as there is room for, and the row's number;
    equal ``high`` decides among the rows that this puts side by side.
    """
    count = len(low)
    mask = np.uint64((1 << max(1, (count - 1).bit_length())) - 1)
    keys = low & ~mask
    keys |= np.arange(count, dtype=np.min_scalar_type(count))
    keys.sort()
    is_same = (keys[1:] ^ keys[:-1]) <= mask
    is_repeated = np.zeros(count, np.bool_)
    is_repeated[1:] = is_same
    is_repeated[:-1] |= is_same
    is_start = np.ones(count, np.bool_)
    is_start[1:] = ~is_same
    is_start = is_start[is_repeated]
    rows = (keys[is_repeated] & mask).astype(np.int64)
    _split_collisions(rows, is_start, low, high)
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


def _split_collisions(rows: Ints, is_start: Flags, low: Ints, high: Ints) -> None:
    """Puts right, in place, the rows side by side whose digests only begin alike."""
    digest = high[rows]
    differs = np.flatnonzero(~is_start[1:] & (digest[1:] != digest[:-1])) + 1
    if not len(differs):
        return
    starts = np.append(np.flatnonzero(is_start), len(rows))
    mixed = np.unique(np.searchsorted(starts, differs, side="right") - 1)
    sizes = starts[mixed + 1] - starts[mixed]
    number = np.repeat(mixed, sizes)
    before = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places = starts[number] + np.arange(len(number)) - before
    order = np.lexsort((low[rows[places]], digest[places], number))
    rows[places] = rows[places[order]]
    keys = np.stack([number, high[rows[places]], low[rows[places]]])
    is_start[places[1:]] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)


def _is_text(relation: duckdb.DuckDBPyRelation) -> bool:
    found = str(relation.types[relation.columns.index("account")])
    if found != "VARCHAR" and found not in _INTEGERS:
        raise InvalidDataError(
            f"sightings: account is {found}", remedy="pass it as varchar or bigint"
        )
    return found == "VARCHAR"


def _refuse(relation: duckdb.DuckDBPyRelation, kinds: Sequence[IdentifierKind]) -> NoReturn:
    """Says which rows cannot be."""
    rows = ask(
        relation,
        "select kind, count(*), count(*) - least(count(account), count(kind), count(nullif(value, "
        "'')), count(seen_from), count(seen_to)), count(*) filter (where seen_to < seen_from) "
        "from sightings group by kind",
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
    raise InvalidDataError(
        "sightings: " + "; ".join(problems),
        remedy="correct the query that makes them, or declare the kind",
    )


def _read_columns(
    relation: duckdb.DuckDBPyRelation, kinds: Sequence[IdentifierKind], join: str = ""
) -> tuple[dict[str, Ints], pa.ChunkedArray]:
    """One entry per sighting, and the values, batch by batch: fresh memory is what costs most."""
    types = {**_COLUMNS, "code": np.int32 if join else np.int64}
    count = ask(relation, "select count(*) from sightings").fetchall()[0][0]
    columns: dict[str, Ints] = {name: np.empty(count, type_) for name, type_ in types.items()}
    values = []
    start = 0
    is_sound = True
    with _code(relation, kinds, join).to_arrow_reader(_BATCH) as batches:
        for batch in batches:
            is_sound = not any(column.null_count for column in batch.columns)
            if not is_sound:
                break
            end = start + batch.num_rows
            for name, column in columns.items():
                column[start:end] = batch[name].to_numpy(zero_copy_only=False)
            values.append(batch["value"])
            start = end
    if not is_sound or (columns["seen_to"] < columns["seen_from"]).any():
        _refuse(relation, kinds)
    return columns, pa.chunked_array(values, pa.string())


def _code(
    relation: duckdb.DuckDBPyRelation, kinds: Sequence[IdentifierKind], join: str = ""
) -> duckdb.DuckDBPyRelation:
    """One row per sighting; a null wherever a cell is empty or a kind unknown."""
    return ask(
        relation,
        f"""
        select
            {"numbered.rowid::integer" if join else "account::bigint"} as code,
            {_case_of_kind(kinds, range(len(kinds)))}::utinyint as kind,
            nullif(value, '') as value,
            xor(
                (digest & 18446744073709551615::uhugeint)::ubigint,
                {_case_of_kind(kinds, _spread(len(kinds)))}::ubigint
            ) as low,
            (digest >> 64)::ubigint as high,
            epoch_us(seen_from) as seen_from, epoch_us(seen_to) as seen_to,
            {excluded_sql(kinds)} as is_excluded
        from (
            select {", ".join(SIGHTING_COLUMNS)}, md5_number(value)::uhugeint as digest
            from sightings
        ) as digested
        {join}
        """,
    )


def _case_of_kind(kinds: Sequence[IdentifierKind], numbers: Iterable[int]) -> str:
    """SQL for one number per kind."""
    cases = [
        f"when {_quote(kind.name)} then {number}"
        for kind, number in zip(kinds, numbers, strict=True)
    ]
    return f"(case kind {' '.join(cases)} end)" if cases else "null"


def _spread(count: int) -> list[int]:
    """Numbers of 64 bits that differ in about half of them."""
    return [n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, count + 1)]


def _number_texts(relation: duckdb.DuckDBPyRelation) -> tuple[pa.Array, str]:
    """Makes a table whose row numbers are the accounts' places; says how sightings find theirs.

    By a hash of 64 bits, which takes half the time, unless two accounts should have the same one.
    """
    relation.query(
        "sightings",
        f"create or replace temp table {_ACCOUNTS} as "
        "select distinct account from sightings where account is not null order by account",
    )
    numbered = ask(relation, f"select account, {_HASH} as key from {_ACCOUNTS} order by rowid")
    table = numbered.to_arrow_table()
    keys = np.sort(table["key"].to_numpy())
    key = "account" if (keys[1:] == keys[:-1]).any() else _HASH
    numbered_by = f"(select rowid, {key} as key from {_ACCOUNTS}) as numbered"
    join = f"left join {numbered_by} on numbered.key = {key}"
    return table["account"].combine_chunks().cast(pa.string()), join


def _number_integers(account: Ints) -> tuple[pa.Array, Ints]:
    """Distinct accounts, ascending, and the place of each row's account among them."""
    least, most = (int(account.min()), int(account.max())) if len(account) else (0, -1)
    if most - least >= _DENSE * len(account) + 1000:
        accounts, code = np.unique(account, return_inverse=True)
        return pa.array(accounts), code.astype(np.int32)
    account -= least
    is_there = np.zeros(most - least + 1, np.bool_)
    is_there[account] = True
    rank = np.cumsum(is_there, dtype=np.int32)
    rank -= 1
    return pa.array(np.flatnonzero(is_there) + least), rank[account]


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
