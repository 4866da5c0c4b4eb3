"""Which file a run builds in.

Add here: the rule that keeps a run for the past away from the warehouse of today.
Not here: what is built.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import duckdb

from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.publish.manifest import current_manifest
from crm_pipeline.lib.warehouse.connection import fetch_row, is_damage, open_warehouse, set_aside

SCRATCH = "scratch"


@dataclass(frozen=True)
class BuildPlan:
    """Where a run builds, and whether it is a run for the past."""

    path: Path
    as_of: dt.date
    is_backfill: bool

    def discard(self) -> None:
        """Removes the scratch file of a finished backfill; the warehouse itself stays."""
        if self.is_backfill:
            for path in self.path.parent.glob(f"{self.path.name}*"):
                path.unlink(missing_ok=True)


def plan_build(home: CrmHome, as_of: dt.date, *, run_id: str) -> BuildPlan:
    """Decides the file: the warehouse, or a scratch file when ``as_of`` is before its own date.

    The date of the published build counts too, so that a warehouse that was deleted is not
    rebuilt at a past date by a backfill. A backfill mints no ids, sends nothing and never
    moves ``current``.
    """
    newest = newest_as_of(home)
    if newest is None or as_of >= newest:
        return BuildPlan(home.warehouse, as_of, is_backfill=False)
    folder = home.warehouse_dir / SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    name = f"crm_{as_of:%Y%m%d}_{run_id[:8]}.duckdb"
    return BuildPlan(folder / name, as_of, is_backfill=True)


def newest_as_of(home: CrmHome) -> dt.date | None:
    """The latest date this home was built at, by its warehouse or by its published build."""
    published = current_manifest(home)
    dates = [read_as_of(home.warehouse), published.as_of if published else None]
    return max((date for date in dates if date is not None), default=None)


def read_as_of(path: Path) -> dt.date | None:
    """The date a warehouse file was last built at; None for an absent, new or damaged file."""
    if not path.exists():
        return None
    try:
        with open_warehouse(path, read_only=True) as connection:
            (found,) = fetch_row(connection, "select max(as_of_date) from ops_state.runs")
    except WarehouseError as error:
        if not is_damage(error.what):
            raise
        set_aside(path, error.what[:160])
        return None
    except duckdb.CatalogException:
        return None
    as_of: dt.date | None = found
    return as_of


def record_as_of(connection: duckdb.DuckDBPyConnection, as_of: dt.date, *, run_id: str) -> None:
    """Notes in the file itself which date it is built at, so that deleting the file forgets it."""
    connection.execute("create schema if not exists ops_state")
    connection.execute(
        "create table if not exists ops_state.runs (as_of_date date, run_id varchar)"
    )
    connection.execute("delete from ops_state.runs where run_id = ?", [run_id])
    connection.execute("insert into ops_state.runs values (?, ?)", [as_of, run_id])


def read_run_id(connection: duckdb.DuckDBPyConnection, as_of: dt.date) -> str:
    """The run whose snapshot the warehouse was last pointed at for ``as_of``.

    Raises:
        WarehouseError: the warehouse has not been opened for that day.
    """
    rows = connection.execute(
        "select run_id from ops_state.runs where as_of_date = ? order by rowid desc limit 1",
        [as_of],
    ).fetchall()
    if not rows:
        raise WarehouseError(
            f"the warehouse holds no build for {as_of}", remedy="run the whole job for that day"
        )
    return str(rows[0][0])
