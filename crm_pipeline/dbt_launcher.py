"""dbt that never outlives the run that started it.

Add here: how ``crm-dbt`` comes to run dbt.
Not here: which models run (``components/warehouse_models.py``), dbt in memory (``dbt_server``).

A run that is killed frees its lease on the warehouse at once. A dbt left behind would go on
writing beside the next run, so it ends with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.2
ADDRESS = "CRM_DBT_SERVER"  # socket of the run's own dbt process, if it has one
SERVED = "CRM_DBT_SERVER_WAREHOUSE"  # the warehouse it has read the project for


def die_with_parent() -> None:
    """Ends this process when the one that started it is gone, however that ended."""
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


def ask(arguments: list[str] | None) -> bytes:
    """What the run's dbt process says; nothing, if there is none or it has died.

    Args:
        arguments: of dbt; ``None`` only waits until the project has been read.
    """
    address = os.environ.get(ADDRESS)
    if not address:
        return b""
    said = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.connect(address)
            socket.send_fds(server, [b" "], [1, 2])
            server.sendall(json.dumps(said).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                more = server.recv(64)
                if not more:
                    break
                answer += more
            return answer
    except OSError:
        return b""


def read_alike() -> None:
    """Lets dbt take what it has parsed for a warehouse file as parsed for any of that name.

    It parses everything anew, 16 s of CPU, when anything about the connection differs. No model
    mentions the path; the name of the database, which models do carry, goes on being compared.
    """
    from dbt.adapters.duckdb.credentials import DuckDBCredentials

    compared = DuckDBCredentials._connection_keys

    def without_path(credentials: DuckDBCredentials) -> tuple[str, ...]:
        return tuple(key for key in compared(credentials) if key != "path")

    DuckDBCredentials._connection_keys = without_path


def main() -> None:
    """The console script ``crm-dbt``: dbt's own command line, tied to its parent process."""
    die_with_parent()
    # A past day is built in a file of its own. dbt would close what it opened for the other one and
    # wait for threads that a forked process does not have, so that call is made here.
    is_served = os.environ.get(SERVED) == os.environ.get("CRM_WAREHOUSE_PATH")
    # Asked first whether it is there: a call that has begun elsewhere is never begun again here.
    if is_served and ask(None):
        sys.exit(int(ask(sys.argv[1:]) or b"2"))
    from dbt.cli.main import cli

    read_alike()
    cli()


if __name__ == "__main__":
    main()
