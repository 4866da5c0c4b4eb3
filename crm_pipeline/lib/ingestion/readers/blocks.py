"""Bytes to blocks of whole lines in UTF-8.

Add here: encodings.
Not here: fields.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import IO

from crm_pipeline.lib.errors import LandingError

BLOCK_BYTES = 16 * 1024 * 1024
LINE_LIMIT = 64 * 1024 * 1024
UTF16_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def line_blocks(
    source: IO[bytes],
    encoding: str,
    *,
    block_bytes: int = BLOCK_BYTES,
    line_limit: int = LINE_LIMIT,
) -> Iterator[bytes]:
    """Blocks of UTF-8 that end at a line end; a last line without one comes as a block of its own.

    Raises:
        LandingError: not the declared encoding, or a line longer than ``line_limit``.
    """
    rest = b""
    for piece in _utf8(source, encoding, block_bytes):
        rest += piece
        cut = _last_line_end(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
        if len(rest) > line_limit:
            raise LandingError(
                f"a line is longer than {line_limit} bytes",
                reason_code="line_too_long",
                remedy="check line ends and quotes in the source's export",
            )
    if rest.endswith(b"\r"):
        yield rest
    elif rest:
        cut = _last_line_end(rest)
        yield from (block for block in (rest[:cut], rest[cut:]) if block)


def _last_line_end(block: bytes) -> int:
    """Length up to the last sure line end. A trailing CR may be half of a CRLF, so it waits."""
    at = block.rfind(b"\n") + 1
    return max(at, block.rfind(b"\r", at, max(at, len(block) - 1)) + 1)


def _utf8(source: IO[bytes], encoding: str, block_bytes: int) -> Iterator[bytes]:
    first = source.read(block_bytes)
    if not first:
        raise LandingError("the file is empty", reason_code="empty", remedy="deliver it again")
    _refuse_packed(first)
    if encoding == "utf-8":
        yield from _as_is(first, source, block_bytes)
    elif encoding == "utf-16":
        mark = UTF16_MARKS.get(first[:2])
        if mark is None:
            raise LandingError(
                "UTF-16 without a byte order mark",
                reason_code="encoding",
                remedy="export with a byte order mark, or as UTF-8",
            )
        yield from _decoded(first[2:], source, mark, block_bytes)
    else:
        yield from _decoded(first, source, encoding, block_bytes)


def _as_is(first: bytes, source: IO[bytes], block_bytes: int) -> Iterator[bytes]:
    if first[:2] in UTF16_MARKS:
        raise LandingError(
            "the file is UTF-16, declared is utf-8",
            reason_code="encoding",
            remedy="write encoding: utf-16 in the feed's format",
        )
    yield first.removeprefix(codecs.BOM_UTF8)
    while piece := source.read(block_bytes):
        yield piece


# GB18030 takes almost any bytes, so UTF-8 lines in it become wrong characters, not errors. Nine
# bytes in a row that are UTF-8 are no chance (1 in 100 million); six are where they are frequent.
_SURE_UTF8 = re.compile(rb"(?<![\x80-\xff])(?:[\xe2-\xef][\x80-\xbf]{2}){3,}(?![\x80-\xff])")
_SIX_BYTES = re.compile(rb"(?<![\x80-\xff])[\x80-\xff]{6}(?![\x80-\xff])")
_SIX_UTF8 = re.compile(rb"(?:[\xe2-\xef][\x80-\xbf]{2}){2}")


# What an earlier conversion destroyed reads 锟斤拷 in GBK: the bytes of the replacement character.
_LOST = b"\xef\xbf\xbd"


def _holds_utf8(piece: bytes) -> bool:
    piece = piece.replace(_LOST, b"?")  # a damaged value, not another encoding
    if _SURE_UTF8.search(piece):
        return True
    short = _SIX_BYTES.findall(piece)
    return sum(bool(_SIX_UTF8.fullmatch(run)) for run in short) * 5 > len(short) > 0


def _decoded(first: bytes, source: IO[bytes], encoding: str, block_bytes: int) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    piece = first.removeprefix(codecs.BOM_UTF8) if encoding in ("gb18030", "gbk") else first
    read = 0
    while True:
        if encoding in ("gb18030", "gbk") and _holds_utf8(piece):
            raise not_encoded(encoding)
        try:
            text = decoder.decode(piece, final=not piece)
            yield text.removeprefix("\ufeff" if read == 0 else "").encode("utf-8")
        except UnicodeError as error:
            raise not_encoded(encoding, read + int(getattr(error, "start", 0))) from error
        if not piece:
            return
        read += len(piece)
        piece = source.read(block_bytes)


def not_encoded(encoding: str, around: int | None = None) -> LandingError:
    """The file is not in the declared encoding."""
    place = f" (near byte {around})" if around is not None else ""
    return LandingError(
        f"the file is not {encoding} throughout{place}",
        reason_code="encoding",
        remedy="declare the real encoding in the feed's format; "
        "files that mix encodings must be exported again",
    )


def _refuse_packed(first: bytes) -> None:
    kinds = {
        b"PK\x03\x04": "zip",
        b"PK\x05\x06": "zip",
        b"\x1f\x8b": "gzip",
        b"Rar!": "rar",
        b"7z\xbc\xaf": "7z",
        b"\x28\xb5\x2f\xfd": "zstd",
        b"BZh": "bzip2",
        b"\xfd7zXZ": "xz",
    }
    for magic, kind in kinds.items():
        if first.startswith(magic):
            raise LandingError(
                f"this is a {kind} archive; archives are never unpacked",
                reason_code="archive",
                remedy="deliver the file unpacked",
            )
