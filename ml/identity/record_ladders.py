"""How alike two values are: for each kind of column a ladder of levels, from the same to unlike.

Add here: levels of a kind, as conditions in SQL over ``<column>_l`` and ``<column>_r``. Not here:
how surely a level tells one person (learned from the data by ``splink_engine``).

The first level that holds counts. A condition that is null does not hold. Values of equal rarity
weigh alike only where no frequency column is named: agreeing on a rare family name proves more.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ml.identity.record_columns import column_of
from ml.identity.record_spec import ColumnSpec

__all__ = ["Level", "list_levels"]


@dataclass(frozen=True)
class Level:
    """One step; ``frequency_term`` names the value whose rarity counts."""

    label: str
    condition: str
    frequency_term: str | None = None


def list_levels(column: ColumnSpec, similar: float) -> list[Level]:
    """Levels above "else", the surest first; ``similar`` is the least Jaro-Winkler similarity."""
    return _LADDERS[column.kind](column.name, similar)


def _same(term: str) -> str:
    return f"{column_of(term)}_l = {column_of(term)}_r"


def _alike(left: str, right: str, similar: float) -> str:
    return f"jaro_winkler_similarity({column_of(left)}_l, {column_of(right)}_r) >= {similar}"


def _edits(term: str, limit: int) -> str:
    """Insertions, deletions, substitutions and swaps of neighbours."""
    return f"damerau_levenshtein({column_of(term)}_l, {column_of(term)}_r) <= {limit}"


def _either_null(term: str) -> str:
    return f"({column_of(term)}_l is null or {column_of(term)}_r is null)"


def _name(name: str, similar: float) -> list[Level]:
    return [
        Level("same", _same(name), name),
        Level("alike", _alike(name, name, similar)),
        Level("same sound", _same(f"{name}.sound")),
        Level("distantly alike", _alike(name, name, 0.7)),
    ]


def _full_name(name: str, similar: float) -> list[Level]:
    """Given and family name together: either may be missing, and they may be swapped."""
    given, family = f"{name}.given", f"{name}.family"
    straight = f"({_alike(given, given, similar)} and {_alike(family, family, similar)})"
    swapped = f"({_alike(given, family, similar)} and {_alike(family, given, similar)})"
    crossed = (
        f"({column_of(given)}_l = {column_of(family)}_r"
        f" or {column_of(family)}_l = {column_of(given)}_r)"
    )
    one_alike = " or ".join(
        _alike(left, right, similar)
        for left, right in ((given, given), (family, family), (given, family), (family, given))
    )
    return [
        Level("both the same, in either order", _same(f"{name}.sorted"), f"{name}.sorted"),
        Level("both alike, in either order", f"{straight} or {swapped}"),
        Level(
            "family name the same, given name missing",
            f"{_same(family)} and {_either_null(given)}",
            family,
        ),
        Level("family name the same", _same(family), family),
        Level("given name the same, family name missing",
              f"{_same(given)} and {_either_null(family)}", given),
        Level("given name the same", _same(given), given),
        Level("one the other's given or family name", crossed),
        Level("one alike", one_alike),
    ]  # fmt: skip


def _date_of_birth(name: str, similar: float) -> list[Level]:
    year, month_day = f"{name}.year", f"{name}.month_day"
    two_parts = " or ".join(
        _same(f"{name}.{part}") for part in ("month_day", "year_month", "year_day")
    )
    side = column_of(month_day)
    swapped = f"({_same(year)} and {side}_l = substr({side}_r, 3, 2) || substr({side}_r, 1, 2))"
    months = "12 * try_cast(substr({0}, 1, 4) as integer) + try_cast(substr({0}, 5, 2) as integer)"
    left, right = (months.format(f"{column_of(name)}_{which}") for which in "lr")
    return [
        Level("same", _same(name)),
        Level("one edit, or day and month swapped", f"{_edits(name, 1)} or {swapped}"),
        Level("two of day, month and year the same", two_parts),
        Level("within a year", f"abs(({left}) - ({right})) <= 12"),
    ]


def _email(name: str, similar: float) -> list[Level]:
    return [
        Level("same", _same(name), name),
        Level("same before the @", _same(f"{name}.local")),
        Level("two edits", _edits(name, 2)),
        Level("alike", _alike(name, name, similar)),
    ]


def _phone(name: str, similar: float) -> list[Level]:
    return [
        Level("same", _same(name), name),
        Level("same last digits", _same(f"{name}.end")),
        Level("one edit", _edits(name, 1)),
    ]


def _postcode(name: str, similar: float) -> list[Level]:
    return [
        Level("same", _same(name), name),
        Level("one edit", _edits(name, 1)),
        Level("same area", _same(f"{name}.area")),
    ]


def _address(name: str, similar: float) -> list[Level]:
    words = f"{name}.words"
    return [
        Level("same words in any order", _same(words), words),
        Level("alike", f"{_alike(name, name, 0.94)} or {_alike(words, words, 0.94)}"),
        Level("distantly alike", f"{_alike(name, name, 0.82)} or {_alike(words, words, 0.82)}"),
    ]


def _id(name: str, similar: float) -> list[Level]:
    return [
        Level("same", _same(name)),
        Level("one edit", _edits(name, 1)),
        Level("two edits", _edits(name, 2)),
    ]


def _text(name: str, similar: float) -> list[Level]:
    return [
        Level("same", _same(name), name),
        Level("alike", _alike(name, name, similar)),
        Level("distantly alike", _alike(name, name, 0.8)),
    ]


_LADDERS: dict[str, Callable[[str, float], list[Level]]] = {
    "name": _name,
    "full_name": _full_name,
    "date_of_birth": _date_of_birth,
    "email": _email,
    "phone": _phone,
    "postcode": _postcode,
    "address": _address,
    "id": _id,
    "text": _text,
}
