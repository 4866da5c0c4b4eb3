"""Arrow columns from numpy numbers, at memory speed.

Add here: a kind of column.
Not here: what stands in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "blank_where",
    "codes",
    "const",
    "decimals",
    "instants",
    "join",
    "money",
    "quantities",
    "scramble",
    "words",
]

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

_SCRAMBLE_MODULUS = 10**12
_SCRAMBLE_FACTOR = 61_803_399  # no common factor with 10, so no two numbers collide


def scramble(numbers: Ints, salt: int = 0) -> Ints:
    """Numbers below 1.4e11 as other numbers below 1e12, one to one, so that ids show no order."""
    return (numbers * _SCRAMBLE_FACTOR + salt * 982_451_653) % _SCRAMBLE_MODULUS


def codes(prefix: str, numbers: Ints, *, digits: int = 12) -> pa.Array:
    """``prefix`` and the number filled up with zeros to ``digits``."""
    texts = pa.array(numbers + 10**digits, pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(prefix, pc.utf8_slice_codeunits(texts, 1), "")


def join(*parts: Any) -> pa.Array:
    """The texts of each row put together; null where one is null."""
    return pc.binary_join_element_wise(*parts, "")


def const(value: str, count: int) -> pa.Array:
    """The same word in each row."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([value]))


def words(vocabulary: Sequence[str] | pa.Array, index: NDArray[Any], mask: Any = None) -> pa.Array:
    """A word of a fixed vocabulary in each row; null where ``mask`` holds or the index is < 0."""
    index = np.asarray(index)
    missing = index < 0
    if mask is not None:
        missing = missing | mask
    indices = pa.array(index.astype(np.int32), mask=missing if missing.any() else None)
    dictionary = vocabulary if isinstance(vocabulary, pa.Array) else pa.array(list(vocabulary))
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def blank_where(mask: Flags, values: pa.Array) -> pa.Array:
    """``values`` with null where ``mask`` holds."""
    if not mask.any():
        return values
    if isinstance(values, pa.DictionaryArray):
        indices = pc.if_else(pa.array(mask), pa.scalar(None, values.indices.type), values.indices)
        return pa.DictionaryArray.from_arrays(indices, values.dictionary)
    return pc.if_else(pa.array(mask), pa.scalar(None, values.type), values)


def instants(local_seconds: Ints, offset_seconds: int, mask: Flags | None = None) -> pa.Array:
    """Local seconds since 1970 as naive UTC instants."""
    return pa.array((local_seconds - offset_seconds) * 1_000_000, pa.int64(), mask=mask).cast(
        pa.timestamp("us")
    )


def decimals(units: Ints, scale: int, mask: Flags | None = None) -> pa.Array:
    """Whole units of 10^-scale as ``decimal(18, scale)``."""
    wide = np.empty((len(units), 2), np.int64)
    wide[:, 0] = units
    wide[:, 1] = np.asarray(units) >> 63
    valid = None
    if mask is not None and mask.any():
        valid = pa.py_buffer(np.packbits(~mask, bitorder="little"))
    return pa.Array.from_buffers(pa.decimal128(18, scale), len(units), [valid, pa.py_buffer(wide)])


def money(cents: Ints, mask: Flags | None = None) -> pa.Array:
    """Hundredths of the currency as money."""
    return decimals(cents, 2, mask)


def quantities(pieces: Ints, mask: Flags | None = None) -> pa.Array:
    """Whole pieces as a quantity."""
    return decimals(np.asarray(pieces, np.int64) * 1000, 3, mask)
