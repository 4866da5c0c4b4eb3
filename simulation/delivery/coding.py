"""Canonical words as a channel spells them.

Add here: a way of spelling that more than one feed of people's behaviour needs.
Not here: the words (``channels/``), instants and money (``sql``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simulation.delivery.sql import literal


def coded(column: str, words: Mapping[str, str | Sequence[str]], by: str = "") -> str:
    """SQL of the channel's word for each canonical one; null where the column is.

    Args:
        column: the clean column.
        words: canonical word to the channel's; several where the channel has more than one for it.
        by: clean column that decides among several: the last sign of its text.
    """
    branches = "".join(
        f" when {literal(word)} then {_one_of(said, by)}" for word, said in words.items()
    )
    return f"case {column}{branches} end"


def _one_of(said: str | Sequence[str], by: str) -> str:
    if isinstance(said, str):
        return literal(said)
    return f"[{', '.join(map(literal, said))}][1 + {spread(by, len(said))}]"


def spread(column: str, count: int) -> str:
    """SQL of a number from 0 below ``count``: the same for the same text, on every engine."""
    return f"(coalesce(ascii(right({column}, 1)), 0) % {count})"


CHANGED_AFTER_DAYS = 60
# Four accounts in a hundred change some weeks after they were opened.
ACCOUNT_CHANGES = f"""case when right(source_customer_id, 2) in ('07', '37', '57', '73')
    and not coalesce(is_protected, false) and phone is not null
    then registered_at + interval {CHANGED_AFTER_DAYS} day end"""


def moved_city(column: str) -> str:
    """SQL of the city; before the change it is a wrong one."""
    return f"case when restated_at > delivered_at then '保定' else {column} end"


def changed_phone(column: str) -> str:
    """SQL of the number; before the change it is one nobody else has."""
    digits = f"translate({column}, '０１２３４５６７８９', '0123456789')"
    before = f"'198' || right(regexp_replace({digits}, '[^0-9]', '', 'g'), 8)"
    return f"case when restated_at > delivered_at then {before} else {column} end"


def grouped(column: str) -> str:
    """SQL of a whole number with separators between thousands."""
    return f"format('{{:,}}', cast({column} as bigint))"


def zoned(column: str) -> str:
    """SQL of an instant with its zone: in Beijing time or in UTC, as the server stood."""
    pattern = "'%Y-%m-%dT%H:%M:%S'"
    return (
        f"case when epoch_us({column}) // 1000000 % 3 = 0 "
        f"then strftime({column}, {pattern}) || 'Z' "
        f"else strftime({column} + interval 8 hour, {pattern}) || '+08:00' end"
    )
