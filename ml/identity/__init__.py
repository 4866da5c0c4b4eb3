"""Which accounts are one customer. Add here: evidence and what follows. Not here: customer ids."""

from ml.identity.explain import ChainLink, Explanation, Obstacle, explain
from ml.identity.graph import resolve
from ml.identity.increment import resolve_increment
from ml.identity.normalise import (
    IDENTIFIER_TYPES,
    NormalisedColumn,
    normalise_address_name,
    normalise_alipay_id,
    normalise_column,
    normalise_device_id,
    normalise_email,
    normalise_member_number,
    normalise_open_id,
    normalise_phone,
    normalise_union_id,
)
from ml.identity.resolution import Resolution, ResolveConfig
from ml.identity.semantics import (
    KIND_COLUMNS,
    IdentifierKind,
    Semantics,
    check_kinds,
    read_kinds,
)

__all__ = [
    "IDENTIFIER_TYPES",
    "KIND_COLUMNS",
    "ChainLink",
    "Explanation",
    "IdentifierKind",
    "NormalisedColumn",
    "Obstacle",
    "Resolution",
    "ResolveConfig",
    "Semantics",
    "check_kinds",
    "explain",
    "normalise_address_name",
    "normalise_alipay_id",
    "normalise_column",
    "normalise_device_id",
    "normalise_email",
    "normalise_member_number",
    "normalise_open_id",
    "normalise_phone",
    "normalise_union_id",
    "read_kinds",
    "resolve",
    "resolve_increment",
]
