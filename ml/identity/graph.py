"""Deterministic identity resolution: connected components with guards.

Add here: the order of the steps.
Not here: a guard on one value (``links``), a constraint on a cluster (``constrained``), what
changes from one night to the next (``increment``).

Accounts that share a linking value are connected. Most components are sound and stay as they are;
those with two values of a unique kind, with accounts that people keep apart or beyond the limit are
taken apart again, weakest evidence first. The result is the same for any order of the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import duckdb
import pyarrow as pa

from ml.errors import InvalidDataError
from ml.identity.components import find_components, find_conflicts
from ml.identity.evidence import Limits, settle_conflicts
from ml.identity.links import find_links
from ml.identity.overrides import locate_overrides, read_overrides
from ml.identity.resolution import Resolution, ResolveConfig, tell_dropped, tell_edges
from ml.identity.semantics import OVERRIDE_KIND, IdentifierKind
from ml.identity.sightings import read_sightings

__all__ = ["resolve"]


def resolve(
    sightings: pa.Table | duckdb.DuckDBPyRelation,
    kinds: Sequence[IdentifierKind],
    *,
    overrides: pa.Table | None = None,
    config: ResolveConfig | None = None,
) -> Resolution:
    """Which accounts are one customer.

    Guarantees: every account is in exactly one cluster; no cluster holds two values of a unique
    kind (of an account with several, the one seen last counts), two accounts kept apart by an
    override, or more accounts than the limit; evidence is only left out for a reason that
    ``dropped`` tells.

    Args:
        sightings: ``account`` (text or whole number), ``kind``, ``value`` (normalised, not empty),
            ``seen_from``, ``seen_to`` (dates or UTC timestamps); in any order, repeats allowed. A
            relation is evaluated up to three times.
        kinds: What each kind of identifier proves; every kind in the sightings must be here.
        overrides: ``account_a``, ``account_b``, ``action`` (``link``, ``unlink``, ``never_link``)
            and optionally ``decided_at``. ``link`` is the strongest edge there is; the other two
            keep a pair apart, whatever it shares.
        config: Limits.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: Rows or kinds that cannot be.
    """
    config, kinds = config or ResolveConfig(), tuple(kinds)
    _check_kinds(kinds)
    coded = read_sightings(sightings, kinds)
    applied = read_overrides(overrides, coded.accounts.type)
    decisions = locate_overrides(applied, coded)
    links = find_links(coded, kinds)
    component = find_components(coded, links.groups, decisions)
    is_flagged = find_conflicts(coded, kinds, component, decisions, config.component_limit)
    limits = Limits(config.component_limit, config.people_limit)
    cluster, evidence = settle_conflicts(
        coded, kinds, links, decisions, component, is_flagged, limits
    )
    clusters = pa.table(
        {
            "account": coded.accounts,
            "cluster": coded.accounts.take(pa.array(cluster)),
            "component": coded.accounts.take(pa.array(component)),
        }
    )
    return Resolution(
        clusters,
        applied,
        kinds,
        config,
        partial(tell_edges, evidence),
        partial(tell_dropped, evidence),
    )


def _check_kinds(kinds: Sequence[IdentifierKind]) -> None:
    names = [kind.name for kind in kinds]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or OVERRIDE_KIND in names:
        raise InvalidDataError(
            f"identifier kinds: {', '.join(twice) or OVERRIDE_KIND} cannot be used as a name",
            remedy=f"give each kind a name of its own, other than {OVERRIDE_KIND}",
        )
