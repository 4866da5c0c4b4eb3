"""Text cells made comparable, once, at the door. Add here: what happens to characters. Not here: types.

Columns of printable ASCII pass untouched (one look at their bytes); only the others cost something.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.lib.ingestion.text import CONTROL_CLASS, INVISIBLE_CLASS

_PLAIN = bytes(range(0x20, 0x7F))
# U+FFFD, and what it looks like after another wrong decoding; C1 controls and Latin letters in the
# patterns only UTF-8 read as Latin-1 or cp1252 makes.
_TAIL = "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
MOJIBAKE = f"\ufffd|锟斤拷|[\u00c3\u00c2]{_TAIL}|[\u00e2-\u00ef]{_TAIL}{{2}}"


@dataclass(frozen=True)
class Cleaned:
    """A column after cleaning. ``destroyed`` marks cells whose characters are lost; ``None``: none."""

    cells: pa.ChunkedArray
    destroyed: pa.ChunkedArray | None
    changed_count: int


def is_plain(cells: pa.ChunkedArray) -> bool:
    """True when every character of the column is printable ASCII."""
    return all(not _bytes_of(chunk).translate(None, _PLAIN) for chunk in cells.chunks)


def _bytes_of(chunk: pa.Array) -> bytes:
    data = chunk.buffers()[2]
    if data is None or len(chunk) == 0:
        return b""
    offsets = chunk.buffers()[1]
    wide = pa.types.is_large_string(chunk.type)
    view = memoryview(offsets).cast("q" if wide else "i")
    start, end = view[chunk.offset], view[chunk.offset + len(chunk)]
    return bytes(memoryview(data)[start:end])


def clean(cells: pa.ChunkedArray, *, is_key: bool) -> Cleaned:
    """Trims every cell and removes control characters; keys also lose everything invisible and become NFKC.

    Display texts keep their own form (compatibility letters, joiners inside emoji).
    """
    if is_plain(cells):
        return Cleaned(cells, None, 0)
    destroyed = pc.match_substring_regex(cells, MOJIBAKE)
    before = cells
    if is_key:
        cells = pc.utf8_normalize(cells, "NFKC")
        noise = f"[{CONTROL_CLASS}{INVISIBLE_CLASS}]"
    else:
        noise = f"[{CONTROL_CLASS}]"
    stripped = pc.replace_substring_regex(cells, noise, "")
    changed = pc.sum(pc.not_equal(stripped, cells)).as_py() or 0
    any_destroyed = pc.any(destroyed).as_py()
    del before
    return Cleaned(pc.utf8_trim_whitespace(stripped), destroyed if any_destroyed else None, changed)


def full_width_digits(cells: pa.ChunkedArray) -> pa.ChunkedArray:
    """Compatibility forms folded, for numbers declared to come so."""
    return cells if is_plain(cells) else pc.utf8_normalize(cells, "NFKC")
