"""The atomic swap of what BI reads.

Add here: how a build becomes ``published/current``, and how long it stays.
Not here: whether it may (``gate``), and what it says (``dbt_project``).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from crm_pipeline.lib.errors import PublishError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.files import fsync_dir, fsync_file
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish.manifest import (
    CURRENT,
    DATABASE,
    MANIFEST,
    Manifest,
    current_manifest,
    list_builds,
)
from crm_pipeline.lib.publish.result_hash import hash_results
from crm_pipeline.lib.warehouse.connection import (
    LOCK_WAIT_SECONDS,
    configure,
    fetch_row,
    retry_while_locked,
)
from crm_pipeline.lib.warehouse.sources import InputFiles

SCHEMAS = ("marts", "metrics", "ops")
# Clients of DuckDB 1.1 and later can open it; the format of 2.0 only 2.0 can.
STORAGE_VERSION = "v1.0.0"
PARQUET = "format parquet, compression zstd, compression_level 1"
KEPT_HOURS = 24
KEPT_BUILDS = 3
BUILDING = ".build-"
BUILD_TABLE = "ops.build"


@dataclass(frozen=True)
class _Table:
    """A relation to publish."""

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def address(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def quoted(self) -> str:
        return f'"{self.schema}"."{self.name}"'

    @property
    def parquet(self) -> str:
        """The mart's own name; the other schemas have a folder, so that names cannot clash."""
        folder = "" if self.schema == "marts" else f"{self.schema}/"
        return f"{folder}{self.name}.parquet"


def publish_build(
    home: CrmHome,
    warehouse: Path,
    *,
    build_id: str,
    as_of: dt.date,
    inputs: InputFiles,
    created_at: dt.datetime,
    versions: Mapping[str, str] | None = None,
    with_result_hash: bool = True,
    wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Manifest:
    """Publishes ``marts``, ``metrics`` and ``ops`` of a warehouse as one whole build.

    Call it under the lease, after the gate, with every connection to the warehouse closed. The
    build is written to a folder of its own, made durable, renamed, and only then does ``current``
    point to it: a reader sees the old build or the new one. Publishing the current build again
    is a no-op.

    Args:
        home: where ``published`` is.
        warehouse: the DuckDB file to publish from; it is opened read-only.
        build_id: name of the build folder.
        as_of: the business date of the build; ``current`` never moves back.
        inputs: the set of files the build was made from.
        created_at: the instant of publishing (UTC), which also rules how long builds are kept.
        versions: code and contract versions for the manifest.
        with_result_hash: False leaves the result hash out of the manifest (about a second per
            million rows).
        wait_seconds: how long another program may hold the warehouse file before this fails.

    Raises:
        PublishError: ``as_of`` is before the published one, nothing is there to publish, or the
            disk is full; the last good build stays.
    """
    current = current_manifest(home)
    if current is not None and current.build_id == build_id:
        return current
    _refuse_the_past(current, as_of)
    home.published.mkdir(parents=True, exist_ok=True)
    final = home.published / _check_name(build_id)
    building = home.published / f"{BUILDING}{build_id}"
    draft = _draft(final, build_id, as_of, inputs, created_at, versions)
    manifest = _place_build(warehouse, building, draft, with_result_hash, wait_seconds)
    failpoint("publish_renamed")
    _switch(home, final)
    failpoint("publish_switched")
    prune_builds(home, now=manifest.created_at)
    failpoint("publish_pruned")
    return manifest


def keep_past_build(
    home: CrmHome,
    warehouse: Path,
    *,
    build_id: str,
    as_of: dt.date,
    inputs: InputFiles,
    created_at: dt.datetime,
    wait_seconds: float = LOCK_WAIT_SECONDS,
) -> Manifest:
    """Keeps the build of a past day in ``past/<as_of>``, whole, with the files of a published one.

    ``published`` is not touched. The build of that day that was kept before gives way to this one;
    who has it open goes on reading it. Arguments and errors are those of ``publish_build``.
    """
    home.past.mkdir(parents=True, exist_ok=True)
    final = home.past / as_of.isoformat()
    draft = _draft(final, _check_name(build_id), as_of, inputs, created_at, None)
    return _place_build(warehouse, home.past / f"{BUILDING}{build_id}", draft, False, wait_seconds)


def _draft(
    final: Path,
    build_id: str,
    as_of: dt.date,
    inputs: InputFiles,
    created_at: dt.datetime,
    versions: Mapping[str, str] | None,
) -> Manifest:
    return Manifest(
        build_id=build_id,
        as_of=as_of,
        created_at=_naive_utc(created_at),
        input_file_count=inputs.count,
        input_files_sha256=inputs.sha256,
        versions={**(versions or {}), **_engine_versions()},
        build_dir=final,
    )


def _place_build(
    warehouse: Path, building: Path, draft: Manifest, with_result_hash: bool, wait_seconds: float
) -> Manifest:
    """Writes the build beside its place, makes it durable and renames it into it."""
    shutil.rmtree(building, ignore_errors=True)
    try:
        manifest = _write_build(warehouse, building, draft, with_result_hash, wait_seconds)
        failpoint("publish_written")
        _make_durable(building)
        failpoint("publish_durable")
        if draft.build_dir.exists():  # renamed just before a crash, or kept of this day before
            shutil.rmtree(draft.build_dir)
        building.replace(draft.build_dir)
        fsync_dir(building.parent)
    except (OSError, duckdb.Error) as error:
        raise _unwritable(building, error) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _unwritable(building: Path, error: Exception) -> PublishError:
    return PublishError(
        f"the build could not be written: {str(error).splitlines()[0]}",
        where=str(building),
        remedy="free disk space (a build needs about 80 MB per million order lines) and run "
        "again; the last good build is still published",
    )


def _engine_versions() -> dict[str, str]:
    return {"duckdb": duckdb.__version__, "python": platform.python_version()}


def prune_builds(home: CrmHome, *, now: dt.datetime) -> list[str]:
    """Removes builds replaced over 24 h and over three builds ago; never the current one."""
    current = current_manifest(home)
    builds = list_builds(home)
    removed = []
    for place, build in enumerate(builds):
        if place <= KEPT_BUILDS or (current and build.build_id == current.build_id):
            continue
        replaced_at = builds[place - 1].created_at
        if _naive_utc(now) - replaced_at > dt.timedelta(hours=KEPT_HOURS):
            shutil.rmtree(home.published / build.build_id, ignore_errors=True)
            removed.append(build.build_id)
    return removed


def sweep_unfinished(home: CrmHome) -> list[str]:
    """Removes build folders and links that a crash left half made. Call it under the lease."""
    left = [
        *home.published.glob(f"{BUILDING}*"),
        *home.published.glob(f".{CURRENT}-*"),
        *home.past.glob(f"{BUILDING}*"),
    ]
    for path in left:
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left]


def _write_build(
    warehouse: Path, building: Path, draft: Manifest, with_result_hash: bool, wait_seconds: float
) -> Manifest:
    """Writes the whole build folder; returns the draft completed by what was written."""
    building.mkdir()
    failpoint("publish_started")
    with duckdb.connect() as connection:
        configure(connection, building)
        source = _attach(connection, warehouse, building, wait_seconds)
        tables = _list_tables(connection, source)
        manifest = replace(
            draft,
            row_counts=_copy_tables(connection, source, tables),
            schema_hash=_hash_schema(tables),
            parquet_files={table.address: table.parquet for table in tables},
        )
        if with_result_hash:
            digest = hash_results(connection, "published").total
            manifest = replace(manifest, result_hash=digest)
        _write_build_facts(connection, manifest)
        failpoint("publish_tables")
        _write_parquet(connection, building, [*tables, *_facts_beside(tables)])
        connection.execute("checkpoint published")
        connection.execute("detach published")
    shutil.rmtree(building / ".spill", ignore_errors=True)
    (building / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _attach(
    connection: duckdb.DuckDBPyConnection, warehouse: Path, building: Path, wait_seconds: float
) -> str:
    """Attaches both files; the warehouse under its own name, which its views were written with."""
    source = '"' + warehouse.stem.replace('"', '""') + '"'
    statement = f"attach {_quote(warehouse)} as {source} (read_only)"
    retry_while_locked(warehouse, lambda: connection.execute(statement), wait_seconds)
    target = _quote(building / DATABASE)
    connection.execute(f"attach {target} as published (storage_version '{STORAGE_VERSION}')")
    return source


def _list_tables(connection: duckdb.DuckDBPyConnection, source: str) -> list[_Table]:
    rows = connection.execute(
        """
        select table_schema, table_name, column_name, data_type
        from information_schema.columns
        where table_catalog = ? and table_schema in ('marts', 'metrics', 'ops')
        order by table_schema, table_name, ordinal_position
        """,
        [source.strip('"').replace('""', '"')],
    ).fetchall()
    found: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for schema, name, column, kind in rows:
        found.setdefault((schema, name), []).append((column, kind))
    if not any(schema == "marts" for schema, _ in found):
        raise PublishError(
            "the warehouse holds no marts",
            where=source,
            remedy="run the nightly job: it builds them before it publishes",
        )
    return [_Table(schema, name, tuple(columns)) for (schema, name), columns in found.items()]


def _copy_tables(
    connection: duckdb.DuckDBPyConnection, source: str, tables: Sequence[_Table]
) -> dict[str, int]:
    """Views become tables: a reader has this one file only."""
    counts = {}
    for schema in SCHEMAS:
        connection.execute(f"create schema published.{schema}")
    for table in tables:
        query = f"create table published.{table.quoted} as from {source}.{table.quoted}"
        (counts[table.address],) = fetch_row(connection, query)
    return counts


def _facts_beside(tables: Sequence[_Table]) -> list[_Table]:
    """The tables that only publishing writes."""
    known = {table.address for table in tables}
    facts = (_Table("ops", "build", ()), _Table("ops", "build_tables", ()))
    return [table for table in facts if table.address not in known]


def _write_build_facts(connection: duckdb.DuckDBPyConnection, manifest: Manifest) -> None:
    """The build names itself inside the file, so that a reader can tell what it has open."""
    facts = {
        "build_id": ("varchar", manifest.build_id),
        "as_of_date": ("date", manifest.as_of),
        "created_at": ("timestamp", manifest.created_at),
        "schema_hash": ("varchar", manifest.schema_hash),
        "result_hash": ("varchar", manifest.result_hash or None),
        "input_file_count": ("bigint", manifest.input_file_count),
        "input_files_sha256": ("varchar", manifest.input_files_sha256),
        "code_version": ("varchar", manifest.versions.get("code")),
    }
    listed = ", ".join(f"?::{kind} as {name}" for name, (kind, _) in facts.items())
    query = f"select {listed}"
    if BUILD_TABLE in manifest.row_counts:  # what dbt says about the build stands beside it
        connection.execute("create temp table _built as from published.ops.build")
        names = [row[0] for row in connection.execute("describe _built").fetchall()]
        more = ", ".join(f'b."{name}"' for name in names if name not in facts)
        query += f"{', ' if more else ''}{more} from _built as b"
    connection.execute(
        f"create or replace table published.ops.build as {query}",
        [value for _, value in facts.values()],
    )
    connection.execute(
        """
        create table published.ops.build_tables (
            build_id varchar, schema_name varchar, table_name varchar, row_count bigint
        )
        """
    )
    rows = [
        [manifest.build_id, *address.split(".", 1), count]
        for address, count in manifest.row_counts.items()
    ]
    connection.executemany("insert into published.ops.build_tables values (?, ?, ?, ?)", rows)


def _write_parquet(
    connection: duckdb.DuckDBPyConnection, building: Path, tables: Sequence[_Table]
) -> None:
    for table in tables:
        target = building / table.parquet
        target.parent.mkdir(exist_ok=True)
        connection.execute(f"copy published.{table.quoted} to {_quote(target)} ({PARQUET})")


def _make_durable(building: Path) -> None:
    for path in sorted(building.rglob("*")):
        if path.is_dir():
            fsync_dir(path)
        else:
            fsync_file(path)
    fsync_dir(building)


def _switch(home: CrmHome, final: Path) -> None:
    """Moves ``current`` in one step: a new link is renamed over the old one."""
    link = home.published / CURRENT
    fresh = home.published / f".{CURRENT}-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        fresh.symlink_to(final.name, target_is_directory=True)
        failpoint("publish_linked")
        fresh.replace(link)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise PublishError(
            f"published/current could not be switched: {error.strerror}",
            where=str(link),
            remedy="the folder must allow symbolic links (on Windows: developer mode) and hold no "
            "folder named current; then run again",
        ) from error
    fsync_dir(home.published)


def _refuse_the_past(current: Manifest | None, as_of: dt.date) -> None:
    if current is not None and as_of < current.as_of:
        raise PublishError(
            f"a build as of {as_of} may not replace the one as of {current.as_of}",
            where=str(current.build_dir),
            remedy="run a past day as a backfill: it builds in a scratch file and is not published",
        )


def _check_name(build_id: str) -> str:
    if (
        not build_id
        or build_id in (CURRENT, "..")
        or set(build_id) & set("/\\ \0")
        or build_id[0] == "."
    ):
        raise PublishError(
            f"{build_id!r} is no build id", remedy="use letters, digits, dashes and dots"
        )
    return build_id


def _hash_schema(tables: Sequence[_Table]) -> str:
    lines = sorted(
        f"{table.address}.{column} {kind}" for table in tables for column, kind in table.columns
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _naive_utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
