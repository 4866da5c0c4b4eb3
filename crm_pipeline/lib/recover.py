"""What a crash left behind.

Add here: how leftovers are found and cleared.
Not here: work that a re-run repeats by itself.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

import sqlalchemy as sa

from crm_pipeline.lib.files import sweep_temporaries
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.outreach.adapters.file import list_unfinished
from crm_pipeline.lib.publish.publish import sweep_unfinished
from crm_pipeline.lib.warehouse.lease import hold_lease
from crm_pipeline.lib.warehouse.plan import SCRATCH

ABANDONED_SECONDS = 3600.0  # younger temporary files may belong to a writer that is alive


@dataclass(frozen=True)
class Recovery:
    """What was cleared, and what a person should look at."""

    temporary_files: int
    unfinished_builds: tuple[str, ...]
    scratch_files: tuple[str, ...]
    unfinished_batches: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether there was nothing to do and nothing to look at."""
        return not (
            self.temporary_files
            or self.unfinished_builds
            or self.scratch_files
            or self.unfinished_batches
        )


def recover(
    home: CrmHome,
    ledger: sa.Engine,
    *,
    now: float,
    wait_seconds: float = 0.0,
    older_than_seconds: float = ABANDONED_SECONDS,
) -> Recovery:
    """Clears what crashed runs left in ``home``; running it again finds nothing.

    It takes the lease, so that it never clears what a living run is writing. Batches that were
    claimed for a file and not recorded are only reported: releasing them again ends that.

    Args:
        home: the home to clear.
        ledger: names the unfinished batches.
        now: seconds since the epoch, to tell abandoned files from those being written.
        wait_seconds: how long to wait for a living run.
        older_than_seconds: age from which a temporary file counts as abandoned.

    Raises:
        WarehouseError: a run is under way.
    """
    with hold_lease(home, holder="crm recover", wait_seconds=wait_seconds):
        builds = sweep_unfinished(home)
        scratch = _sweep_scratch(home)
        files = sweep_temporaries(home.root, older_than_seconds=older_than_seconds, now=now)
        files += _sweep_snapshots(home)
    batches = tuple(
        f"{journey}, {as_of}: {batch_id}" for batch_id, journey, as_of in list_unfinished(ledger)
    )
    return Recovery(files, tuple(builds), scratch, batches)


def _sweep_scratch(home: CrmHome) -> tuple[str, ...]:
    """A scratch file lives as long as the backfill that holds the lease."""
    folder = home.warehouse_dir / SCRATCH
    if not folder.is_dir():
        return ()
    names = tuple(sorted(path.name for path in folder.iterdir()))
    shutil.rmtree(folder, ignore_errors=True)
    return names


def _sweep_snapshots(home: CrmHome) -> int:
    """Snapshots are folders, which are built beside their name and renamed."""
    if not home.snapshots.is_dir():
        return 0
    left = list(home.snapshots.glob(".tmp-*"))
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)
