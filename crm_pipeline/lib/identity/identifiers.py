"""Which columns of which records hold identifiers of an account.

Add here: a column that holds one, what its values are called.
Not here: what equal values prove (``seeds/identifier_kinds.csv``), how a value is spelled
(``ml.identity.normalise``), where sightings are kept (``sightings``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import duckdb
import pyarrow as pa

from crm_pipeline.lib.consent.contacts import mask_contact
from crm_pipeline.lib.privacy.tokens import digests, tokens
from ml.identity import IdentifierKind, normalise_column
from ml.identity.sightings import excluded_sql

__all__ = [
    "ENTITY_SOURCES",
    "SPELLED_SCHEMA",
    "EntitySource",
    "IdentifierColumn",
    "spell",
]

KEY, MASKED, INVALID, EXCLUDED = "key", "masked", "invalid", "excluded"
_CHINESE_MOBILE = "+861"


@dataclass(frozen=True)
class IdentifierColumn:
    """A column with identifiers.

    Attributes:
        name: What the column is called here; the kind of its values where ``kind_of`` is absent.
        value: SQL over the record, the text as it was delivered.
        spelling: The normaliser, one of ``ml.identity.IDENTIFIER_TYPES``.
        token_type: What is hashed beside the value; types of one name share their tokens.
        kind_of: From the normalised value to its kind, where a column holds several.
        of_channel: Whether equal values mean something within one channel only.
        kept_in_vault: Whether the clear value must be found again, to reach somebody with it.
        seen_to: SQL instant up to which the value is the account's, where it is not the record's.
    """

    name: str
    value: str
    spelling: str
    token_type: str
    kind_of: Callable[[str], str] | None = None
    of_channel: bool = False
    kept_in_vault: bool = False
    seen_to: str | None = None


@dataclass(frozen=True)
class EntitySource:
    """An entity whose records show identifiers of their account.

    All others are SQL instants: the record was made at ``said_at``, speaks about the time from
    ``seen_from`` to ``seen_to``, and a run sees it from ``visible_at`` on. A profile
    (``is_profile``) is delivered again with what is so now; other records are of one moment.
    """

    entity: str
    columns: tuple[IdentifierColumn, ...]
    said_at: str
    seen_from: str
    seen_to: str
    visible_at: str
    is_profile: bool = False


def _phone_kind(value: str) -> str:
    return "phone" if value.startswith(_CHINESE_MOBILE) or _is_mobile(value) else "landline"


@cache
def _is_mobile(value: str) -> bool:
    from phonenumbers import PhoneNumberType, number_type, parse

    return number_type(parse(value)) != PhoneNumberType.FIXED_LINE


_ADDRESS_AND_NAME = "case when {0} is not null and {1} is not null then {0} || chr(31) || {1} end"

ENTITY_SOURCES = (
    EntitySource(
        "accounts",
        (
            IdentifierColumn("phone", "case when phone_valid_until is null then phone end",
                             "phone", "phone", kind_of=_phone_kind, kept_in_vault=True),
            # A lent number reaches whoever has it next: it is not kept to write to somebody.
            IdentifierColumn("virtual_phone",
                             "case when phone_valid_until is not null then phone end",
                             "phone", "phone", seen_to="phone_valid_until"),
            IdentifierColumn("email", "email", "email", "email", kept_in_vault=True),
            IdentifierColumn("unionid", "wechat_unionid", "union_id", "unionid",
                             kept_in_vault=True),
            IdentifierColumn("openid", "wechat_openid", "open_id", "openid", of_channel=True,
                             kept_in_vault=True),
            IdentifierColumn("alipay_id", "alipay_id", "alipay_id", "alipay_id"),
            IdentifierColumn("member_number", "member_number", "member_number", "member_number"),
            IdentifierColumn("oaid", "hidden_id", "device_id", "oaid", of_channel=True),
            IdentifierColumn("device", "device_id", "device_id", "device"),
            IdentifierColumn("address_name",
                             _ADDRESS_AND_NAME.format("address_text", "display_name"),
                             "address_name", "address_name"),
        ),
        said_at="coalesce(source_version, known_at)",
        seen_from="least(coalesce(registered_at, source_version, known_at), known_at)",
        seen_to="known_at",
        visible_at="known_at",
        is_profile=True,
    ),
    EntitySource(
        "orders",
        (
            IdentifierColumn("phone", "buyer_phone", "phone", "phone", kind_of=_phone_kind),
            IdentifierColumn("member_number", "member_number", "member_number", "member_number"),
            IdentifierColumn("receiver_phone", "receiver_phone", "phone", "phone"),
            IdentifierColumn("receiver_address",
                             _ADDRESS_AND_NAME.format("receiver_address", "receiver_name"),
                             "address_name", "address_name"),
        ),
        said_at="ordered_at",
        seen_from="ordered_at",
        seen_to="ordered_at",
        visible_at="greatest(known_at, ordered_at)",
    ),
    EntitySource(
        "events",
        (IdentifierColumn("device", "device_id", "device_id", "device"),),
        said_at="occurred_at",
        seen_from="occurred_at",
        seen_to="occurred_at",
        visible_at="greatest(known_at, occurred_at)",
    ),
)  # fmt: skip

# One row per distinct delivered text of a column (and channel, where it counts).
SPELLED_SCHEMA = pa.schema(
    [
        ("column_name", pa.string()),
        ("scope", pa.string()),
        ("delivered", pa.string()),
        ("kind", pa.string()),
        ("state", pa.string()),
        ("token", pa.string()),
        ("mask", pa.string()),
        ("spelling_token", pa.string()),
        ("clear_value", pa.string()),
    ]
)


def spell(
    column: IdentifierColumn,
    scopes: pa.Array,
    delivered: pa.Array,
    kinds: Sequence[IdentifierKind],
    key: bytes,
) -> pa.Table:
    """What delivered texts of a column are: key, masked, invalid or excluded by a rule.

    Args:
        column: The column.
        scopes: The channel where it counts, else empty text; one per text.
        delivered: Distinct texts.
        kinds: The rule table; its ``exclude_patterns`` look at clear values, here and nowhere else.
        key: Secret of the tokens.

    Returns:
        ``SPELLED_SCHEMA``; ``clear_value`` only where the vault is to keep it. A text that is no
        identifier has neither token nor mask.
    """
    values, reasons = _normalise(column, delivered)
    kind_of = column.kind_of or (lambda _: column.name)
    names = [column.name if value is None else kind_of(value) for value in values]
    excluded = _find_excluded(names, values, kinds)
    states = [
        _state(value, reason, place in excluded)
        for place, (value, reason) in enumerate(zip(values, reasons, strict=True))
    ]
    scope_texts, texts = scopes.to_pylist(), delivered.to_pylist()
    found = iter(tokens(column.token_type, _scoped(scope_texts, values), key))
    tokens_or_none = [None if value is None else next(found) for value in values]
    return pa.table(
        {
            "column_name": pa.array([column.name] * len(values), pa.string()),
            "scope": scopes,
            "delivered": delivered,
            "kind": pa.array(names, pa.string()),
            "state": pa.array(states, pa.string()),
            "token": pa.array(tokens_or_none, pa.string()),
            "mask": pa.array([_mask(column, value) for value in values], pa.string()),
            "spelling_token": pa.array(
                digests(f"spelling/{column.token_type}", _scoped(scope_texts, texts), key),
                pa.string(),
            ),
            "clear_value": pa.array(
                [
                    value if column.kept_in_vault and state == KEY else None
                    for value, state in zip(values, states, strict=True)
                ],
                pa.string(),
            ),
        },
        SPELLED_SCHEMA,
    )


def _normalise(
    column: IdentifierColumn, delivered: pa.Array
) -> tuple[list[str | None], list[str | None]]:
    if column.spelling == "address_name":
        parts = [text.partition("\x1f") for text in delivered.to_pylist()]
        found = normalise_column(
            "address_name",
            pa.array([part[0] for part in parts], pa.string()),
            pa.array([part[2] for part in parts], pa.string()),
        )
    else:
        found = normalise_column(column.spelling, delivered)
    return found.values.to_pylist(), found.reasons.to_pylist()


def _scoped(scopes: Sequence[str], values: Sequence[str | None]) -> list[str]:
    return [
        f"{scope}:{value}" if scope else value
        for scope, value in zip(scopes, values, strict=True)
        if value is not None
    ]


def _state(value: str | None, reason: str | None, is_excluded: bool) -> str:
    if value is None:
        return MASKED if reason == "masked" else INVALID
    return EXCLUDED if is_excluded else KEY


def _find_excluded(
    names: Sequence[str], values: Sequence[str | None], kinds: Sequence[IdentifierKind]
) -> set[int]:
    """Places of the values a pattern of their kind says are nobody's."""
    patterned = {kind.name for kind in kinds if kind.exclude_patterns}
    if patterned.isdisjoint(names):
        return set()
    asked = pa.table(
        {
            "place": pa.array(range(len(values)), pa.int64()),
            "kind": pa.array(names, pa.string()),
            "value": pa.array(values, pa.string()),
        }
    )
    with duckdb.connect() as connection:
        connection.register("asked", asked)
        rows = connection.execute(
            f"select place from asked where value is not null and ({excluded_sql(kinds)})"
        ).fetchall()
    return {place for (place,) in rows}


def _mask(column: IdentifierColumn, value: str | None) -> str | None:
    """What people may see of it: as little as tells two values of one customer apart."""
    if value is None:
        return None
    if column.token_type in ("phone", "email"):
        return mask_contact(column.token_type, value)
    if column.spelling == "address_name":
        return "***"
    return f"{value[:2]}***{value[-2:]}" if len(value) > 6 else "***"
