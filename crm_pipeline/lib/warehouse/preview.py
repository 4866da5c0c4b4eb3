"""A copy of the warehouse to try something in.

Add here: what every preview needs: the copy, and dbt in it.
Not here: what is tried and told (``lib/identity/preview``, ``lib/rules/preview``).
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from crm_pipeline.lib.dbt_manifest import PARSED
from crm_pipeline.lib.errors import WarehouseError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.warehouse.lease import hold_lease
from crm_pipeline.lib.warehouse.plan import SCRATCH, read_as_of

LEASE_SECONDS = 60.0


@contextmanager
def copy_warehouse(home: CrmHome, *, holder: str) -> Iterator[tuple[Path, dt.date]]:
    """The warehouse file in a folder of its own, and its day; no run starts before it is done with.

    Args:
        home: its warehouse is read, never written.
        holder: who is named to somebody who waits meanwhile.

    Raises:
        WarehouseError: there is no build to start from, or a run holds the warehouse.
    """
    folder = home.warehouse_dir / SCRATCH / f"preview_{os.getpid()}"
    with hold_lease(home, holder=holder, wait_seconds=LEASE_SECONDS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            for path in home.warehouse_dir.glob(f"{home.warehouse.name}*"):  # with its WAL
                shutil.copyfile(path, folder / path.name)
            parsed = home.dagster / "dbt" / PARSED
            if parsed.exists():
                (folder / "target").mkdir()
                shutil.copyfile(parsed, folder / "target" / PARSED)
            copy = folder / home.warehouse.name
            as_of = read_as_of(copy)
            if as_of is None:
                raise WarehouseError(
                    "there is no build to preview in",
                    where=str(home.warehouse),
                    remedy="run `crm run`",
                )
            yield copy, as_of
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run_dbt_in_copy(
    copy: Path, as_of: dt.date, arguments: Sequence[str], *, project: Path, told: Mapping[str, str]
) -> None:
    """Runs dbt's own command on a copied warehouse.

    Args:
        copy: the warehouse file; what dbt writes beside it goes with its folder.
        as_of: the day to build.
        arguments: of dbt: the command and the selection.
        project: folder of the dbt project.
        told: what a run tells dbt by environment (``CRM_DBT_…``), but for the day.

    Raises:
        WarehouseError: dbt ended with an error; its last words are quoted.
    """
    work = copy.parent
    command = [
        str(Path(sys.executable).with_name("crm-dbt")),
        *arguments,
        "--quiet",
        *("--project-dir", str(project), "--profiles-dir", str(project)),
        *("--target-path", str(work / "target"), "--log-path", str(work / "logs")),
    ]
    day = {"CRM_WAREHOUSE_PATH": str(copy), "CRM_DBT_AS_OF_DATE": as_of.isoformat()}
    done = subprocess.run(
        command, env={**os.environ, **told, **day}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise WarehouseError(
            f"dbt could not build the preview:\n{done.stdout[-2000:]}{done.stderr[-1000:]}",
            remedy="run `crm run` first; the warehouse may be older than the models",
        )
