"""The ledger as a run saw it.

Add here: what a run exports of the ledger at its start.
Not here: the warehouse's views on it (``sources``).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import fsync_dir
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ledger.schema import (
    batches,
    claims,
    consents,
    history_slices,
    id_versions,
    identity_overrides,
    inbox_files,
    inbox_parts,
)

KEPT_SNAPSHOTS = 10
FETCH_ROWS = 50_000

_TYPES: dict[type[object], pa.DataType] = {
    sa.String: pa.string(),
    sa.BigInteger: pa.int64(),
    sa.Integer: pa.int64(),
    sa.Boolean: pa.bool_(),
    sa.DateTime: pa.timestamp("us"),
    sa.Date: pa.date32(),
}


def export_snapshot(ledger: sa.Engine, folder: Path) -> Path:
    """Writes the ledger's tables to ``folder`` in one read transaction; returns the folder.

    The folder appears whole or not at all. One that exists is kept as it is: a replay of the run
    reads what the run read.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = folder.parent / f".tmp-{os.getpid()}-{folder.name}"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    with ledger.begin() as connection:
        for name, query in _queries().items():
            _write(connection, query, building / f"{name}.parquet")
        _write_active_parts(connection, building / "parts.json")
    failpoint("snapshot_before")
    building.replace(folder)
    fsync_dir(folder.parent)
    return folder


def prune_snapshots(home: CrmHome, *, keep: int = KEPT_SNAPSHOTS) -> int:
    """Removes all but the newest snapshots; returns how many went."""
    folders = [path for path in home.snapshots.iterdir() if path.is_dir()]
    folders.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
    return len(folders[keep:])


def _queries() -> dict[str, sa.Select]:
    newest_id = sa.select(sa.func.max(id_versions.c.version)).scalar_subquery()
    return {
        "inbox_files": _inbox_query(),
        "consents": sa.select(consents).order_by(consents.c.event_id),
        # The night a message was decided in; when it was claimed is the clock of this machine.
        "claims": sa.select(claims, batches.c.as_of_date, batches.c.run_kind)
        .outerjoin(batches, claims.c.batch_id == batches.c.batch_id)
        .order_by(claims.c.claim_id),
        "history_slices": sa.select(history_slices)
        .where(history_slices.c.is_active.is_(True))
        .order_by(history_slices.c.table_name, history_slices.c.as_of_date),
        "identity_overrides": sa.select(identity_overrides).order_by(
            identity_overrides.c.override_id
        ),
        "id_versions": sa.select(id_versions).where(id_versions.c.version == newest_id),
    }


def _inbox_query() -> sa.Select:
    """One row per file: its active part, or why it was refused."""
    rank = sa.func.row_number().over(
        partition_by=(inbox_parts.c.feed, inbox_parts.c.file_sha256),
        order_by=(
            sa.case((inbox_parts.c.state == "active", 0), (inbox_parts.c.state == "refused", 1)),
            inbox_parts.c.contract_hash,
        ),
    )
    parts = (
        sa.select(inbox_parts, rank.label("place"))
        .where(inbox_parts.c.state.in_(("active", "refused")))
        .subquery()
    )
    return (
        sa.select(
            inbox_files.c.feed,
            inbox_files.c.channel,
            inbox_files.c.entity,
            inbox_files.c.file_sha256,
            inbox_files.c.inbox_seq,
            parts.c.contract_hash,
            parts.c.state,
            parts.c.received_count,
            parts.c.written_count,
            parts.c.quarantined_count,
            parts.c.reason_code,
        )
        .join(
            parts,
            sa.and_(
                parts.c.feed == inbox_files.c.feed,
                parts.c.file_sha256 == inbox_files.c.file_sha256,
            ),
        )
        .where(parts.c.place == 1)
        .order_by(inbox_files.c.inbox_seq)
    )


def _write(connection: sa.Connection, query: sa.Select, target: Path) -> None:
    schema = pa.schema(
        [(column.name, _arrow_type(column.type)) for column in query.selected_columns]
    )
    with pq.ParquetWriter(target, schema, compression="zstd", compression_level=1) as writer:
        result = connection.execution_options(yield_per=FETCH_ROWS).execute(query)
        for rows in result.partitions():
            writer.write_table(_to_table(rows, schema))


def _to_table(rows: Sequence[sa.Row], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _arrow_type(column_type: sa.types.TypeEngine) -> pa.DataType:
    for known, arrow in _TYPES.items():
        if isinstance(column_type, known):
            return arrow
    raise TypeError(f"no Arrow type for ledger type {column_type!r}")


def _write_active_parts(connection: sa.Connection, target: Path) -> None:
    """Which Parquet parts the run reads, with the hash of that set (it goes into the manifest)."""
    query = (
        sa.select(
            inbox_files.c.entity,
            inbox_parts.c.feed,
            inbox_parts.c.file_sha256,
            inbox_parts.c.contract_hash,
            inbox_parts.c.state,
            inbox_parts.c.part_path,
            inbox_parts.c.quarantine_path,
        )
        .join(
            inbox_files,
            sa.and_(
                inbox_parts.c.feed == inbox_files.c.feed,
                inbox_parts.c.file_sha256 == inbox_files.c.file_sha256,
            ),
        )
        .where(inbox_parts.c.state.in_(("active", "refused")))
        .order_by(inbox_files.c.inbox_seq, inbox_parts.c.contract_hash)
    )
    parts = [dict(row._mapping) for row in connection.execute(query)]
    target.write_text(json.dumps(parts, indent=0, default=_to_text), encoding="utf-8")


def _to_text(value: object) -> str:
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    raise TypeError(f"not JSON: {value!r}")
