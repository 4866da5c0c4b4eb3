"""Text cells made comparable, once, at the door.

Add here: what happens to characters.
Not here: types.

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
_TAIL = (
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013\u2014\u2018-\u201a"
    "\u201c-\u201e\u2020-\u2022\u2026\u2030\u2039\u203a\u20ac\u2122]"
)
MOJIBAKE = f"\ufffd|锟斤拷|[\u00c3\u00c2]{_TAIL}|[\u00e2-\u00ef]{_TAIL}{{2}}"


@dataclass(frozen=True)
class Cleaned:
    """Distinct cells after cleaning. ``damage`` is a reason per cell; ``None``: no cell has one."""

    cells: pa.Array
    damage: pa.Array | None
    changed_count: int


def is_plain(cells: pa.Array | pa.ChunkedArray) -> bool:
    """True when every character of the column is printable ASCII."""
    chunks = cells.chunks if isinstance(cells, pa.ChunkedArray) else [cells]
    return all(not _bytes_of(chunk).translate(None, _PLAIN) for chunk in chunks)


def _bytes_of(chunk: pa.Array) -> bytes:
    _, offsets, data = chunk.buffers()
    if data is None or len(chunk) == 0:
        return b""
    view = memoryview(offsets).cast("i")
    return bytes(memoryview(data)[view[chunk.offset] : view[chunk.offset + len(chunk)]])


def clean(cells: pa.Array, *, is_key: bool, is_folded: bool = False) -> Cleaned:
    """Trims and removes control characters; keys also lose what is invisible and become NFKC.

    Display texts keep their own form (compatibility letters, joiners inside emoji).

    Args:
        cells: distinct cells of one column.
        is_key: the column identifies something.
        is_folded: full-width digits are declared for this number.
    """
    if is_plain(cells):
        return Cleaned(cells, None, 0)
    destroyed = pc.fill_null(pc.match_substring_regex(cells, MOJIBAKE), False)
    has_nul = pc.fill_null(pc.match_substring(cells, "\0"), False)
    nothing = pa.scalar(None, pa.string())
    damage = pc.if_else(has_nul, "nul", pc.if_else(destroyed, "encoding", nothing))
    noise = f"[{CONTROL_CLASS}{INVISIBLE_CLASS if is_key else ''}]"
    stripped = pc.replace_substring_regex(cells, noise, "")
    changed = int(pc.sum(pc.not_equal(stripped, cells)).as_py() or 0)
    if is_key or is_folded:
        stripped = pc.utf8_normalize(stripped, "NFKC")
    is_damaged = damage.null_count < len(damage)
    return Cleaned(pc.utf8_trim_whitespace(stripped), damage if is_damaged else None, changed)
