"""Scores of every customer without holding every customer: read, score and write by batch.

Add here: how rows travel between the warehouse and a model.
Not here: which model scores (``scores``), maths (``ml``).

A cursor reads while the connection writes: DuckDB refuses other work beside an unfinished result,
and gives each of the two its own transaction. So the reader sees the warehouse as it was before,
and neither needs more memory than a batch beside DuckDB's own buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.warehouse.connection import fetch_row
from crm_pipeline.lib.warehouse.sources import replacing

# 16 MB of 40 features: measured as fast as larger ones, and small enough for any machine.
BATCH_ROWS = 100_000

WHOLE_NUMBERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
UNSIGNED = {f"U{name}" for name in WHOLE_NUMBERS}
NUMBERS = {"BOOLEAN", "FLOAT", "DOUBLE", "DECIMAL"} | WHOLE_NUMBERS | UNSIGNED

Matrix = NDArray[np.float32]
Scorer = Callable[[Matrix], Mapping[str, Any]]


def score_table(
    connection: duckdb.DuckDBPyConnection,
    *,
    query: str,
    features: Sequence[str],
    score: Scorer,
    address: str,
    constants: Mapping[str, Any],
    key: str = "customer_id",
    batch_rows: int = BATCH_ROWS,
) -> int:
    """Replaces a table of scores by those of the rows of ``query``; returns how many there are.

    One transaction: whatever stops it in the middle, the scores of before stay whole. Rows are
    written in the order they are read, which for a plain table is that of its storage; sorting
    them would cost as much as reading them, and a row's score does not depend on its neighbours.

    Args:
        connection: the warehouse, open for writing, with no transaction begun. ``query`` runs on a
            cursor of it, which does not see its temporary tables.
        query: rows of one cut-off, one per customer, with ``key`` and ``features``.
        features: columns of the matrix, in the order the model reads them.
        score: a float32 matrix with NaN for null → columns of ``address``, one value per row; NaN
            there is null too: no score.
        address: a table of ``PYTHON_TABLES``.
        constants: its columns that are equal in every row, such as ``model_version``.
        key: the column that names the row in both.
        batch_rows: rows in memory at a time.

    Raises:
        WarehouseError: a feature is absent, no number or infinite, or the scorer's columns do not
            fit the table.
    """
    written = 0
    with _same_session(connection) as cursor, replacing(connection, address) as append:
        batches = _read_batches(cursor, query, features, batch_rows, others=(key,))
        for batch, matrix in batches:
            found = score(matrix)
            columns = {key: batch.column(key), **_to_columns(found, len(matrix), address)}
            for name, value in constants.items():
                columns[name] = pa.repeat(pa.scalar(value), batch.num_rows)
            append(pa.table(columns))
            written += batch.num_rows
    return written


def read_matrix(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    columns: Sequence[str],
    *,
    batch_rows: int = BATCH_ROWS,
) -> tuple[Matrix, pa.Table]:
    """The rows of ``query`` for a training: ``columns`` as a float32 matrix, the rest as a table.

    Numbers become floats exactly as in :func:`score_table`, so that a model is trained on what it
    will be asked. The matrix is filled in place: nothing is held twice.

    Raises:
        WarehouseError: a column is absent, no number or infinite.
    """
    (row_count,) = fetch_row(connection, f"select count(*) from ({query})")
    matrix: Matrix = np.empty((row_count, len(columns)), dtype=np.float32)
    others, place = [], 0
    for batch, part in _read_batches(connection, query, columns, batch_rows):
        matrix[place : place + len(part)] = part
        others.append(batch)
        place += len(part)
    if others:
        return matrix, pa.Table.from_batches(others)
    wanted = _select(connection, query, columns, None)
    return matrix, connection.sql(wanted).to_arrow_table().drop_columns(list(columns))


def name_positions(positions: NDArray[np.integer[Any]], names: Sequence[str]) -> pa.Array:
    """Texts by their position in ``names``, stored once; a negative position is null."""
    absent = positions < 0
    indices = pa.array(np.where(absent, 0, positions).astype(np.int32), mask=absent)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


@contextmanager
def _same_session(
    connection: duckdb.DuckDBPyConnection,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A second connection to the same warehouse; a cursor takes the machine's time zone anew."""
    (zone,) = fetch_row(connection, "select current_setting('TimeZone')")
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"set TimeZone = '{zone}'")
        yield cursor


def _read_batches(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    features: Sequence[str],
    batch_rows: int,
    others: Sequence[str] | None = None,
) -> Iterator[tuple[pa.RecordBatch, Matrix]]:
    """Batches without the features, beside the features as a matrix; ``others`` None keeps all."""
    wanted = _select(connection, query, features, others)
    width = len(features)
    try:
        with connection.sql(wanted).to_arrow_reader(batch_rows) as reader:
            for batch in reader:
                matrix: Matrix = np.empty((batch.num_rows, width), dtype=np.float32)
                for place in range(width):
                    matrix[:, place] = batch.column(place).to_numpy(zero_copy_only=False)
                _refuse_infinite(matrix, features)
                rest = [batch.column(place) for place in range(width, batch.num_columns)]
                yield pa.RecordBatch.from_arrays(rest, batch.schema.names[width:]), matrix
    except (duckdb.Error, pa.ArrowException) as error:
        raise WarehouseError(
            f"the features cannot be read: {str(error).splitlines()[0]}", where=query
        ) from error


def _select(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    features: Sequence[str],
    others: Sequence[str] | None,
) -> str:
    """Features first, by way of double: a decimal cast to float at once is rounded twice."""
    relation = connection.sql(query)
    kinds = {
        name: str(kind).partition("(")[0]
        for name, kind in zip(relation.columns, relation.types, strict=True)
    }
    if missing := [name for name in (*features, *(others or ())) if name not in kinds]:
        raise WarehouseError(f"the query has no column {', '.join(missing)}", where=query)
    if wrong := [f"{name} ({kinds[name]})" for name in features if kinds[name] not in NUMBERS]:
        raise WarehouseError(
            f"a model reads numbers and booleans, not {', '.join(wrong)}",
            where=query,
            remedy="make days or flags of it where the feature is made",
        )
    rest = others if others is not None else [name for name in kinds if name not in features]
    casts = [f'cast(cast("{name}" as double) as float) as "{name}"' for name in features]
    kept = [f'"{name}"' for name in rest]
    return f"select {', '.join(casts + kept)} from ({query})"


def _refuse_infinite(matrix: Matrix, features: Sequence[str]) -> None:
    infinite = np.isinf(matrix).any(axis=0)
    if infinite.any():
        names = [features[place] for place in np.flatnonzero(infinite).tolist()]
        raise WarehouseError(
            f"infinite values in {', '.join(names)}",
            remedy="divide by nullif(…, 0) where the feature is made; no value is null",
        )


def _to_columns(found: Mapping[str, Any], row_count: int, address: str) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in found.items():
        if len(values) != row_count:
            raise WarehouseError(
                f"the scorer gave {len(values)} values of {name} for {row_count} rows",
                where=address,
            )
        if isinstance(values, np.ndarray):
            if values.dtype.kind == "f" and np.isinf(values).any():
                raise WarehouseError(f"the scorer gave an infinite {name}", where=address)
            values = pa.array(values, from_pandas=True)
        columns[name] = values
    return columns
