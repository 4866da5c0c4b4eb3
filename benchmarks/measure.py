"""Runs a command and watches its processes: wall time, CPU time and memory, of each and of all.

Add here: how a running process is observed.
Not here: what is run and what the figures mean (``__main__``).

Reads ``/proc`` (Linux). CPU time counts more than wall time here: it moves little when others
use the machine.
"""

from __future__ import annotations

import bisect
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

POLL_SECONDS = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass
class Timeline:
    """CPU seconds one process had used, at moments of the wall clock, without its children."""

    pid: int
    command: str
    parent: int
    moments: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_rss_bytes: int = 0

    def note(self, moment: float, seconds: float, rss: int, command: str) -> None:
        """Adds one observation."""
        self.moments.append(moment)
        self.seconds.append(seconds)
        self.peak_rss_bytes = max(self.peak_rss_bytes, rss)
        self.command = command or self.command  # a zombie has none

    @property
    def wall(self) -> float:
        """Seconds between the first and the last observation."""
        return self.moments[-1] - self.moments[0]

    @property
    def cpu(self) -> float:
        """CPU seconds at the last observation."""
        return self.seconds[-1]

    def cpu_between(self, start: float, end: float) -> float:
        """CPU seconds used between two moments."""
        return self._at(end) - self._at(start)

    def _at(self, moment: float) -> float:
        place = bisect.bisect_left(self.moments, moment)
        if place == 0:
            return 0.0 if moment < self.moments[0] else self.seconds[0]
        if place == len(self.moments):
            return self.seconds[-1]
        before, after = self.moments[place - 1], self.moments[place]
        share = (moment - before) / (after - before)
        return self.seconds[place - 1] + share * (self.seconds[place] - self.seconds[place - 1])


@dataclass(frozen=True)
class Measured:
    """One finished command."""

    began: float  # seconds since 1970
    wall: float
    cpu: float  # user and system, all processes it waited for
    peak_rss_bytes: int  # all processes at one moment; pages they share are counted in each
    processes: list[Timeline]  # in order of appearance; the first is the command itself
    output: str
    errors: str


def run_measured(
    command: Sequence[str], *, folder: Path, env: Mapping[str, str] | None = None
) -> Measured:
    """Runs ``command`` in ``folder`` to its end.

    Raises:
        RuntimeError: it did not end well; the message ends with what it said.
    """
    began = time.time()
    cpu_before = _children_cpu()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watcher = _Watcher(process.pid)
    watcher.start()
    output, errors = process.communicate()
    wall = time.time() - began
    watcher.stop()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{output[-2000:]}\n{errors[-4000:]}")
    return Measured(
        began,
        wall,
        _children_cpu() - cpu_before,
        watcher.peak_rss_bytes,
        list(watcher.timelines.values()),
        output,
        errors,
    )


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


class _Watcher(threading.Thread):
    """Looks at a process and its descendants every ``POLL_SECONDS``."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.timelines: dict[int, Timeline] = {}
        self.peak_rss_bytes = 0
        self._pid = pid
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            self._look()

    def stop(self) -> None:
        """Ends the watch."""
        self._done.set()
        self.join()

    def _look(self) -> None:
        moment, total, waiting = time.time(), 0, [(self._pid, 0)]
        while waiting:
            pid, parent = waiting.pop()
            try:
                seconds, rss = _read_stat(pid)
                command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                waiting += [(child, pid) for child in _children(pid)]
            except (OSError, ValueError, IndexError):  # it has just ended
                continue
            total += rss
            known = self.timelines.setdefault(pid, Timeline(pid, command, parent))
            known.note(moment, seconds, rss, command)
        self.peak_rss_bytes = max(self.peak_rss_bytes, total)


def _read_stat(pid: int) -> tuple[float, int]:
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for listed in (PROC / str(pid) / "task").glob("*/children"):
        found += [int(child) for child in listed.read_text().split()]
    return found
