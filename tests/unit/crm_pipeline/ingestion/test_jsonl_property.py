"""The reader of JSON lines takes exactly what the strict grammar takes, for any text."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crm_pipeline.lib.ingestion.readers.jsonl import JsonlReader, NotStrictError, parse_strictly

from .door import feed

SPEC = feed({"format": {"kind": "jsonl"}})
WORDS = ["{", "}", "[", "]", ",", ":", "1", "-0.50", "1e5", "NaN", "true", "null", "Infinity"]
tokens = st.sampled_from(
    [
        *WORDS,
        "{}",
        "\ufeff",
        "é",
        "\\",
        " ",
        "\t",
        "\u00a0",
        '"',
        '"No"',
        '"a"',
        '"x"',
        '{"No":"1"}',
        '"b":2',
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from(["No", "Buyer", "x"]), values).map(json.dumps)


def parse_plainly(text: str) -> object:
    """The same grammar by the standard library alone."""

    def pairs(found: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(found)) != len(found):
            raise ValueError("twice")
        return dict(found)

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        found = json.loads(
            text, object_pairs_hook=pairs, parse_float=str, parse_int=str, parse_constant=refuse
        )
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


@pytest.mark.requirement("ING-3")
@settings(max_examples=400, deadline=None)
@given(st.lists(tokens, max_size=12).map("".join) | objects)
@example('{"No":"1"} {"No":"2"}')
@example(' {"No":1}\t')
@example('\u00a0{"No":1}')
@example('{"No":1,"No":2}')
@example('{"No":{"a":1,"a":2}}')
def test_a_line_is_taken_exactly_when_the_strict_grammar_takes_it(text: str) -> None:
    try:
        found: object = parse_strictly(text.encode("utf-8", "surrogatepass"), text)
    except NotStrictError:
        found = None
    assert found == parse_plainly(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(objects, min_size=1, max_size=6), st.integers(1, 60))
def test_cells_do_not_depend_on_the_size_of_blocks(lines: list[str], block_bytes: int) -> None:
    needed = {"No": "1", "Buyer": "c", "At": "2026", "Amount": "1"}
    data = "".join(f"{line}\n" for line in [json.dumps(needed), *lines]).encode()

    def read(size: int) -> list[object]:
        found: list[object] = []
        for batch in JsonlReader(SPEC, io.BytesIO(data), block_bytes=size).batches():
            found += [tuple(row.values()) for row in batch.cells.to_pylist()]
            found += [(r.record_number, r.reason_code, r.column_name) for r in batch.rejects]
        return sorted(found, key=lambda row: row[0])  # type: ignore[index]

    whole = read(1 << 20)
    assert read(block_bytes) == whole
    assert len(whole) == len(lines) + 1


@settings(max_examples=300, deadline=None)
@given(st.lists(tokens, max_size=12).map("".join) | objects)
@example('{"No" :1,"x":2,"x":3}')
@example('{"No"\t:1,"x":2,"x":3}')
@example('{"No":1,"x":2,"x":3}')
@example('{"No":"a\\":","x":2}')
@example('{"No\\"":1,"No":"b"}')
@example('{"No":{},"x":1}')
@example('{"No":true,"x":{"No":1}}')
@example('{"No":1.50}{"x":1}')
def test_the_reader_takes_the_cells_the_strict_grammar_finds(text: str) -> None:
    if not text.strip():
        return
    needed = json.dumps({"No": "1", "Buyer": "c", "At": "2026", "Amount": "1"})
    data = f"{needed}\n{text}\n".encode("utf-8", "surrogatepass")
    (batch,) = JsonlReader(SPEC, io.BytesIO(data)).batches()
    record = parse_plainly(text)
    if not isinstance(record, dict) or any(isinstance(record.get(n), dict | list) for n in NAMES):
        assert [reject.record_number for reject in batch.rejects] == [2]
        return
    cells = list(batch.cells.slice(1).to_pylist()[0].values())[1 : len(NAMES) + 1]
    assert cells == [_word(record.get(name)) for name in NAMES]


NAMES = SPEC.source_columns


def _word(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
