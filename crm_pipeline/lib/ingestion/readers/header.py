"""Header lines.

Add here: what makes a header right or wrong.
Not here: how a format delivers it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.text import header_key
from crm_pipeline.lib.strict_yaml import did_you_mean

MAX_COLUMNS = 1000
# A header of this kind brings personal data nobody asked for.
PERSONAL = re.compile(
    r"phone|mobile|tel(ephone)?$|e-?mail|id_?card|identity|passport|birth|address"
    r"|bank_?(card|account)|openid|unionid"
    r"|手机|电话|邮箱|身份证|护照|生日|出生|地址|银行卡|姓名|收货人|微信"
)


@dataclass(frozen=True)
class Header:
    """Which source column stands at which place of the file, and what was odd about it."""

    names: tuple[str, ...]
    positions: dict[str, int]
    warnings: tuple[str, ...]


def match_header(spec: FeedSpec, names: Sequence[str]) -> Header:
    """Finds the wanted columns by name.

    Raises:
        LandingError: too many columns, one name twice (also by case), a wanted column that is
            missing, or an unknown column that brings personal data.
    """
    if len(names) > MAX_COLUMNS:
        raise LandingError(
            f"{len(names)} columns are too many (limit {MAX_COLUMNS})",
            reason_code="too_many_columns",
            remedy="deliver the columns that are mapped",
        )
    keys = [header_key(name) for name in names]
    positions = _find(spec, names, keys)  # first: a header that is really data must not be quoted
    _refuse_twins(names, keys)
    warnings = _judge_extras(spec, names, keys)
    return Header(tuple(names), positions, warnings)


def _refuse_twins(names: Sequence[str], keys: Sequence[str]) -> None:
    twins = sorted({names[n] for n, key in enumerate(keys) if key and keys.count(key) > 1})
    if twins:
        raise LandingError(
            f"the header names one column twice: {', '.join(map(repr, twins[:6]))}",
            reason_code="header",
            remedy="the source must give every column its own name",
        )


def _find(spec: FeedSpec, names: Sequence[str], keys: Sequence[str]) -> dict[str, int]:
    place = {key: n for n, key in enumerate(keys)}
    positions, missing = {}, []
    for source, is_needed in spec.wanted_columns():
        if header_key(source) in place:
            positions[source] = place[header_key(source)]
        elif is_needed:
            missing.append(source)
    if missing:
        raise _missing(list(dict.fromkeys(missing)), names)
    return positions


def _missing(missing: Sequence[str], names: Sequence[str]) -> LandingError:
    hints = [f"{name!r}: {hint}" for name in missing if (hint := did_you_mean(name, names))]
    lacks = f"the header lacks {', '.join(map(repr, missing[:8]))}"
    return no_table("".join(names[:1]), lacks, hints)


def no_table(start: str, what: str, hints: Sequence[str] = ()) -> LandingError:
    """The refusal of a file whose first line, beginning with ``start``, is no such header."""
    code = "header"
    if start.lstrip().startswith("<"):
        what = "this is a web page, not a table"
    elif start.lstrip().startswith("{"):
        what, code = "this is an error message, not a table", "error_body"
    remedy = "check that the file has a header line, its delimiter, and the feed's columns"
    return LandingError(what, reason_code=code, remedy="; ".join([*hints, remedy]))


def _judge_extras(spec: FeedSpec, names: Sequence[str], keys: Sequence[str]) -> tuple[str, ...]:
    wanted = {header_key(name) for name in (*spec.source_columns, *spec.ignore)}
    extras = [name for name, key in zip(names, keys, strict=True) if key not in wanted]
    refuse_personal(extras)
    if extras:
        shown = ", ".join(name[:40] for name in extras[:8])
        return (f"unknown columns were not read: {shown}",)
    return ()


def refuse_personal(extras: Sequence[str]) -> None:
    """Refuses a file that brings personal data nobody asked for.

    Raises:
        LandingError: one of the unknown columns is named like personal data.
    """
    personal = [name for name in extras if PERSONAL.search(header_key(name))]
    if personal:
        raise LandingError(
            f"unasked personal data: column {', '.join(map(repr, personal[:8]))}",
            reason_code="personal_column",
            remedy="ask the source to leave it out, or name it under 'ignore:' on purpose",
        )
