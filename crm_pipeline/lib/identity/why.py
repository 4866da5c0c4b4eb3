"""Why two accounts are one customer, in words.

Add here: how evidence is told to people.
Not here: which evidence counts (``ml.identity.explain``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import duckdb

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.identity.overrides import AccountKey
from crm_pipeline.lib.identity.resolution import read_resolution
from ml.identity import IdentifierKind, explain
from ml.identity.explain import ChainLink, Explanation, Obstacle

__all__ = ["REASONS", "tell_reason", "tell_why"]

Masks = Mapping[tuple[str, str], str]

REASONS = {
    "junk_value": "{detail} accounts show it: it is nobody's",
    "excluded": "a rule says that it is nobody's",
    "not_linking": "it is of kind {detail} and never links",
    "recycled": "{detail} days of silence between them: it may have a new owner",
    "conflict_of_unique": "they differ in something a person has one of ({detail})",
    "component_limit": "the customer would have more accounts than anybody has",
    "too_many_people": "{detail} people or more show it: it is nobody's",
    "unlinked": "people decided so ({detail})",
    "unknown_account": "one of the accounts has never been seen",
}


def tell_why(
    connection: duckdb.DuckDBPyConnection,
    kinds: Sequence[IdentifierKind],
    left: AccountKey,
    right: AccountKey,
) -> str:
    """The chain of evidence between two accounts, or what stands between them.

    Args:
        connection: the warehouse; identifiers are told as masks, since it holds nothing clearer.
        kinds: the rule table.
        left: one account.
        right: the other.

    Raises:
        ConfigError: an account nobody has seen.
    """
    ids = [_customer_of(connection, account) for account in (left, right)]
    names = [str(left), str(right)]
    resolution = read_resolution(connection, kinds, around=names)
    known = set(resolution.clusters["account"].to_pylist())
    strangers = [name for name in names if name not in known]
    if strangers:
        lines = [f"{name} shows no identifier: nothing links it" for name in strangers]
        return "\n".join([_head(names, ids), *lines])
    found = explain(resolution, *names)
    masks = _read_masks(connection, found)
    return "\n".join([_head(names, ids), *_tell(found, masks)])


def _head(names: Sequence[str], ids: Sequence[str]) -> str:
    if ids[0] == ids[1]:
        return f"{names[0]} and {names[1]} are one customer, {ids[0]}"
    return f"{names[0]} ({ids[0]}) and {names[1]} ({ids[1]}) are two customers"


def _customer_of(connection: duckdb.DuckDBPyConnection, account: AccountKey) -> str:
    rows = connection.execute(
        "select customer_id from identity.customer_accounts "
        "where channel = ? and source_customer_id = ?",
        [account.channel, account.source_customer_id],
    ).fetchall()
    if not rows:
        raise ConfigError(
            f"no account {account} has been seen",
            remedy="write channel:source_customer_id as in marts.source_customers",
        )
    return str(rows[0][0])


def _tell(found: Explanation, masks: Masks) -> Iterator[str]:
    if found.is_same:
        yield f"  {found.account_a}"
        for link in found.chain:
            yield f"    {_evidence(link, masks)}"
            yield f"  {link.account_b}"
        return
    for obstacle in found.obstacles:
        yield f"  {_obstacle(obstacle, masks)}"
    if not found.obstacles:
        yield (
            "  they have nothing in common"
            if not found.shares_component
            else ("  only accounts between them have something in common, and it was not used")
        )


def _evidence(link: ChainLink, masks: Masks) -> str:
    if link.kind == "override":
        return f"| decided by people{_since(link.seen_from)}"
    shown = masks.get((link.kind, link.value), "***")
    seen = f"seen {_day(link.seen_from)} to {_day(link.seen_to)}"
    return f"| same {link.kind} {shown}, strength {link.strength}, {seen}"


def _obstacle(obstacle: Obstacle, masks: Masks) -> str:
    ends = f"{obstacle.account_a} and {obstacle.account_b}"
    words = tell_reason(obstacle.reason, obstacle.detail)
    if obstacle.kind == "override":
        return f"{ends}: {words}"
    shown = masks.get((obstacle.kind, obstacle.value), "***")
    return f"{ends} share {obstacle.kind} {shown}, not used: {words}"


def tell_reason(reason: str, detail: str) -> str:
    """Why evidence was not used."""
    return REASONS[reason].format(detail=detail)


def _since(instant: dt.datetime | None) -> str:
    return f" on {_day(instant)}" if instant else ""


def _day(instant: dt.datetime | None) -> str:
    return f"{instant:%Y-%m-%d}" if instant else "an unknown day"


def _read_masks(connection: duckdb.DuckDBPyConnection, found: Explanation) -> Masks:
    shown: list[ChainLink | Obstacle] = [*found.chain, *found.obstacles]
    values = sorted({one.value for one in shown})
    rows = connection.execute(
        "select distinct identifier_kind, identifier_token, identifier_mask "
        "from identity.identifiers where identifier_token in (select unnest(?::varchar[]))",
        [values],
    ).fetchall()
    return {(kind, token): mask for kind, token, mask in rows}
