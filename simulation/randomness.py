"""Random streams that do not know of each other.

Add here: how a stream is keyed.
Not here: what is drawn from it.

Every stream is a Philox generator keyed by (seed, table, chunk), so a chunk's bytes depend neither
on how many chunks there are nor on the order in which they are made.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["GLOBAL_CHUNK", "pick", "stream"]

# Tables that belong to no person (rates, stock, spend) are drawn as this chunk.
GLOBAL_CHUNK = -1


def stream(seed: int, table: str, chunk: int) -> np.random.Generator:
    """The generator of one table in one chunk."""
    digest = hashlib.blake2b(f"{seed}/{table}/{chunk}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def pick(uniform: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The index each uniform number falls on: ``weights`` is one row for all or a row for each."""
    totals = np.cumsum(weights, axis=-1)
    if weights.ndim == 1:
        return np.minimum(
            np.searchsorted(totals, uniform * totals[-1], side="right"), len(weights) - 1
        ).astype(np.int64)
    reached = (uniform * totals[:, -1])[:, None] >= totals
    return np.minimum(reached.sum(axis=1), weights.shape[1] - 1).astype(np.int64)
