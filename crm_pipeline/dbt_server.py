"""dbt imported once for all calls of a run.

Add here: how a call of dbt reaches the process that has it in memory.
Not here: what is called (``components/warehouse_models.py``), ``crm-dbt`` (``dbt_launcher.py``).

Importing dbt and reading the project cost 6 s of CPU, four times a night. This process does both
once, beside the ingestion, and forks for every call. It holds no file of the warehouse, has one
thread, and ends with the run that started it; a call ends with its caller. Where it cannot be had
(no Linux, a broken project, a run without it) ``crm-dbt`` does everything itself, as before.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from crm_pipeline.dbt_launcher import ADDRESS, SERVED, die_with_parent, read_alike
from crm_pipeline.lib.home import CrmHome

PROJECT = Path(__file__).resolve().parents[1] / "dbt_project"
LONGEST_ADDRESS = 100  # bytes of a socket's path


# ------------------------------------------------------------------------- who starts it


def start(home: CrmHome) -> subprocess.Popen[bytes] | None:
    """Starts the process unless this run has one; its calls find it by the environment."""
    if sys.platform != "linux" or os.environ.get(ADDRESS):
        return None
    scratch = home.dagster / "dbt"
    scratch.mkdir(parents=True, exist_ok=True)
    address = str(scratch / f"dbt-{os.getpid()}.sock")
    if len(os.fsencode(address)) > LONGEST_ADDRESS:
        address = str(Path(tempfile.mkdtemp(prefix="crm-")) / "dbt.sock")
    Path(address).unlink(missing_ok=True)
    # Listening before anybody may ask: whoever connects waits until the server is ready.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        Path(address).chmod(0o600)
        listener.listen(8)
        started = subprocess.Popen(
            [sys.executable, "-m", "crm_pipeline.dbt_server", str(listener.fileno()), str(scratch)],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=PROJECT,
            env={
                **os.environ,
                "DBT_PROFILES_DIR": str(PROJECT),
                "CRM_WAREHOUSE_PATH": str(home.warehouse),
            },
        )
    os.environ[ADDRESS] = address
    os.environ[SERVED] = str(home.warehouse)
    return started


def stop(started: subprocess.Popen[bytes] | None) -> None:
    """Ends the process that ``start`` gave, and its calls."""
    if started is None:
        return
    started.kill()
    started.wait()
    os.environ.pop(SERVED, None)
    address = Path(os.environ.pop(ADDRESS, ""))
    with contextlib.suppress(OSError):
        address.unlink()
        if address.parent.name.startswith("crm-"):
            address.parent.rmdir()


# ------------------------------------------------------------------------- the process


class _Server:
    """Imports dbt, reads the project, and forks for each call."""

    def __init__(self, listener: socket.socket, scratch: Path) -> None:
        self._listener, self._scratch = listener, scratch
        self._manifest: Any = None
        self._read_for = ""

    def read_project(self) -> None:
        """Parses the project for the home's own warehouse and keeps the result for others."""
        from crm_pipeline.lib.dbt_manifest import read_project_with

        self._read_for = os.environ["CRM_WAREHOUSE_PATH"]
        self._manifest = read_project_with(_parse, PROJECT, self._scratch)

    def serve(self) -> None:
        """Answers until the run that started it ends."""
        signal.signal(signal.SIGCHLD, _reap)  # their time is counted as this process's
        while True:
            caller, _ = self._listener.accept()
            with caller, contextlib.suppress(OSError, ValueError, KeyError):
                self._answer(caller)

    def _answer(self, caller: socket.socket) -> None:
        handles: list[int] = []
        try:
            said = receive(caller, handles)
            if said["arguments"] is None:  # only asked whether the project has been read
                caller.sendall(b"ready\n")
            elif os.fork() == 0:
                _call(self, caller, said, handles)
        finally:
            for handle in handles:  # whoever reads them would wait for this process too
                os.close(handle)

    def manifest_for(self, environment: dict[str, str], arguments: list[str]) -> Any:
        """The project as read, if the call would read the same."""
        is_same = environment.get("CRM_WAREHOUSE_PATH") == self._read_for
        return self._manifest if is_same and arguments[:1] != ["parse"] else None

    def close(self) -> None:
        self._listener.close()


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _parse(target: Path) -> Any:
    """The project's manifest, or ``None`` if dbt cannot read it: the caller will say why."""
    from dbt.cli.main import dbtRunner

    arguments = ["--quiet", "parse", "--target-path", str(target), "--log-path", str(target)]
    return dbtRunner().invoke(arguments).result


def _call(server: _Server, caller: socket.socket, said: dict[str, Any], handles: list[int]) -> None:
    """One call of dbt in a forked process; never returns."""
    code = 2
    try:
        die_with_parent()
        server.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        for place, handle in enumerate(handles, start=1):
            os.dup2(handle, place)
            os.close(handle)
        sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
        os.chdir(said["folder"])
        os.environ.clear()
        os.environ.update(said["environment"])
        threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
        from dbt.cli.main import dbtRunner

        manifest = server.manifest_for(said["environment"], said["arguments"])
        result = dbtRunner(manifest=manifest).invoke(said["arguments"])
        if result.exception is not None:
            print(result.exception, file=sys.stderr)
        code = 0 if result.success else 2 if result.exception else 1
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(f"{code}\n".encode())
    finally:
        os._exit(code)


def _end_with(caller: socket.socket) -> None:
    """Ends this call when its caller is gone: the connection ends with it, however it died."""
    with contextlib.suppress(OSError):
        while caller.recv(1):
            pass
    os._exit(1)


def receive(caller: socket.socket, handles: list[int]) -> dict[str, Any]:
    """A request: a blank that carries the caller's output and error stream, a line of JSON."""
    data, sent, _, _ = socket.recv_fds(caller, 1, 2)
    handles += sent
    while not data.endswith(b"\n"):
        more = caller.recv(65_536)
        if not more:
            raise ValueError("half a request")
        data += more
    said: dict[str, Any] = json.loads(data)
    return said


def main() -> None:
    """``python -m crm_pipeline.dbt_server <listening socket> <folder>``."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run that started it decides
    server = _Server(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]))
    os.environ.pop(ADDRESS, None)
    gc.disable()  # of what is read here nothing is ever thrown away
    import dbt.adapters.duckdb
    import dbt.task.build  # noqa: F401 (what a call would import first)

    read_alike()
    server.read_project()
    gc.collect()
    gc.freeze()  # no call looks through it again
    gc.enable()
    server.serve()


if __name__ == "__main__":
    main()
