"""Checks and conversions every model applies to its input frame.

Add here: what is true of any frame. Not here: feature definitions of one model.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ml.errors import InvalidDataError, MissingColumnsError

__all__ = ["hash_rows", "refuse_duplicate_keys", "require_columns", "to_float_frame", "to_matrix"]


def require_columns(frame: pd.DataFrame, columns: Sequence[str], *, frame_name: str) -> None:
    """Raise ``MissingColumnsError`` naming every absent column."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise MissingColumnsError(missing, frame_name=frame_name)


def refuse_duplicate_keys(frame: pd.DataFrame, keys: Sequence[str], *, frame_name: str) -> None:
    """Raise ``InvalidDataError`` when a key is null or stands in two rows."""
    key_frame = frame[list(keys)]
    is_null = key_frame.isna().any(axis=1)
    is_repeated = key_frame.duplicated()
    if is_null.any() or is_repeated.any():
        raise InvalidDataError(
            f"{frame_name}: {int(is_null.sum())} rows with a null key and "
            f"{int(is_repeated.sum())} repeated rows for the key ({', '.join(keys)})",
            remedy="pass one row per key",
        )


def to_float_frame(frame: pd.DataFrame, columns: Sequence[str], *, frame_name: str) -> pd.DataFrame:
    """Return ``columns`` as float64, decimals and nullable integers included; null becomes NaN.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: A column holds text or an infinite value.
    """
    require_columns(frame, columns, frame_name=frame_name)
    return pd.DataFrame(
        {column: _to_floats(frame[column], frame_name=frame_name) for column in columns},
        index=frame.index,
    )


def to_matrix(
    frame: pd.DataFrame, columns: Sequence[str], *, frame_name: str = "customer_features"
) -> NDArray[np.float32]:
    """Return ``columns`` as the float32 matrix trees read; null becomes NaN; else as above."""
    numbers = to_float_frame(frame, columns, frame_name=frame_name)
    return numbers.to_numpy(dtype=np.float32)


def _to_floats(values: pd.Series, *, frame_name: str) -> NDArray[np.float64]:
    remedy = "correct the column in the query that makes this frame"
    try:
        if values.dtype == object:
            values = pd.Series([None if pd.isna(v) else float(v) for v in values], dtype=float)
        floats: NDArray[np.float64] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{frame_name}: column {values.name} holds values that are no numbers ({error})",
            remedy=remedy,
        ) from error
    if np.isinf(floats).any():
        raise InvalidDataError(
            f"{frame_name}: column {values.name} holds infinite values", remedy=remedy
        )
    return floats


def hash_rows(keys: pd.DataFrame, values: pd.DataFrame) -> str:
    """SHA-256 of named rows in the given order; sort before, so that it identifies the set."""
    digest = hashlib.sha256()
    for name in keys.columns:
        digest.update(f"\x1e{name}\x1f".encode())
        digest.update("\x1f".join(map(str, keys[name])).encode())
    for name in values.columns:
        digest.update(f"\x1e{name}\x1f".encode())
        digest.update(np.ascontiguousarray(values[name].to_numpy(dtype="<f8")).tobytes())
    return digest.hexdigest()
