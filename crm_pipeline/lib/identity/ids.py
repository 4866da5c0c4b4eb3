"""Stable customer ids.

Add here: how an id is minted, kept and found again, and what is remembered of its changes.
Not here: which accounts are one person (``ml.identity``).

An id is minted for one account, the smallest of its cluster at that moment, and stays anchored
there. Whichever cluster holds the anchor has the id; of several anchors the oldest wins. So a
merge keeps the older id, a split gives the parting accounts the id they had before the merge or a
new one, and no id is ever computed twice.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.errors import LedgerError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import sha256_of, write_parquet
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import id_versions, identity_changes

ID_HEX = 20  # 80 bits: among 100 M customers a collision has odds of 1 to 240 million
KEPT_VERSIONS = 10
SEPARATOR = "\x1f"

ACCOUNT_SCHEMA = pa.schema(
    [("channel", pa.string()), ("source_customer_id", pa.string()), ("customer_id", pa.string())]
)
# What the id file holds: ``minted_id`` is the id anchored at the account, if one is.
STATE_SCHEMA = pa.schema([*ACCOUNT_SCHEMA, ("minted_id", pa.string()), ("minted_in", pa.int64())])
CHANGE_SCHEMA = pa.schema(
    [
        ("version", pa.int64()),
        ("as_of_date", pa.date32()),
        ("channel", pa.string()),
        ("source_customer_id", pa.string()),
        ("from_customer_id", pa.string()),
        ("to_customer_id", pa.string()),
        ("change_kind", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class _Version:
    """The id file a pointer names."""

    number: int
    state: pa.Table


def assign_customer_ids(
    home: CrmHome,
    ledger: sa.Engine,
    accounts: pa.Table,
    *,
    key: bytes,
    as_of: dt.date,
    mint: bool = True,
    now: dt.datetime | None = None,
) -> pa.Table:
    """Gives every account the id of its cluster.

    The newest id file tells which ids exist. Where an account is new, or its cluster has another
    id than yesterday, the next file with all accounts is written before its pointer, and every
    account that changed its id is recorded beside the pointer.

    Args:
        home: where the id files live.
        ledger: holds the pointer to the newest file, and the changes.
        accounts: ``channel``, ``source_customer_id`` and, unless each is a customer of its own,
            ``cluster`` (any value; null: alone) and ``reason`` (why it is in its cluster, told
            with a change); accounts without a name and repeats are ignored.
        key: secret of the ids, so that a source id cannot be guessed from a customer id.
        as_of: the business day the clusters were found for; changes hold from the day after it.
        mint: False for a past ``as_of``: nothing is recorded and unknown accounts get no id. A
            cluster whose id nobody remembers has the one its smallest account would be given.
        now: the instant recorded beside a new version.

    Returns:
        ``channel, source_customer_id, customer_id`` of these accounts, ordered by the first two.
    """
    while True:
        version = _read_newest(home, ledger)
        with duckdb.connect() as connection:
            _place(connection, _completed(accounts), version.state)
            _mint(connection, key, version.number + 1)
            if not mint:
                return _known(connection)
            changes = _changes(connection, version.number + 1, as_of)
            if not _has_news(connection, changes):
                return _assigned(connection)
            state = connection.sql(_STATE).to_arrow_table().cast(STATE_SCHEMA)
            assigned = _assigned(connection)
        if _write_version(home, ledger, version.number, state, changes, now or _utc_now()):
            return assigned


def preview_customer_ids(
    home: CrmHome, ledger: sa.Engine, accounts: pa.Table, *, key: bytes, as_of: dt.date
) -> tuple[pa.Table, pa.Table]:
    """What ``assign_customer_ids`` would give and record, without keeping any of it.

    Returns:
        The ids (``ACCOUNT_SCHEMA``) and the changes (``CHANGE_SCHEMA``).
    """
    version = _read_newest(home, ledger)
    with duckdb.connect() as connection:
        _place(connection, _completed(accounts), version.state)
        _mint(connection, key, version.number + 1)
        return _assigned(connection), _changes(connection, version.number + 1, as_of)


def read_accounts(home: CrmHome, ledger: sa.Engine) -> pa.Table:
    """All accounts with their ids, from the newest id file."""
    return _read_newest(home, ledger).state.select(ACCOUNT_SCHEMA.names)


def read_changes(ledger: sa.Engine) -> pa.Table:
    """Every change of an account's id, the oldest first (``CHANGE_SCHEMA``)."""
    table = identity_changes
    query = sa.select(*(table.c[name] for name in CHANGE_SCHEMA.names)).order_by(table.c.change_id)
    with ledger.connect() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    return pa.Table.from_pylist(rows, CHANGE_SCHEMA)


def mint_id(channel: str, source_customer_id: str, key: bytes) -> str:
    """The id a new account gets: ``c`` and 20 hex digits of a keyed hash."""
    return _mint_ids([channel], [source_customer_id], key)[0]


def _mint_ids(channels: Sequence[str], sources: Sequence[str], key: bytes) -> list[str]:
    keyed = hmac.new(key, digestmod=hashlib.sha256)
    ids = []
    for channel, source in zip(channels, sources, strict=True):
        digest = keyed.copy()  # a third of the time of setting the key up for every account
        digest.update(f"{channel}{SEPARATOR}{source}".encode())
        ids.append("c" + digest.hexdigest()[:ID_HEX])
    return ids


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


# ----------------------------------------------------------------------------- who gets which id

# The wanted accounts, with what is known of them. Without a cluster an account is alone.
_PLACED = """
create temp table placed as
select
    w.channel,
    w.source_customer_id,
    coalesce('c' || w.cluster::varchar, 'a' || w.channel || chr(31) || w.source_customer_id)
        as cluster,
    w.reason,
    k.customer_id as old_id,
    k.minted_id,
    k.minted_in
from (
    select channel, source_customer_id, any_value(cluster) as cluster, any_value(reason) as reason
    from wanted
    where channel is not null and source_customer_id is not null
    group by channel, source_customer_id
) as w
left join known as k using (channel, source_customer_id)
"""

# An anchor that is not among the wanted accounts speaks where the smallest account with its id is.
_OWNED = """
create temp table owned as
with anchors as (
    select cluster, minted_id, minted_in, channel, source_customer_id
    from placed
    where minted_id is not null
    union all
    select
        arg_min(p.cluster, (p.channel, p.source_customer_id)),
        k.minted_id, k.minted_in, k.channel, k.source_customer_id
    from known as k
    inner join placed as p on k.minted_id = p.old_id
    anti join placed as present
        on k.channel = present.channel and k.source_customer_id = present.source_customer_id
    group by all
)
select cluster, arg_min(minted_id, (minted_in, channel, source_customer_id)) as customer_id
from anchors
group by cluster
"""

_UNOWNED = """
select
    arg_min(channel, (channel, source_customer_id)) as channel,
    arg_min(source_customer_id, (channel, source_customer_id)) as source_customer_id
from placed
where cluster not in (select cluster from owned)
group by cluster
order by all
"""

_NEW_IDS = """
create temp table new_ids as
select p.*, coalesce(o.customer_id, m.minted_id) as customer_id
from placed as p
left join owned as o using (cluster)
left join (
    select placed.cluster, minted.minted_id
    from minted
    inner join placed using (channel, source_customer_id)
) as m using (cluster)
"""

# An account follows a merge when the anchor of its old id came along, and leaves by a split else.
_CHANGES = """
select
    cast($version as bigint) as version,
    cast($as_of as date) as as_of_date,
    n.channel,
    n.source_customer_id,
    n.old_id as from_customer_id,
    n.customer_id as to_customer_id,
    case when a.customer_id = n.customer_id then 'merge' else 'split' end as change_kind,
    n.reason
from new_ids as n
left join new_ids as a on n.old_id = a.minted_id
where n.old_id <> n.customer_id
order by n.channel, n.source_customer_id
"""

_STATE = """
select
    coalesce(n.channel, k.channel) as channel,
    coalesce(n.source_customer_id, k.source_customer_id) as source_customer_id,
    coalesce(n.customer_id, k.customer_id) as customer_id,
    coalesce(k.minted_id, m.minted_id) as minted_id,
    coalesce(k.minted_in, m.minted_in) as minted_in
from new_ids as n
full join known as k
    on n.channel = k.channel and n.source_customer_id = k.source_customer_id
left join minted as m
    on n.channel = m.channel and n.source_customer_id = m.source_customer_id
order by channel, source_customer_id
"""


def _completed(accounts: pa.Table) -> pa.Table:
    for name in ("cluster", "reason"):
        if name not in accounts.column_names:
            accounts = accounts.append_column(name, pa.nulls(accounts.num_rows, pa.string()))
    return accounts


def _place(connection: duckdb.DuckDBPyConnection, accounts: pa.Table, state: pa.Table) -> None:
    connection.register("wanted", accounts)
    connection.register("known", state)
    connection.execute(_PLACED)
    connection.execute(_OWNED)


def _mint(connection: duckdb.DuckDBPyConnection, key: bytes, version: int) -> None:
    """Anchors a new id at the smallest account of every cluster that holds no anchor."""
    smallest = connection.sql(_UNOWNED).to_arrow_table()
    channels, sources = (column.to_pylist() for column in smallest.columns)
    minted = pa.table(
        {
            "channel": pa.array(channels, pa.string()),
            "source_customer_id": pa.array(sources, pa.string()),
            "minted_id": pa.array(_mint_ids(channels, sources, key), pa.string()),
            "minted_in": pa.array([version] * len(channels), pa.int64()),
        }
    )
    connection.register("minted", minted)
    connection.execute(_NEW_IDS)


def _changes(connection: duckdb.DuckDBPyConnection, version: int, as_of: dt.date) -> pa.Table:
    found = connection.sql(_CHANGES, params={"version": version, "as_of": as_of})
    return found.to_arrow_table().cast(CHANGE_SCHEMA)


def _has_news(connection: duckdb.DuckDBPyConnection, changes: pa.Table) -> bool:
    query = "select count(*) from new_ids where old_id is null"
    return changes.num_rows > 0 or connection.execute(query).fetchall()[0][0] > 0


def _assigned(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    query = "select channel, source_customer_id, customer_id from new_ids order by all"
    return connection.sql(query).to_arrow_table().cast(ACCOUNT_SCHEMA)


def _known(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The ids of the accounts that have one: a past day knows nobody else."""
    query = """
    select channel, source_customer_id, customer_id
    from new_ids
    where old_id is not null
    order by all
    """
    return connection.sql(query).to_arrow_table().cast(ACCOUNT_SCHEMA)


# ----------------------------------------------------------------------------------- id files


def _newest_row(connection: sa.Connection) -> sa.Row | None:
    query = sa.select(id_versions).order_by(id_versions.c.version.desc()).limit(1)
    return connection.execute(query).one_or_none()


def _read_newest(home: CrmHome, ledger: sa.Engine) -> _Version:
    with ledger.connect() as connection:
        row = _newest_row(connection)
    if row is None:
        return _Version(0, STATE_SCHEMA.empty_table())
    path = home.root / row.path
    if not path.is_file() or sha256_of(path) != row.sha256:
        raise LedgerError(
            "the customer ids are missing or were changed",
            where=str(path),
            remedy="restore the file from its backup; ids are never made up again",
        )
    return _Version(row.version, _with_anchors(pq.ParquetFile(path).read()))


def _with_anchors(state: pa.Table) -> pa.Table:
    """Files of the time when every account was a customer of its own held no anchors."""
    if "minted_id" not in state.column_names:
        state = state.append_column("minted_id", state["customer_id"])
        state = state.append_column("minted_in", pa.array([0] * state.num_rows, pa.int64()))
    return state.cast(STATE_SCHEMA)


def _write_version(
    home: CrmHome,
    ledger: sa.Engine,
    seen: int,
    state: pa.Table,
    changes: pa.Table,
    now: dt.datetime,
) -> bool:
    """Writes the next id file and points to it; False when another writer came first."""
    _refuse_collisions(state)
    with ledger.begin() as connection:
        newest = _newest_row(connection)
        if (newest.version if newest else 0) != seen:
            return False
        path = home.ledger_dir / "identity" / f"v{seen + 1}.parquet"
        failpoint("ids_before")
        write_parquet(state, path)
        failpoint("ids_after")
        connection.execute(
            sa.insert(id_versions).values(
                version=seen + 1,
                path=path.relative_to(home.root).as_posix(),
                sha256=sha256_of(path),
                account_count=state.num_rows,
                created_at=now,
            )
        )
        if changes.num_rows:
            rows = [{**change, "changed_at": now} for change in changes.to_pylist()]
            connection.execute(sa.insert(identity_changes), rows)
    failpoint("ids_recorded")
    _prune(home.ledger_dir / "identity", newest=seen + 1)
    return True


def _refuse_collisions(state: pa.Table) -> None:
    minted = state["minted_id"].drop_null()
    if len(minted.unique()) != len(minted):
        raise LedgerError(
            "two clusters would share one customer id",
            remedy="do not publish; raise ID_HEX in crm_pipeline/lib/identity/ids.py",
        )


def _prune(folder: Path, *, newest: int) -> None:
    for number in range(newest - KEPT_VERSIONS, 0, -1):
        path = folder / f"v{number}.parquet"
        if not path.exists():
            return
        path.unlink()
