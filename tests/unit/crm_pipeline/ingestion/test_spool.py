"""Rows wait on disk when there are many, and equal lines are counted either way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.spool import LineCounter, Spool


def rows(*names: str) -> pa.Table:
    coded = pa.array(names).dictionary_encode()
    hashes = np.array([ord(name[0]) % 3 for name in names], np.uint64)  # collides on purpose
    return pa.table({"content_hash": coded, "line_hash": hashes})


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_tables_come_back_in_order_whatever_waits_on_disk(home: CrmHome, limit: int) -> None:
    with Spool(home, limit=limit) as spool:
        for names in (["a", "b"], ["c"], ["a", "d"]):
            spool.add(rows(*names))
        found = [name for table in spool.tables() for name in table["content_hash"].to_pylist()]
        assert found == ["a", "b", "c", "a", "d"]
    assert not list(home.conformed.iterdir())


def test_equal_lines_are_numbered_over_tables_and_colliding_hashes_do_not_matter() -> None:
    tables = [rows("a", "d", "a"), rows("b", "a", "d")]  # a and d share a hash
    counter = LineCounter([table["line_hash"].to_numpy() for table in tables])
    assert [counter.number(table).to_pylist() for table in tables] == [[1, 1, 2], [1, 3, 2]]


def test_nothing_to_count_is_one_each() -> None:
    counter = LineCounter([rows("a", "b")["line_hash"].to_numpy()])
    assert counter.number(rows("a", "b")).to_pylist() == [1, 1]
