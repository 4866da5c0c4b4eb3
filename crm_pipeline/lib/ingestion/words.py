"""Texts: trimmed, nulled, judged and mapped, one distinct cell at a time.

Add here: what may become of ids, texts, enums, currencies and booleans.
Not here: numbers and times (``conversions``), characters (``normalise``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.lib.ingestion import entities
from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.feed_spec import ColumnMapping, Condition
from crm_pipeline.lib.ingestion.personal import PREFILTER, looks_personal

# Ids that people type for "nothing". Texts are not treated so: somebody may be called Null.
NULL_IDS = ("null", "n/a", "none", "nan", "-", "--", "无", "未知", "#n/a", "nil", "undefined")
_ROUNDED = r"^-?[0-9](\.[0-9]+)?[eE]\+[0-9]+$"
_NOTHING = pa.scalar(None, pa.string())
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def tidy(cells: pa.Array, column: Column | None, mapping: ColumnMapping) -> pa.Array:
    """Cells without outer blanks, cut and folded as declared; null where they mean absent."""
    text = pc.utf8_trim_whitespace(cells)
    if mapping.strip_prefix:
        text = pc.replace_substring_regex(text, "^" + re.escape(mapping.strip_prefix), "")
    if mapping.strip_suffix:
        text = pc.replace_substring_regex(text, re.escape(mapping.strip_suffix) + "$", "")
    if mapping.case:
        text = pc.utf8_upper(text) if mapping.case == "upper" else pc.utf8_lower(text)
    if mapping.null_values is not None:
        is_absent = _is_in(text, ["", *mapping.null_values])
    elif column is not None and column.kind == "id":
        is_absent = _is_in(pc.utf8_lower(text), ["", *NULL_IDS])
    else:
        is_absent = pc.equal(text, "")
    return pc.if_else(pc.fill_null(is_absent, True), _NOTHING, text)


def text(column: Column, mapping: ColumnMapping, cells: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Ids and free texts stay text.

    What a spreadsheet destroyed or somebody misplaced is refused.
    """
    limit = mapping.max_length or column.max_length
    found = [(pc.greater(pc.utf8_length(cells), limit), "length")]
    if column.kind == "id":
        found.append((pc.match_substring_regex(cells, _ROUNDED), "precision"))
    if column.pii == "none" and "personal_looking" not in mapping.allow:
        found.append((_is_personal(cells, is_id=column.kind == "id"), "misplaced_personal_data"))
    values = cells
    if mapping.map:
        values = pc.coalesce(_mapped(cells, mapping.map), cells)
    return values, first_reason(found, cells)


def choice(column: Column, mapping: ColumnMapping, cells: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Enums, currencies and booleans: declared values only."""
    values = _mapped(cells, mapping.map) if mapping.map else cells
    if column.kind == "boolean":
        words = values if mapping.map else pc.utf8_lower(cells)
        decided = [_BOOLEANS.get(word) for word in words.to_pylist()]
        values = pa.array(decided, pa.bool_())
        return values, first_reason([(values.is_null(), "boolean")], cells)
    allowed = entities.CURRENCIES if column.kind == "currency" else column.values
    code = "currency" if column.kind == "currency" else "enum"
    return values, first_reason([(pc.invert(_is_in(values, sorted(allowed))), code)], cells)


def first_reason(found: Iterable[tuple[pa.Array, str]], cells: pa.Array) -> pa.Array:
    """Per cell the reason of the first test that holds; absent cells have none."""
    reasons = pa.nulls(len(cells), pa.string())
    for test, code in reversed(list(found)):
        reasons = pc.if_else(pc.fill_null(test, False), code, reasons)
    return pc.if_else(cells.is_null(), _NOTHING, reasons)


def holds(condition: Condition, values: pa.Array) -> pa.Array:
    """Per value whether the condition holds; an absent value meets none but ``is_null``."""
    if condition.is_null is not None:
        return values.is_null() if condition.is_null else values.is_valid()
    if condition.starts_with is not None:
        test = pc.starts_with(values, condition.starts_with)
    elif condition.is_in is not None:
        test = _is_in(values, condition.is_in)
    elif condition.below is not None:
        test = pc.less(values, _number(condition.below))
    elif condition.above is not None:
        test = pc.greater(values, _number(condition.above))
    else:
        test = pc.equal(values, _number(condition.equals))
    return pc.fill_null(test, False)


def _number(said: object) -> pa.Scalar:
    if isinstance(said, str):
        return pa.scalar(said)
    return pa.scalar(str(said)).cast(pa.decimal128(38, 6))


def _is_in(cells: pa.Array, words: Iterable[str]) -> pa.Array:
    return pc.is_in(cells, value_set=pa.array(list(words), pa.string()))


def _mapped(cells: pa.Array, table: dict[str, str]) -> pa.Array:
    places = pc.index_in(cells, value_set=pa.array(list(table), pa.string()))
    return pa.array(list(table.values()), pa.string()).take(places)


def _is_personal(cells: pa.Array, *, is_id: bool) -> pa.Array:
    suspects = pc.fill_null(pc.match_substring_regex(cells, PREFILTER), False)
    judged = suspects.to_numpy(zero_copy_only=False).copy()
    for place in pc.indices_nonzero(suspects).to_pylist():
        judged[place] = looks_personal(cells[place].as_py(), is_id=is_id)
    return pa.array(judged)
