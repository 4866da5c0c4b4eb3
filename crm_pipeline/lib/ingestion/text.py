"""Text as people type it.

Add here: character classes and the comparison form of names.
Not here: columns and types.
"""

from __future__ import annotations

import re
import unicodedata

# Zero-width and bidirectional marks: never seen, and they make equal things unequal.
INVISIBLE_CLASS = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
# Line breaks and tabs inside a quoted field are content; every other control character is noise.
CONTROL_CLASS = "\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f"

_NOISE = re.compile(f"[{INVISIBLE_CLASS}{CONTROL_CLASS}]")
_BLANKS = re.compile(r"\s+")


def header_key(name: str) -> str:
    """The form in which headers are compared: NFKC, no blanks, nothing invisible, no case."""
    text = _NOISE.sub("", unicodedata.normalize("NFKC", name))
    return _BLANKS.sub("", text).casefold()


def printable(text: str, limit: int = 255) -> str:
    """``text`` with everything escaped that could fool a terminal or a log, cut to ``limit``."""
    safe = "".join(
        c if c.isprintable() and not _NOISE.match(c) else f"\\u{{{ord(c):x}}}" for c in text
    )
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
