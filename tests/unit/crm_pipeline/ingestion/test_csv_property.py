"""Fast and strict reading of CSV give the same records, for any bytes and any block size."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.readers import csv_fast
from crm_pipeline.lib.ingestion.readers.csv_reader import CsvReader

from .door import feed

COLUMNS = ["a", "b", "c"]
SPEC = feed(
    {
        "columns": {
            "order_id": "a",
            "source_customer_id": "b",
            "paid_amount": {"from": "c", "scale": 2},
            "ordered_at": {"from": "a", "format": "%Y"},
            "payment_method": None,
        }
    }
)
OPTIONS = [
    SPEC,
    feed(
        {
            "format": {"blank_lines": "skip", "comment": "#", "final_newline": "optional"},
            "columns": SPEC.model_dump(by_alias=True, exclude_unset=True)["columns"],
        }
    ),
]

tokens = st.sampled_from(
    [
        ",",
        '"',
        '""',
        "\n",
        "\r\n",
        "\r",
        "\0",
        "#",
        " ",
        "é",
        "合计",
        "x",
        "1",
        ",,",
        '","',
        "a,b,c\n",
        '"q",',
        '\n"',
    ]
)
fields = st.text(alphabet=st.sampled_from('ab1 é,"\n\r#'), max_size=6)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


rows = st.lists(fields.map(quoted) | st.sampled_from(["x", "", "1.5"]), min_size=1, max_size=4)
well_formed = st.lists(rows.map(",".join), max_size=8).map(
    lambda lines: "".join(f"{x}\n" for x in lines)
)
anything = st.lists(tokens, max_size=40).map("".join)


def read(data: bytes, spec: FeedSpec, *, use_fast: bool, block_bytes: int) -> Any:
    """Every record with its number: cells of a row, or reason and text of a broken one."""
    found: dict[int, Any] = {}
    count = 0
    try:
        reader = CsvReader(spec, io.BytesIO(data), use_fast=use_fast, block_bytes=block_bytes)
        for batch in reader.batches():
            count += batch.record_count
            cells = batch.cells.to_pydict()
            for n, number in enumerate(cells["record_number"]):
                found[number] = tuple(cells[f"s{i}"][n] for i in range(len(reader.names)))
            for reject in batch.rejects:
                found[reject.record_number] = reject
    except LandingError as error:
        return error.reason_code
    assert sorted(found) == list(range(1, count + 1)), "records are numbered without gap or overlap"
    return found


@pytest.mark.requirement("ING-3")
@settings(max_examples=400, deadline=None)
@given(
    body=anything | well_formed,
    size=st.integers(1, 64),
    option=st.sampled_from(OPTIONS),
    tail=st.binary(max_size=3),
)
@example(body='"a"\n', size=2, option=SPEC, tail=b"")
@example(body='x,"y\nz",1\n', size=3, option=SPEC, tail=b"")
@example(body='x,"y,1\nx,y,1\n', size=4, option=SPEC, tail=b"")
def test_fast_and_strict_agree_on_any_bytes_and_blocks(
    body: str, size: int, option: FeedSpec, tail: bytes
) -> None:
    data = b"a,b,c\n" + body.encode() + tail
    strict = read(data, option, use_fast=False, block_bytes=1 << 20)
    assert read(data, option, use_fast=True, block_bytes=1 << 20) == strict
    small = read(data, option, use_fast=True, block_bytes=size)
    if strict == "encoding" or small == "encoding":
        assert strict == small
    else:
        assert small == strict


@settings(max_examples=200, deadline=None)
@given(table=st.lists(st.tuples(fields, fields, fields), min_size=1, max_size=6))
def test_what_a_proper_writer_wrote_is_read_back_exactly(table: list[tuple[str, str, str]]) -> None:
    import csv

    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    writer.writerows(table)
    found = read(target.getvalue().encode(), SPEC, use_fast=True, block_bytes=1 << 20)
    assert found == {n + 1: row for n, row in enumerate(table)}


def test_a_clean_file_really_takes_the_fast_way() -> None:
    block = b'x,y,1\n"q, ""z""",y,2\r\n"",,\n'
    assert csv_fast.is_clean(block, ",", comment=None, field_limit=1000)
    assert [c.to_pylist() for c in csv_fast.parse(block, ",", 3) or []] == [
        ["x", 'q, "z"', ""],
        ["y", "y", ""],
        ["1", "2", ""],
    ]
