"""Personal data where none belongs: a phone number in a SKU, an identity card in a remark.

Add here: a kind of number and its proof.
Not here: columns that are meant to be personal (their contract says so).
"""

from __future__ import annotations

import re

PREFILTER = "[0-9]{11}|@"  # what every pattern below contains; cheap enough for every value

_PHONE = re.compile(r"(?<![0-9])(?:\+?86)?1[3-9][0-9]{9}(?![0-9])")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}")
_ID_CARD = re.compile(
    r"(?<![0-9])[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"[0-9]{3}[0-9Xx](?![0-9Xx])"
)
_CARD = re.compile(
    r"(?<![0-9])(?:4[0-9]{15}|5[1-5][0-9]{14}|62[0-9]{14,17}|3[47][0-9]{13})(?![0-9])"
)
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def looks_personal(text: str, *, is_id: bool) -> bool:
    """True when ``text`` holds an address, or a number whose shape and check digit agree.

    Numbers of things are long too, so an id is judged only by what cannot be chance.
    """
    if is_id:
        return bool(_PHONE.fullmatch(text) or _MAIL.search(text))
    return bool(
        _PHONE.search(text)
        or _MAIL.search(text)
        or any(is_identity_number(m.group()) for m in _ID_CARD.finditer(text))
        or any(is_card_number(m.group()) for m in _CARD.finditer(text))
    )


def is_identity_number(number: str) -> bool:
    """True when the last character of a Chinese identity number fits (GB 11643)."""
    total = sum(int(d) * w for d, w in zip(number, _ID_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == number[-1].upper()


def is_card_number(number: str) -> bool:
    """True when the Luhn sum of a bank card number fits."""
    weighted = [int(d) * (1 + n % 2) for n, d in enumerate(reversed(number))]
    return sum(w - 9 if w > 9 else w for w in weighted) % 10 == 0


def mask(text: str) -> str:
    """``text`` with every number and address of these shapes blotted out."""
    for pattern in (_MAIL, _ID_CARD, _CARD, _PHONE):
        text = pattern.sub("•••", text)
    return text
