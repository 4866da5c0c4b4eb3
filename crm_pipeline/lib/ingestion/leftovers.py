"""What crashed writers left behind.

Add here: how the door's temporary files are recognised.
Not here: what is kept for good.
"""

from __future__ import annotations

import shutil

from crm_pipeline.lib.files import sweep_temporaries
from crm_pipeline.lib.home import CrmHome

SPILL = ".spill-"


def sweep_leftovers(home: CrmHome, *, older_than_seconds: float, now: float) -> int:
    """Removes temporary files and spill folders nobody can still be writing; returns how many."""
    removed = 0
    for folder in (home.raw, home.conformed, home.quarantine):
        removed += sweep_temporaries(folder, older_than_seconds=older_than_seconds, now=now)
    for spill in home.conformed.glob(f"{SPILL}*"):
        if now - spill.stat().st_mtime > older_than_seconds:
            shutil.rmtree(spill, ignore_errors=True)
            removed += 1
    return removed
