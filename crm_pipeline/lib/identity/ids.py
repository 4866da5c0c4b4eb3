"""Stable customer ids.

Add here: how an id is minted, kept and found again.
Not here: which accounts are one person.
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
from crm_pipeline.lib.ledger.schema import id_versions

ID_HEX = 20  # 80 bits: among 100 M customers a collision has odds of 1 to 240 million
KEPT_VERSIONS = 10
SEPARATOR = "\x1f"

ACCOUNT_SCHEMA = pa.schema(
    [("channel", pa.string()), ("source_customer_id", pa.string()), ("customer_id", pa.string())]
)


@dataclass(frozen=True)
class _Version:
    """The id file a pointer names."""

    number: int
    accounts: pa.Table


def assign_customer_ids(
    home: CrmHome,
    ledger: sa.Engine,
    accounts: pa.Table,
    *,
    key: bytes,
    mint: bool = True,
    now: dt.datetime | None = None,
) -> pa.Table:
    """Gives every account its customer id; an id once given never changes.

    Known ids come from the newest id file. A new account gets an id of its own (one source id is
    one customer for now) and the next file, with all accounts, is written before its pointer.

    Args:
        home: where the id files live.
        ledger: holds the pointer to the newest file.
        accounts: ``channel`` and ``source_customer_id``; nulls and repeats are ignored.
        key: secret of the ids, so that a source id cannot be guessed from a customer id.
        mint: False for a past ``as_of``; unknown accounts are then left out.
        now: the instant recorded beside a new version.

    Returns:
        ``channel, source_customer_id, customer_id`` of these accounts, ordered by the first two.
    """
    while True:
        version = _read_newest(home, ledger)
        known, unknown = _split(accounts, version.accounts)
        if not mint or unknown.num_rows == 0:
            return known
        minted = _mint(unknown, key)
        merged = _merge(version.accounts, minted)
        if _write_version(home, ledger, version.number, merged, now or _utc_now()):
            return _merge(known, minted)


def read_accounts(home: CrmHome, ledger: sa.Engine) -> pa.Table:
    """All accounts with their ids, from the newest id file."""
    return _read_newest(home, ledger).accounts


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


def _newest_row(connection: sa.Connection) -> sa.Row | None:
    query = sa.select(id_versions).order_by(id_versions.c.version.desc()).limit(1)
    return connection.execute(query).one_or_none()


def _read_newest(home: CrmHome, ledger: sa.Engine) -> _Version:
    with ledger.connect() as connection:
        row = _newest_row(connection)
    if row is None:
        return _Version(0, ACCOUNT_SCHEMA.empty_table())
    path = home.root / row.path
    if not path.is_file() or sha256_of(path) != row.sha256:
        raise LedgerError(
            "the customer ids are missing or were changed",
            where=str(path),
            remedy="restore the file from its backup; ids are never made up again",
        )
    return _Version(row.version, pq.ParquetFile(path).read().cast(ACCOUNT_SCHEMA))


def _split(accounts: pa.Table, known: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The wanted accounts that have an id, and those that have none; both ordered."""
    with duckdb.connect() as connection:
        connection.register("wanted", accounts.select(["channel", "source_customer_id"]))
        connection.register("known", known)
        connection.execute(
            """
            create temp table joined as
            select w.channel, w.source_customer_id, k.customer_id
            from (
                select distinct channel, source_customer_id from wanted
                where channel is not null and source_customer_id is not null
            ) as w
            left join known as k using (channel, source_customer_id)
            order by w.channel, w.source_customer_id
            """
        )
        found = connection.sql("from joined where customer_id is not null").to_arrow_table()
        missing = connection.sql("from joined where customer_id is null").to_arrow_table()
    return found.cast(ACCOUNT_SCHEMA), missing.cast(ACCOUNT_SCHEMA)


def _mint(unknown: pa.Table, key: bytes) -> pa.Table:
    channels = unknown.column("channel").to_pylist()
    sources = unknown.column("source_customer_id").to_pylist()
    ids = _mint_ids(channels, sources, key)
    return unknown.set_column(2, "customer_id", pa.array(ids, pa.string()))


def _merge(first: pa.Table, second: pa.Table) -> pa.Table:
    if first.num_rows == 0:
        return second
    order = [("channel", "ascending"), ("source_customer_id", "ascending")]
    return pa.concat_tables([first, second]).sort_by(order).combine_chunks()


def _write_version(
    home: CrmHome, ledger: sa.Engine, seen: int, accounts: pa.Table, now: dt.datetime
) -> bool:
    """Writes the next id file and points to it; False when another writer came first."""
    _refuse_collisions(accounts)
    with ledger.begin() as connection:
        newest = _newest_row(connection)
        if (newest.version if newest else 0) != seen:
            return False
        path = home.ledger_dir / "identity" / f"v{seen + 1}.parquet"
        failpoint("ids_before")
        write_parquet(accounts, path)
        failpoint("ids_after")
        connection.execute(
            sa.insert(id_versions).values(
                version=seen + 1,
                path=path.relative_to(home.root).as_posix(),
                sha256=sha256_of(path),
                account_count=accounts.num_rows,
                created_at=now,
            )
        )
    failpoint("ids_recorded")
    _prune(home.ledger_dir / "identity", newest=seen + 1)
    return True


def _refuse_collisions(accounts: pa.Table) -> None:
    distinct = accounts.column("customer_id").combine_chunks().unique()
    if len(distinct) != accounts.num_rows:
        raise LedgerError(
            "two accounts would share one customer id",
            remedy="do not publish; raise ID_HEX in crm_pipeline/lib/identity/ids.py",
        )


def _prune(folder: Path, *, newest: int) -> None:
    for number in range(newest - KEPT_VERSIONS, 0, -1):
        path = folder / f"v{number}.parquet"
        if not path.exists():
            return
        path.unlink()
