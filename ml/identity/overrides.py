"""What people decided about pairs of accounts.

Add here: an action and its checks.
Not here: what it does to clusters (``graph``, ``constrained``), who decided and why (the ledger).
"""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml.errors import InvalidDataError, MissingColumnsError
from ml.identity.sightings import CodedSightings, Ints, ask, connect

__all__ = ["ACTIONS", "LINK", "NO_TIME", "Decisions", "locate_overrides", "read_overrides"]

LINK = "link"
ACTIONS = (LINK, "unlink", "never_link")
NO_TIME = -(2**62)  # of a decision without a date: older than any
_COLUMNS = ("account_a", "account_b", "action")


@dataclass(frozen=True)
class Decisions:
    """Overrides by account code.

    Attributes:
        linked: Pairs that people put together, two columns.
        linked_at: When, in microseconds; ``NO_TIME`` if nobody says.
        apart: Pairs that people keep apart, two columns.
        apart_action: ``unlink`` or ``never_link``.
        unknown: The overrides about an account without a sighting.
    """

    linked: Ints
    linked_at: Ints
    apart: Ints
    apart_action: list[str]
    unknown: pa.Table


def read_overrides(overrides: pa.Table | None, account_type: pa.DataType) -> pa.Table:
    """Each pair and action once, the smaller account first, with its newest ``decided_at``.

    Args:
        overrides: ``account_a, account_b, action`` and, if known, ``decided_at``.
        account_type: Type of the accounts in the sightings.

    Raises:
        MissingColumnsError: A column is absent.
        InvalidDataError: An unknown action, an empty cell, an account paired with itself.
    """
    if overrides is None:
        return _no_overrides(account_type)
    missing = [name for name in _COLUMNS if name not in overrides.column_names]
    if missing:
        raise MissingColumnsError(missing, frame_name="overrides")
    account = "varchar" if pa.types.is_string(account_type) else "bigint"
    is_dated = "decided_at" in overrides.column_names
    decided_at = "make_timestamp(max(epoch_us(decided_at)))" if is_dated else "null::timestamp"
    relation = connect().from_arrow(overrides)
    _check(relation)
    return ask(
        relation,
        f"""
        select
            least(account_a::{account}, account_b::{account}) as account_a,
            greatest(account_a::{account}, account_b::{account}) as account_b,
            action, {decided_at} as decided_at
        from sightings group by 1, 2, 3 order by 1, 2, 3
        """,
    ).to_arrow_table()


def locate_overrides(overrides: pa.Table, coded: CodedSightings) -> Decisions:
    """Account codes of what ``read_overrides`` returned."""
    nothing = np.zeros((0, 2), np.int64)
    if not overrides.num_rows:
        return Decisions(nothing, np.zeros(0, np.int64), nothing, [], overrides)
    ends = [
        pc.index_in(overrides[name].combine_chunks(), value_set=coded.accounts)
        for name in ("account_a", "account_b")
    ]
    is_known = pc.and_(ends[0].is_valid(), ends[1].is_valid())
    known = overrides.filter(is_known)
    pairs = np.stack([end.filter(is_known).to_numpy().astype(np.int64) for end in ends], axis=1)
    is_link = pc.equal(known["action"], LINK).to_numpy()
    at = pc.fill_null(known["decided_at"].cast(pa.int64()), NO_TIME).to_numpy()
    actions = [a for a in known["action"].to_pylist() if a != LINK]
    unknown = overrides.filter(pc.invert(is_known))
    return Decisions(pairs[is_link], at[is_link], pairs[~is_link], actions, unknown)


def _no_overrides(account_type: pa.DataType) -> pa.Table:
    types = (account_type, account_type, pa.string(), pa.timestamp("us"))
    return pa.table([pa.array([], type_) for type_ in types], names=[*_COLUMNS, "decided_at"])


def _check(relation: duckdb.DuckDBPyRelation) -> None:
    actions = ", ".join(f"'{action}'" for action in ACTIONS)
    found = ask(
        relation,
        "select count(*) - least(count(account_a), count(account_b), count(action)), "
        f"count(*) filter (where action not in ({actions})), "
        "count(*) filter (where account_a = account_b) from sightings",
    ).fetchall()[0]
    words = ("with an empty cell", "with an unknown action", "that pair an account with itself")
    problems = [f"{count} rows {what}" for count, what in zip(found, words, strict=True) if count]
    if problems:
        raise InvalidDataError(
            "overrides: " + "; ".join(problems),
            remedy=f"name two accounts and one of {', '.join(ACTIONS)} in every row",
        )
