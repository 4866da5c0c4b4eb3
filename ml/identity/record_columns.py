"""Comparable values of a record: each kind of column cleaned, and the features made of it.

Add here: what a kind of column means. Not here: which values are compared (``record_spec``).

Cleaning never judges: a value that is no valid date or number is still compared as it was typed,
since a typing error is what the comparison is there for. Nothing left after cleaning is null.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

import pandas as pd

from ml.errors import InvalidDataError
from ml.frames import refuse_duplicate_keys
from ml.identity.record_spec import FEATURES, ColumnSpec, RecordSpec, RecordSpecError

__all__ = ["column_of", "make_features", "sort_records"]

_NOT_LETTERS = re.compile(r"[^\w]|[\d_]")
_NOT_WORD = re.compile(r"[^\w]|_")
_NOT_DIGITS = re.compile(r"\D")
# American Soundex, as the National Archives describe it for the census indexes.
_SOUNDEX = str.maketrans("bfpvcgjkqsxzdtlmnr", "111122222222334556")


def column_of(term: str) -> str:
    """Column of the feature frame that holds a term; safe as an SQL name, even for ``order``."""
    return "c_" + term.replace(".", "__")


def sort_records(table: pd.DataFrame, spec: RecordSpec) -> pd.DataFrame:
    """Return the declared columns in the order of ids, so that the result has no other order.

    Raises:
        RecordSpecError: The table lacks a declared column.
        InvalidDataError: An id is null, stands twice, or ids cannot be ordered.
    """
    sources = dict.fromkeys(source for column in spec.columns for source in column.of)
    sources |= dict.fromkeys(spec.deterministic.exact_keys if spec.deterministic else ())
    missing = [name for name in (spec.id, *sources) if name not in table.columns]
    if missing:
        raise RecordSpecError(
            "table",
            f"lacks {', '.join(missing)}; it has {', '.join(map(str, table.columns))}",
            remedy="correct `id`, `of` or `exact_keys` in the declaration, or the table's header",
        )
    refuse_duplicate_keys(table, [spec.id], frame_name="table")
    try:
        return table.sort_values(spec.id, ignore_index=True)
    except TypeError as error:
        raise InvalidDataError(
            f"table: ids cannot be ordered ({error})", remedy="use ids of one type"
        ) from error


def make_features(records: pd.DataFrame, spec: RecordSpec) -> pd.DataFrame:
    """Return one text column per term (``column_of``), one row per record, same order."""
    columns: dict[str, pd.Series] = {}
    for column in spec.columns:
        values = [records[source] for source in column.of]
        made = _MAKERS[column.kind](column, [_to_text(value) for value in values])
        for feature in ("", *FEATURES[column.kind]):
            term = f"{column.name}.{feature}" if feature else column.name
            columns[column_of(term)] = _null_if_empty(made[feature])
    return pd.DataFrame(columns, index=records.index)


Texts = list[str]
Maker = Callable[[ColumnSpec, list[Texts]], dict[str, Texts]]


def _make_name(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    nicknames = dict(column.nicknames)
    names = [_clean_name(value) for value in values[0]]
    names = [nicknames.get(name, name) for name in names]
    return {
        "": names,
        "start": [name[: column.start_length] for name in names],
        "sound": [_soundex(name) for name in names],
    }


def _make_full_name(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    nicknames = dict(column.nicknames)
    given, family = ([_clean_name(value) for value in part] for part in values)
    given = [nicknames.get(name, name) for name in given]
    parts = list(zip(given, family, strict=True))
    return {
        "": [" ".join(pair).strip() for pair in parts],
        "given": given,
        "family": family,
        "sorted": [" ".join(sorted(pair)) if all(pair) else "" for pair in parts],
    }


def _make_date_of_birth(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    dates = [_clean_date(value, column.date_format) for value in values[0]]
    return {
        "": dates,
        "year": [date[:4] for date in dates],
        "month_day": [date[4:] for date in dates],
        "year_month": [date[:6] for date in dates],
        "year_day": [f"{date[:4]}{date[6:]}" for date in dates],
    }


def _make_email(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    emails = ["".join(_fold(value).split()) for value in values[0]]
    parts = [email.rpartition("@") for email in emails]
    return {
        "": emails,
        "local": [local for local, _, _ in parts],
        "domain": [domain if local else "" for local, _, domain in parts],
        "local_start": [local[: column.start_length] for local, _, _ in parts],
    }


def _make_phone(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    digits = [_NOT_DIGITS.sub("", _fold(value)).lstrip("0") for value in values[0]]
    return {"": digits, "end": [number[-column.end_length :] for number in digits]}


def _make_postcode(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    codes = [_NOT_WORD.sub("", _fold(value)) for value in values[0]]
    return {"": codes, "area": [code[: column.area_length] for code in codes]}


def _make_address(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    lines = [" ".join(parts) for parts in zip(*values, strict=True)]
    words = [_NOT_WORD.sub(" ", _fold(line)).split() for line in lines]
    return {"": ["".join(word) for word in words], "words": [" ".join(sorted(w)) for w in words]}


def _make_id(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    return {"": [_NOT_WORD.sub("", _fold(value)) for value in values[0]]}


def _make_text(column: ColumnSpec, values: list[Texts]) -> dict[str, Texts]:
    texts = [" ".join(_fold(value).split()) for value in values[0]]
    return {"": texts, "start": [text[: column.start_length] for text in texts]}


_MAKERS: dict[str, Maker] = {
    "name": _make_name,
    "full_name": _make_full_name,
    "date_of_birth": _make_date_of_birth,
    "email": _make_email,
    "phone": _make_phone,
    "postcode": _make_postcode,
    "address": _make_address,
    "id": _make_id,
    "text": _make_text,
}


def _to_text(values: pd.Series) -> Texts:
    """Text as it stands; a whole number that a null made a float has no ``.0``."""
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.strftime("%Y-%m-%d")
    elif pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return [
        str(value) if known else "" for value, known in zip(values, values.notna(), strict=True)
    ]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _clean_name(text: str) -> str:
    """Letters only, accents dropped: ``O'Brien-Súñer`` is ``obriensuner``."""
    decomposed = unicodedata.normalize("NFKD", _fold(text))
    return _NOT_LETTERS.sub("", "".join(c for c in decomposed if not unicodedata.combining(c)))


def _clean_date(text: str, date_format: str) -> str:
    """YYYYMMDD; a date that does not exist keeps its digits, mistyped as they are."""
    try:
        return datetime.strptime(text.strip(), date_format).replace(tzinfo=UTC).strftime("%Y%m%d")
    except ValueError:
        return _NOT_DIGITS.sub("", text)


def _soundex(name: str) -> str:
    """American Soundex of an ASCII name: ``robert`` and ``rupert`` are ``r163``; else empty."""
    if not name.isascii() or not name:
        return ""
    digits, last = "", name[0].translate(_SOUNDEX)
    for letter in name[1:]:
        digit = letter.translate(_SOUNDEX)
        if digit.isdigit() and digit != last:
            digits += digit
        if letter not in "hw":
            last = digit
    return (name[0] + digits + "000")[:4]


def _null_if_empty(texts: Texts) -> pd.Series:
    return pd.Series([text or None for text in texts], dtype=object)
