"""Why two accounts are one customer, or why they are not.

Add here: how the evidence between two accounts is chosen.
Not here: how it is printed (the command line).
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import InvalidDataError
from ml.identity.resolution import Resolution

__all__ = ["ChainLink", "Explanation", "Obstacle", "explain"]

Account = str | int


@dataclass(frozen=True)
class ChainLink:
    """One edge of a chain; ``account_a`` is the end nearer to the first account asked about."""

    account_a: Account
    account_b: Account
    kind: str
    value: str
    strength: int
    seen_from: dt.datetime | None
    seen_to: dt.datetime | None


@dataclass(frozen=True)
class Obstacle:
    """Evidence between the two customers that was not used.

    Where a value links nobody, the accounts are holders of it, one of either customer.
    """

    account_a: Account
    account_b: Account
    kind: str
    value: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Explanation:
    """The answer.

    Attributes:
        account_a: First account asked about.
        account_b: Second account asked about.
        is_same: Whether they are one customer.
        chain: If they are: edges from the first to the second.
        obstacles: If they are not: dropped evidence between their customers, what concerns the two
            accounts themselves first. Empty: they have nothing in common.
        shares_component: Whether evidence would connect them, were it not for the guards on
            clusters.
    """

    account_a: Account
    account_b: Account
    is_same: bool
    chain: tuple[ChainLink, ...]
    obstacles: tuple[Obstacle, ...]
    shares_component: bool


def explain(resolution: Resolution, account_a: Account, account_b: Account) -> Explanation:
    """Evidence between two accounts.

    The chain is the one whose weakest edge is strongest (a widest path); of several the shortest,
    then the first by the alphabet.

    Raises:
        InvalidDataError: An account that the resolution does not know.
    """
    cluster_a, component_a = _find(resolution, account_a)
    cluster_b, component_b = _find(resolution, account_b)
    is_same = cluster_a == cluster_b
    members = _members(resolution, cluster_a)
    chain: tuple[ChainLink, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    if is_same:
        chain = _strongest_chain(_rows_of(resolution.edges, members), account_a, account_b)
    else:
        others = _members(resolution, cluster_b)
        obstacles = _find_obstacles(resolution.dropped, members, others, account_a, account_b)
    shares = component_a == component_b
    return Explanation(account_a, account_b, is_same, chain, obstacles, shares)


def _find(resolution: Resolution, account: Account) -> tuple[Account, Account]:
    table = resolution.clusters
    is_text = pa.types.is_string(table.schema.field("account").type)
    if isinstance(account, str) == is_text:
        rows = table.filter(pc.equal(table["account"], account)).to_pylist()
        if rows:
            return rows[0]["cluster"], rows[0]["component"]
    raise InvalidDataError(
        f"account {account!r} is not among the {table.num_rows} resolved ones",
        remedy="name an account as the sightings spell it",
    )


def _members(resolution: Resolution, cluster: Account) -> pa.Array:
    table = resolution.clusters
    return table.filter(pc.equal(table["cluster"], cluster))["account"].combine_chunks()


def _rows_of(table: pa.Table, accounts: pa.Array) -> list[dict[str, Any]]:
    """Rows about any of the accounts, on either side."""
    ends = [pc.is_in(table[name], value_set=accounts) for name in ("account_a", "account_b")]
    rows: list[dict[str, Any]] = table.filter(pc.or_(*ends)).to_pylist()
    return rows


def _strongest_chain(
    edges: list[dict[str, Any]], start: Account, end: Account
) -> tuple[ChainLink, ...]:
    for least in sorted({edge["strength"] for edge in edges}, reverse=True):
        chain = _shortest_chain([e for e in edges if e["strength"] >= least], start, end)
        if chain is not None:
            return chain
    return ()  # an account is one customer with itself without any edge


def _shortest_chain(
    edges: Iterable[Mapping[str, Any]], start: Account, end: Account
) -> tuple[ChainLink, ...] | None:
    """Breadth first; of several edges between two accounts the strongest, then the newest."""
    links: dict[Account, dict[Account, ChainLink]] = defaultdict(dict)
    for edge in sorted(edges, key=_weakest_first):
        for near, far in (("account_a", "account_b"), ("account_b", "account_a")):
            rest = {name: edge[name] for name in ("kind", "value", "strength")}
            link = ChainLink(
                edge[near], edge[far], **rest, seen_from=edge["seen_from"], seen_to=edge["seen_to"]
            )
            links[edge[near]][edge[far]] = link
    reached: dict[Account, ChainLink | None] = {start: None}
    waiting = deque([start])
    while waiting and end not in reached:
        here = waiting.popleft()
        for there in sorted(links[here], key=lambda account: (str(type(account)), account)):
            if there not in reached:
                reached[there] = links[here][there]
                waiting.append(there)
    if end not in reached:
        return None
    chain = []
    while (step := reached[end]) is not None:
        chain.append(step)
        end = step.account_a
    return tuple(reversed(chain))


def _weakest_first(edge: Mapping[str, Any]) -> tuple[Any, ...]:
    seen_to = edge["seen_to"]
    newest = "" if seen_to is None else seen_to.isoformat()
    return edge["strength"], newest, edge["kind"], edge["value"]


def _find_obstacles(
    dropped: pa.Table, members: pa.Array, others: pa.Array, account_a: Account, account_b: Account
) -> tuple[Obstacle, ...]:
    mine, theirs = set(members.to_pylist()), set(others.to_pylist())
    pairs: list[Obstacle] = []
    holders_a: dict[tuple[Any, ...], list[Account]] = defaultdict(list)
    holders_b: dict[tuple[Any, ...], list[Account]] = defaultdict(list)
    for row in _rows_of(dropped, pa.concat_arrays([members, others])):
        one, other = row["account_a"], row["account_b"]
        key = (row["kind"], row["value"], row["reason"], row["detail"])
        if other is None:
            (holders_a if one in mine else holders_b)[key].append(one)
        elif one in mine and other in theirs:
            pairs.append(Obstacle(one, other, *key))
        elif one in theirs and other in mine:
            pairs.append(Obstacle(other, one, *key))
    for key in holders_a.keys() & holders_b.keys():
        one = account_a if account_a in holders_a[key] else min(holders_a[key])
        other = account_b if account_b in holders_b[key] else min(holders_b[key])
        pairs.append(Obstacle(one, other, *key))

    def nearest_first(found: Obstacle) -> tuple[Any, ...]:
        distance = (found.account_a != account_a) + (found.account_b != account_b)
        return distance, found.kind, found.value, found.reason, found.account_a, found.account_b

    return tuple(sorted(set(pairs), key=nearest_first))
