"""The file's own figures, counted a second time.

Add here: how a raw cell is read without the door's conversions.
Not here: comparing.

Plain Python over the kept raw bytes: a mistake in the door's SQL cannot repeat itself here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa

from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import readers
from crm_pipeline.lib.ingestion.feed_spec import ColumnMapping, FeedSpec
from crm_pipeline.lib.ingestion.parts import raw_record
from crm_pipeline.lib.ingestion.text import CONTROL_CLASS, INVISIBLE_CLASS
from crm_pipeline.lib.legacy.control import summed_columns

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
NOISE = re.compile(f"[{CONTROL_CLASS}{INVISIBLE_CLASS}]")
SEPARATOR = "\x1f"
AMOUNT = pa.decimal128(38, 6)
LARGEST = Decimal(10) ** 30


def raw_rows(home: CrmHome, spec: FeedSpec, file_sha256: str) -> Iterator[pa.Table]:
    """Every record of the raw file: its number, its key, and per summed column the number in it.

    ``u_<column>`` is true where a text is no number. A line that cannot be taken apart has neither
    key nor numbers.
    """
    sums, keys = summed_columns(spec), key_columns(spec)
    with readers.opener(home, spec, file_sha256)() as reader:
        for batch in reader.batches():
            cells, places = batch.cells, reader.positions
            count = cells.num_rows
            columns: dict[str, list[Any]] = {
                "record_number": cells["record_number"].to_pylist()
                + [reject.record_number for reject in batch.rejects]
            }
            lost = len(batch.rejects)
            parts = [
                _texts(cells, places.get(str(spec.columns[k].source)), spec.columns[k], count)
                for k in keys
            ]
            columns["key"] = [_joined(row) for row in zip(*parts, strict=True)] + [None] * lost
            for name in sums:
                mapping = spec.columns[name]
                texts = _texts(cells, places.get(str(mapping.source)), mapping, count)
                found = [read_number(text, mapping) for text in texts]
                columns[f"v_{name}"] = [value for value, _ in found] + [None] * lost
                columns[f"u_{name}"] = [not is_read for _, is_read in found] + [True] * lost
            yield pa.table(
                {name: pa.array(values, _type(name)) for name, values in columns.items()}
            )


def raw_texts(home: CrmHome, spec: FeedSpec, file_sha256: str, numbers: set[int]) -> dict[int, str]:
    """The records of these numbers as they came."""
    found: dict[int, str] = {}
    if not numbers:
        return found
    with readers.opener(home, spec, file_sha256)() as reader:
        for batch in reader.batches():
            for place, number in enumerate(batch.cells["record_number"].to_pylist()):
                if number in numbers:
                    found[number] = raw_record(batch, reader, place)
    return found


def key_columns(spec: FeedSpec) -> list[str]:
    """Columns of the natural key that come from the file."""
    return [name for name in spec.natural_key if spec.columns[name].source]


def _type(name: str) -> pa.DataType:
    if name.startswith("v_"):
        return AMOUNT
    return {"record_number": pa.int64(), "key": pa.string()}.get(name, pa.bool_())


def _texts(
    cells: pa.Table, place: int | None, mapping: ColumnMapping, count: int
) -> list[str | None]:
    if place is None:
        return [None] * count
    return [clean(text, mapping) for text in cells[f"s{place}"].to_pylist()]


def clean(text: str | None, mapping: ColumnMapping) -> str | None:
    """The text as it is compared; absent stays absent."""
    if text is None:
        return None
    text = unicodedata.normalize("NFKC", NOISE.sub("", text)).strip()
    if not text or text in (mapping.null_values or ()):
        return None
    if mapping.strip_prefix and text.startswith(mapping.strip_prefix):
        text = text.removeprefix(mapping.strip_prefix)
    if mapping.strip_suffix and text.endswith(mapping.strip_suffix):
        text = text.removesuffix(mapping.strip_suffix)
    text = text.strip()
    return {"upper": text.upper(), "lower": text.lower()}.get(mapping.case or "", text) or None


def _joined(parts: tuple[str | None, ...]) -> str | None:
    return SEPARATOR.join(str(part) for part in parts) if all(parts) else None


def read_number(text: str | None, mapping: ColumnMapping) -> tuple[Decimal | None, bool]:
    """The number in ``text``, and whether it could be read; no text is no number, and read."""
    if text is None:
        return None, True
    for symbol in sorted(mapping.symbols, key=len, reverse=True):
        text = text.replace(unicodedata.normalize("NFKC", symbol), "")
    if mapping.thousands:
        text = text.replace(mapping.thousands, "")
    text = text.replace(mapping.decimal, ".").replace(" ", "")
    if not NUMBER.fullmatch(text) or abs(Decimal(text)) >= LARGEST:
        return None, False
    number = Decimal(text).scaleb(-(mapping.minor_units or 0))
    exact = number.quantize(Decimal("0.000001"))
    return (exact, True) if exact == number else (None, False)
