"""One spelling per identifier, or a reason why a text is none.

Add here: a type of identifier and how people and machines write it.
Not here: values that are well written and nobody's (``exclude_patterns`` of the kind), masks for
display.

A function takes raw text and returns ``(value, None)`` or ``(None, reason)``. Reasons: ``empty``,
``masked``, ``several`` (two identifiers in one cell), ``precision`` (digits lost in a spreadsheet),
``too_long``, ``too_short``, ``placeholder``, ``invalid``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import InvalidDataError

__all__ = [
    "IDENTIFIER_TYPES",
    "Normalised",
    "NormalisedColumn",
    "normalise_address_name",
    "normalise_alipay_id",
    "normalise_column",
    "normalise_device_id",
    "normalise_email",
    "normalise_member_number",
    "normalise_open_id",
    "normalise_phone",
    "normalise_union_id",
]

Normalised: TypeAlias = tuple[str | None, str | None]

DEFAULT_REGION = "CN"
MAX_LENGTH = 512
MIN_ADDRESS_LENGTH = 5  # a city alone is not where somebody lives
SEPARATOR = "\x1f"

_INVISIBLE = {"Cf", "Cc"}  # zero-width and direction marks, control characters
_MASK = re.compile(r"\*|[•●×]{2}")
_PHONE_MASK = re.compile(r"[xX#_]{3}")  # in other identifiers these are letters like any
_SCIENTIFIC = re.compile(r"[+-]?[0-9](\.[0-9]+)?[eE][+-]?[0-9]+")
_WHOLE_FLOAT = re.compile(r"([0-9]{5,15})\.0")  # a number column that once held a gap

# Between two numbers in one cell; a part is a number of its own from seven digits on.
_BETWEEN_PHONES = re.compile(r"[/,;|&、或和]|\s+")
_PHONE_PART = re.compile(r"(?:[^0-9]*[0-9]){7}")
_PHONE_SIGNS = re.compile(r"[\s().\-‐‑‒–—]")
_PHONE = re.compile(r"\+?[0-9]{5,17}")
_MOBILE = re.compile(r"(?:\+?86|0086)?(1[3-9][0-9]{9})")
_NEIGHBOURS = re.compile(r"(?:852|853|886)[0-9]{8,9}")  # Hong Kong, Macau, Taiwan without a plus

# Addresses so plain that the library, forty times slower, has nothing to say about them.
_PLAIN_EMAIL = re.compile(
    r"(?!.{255})(?!.{65,}@)[a-z0-9]+([._+-][a-z0-9]+)*"
    r"@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}"
)
# What is printed before a card's number; without a sign behind them the letters are part of it.
_NUMBER_WORD = re.compile(r"(?:NO|NR)[.:]|(?:会员)?(?:卡号|号)[.:]|#", re.IGNORECASE)
_HEX = re.compile(r"[0-9A-Fa-f-]+")
_PROVIDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.=+/-]{5,255}")


class NormalisedColumn(NamedTuple):
    """Two text columns of one length: the value, and the reason where there is none."""

    values: pa.Array
    reasons: pa.Array


def normalise_phone(text: str | None, *, region: str = DEFAULT_REGION) -> Normalised:
    """E.164, mobile or landline, of any country; numbers without a prefix belong to ``region``.

    Only what ``phonenumbers.is_valid_number`` accepts: the library parses ``138****8000``, too.
    """
    if found := _chinese_mobile(text, region):
        return found, None
    folded, reason = _fold(text)
    if folded is None:
        return None, reason
    folded = _without_float_end(folded.lstrip("'`’‘").strip())
    if _PHONE_MASK.search(folded):
        return None, "masked"
    parts = [part for part in _BETWEEN_PHONES.split(folded) if _PHONE_PART.match(part)]
    if len(parts) > 1:
        return None, "several"
    number = _PHONE_SIGNS.sub("", folded)
    if found := _chinese_mobile(number, region):
        return found, None
    if not _PHONE.fullmatch(number):
        return None, "invalid"
    found = _parse_phone(number, region)
    if found is None and _NEIGHBOURS.fullmatch(number):
        found = _parse_phone(f"+{number}", region)
    return (found, None) if found else (None, "invalid")


def normalise_email(text: str | None) -> Normalised:
    """The mailbox in lower case, its domain in Unicode; no question is put to the DNS."""
    if text is not None and _is_plain_email(text):
        return text.lower(), None
    folded, reason = _fold(text)
    if folded is None:
        return None, reason
    if folded.count("@") > 1 and re.search(r"[\s,;/|、]", folded):
        return None, "several"
    folded = folded.casefold()
    if _is_plain_email(folded):
        return folded, None
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(folded, check_deliverability=False)
    except EmailNotValidError:
        return None, "invalid"
    # The library composes (NFC); what casefold takes apart is composed once more.
    return unicodedata.normalize("NFKC", found.normalized.casefold()), None


def normalise_member_number(text: str | None) -> Normalised:
    """Capital letters and digits; blanks and hyphens are for readers, leading zeros are not.

    Nor is "No." before it.
    """
    folded, reason = _fold(text)
    if folded is None:
        return None, reason
    folded = folded.lstrip("'")
    if word := _NUMBER_WORD.match(folded):
        folded = folded[word.end() :]
    number = re.sub(r"[\s\-‐‑‒–—]", "", _without_float_end(folded.strip())).upper()
    if not number.replace("_", "").isalnum():
        return None, "invalid"
    return _refuse_placeholder(number)


def normalise_open_id(text: str | None) -> Normalised:
    """WeChat id of a person in one app; case counts."""
    return _provider_id(text)


def normalise_union_id(text: str | None) -> Normalised:
    """WeChat id of a person across the apps of one owner; case counts."""
    return _provider_id(text)


def normalise_alipay_id(text: str | None) -> Normalised:
    """Alipay user id (16 digits from 2088 on) or open id; case counts."""
    return _provider_id(text)


def normalise_device_id(text: str | None) -> Normalised:
    """OAID, IDFA, a hash: only equality means something. Hexadecimal ids lose their case.

    Phones whose owner allows no tracking report zeros: no id.
    """
    value, reason = _provider_id(text)
    if value and _HEX.fullmatch(value):
        value = value.lower()
    return value, reason


def normalise_address_name(address: str | None, name: str | None) -> Normalised:
    """One key of where somebody lives and is called: letters and digits only, ``address|name``.

    Traditional and simplified characters stay different.
    """
    where, where_reason = _fold(address)
    who, who_reason = _fold(name)
    if where is None or who is None:
        return None, where_reason or who_reason
    where, who = _letters(where), _letters(who)
    if not who or len(where) < MIN_ADDRESS_LENGTH:
        return None, "too_short"
    return f"{where}|{who}", None


_SINGLE: dict[str, Callable[[str | None], Normalised]] = {
    "phone": normalise_phone,
    "email": normalise_email,
    "member_number": normalise_member_number,
    "open_id": normalise_open_id,
    "union_id": normalise_union_id,
    "alipay_id": normalise_alipay_id,
    "device_id": normalise_device_id,
}
_PAIR = "address_name"
IDENTIFIER_TYPES = (*_SINGLE, _PAIR)


def normalise_column(
    identifier_type: str,
    column: pa.Array | pa.ChunkedArray,
    names: pa.Array | pa.ChunkedArray | None = None,
) -> NormalisedColumn:
    """Normalise a text column; each distinct cell is looked at once.

    Args:
        identifier_type: One of ``IDENTIFIER_TYPES``.
        column: Raw text.
        names: For ``address_name``, the names that belong to the addresses in ``column``.

    Raises:
        InvalidDataError: An unknown type, or names that do not go with it.
    """
    if identifier_type not in IDENTIFIER_TYPES or (identifier_type == _PAIR) != (names is not None):
        raise InvalidDataError(
            f"identifier type {identifier_type!r} with{'' if names is not None else 'out'} names",
            remedy=f"use one of {', '.join(IDENTIFIER_TYPES)}; {_PAIR} alone takes names",
        )
    cells = column.cast(pa.string())
    if names is not None:
        # A separator of its own, so that no two pairs of cells look the same.
        cells = pc.binary_join_element_wise(
            pc.replace_substring(pc.fill_null(cells, ""), SEPARATOR, " "),
            pc.replace_substring(pc.fill_null(names.cast(pa.string()), ""), SEPARATOR, " "),
            SEPARATOR,
        )
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    encoded = pc.dictionary_encode(cells, null_encoding="encode")
    rule = _normalise_pair if names is not None else _SINGLE[identifier_type]
    found = [rule(cell) for cell in encoded.dictionary.to_pylist()]
    values, reasons = (
        pa.array([one[place] for one in found], pa.string()).take(encoded.indices)
        for place in (0, 1)
    )
    return NormalisedColumn(values, reasons)


def _normalise_pair(cell: str | None) -> Normalised:
    address, _, name = (cell or "").partition(SEPARATOR)
    return normalise_address_name(address, name)


def _fold(text: str | None) -> Normalised:
    """NFKC without what cannot be seen; refuses what no identifier looks like."""
    if text is None:
        return None, "empty"
    if len(text) > MAX_LENGTH:
        return None, "too_long"
    if not (text.isascii() and text.isprintable()):
        text = unicodedata.normalize("NFKC", text)
        text = "".join(
            " " if sign in "\t\n\r" else sign
            for sign in text
            if sign in "\t\n\r" or unicodedata.category(sign) not in _INVISIBLE
        )
    text = text.strip()
    if not text:
        return None, "empty"
    if _MASK.search(text):
        return None, "masked"
    if _SCIENTIFIC.fullmatch(text):
        return None, "precision"
    return text, None


def _without_float_end(text: str) -> str:
    whole = _WHOLE_FLOAT.fullmatch(text)
    return whole[1] if whole else text


def _provider_id(text: str | None) -> Normalised:
    folded, reason = _fold(text)
    if folded is None:
        return None, reason
    if not _PROVIDER_ID.fullmatch(folded):
        return None, "invalid"
    return _refuse_placeholder(folded)


def _refuse_placeholder(value: str) -> Normalised:
    signs = set(value) - {"-", "_", ":"}
    return (None, "placeholder") if signs <= {"0"} else (value, None)


def _letters(text: str) -> str:
    # Folding case can take letters apart (ŉ, İ): compose again, so that a key is its own key.
    folded = unicodedata.normalize("NFKC", text.casefold())
    return "".join(sign for sign in folded if sign.isalnum())


def _is_plain_email(text: str) -> bool:
    """Two hyphens are punycode and its kin; reserved domains are the library's to refuse."""
    if not text.isascii() or not _PLAIN_EMAIL.fullmatch(text := text.lower()):
        return False
    domain = text.rpartition("@")[2]
    return "--" not in domain and not f".{domain}".endswith(_reserved_endings())


@cache
def _reserved_endings() -> tuple[str, ...]:
    from email_validator import SPECIAL_USE_DOMAIN_NAMES

    return tuple(f".{name}" for name in SPECIAL_USE_DOMAIN_NAMES)


def _chinese_mobile(text: str | None, region: str) -> str | None:
    if text is None or region != DEFAULT_REGION:
        return None
    mobile = _MOBILE.fullmatch(text)
    return f"+86{mobile[1]}" if mobile and _chinese_mobiles().fullmatch(mobile[1]) else None


@cache
def _chinese_mobiles() -> re.Pattern[str]:
    """The library's own pattern of Chinese mobiles: its full way takes thirty times as long."""
    from phonenumbers import PhoneMetadata

    metadata = PhoneMetadata.metadata_for_region(DEFAULT_REGION)
    if metadata is None or not metadata.mobile or not metadata.mobile.national_number_pattern:
        return re.compile(r"(?!)")  # matches nothing: the full way decides
    return re.compile(metadata.mobile.national_number_pattern)


def _parse_phone(number: str, region: str) -> str | None:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
