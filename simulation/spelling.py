"""How people, clerks and back ends write numbers and addresses that are the same.

Add here: a way of writing an identifier.
Not here: the identifiers (``people``, ``names``), how a channel's file looks (``delivery``).

An account keeps its way: the same number and salt give the same way everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulation.columns import Flags, Ints, join

__all__ = ["masked_phones", "spell_emails", "spell_member_numbers", "spell_phones"]

_MOBILE = "^1[0-9]{10}$"
# Around and between the three parts of a mobile number: 138 | 0013 | 8000.
_TYPED = (("+86", "", ""), ("+86 ", " ", " "), ("", " ", " "), ("", "-", "-"))
_STORED = (("+86", "", ""), ("0086", "", ""), ("86-", "", ""))
_CLERKS = (*_TYPED, ("0086", "", ""), ("(+86)", "", ""), ("'", "", ""))
_WIDE = "wide"
_PHONE_WAYS: dict[str, tuple[tuple[str, str, str] | str, ...]] = {
    "tmall": _STORED,
    "jd": _STORED,
    "douyin": _STORED,
    "mini_program": (*_TYPED, _WIDE),
    "app": (*_TYPED, *_STORED),
    "pos": (*_CLERKS, _WIDE),
    "wecom": (*_CLERKS, _WIDE),
    "legacy": (*_CLERKS, _WIDE),
}


def spell_phones(phones: pa.Array, channel: str, number: Ints, salt: int, share: float) -> pa.Array:
    """Mobile numbers as they stand at a channel; other texts and nulls stay as they are.

    Args:
        phones: Eleven digits each, or something else.
        channel: Whose ways of writing.
        number: Who writes, a number each.
        salt: Parts the choices of one channel from another's.
        share: Of the mobile numbers that are not written as eleven digits.
    """
    ways = _PHONE_WAYS[channel]
    is_mobile = pc.fill_null(pc.match_substring_regex(phones, _MOBILE), False)
    chosen = _choose(number, salt, share, len(ways), is_mobile.to_numpy(zero_copy_only=False))
    return _rewritten(phones, chosen, [partial(_phone, way=way) for way in ways])


def spell_emails(emails: pa.Array, number: Ints, salt: int, share: float) -> pa.Array:
    """Mail addresses, a ``share`` of them with other case."""
    ways = [pc.utf8_upper, pc.utf8_capitalize, pc.utf8_title]
    is_there = emails.is_valid().to_numpy(zero_copy_only=False)
    return _rewritten(emails, _choose(number, salt, share, len(ways), is_there), ways)


def spell_member_numbers(numbers: pa.Array, number: Ints, salt: int, share: float) -> pa.Array:
    """Member numbers as people copy them from a card: in groups, in lower case, with "No."."""
    is_there = numbers.is_valid().to_numpy(zero_copy_only=False)
    ways = [
        pc.utf8_lower,
        lambda part: _grouped(part, " "),
        lambda part: _grouped(part, "-"),
        lambda part: _grouped(pc.utf8_lower(part), " "),
        lambda part: join("NO.", part),
    ]
    return _rewritten(numbers, _choose(number, salt, share, len(ways), is_there), ways)


def masked_phones(phones: pa.Array, hidden: int) -> pa.Array:
    """Numbers with ``hidden`` digits blotted out behind the third: 138****8000."""
    head, tail = pc.utf8_slice_codeunits(phones, 0, 3), pc.utf8_slice_codeunits(phones, 3 + hidden)
    return join(head, "*" * hidden, tail)


def _phone(phones: pa.Array, way: tuple[str, str, str] | str) -> pa.Array:
    if isinstance(way, str):
        for digit in range(10):
            phones = pc.replace_substring(phones, str(digit), chr(ord("０") + digit))
        return phones
    head, after_third, after_seventh = way
    parts = [pc.utf8_slice_codeunits(phones, *ends) for ends in ((0, 3), (3, 7), (7, 11))]
    return join(head, parts[0], after_third, parts[1], after_seventh, parts[2])


def _grouped(numbers: pa.Array, sign: str) -> pa.Array:
    """Letters and groups of four digits: VIP 0000 1234 5678."""
    ends = ((0, 3), (3, 7), (7, 11), (11, None))
    return pc.binary_join_element_wise(
        *(pc.utf8_slice_codeunits(numbers, *each) for each in ends), sign
    )


def _choose(number: Ints, salt: int, share: float, ways: int, may: Flags) -> Ints:
    """The way of each, -1 = as it is."""
    mixed = _mixed(number, salt)
    rewrites = may & (mixed % 10_000 < round(share * 10_000))
    return np.where(rewrites, mixed // 10_000 % ways, -1)


def _mixed(number: Ints, salt: int) -> Ints:
    """A number below 2^62 that shows nothing of ``number`` and ``salt`` (Steele et al., 2014)."""
    mixed: NDArray[np.uint64] = number.astype(np.uint64) * np.uint64(64) + np.uint64(salt)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(2)).astype(np.int64)


def _rewritten(
    texts: pa.Array, chosen: Ints, ways: Sequence[Callable[[pa.Array], pa.Array]]
) -> pa.Array:
    """``texts`` with each row rewritten in its way."""
    rows = [np.flatnonzero(chosen == way) for way in range(-1, len(ways))]
    parts = [texts.take(pa.array(mine)) for mine in rows]
    written = [way(part) for way, part in zip(ways, parts[1:], strict=True)]
    place = np.empty(len(texts), np.int64)
    place[np.concatenate(rows)] = np.arange(len(texts))
    return pa.concat_arrays([parts[0], *written]).take(pa.array(place))
