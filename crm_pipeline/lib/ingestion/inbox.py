"""The inbox: which files came, and which part of each is active.

Add here: its queries.
Not here: reading or converting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.landing import Sighting
from crm_pipeline.lib.ledger.schema import inbox_files, inbox_parts, inbox_sightings

BY_MANIFEST = ("manifest", "size_differs", "sha256_differs", "records_differ", "control_total")
Seen = dict[str, tuple[tuple[int, int, int, str], str]]


@dataclass(frozen=True)
class InboxFile:
    """A file as the inbox knows it."""

    file_sha256: str
    file_name: str
    size_bytes: int
    received_at: datetime


@dataclass(frozen=True)
class PartRow:
    """What became of a file under one contract."""

    contract_hash: str
    state: str
    received: int = 0
    written: int = 0
    quarantined: int = 0
    part_path: str | None = None
    quarantine_path: str | None = None
    reason_code: str | None = None
    message: str | None = None


def sightings(ledger: sa.Engine, feed: str) -> Seen:
    """Paths already dealt with: their state then, and the hash of their bytes."""
    table = inbox_sightings
    with ledger.connect() as connection:
        rows = connection.execute(sa.select(table).where(table.c.feed == feed)).all()
    return {r.path: ((r.size_bytes, r.mtime_ns, r.ctime_ns, r.inode), r.file_sha256) for r in rows}


def files_of(ledger: sa.Engine, feed: str) -> dict[str, InboxFile]:
    """All files of ``feed`` in the order they came."""
    query = (
        sa.select(inbox_files).where(inbox_files.c.feed == feed).order_by(inbox_files.c.inbox_seq)
    )
    with ledger.connect() as connection:
        rows = connection.execute(query).all()
    return {
        r.file_sha256: InboxFile(r.file_sha256, r.file_name, r.size_bytes, r.received_at)
        for r in rows
    }


def settled(ledger: sa.Engine, spec: FeedSpec) -> set[str]:
    """Files that are done under the feed's present contract: active, or refused by it."""
    table = inbox_parts
    query = sa.select(table.c.file_sha256).where(
        table.c.feed == spec.feed,
        table.c.contract_hash == spec.contract_hash,
        table.c.state.in_(("active", "refused")),
    )
    with ledger.connect() as connection:
        return set(connection.execute(query).scalars())


def with_quarantine(ledger: sa.Engine, feed: str) -> list[str]:
    """Files with quarantined records under their active contract, or refused and never active."""
    table = inbox_parts
    active = sa.select(table.c.file_sha256).where(table.c.feed == feed, table.c.state == "active")
    query = (
        sa.select(table.c.file_sha256)
        .distinct()
        .where(
            table.c.feed == feed,
            sa.or_(
                sa.and_(table.c.state == "active", table.c.quarantined_count > 0),
                sa.and_(table.c.state == "refused", table.c.file_sha256.not_in(active)),
            ),
        )
    )
    with ledger.connect() as connection:
        return sorted(connection.execute(query).scalars())


def held_by_manifest(ledger: sa.Engine, feed: str) -> set[str]:
    """Files their manifest contradicts: nothing but a new delivery or a person lets them in."""
    table = inbox_parts
    mine = table.c.feed == feed
    active = sa.select(table.c.file_sha256).where(mine, table.c.state == "active")
    query = sa.select(table.c.file_sha256).where(
        mine, table.c.reason_code.in_(BY_MANIFEST), table.c.file_sha256.not_in(active)
    )
    with ledger.connect() as connection:
        return set(connection.execute(query).scalars())


def with_lost_part(home: CrmHome, ledger: sa.Engine, feed: str) -> list[str]:
    """Files whose active part or quarantine is no longer on disk."""
    table = inbox_parts
    query = sa.select(table.c.file_sha256, table.c.part_path, table.c.quarantine_path).where(
        table.c.feed == feed, table.c.state == "active"
    )
    with ledger.connect() as connection:
        rows = connection.execute(query).all()
    return sorted(
        row.file_sha256
        for row in rows
        if any(path and not (home.root / path).is_file() for path in row[1:])
    )


def active_parts(ledger: sa.Engine, feed: str) -> list[str]:
    """Paths of the parts that count, below the home."""
    table = inbox_parts
    query = sa.select(table.c.part_path).where(
        table.c.feed == feed, table.c.state == "active", table.c.part_path.is_not(None)
    )
    with ledger.connect() as connection:
        return sorted(connection.execute(query).scalars())


def refused_files(ledger: sa.Engine, feed: str) -> dict[str, str]:
    """Files refused as a whole and never taken since: first digits of the hash, and why."""
    table = inbox_parts
    active = sa.select(table.c.file_sha256).where(table.c.feed == feed, table.c.state == "active")
    query = sa.select(table.c.file_sha256, table.c.reason_code).where(
        table.c.feed == feed, table.c.state == "refused", table.c.file_sha256.not_in(active)
    )
    with ledger.connect() as connection:
        return {row.file_sha256[:12]: row.reason_code for row in connection.execute(query)}


def record_sightings(ledger: sa.Engine, feed: str, seen: Iterable[tuple[Sighting, str]]) -> None:
    """Remembers what is in the folder, so that an unchanged file is not read again."""
    seen = list(seen)
    if not seen:
        return
    with ledger.begin() as connection:
        for sighting, sha256 in seen:
            _record_sighting(connection, feed, sighting, sha256)


def _record_sighting(connection: sa.Connection, feed: str, sighting: Sighting, sha256: str) -> None:
    size, mtime, ctime, inode = sighting.state
    row = {
        "feed": feed,
        "path": path_key(sighting),
        "size_bytes": size,
        "mtime_ns": mtime,
        "ctime_ns": ctime,
        "inode": inode,
        "file_sha256": sha256,
    }
    connection.execute(_FORGET_SIGHTING, {"of_feed": feed, "of_path": row["path"]})
    connection.execute(_ADD_SIGHTING, row)


def path_key(sighting: Sighting) -> str:
    """The path as text, whatever bytes are in it."""
    return str(sighting.path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def settle(
    ledger: sa.Engine, spec: FeedSpec, file: InboxFile, part: PartRow, sighting: Sighting | None
) -> bool:
    """Enters the file and switches its pointer in one transaction; false if that was done before.

    A refused part never displaces an active one: a mistaken mapping must not empty the warehouse.
    """
    failpoint("inbox_row_before")
    try:
        is_first = _settle(ledger, spec, file, part, sighting)
    except (
        sa.exc.IntegrityError
    ):  # another process entered the same file between our look and our insert
        is_first = _settle(ledger, spec, file, part, sighting)
    failpoint("inbox_row_after")
    return is_first


def _settle(
    ledger: sa.Engine, spec: FeedSpec, file: InboxFile, part: PartRow, sighting: Sighting | None
) -> bool:
    with ledger.begin() as connection:
        _enter_file(connection, spec, file)
        is_first = _switch(connection, spec.feed, file.file_sha256, part)
        if sighting is not None:
            _record_sighting(connection, spec.feed, sighting, file.file_sha256)
        failpoint("inbox_row_during")
    return is_first


# Built once: a small file would feel the building of seven statements.
_FORGET_SIGHTING = sa.delete(inbox_sightings).where(
    inbox_sightings.c.feed == sa.bindparam("of_feed"),
    inbox_sightings.c.path == sa.bindparam("of_path"),
)
_ADD_SIGHTING = sa.insert(inbox_sightings)
_FIND_FILE = sa.select(inbox_files.c.inbox_seq).where(
    inbox_files.c.feed == sa.bindparam("of_feed"),
    inbox_files.c.file_sha256 == sa.bindparam("of_file"),
)
_ADD_FILE = sa.insert(inbox_files)
_SAME_FILE = sa.and_(
    inbox_parts.c.feed == sa.bindparam("of_feed"),
    inbox_parts.c.file_sha256 == sa.bindparam("of_file"),
)
_SAME_PART = sa.and_(_SAME_FILE, inbox_parts.c.contract_hash == sa.bindparam("of_contract"))
_FIND_STATE = sa.select(inbox_parts.c.state).where(_SAME_PART)
_SUPERSEDE = (
    sa.update(inbox_parts)
    .where(
        _SAME_FILE,
        inbox_parts.c.state == "active",
        inbox_parts.c.contract_hash != sa.bindparam("of_contract"),
    )
    .values(state="superseded")
)
_FORGET_PART = sa.delete(inbox_parts).where(_SAME_PART)
_ADD_PART = sa.insert(inbox_parts)


def _enter_file(connection: sa.Connection, spec: FeedSpec, file: InboxFile) -> None:
    named = {"of_feed": spec.feed, "of_file": file.file_sha256}
    if connection.execute(_FIND_FILE, named).first() is None:
        row = {
            "feed": spec.feed,
            "channel": spec.channel,
            "entity": spec.entity,
            "file_sha256": file.file_sha256,
            "file_name": file.file_name,
            "size_bytes": file.size_bytes,
            "received_at": file.received_at,
        }
        connection.execute(_ADD_FILE, row)


def _switch(connection: sa.Connection, feed: str, sha256: str, part: PartRow) -> bool:
    named = {"of_feed": feed, "of_file": sha256, "of_contract": part.contract_hash}
    state = connection.execute(_FIND_STATE, named).scalar()
    if part.state == "refused" and state == "active":
        return True  # reported, but what was good under this contract stays good
    if part.state == "active":
        connection.execute(_SUPERSEDE, named)
    if state is not None:
        connection.execute(_FORGET_PART, named)
    row = {
        "feed": feed,
        "file_sha256": sha256,
        "contract_hash": part.contract_hash,
        "state": part.state,
        "received_count": part.received,
        "written_count": part.written,
        "quarantined_count": part.quarantined,
        "part_path": part.part_path,
        "quarantine_path": part.quarantine_path,
        "reason_code": part.reason_code,
        "message": part.message,
    }
    connection.execute(_ADD_PART, row)
    return state != part.state
