"""Scores travel in batches, whole or not at all, and never need all customers in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.scoring.stream import Matrix, name_positions, read_matrix, score_table
from crm_pipeline.lib.warehouse import open_warehouse
from crm_pipeline.lib.warehouse.sources import PYTHON_TABLES

TABLE = "scores.test_scores"
COLUMNS = {
    "customer_id": "varchar",
    "as_of_date": "date",
    "probability": "double",
    "reason": "varchar",
    "scored_at": "timestamp",
}
FEATURES = ("orders", "spend", "is_member")
CONSTANTS = {"as_of_date": date(2024, 6, 30), "scored_at": datetime(2024, 6, 30)}  # noqa: DTZ001


@pytest.fixture
def warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[duckdb.DuckDBPyConnection]:
    monkeypatch.setitem(PYTHON_TABLES, TABLE, COLUMNS)
    with open_warehouse(tmp_path / "crm.duckdb") as connection:
        connection.execute("create schema scores")
        connection.execute("create schema marts")
        connection.execute(
            "create table marts.features as select 'c' || i as customer_id, i as orders, "
            "(i / 7)::decimal(18, 2) as spend, i % 3 = 0 as is_member from range(1000) as t(i)"
        )
        yield connection


def give_score(matrix: Matrix) -> dict[str, Any]:
    return {
        "probability": matrix[:, 0] / (1 + matrix[:, 0]),
        "reason": name_positions((matrix[:, 0].astype(int) % 3) - 1, ("silent", "refunds")),
    }


def run(connection: duckdb.DuckDBPyConnection, **instead: Any) -> int:
    given = {
        "query": "from marts.features",
        "features": FEATURES,
        "score": give_score,
        "address": TABLE,
        "constants": CONSTANTS,
    }
    return score_table(connection, **{**given, **instead})


def read(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    return connection.execute(f"from {TABLE} order by customer_id").fetchall()


@pytest.mark.requirement("SCO-2")
def test_every_customer_gets_a_score_with_its_reason_and_the_constants(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    assert run(warehouse) == 1000
    found = {row[0]: row[1:] for row in read(warehouse)}
    assert len(found) == 1000
    day, instant = CONSTANTS.values()
    assert found["c0"] == (day, 0.0, None, instant)
    assert found["c1"] == (day, 0.5, "silent", instant)
    assert found["c2"] == (day, pytest.approx(2 / 3), "refunds", instant)


def test_batches_of_any_size_give_the_same_table(warehouse: duckdb.DuckDBPyConnection) -> None:
    run(warehouse)
    at_once = read(warehouse)
    sizes: list[int] = []

    def noting(matrix: Matrix) -> dict[str, Any]:
        sizes.append(len(matrix))
        return give_score(matrix)

    for batch_rows in (7, 333, 1000, 4096):
        sizes.clear()
        assert run(warehouse, batch_rows=batch_rows, score=noting) == 1000
        assert read(warehouse) == at_once
        assert sum(sizes) == 1000 and max(sizes) <= batch_rows


def test_the_matrix_holds_nulls_as_nan_and_decimals_as_the_nearest_float(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    query = (
        "select 'a' as customer_id, 123456789012345.67::decimal(18, 2) as spend, "
        "9007199254740993::bigint as orders, true as is_member "
        "union all select 'b', null, null, null"
    )
    matrix, rest = read_matrix(warehouse, query, ("spend", "orders", "is_member"))
    assert matrix.dtype == np.float32 and matrix.flags.c_contiguous
    expected = [np.float32(float(Decimal("123456789012345.67"))), np.float32(9007199254740993), 1]
    assert matrix[0].tolist() == expected
    assert np.isnan(matrix[1]).all()
    assert rest.to_pydict() == {"customer_id": ["a", "b"]}


def test_a_customer_without_a_score_has_null_and_never_nan(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    def score(matrix: Matrix) -> dict[str, Any]:
        return {**give_score(matrix), "probability": np.where(matrix[:, 0] < 10, np.nan, 0.25)}

    run(warehouse, score=score)
    query = f"select count(*), count(probability), avg(probability) from {TABLE}"
    assert warehouse.execute(query).fetchall() == [(1000, 990, 0.25)]


def test_training_and_scoring_see_the_same_numbers(warehouse: duckdb.DuckDBPyConnection) -> None:
    seen: list[Matrix] = []

    def noting(matrix: Matrix) -> dict[str, Any]:
        seen.append(matrix.copy())
        return give_score(matrix)

    run(warehouse, score=noting, batch_rows=300)
    matrix, rest = read_matrix(warehouse, "from marts.features", FEATURES, batch_rows=70)
    assert np.array_equal(np.concatenate(seen), matrix)
    assert rest.column_names == ["customer_id"] and rest.num_rows == 1000


def test_no_customers_leave_an_empty_table(warehouse: duckdb.DuckDBPyConnection) -> None:
    run(warehouse)
    nobody = "from marts.features where false"
    assert run(warehouse, query=nobody) == 0
    assert read(warehouse) == []
    matrix, rest = read_matrix(warehouse, nobody, FEATURES)
    assert matrix.shape == (0, 3)
    assert rest.column_names == ["customer_id"] and rest.num_rows == 0


def test_a_failure_in_the_middle_keeps_the_scores_of_before(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    run(warehouse)
    before = read(warehouse)
    batches: list[int] = []

    def failing(matrix: Matrix) -> dict[str, Any]:
        batches.append(len(matrix))
        if len(batches) == 3:
            raise RuntimeError("the model is broken")
        return {"probability": np.full(len(matrix), 9.0), "reason": pa.nulls(len(matrix))}

    with pytest.raises(RuntimeError, match="the model is broken"):
        run(warehouse, score=failing, batch_rows=100)
    assert batches == [100, 100, 100]
    assert read(warehouse) == before
    assert run(warehouse) == 1000  # the connection is as usable as before


def test_a_query_that_fails_in_the_middle_keeps_the_scores_of_before(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    run(warehouse)
    before = read(warehouse)
    # No float holds it: the cast of the last row fails after batches were written.
    query = "select * replace (if(orders = 999, 1e300, orders) as orders) from marts.features"
    with pytest.raises(WarehouseError, match="the features cannot be read"):
        run(warehouse, query=query, batch_rows=50)
    assert read(warehouse) == before


def test_the_scores_of_before_may_be_features_of_the_next(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    """The reader keeps seeing the table that is being replaced."""
    run(warehouse)
    query = f"select customer_id, probability as orders, 0 as spend, true as is_member from {TABLE}"
    assert run(warehouse, query=query, batch_rows=100) == 1000
    assert {row[0]: row[2] for row in read(warehouse)}["c1"] == pytest.approx(0.5 / 1.5)


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"features": ("orders", "age", "height")}, "no column age, height"),
        ({"key": "person"}, "no column person"),
        ({"features": ("orders", "customer_id")}, r"not customer_id \(VARCHAR\)"),
        ({"query": "select *, date '2024-01-01' as born from marts.features",
          "features": ("born",)}, r"not born \(DATE\)"),
        ({"query": "select * replace (orders / 0.0 as orders) from marts.features"},
         "infinite values in orders"),
        ({"constants": {}}, "needs columns as_of_date, scored_at"),
        ({"score": lambda matrix: {"probability": np.zeros(3)}}, "3 values of probability"),
        ({"score": lambda matrix: {"probability": matrix[:, 0] + np.inf}}, "infinite probability"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_and_changes_nothing(
    warehouse: duckdb.DuckDBPyConnection, instead: dict[str, Any], message: str
) -> None:
    run(warehouse)
    before = read(warehouse)
    with pytest.raises(WarehouseError, match=message):
        run(warehouse, **instead)
    assert read(warehouse) == before


PEAK = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from crm_pipeline.lib.scoring.stream import score_table
from crm_pipeline.lib.warehouse import open_warehouse
from crm_pipeline.lib.warehouse.sources import PYTHON_TABLES
PYTHON_TABLES["scores.t"] = {"customer_id": "varchar", "score": "double"}
names = [f"f{place}" for place in range(40)]
listed = ", ".join(f"i % {place + 2} as {name}" for place, name in enumerate(names))
with open_warehouse(Path(sys.argv[1])) as connection:
    connection.execute("create schema scores")
    connection.execute("set memory_limit = '100MB'")
    score_table(
        connection,
        query=f"select 'c' || i as customer_id, {listed} from range({sys.argv[2]}) as t(i)",
        features=names,
        score=lambda matrix: {"score": matrix.sum(axis=1)},
        address="scores.t",
        constants={},
        batch_rows=50_000,
    )
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.requirement("SCO-2")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is KiB on Linux")
def test_ten_times_the_customers_need_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for people in (200_000, 2_000_000):
        command = [sys.executable, "-c", PEAK, str(tmp_path / f"{people}.duckdb"), str(people)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(ran.stdout) / 1024)
    # The matrix of the larger alone is 305 MiB; DuckDB may fill its 100 MB in one run only.
    assert peaks[1] - peaks[0] < 150, peaks
