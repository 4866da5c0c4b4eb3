"""dbt that never outlives the run that started it.

Add here: nothing; what dbt does is said by its arguments.
Not here: which models run (``components/warehouse_models.py``).

A run that is killed frees its lease on the warehouse at once. A dbt left behind would go on
writing beside the next run, so it ends with its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2


def _die_with_parent() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def main() -> None:
    """The console script ``crm-dbt``: dbt's own command line, tied to its parent process."""
    _die_with_parent()
    from dbt.cli.main import cli

    cli()


if __name__ == "__main__":
    main()
