"""``python -m benchmarks.night_cost``: what one more day costs beside the first full load.

Add here: which part of the line is measured and how the figures are printed.
Not here: how a process is observed (``measure``), how the world is made (``simulation``).

A simulated shop is delivered twice into one home: everything but its last day, then that day. Each
time the files are taken in, staged and rolled up by the pipeline's own jobs; identity, scores and
publishing are left out. Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb

from benchmarks.measure import Measured, run_measured

PROJECT = Path(__file__).resolve().parents[1]
STAMP = re.compile(r"_(\d{8})T\d{6}")
TARGET_PCT = 10
STAGED_LAST = ("staging", "staged_parts")  # every stepped table is upstream of it
TIMELINE = ("intermediate", "int_touches")
LATE = ("ops", "late_records")
PHASES = ("ingest", "stage")
# Ten orders and a hundred events a person: the demo's shop is calmer, to be quick to run.
BUSY = ("purchases.rate_scale_days=22", "behaviour.sessions_per_month=2.8")


@dataclass(frozen=True)
class Load:
    """One delivery into the home."""

    name: str
    phases: dict[str, Measured]

    @property
    def cpu(self) -> float:
        """CPU seconds of all its processes, their children included."""
        return sum(phase.cpu for phase in self.phases.values())

    @property
    def wall(self) -> float:
        """Seconds on the clock."""
        return sum(phase.wall for phase in self.phases.values())


def main() -> int:
    """Measures and prints; returns 1 when the second load has staged nothing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.night_cost", description=__doc__)
    parser.add_argument("--people", type=int, default=200_000, help="[default: 200,000]")
    parser.add_argument("--seed", type=int, help="instead of the world's own")
    parser.add_argument("--world", type=Path, help="a home `python -m simulation` has filled")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--as-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        run_phase(options.phase, options.home, options.as_of)
        return 0
    with tempfile.TemporaryDirectory(prefix="crm-night-") as folder:
        scratch = Path(folder)
        world = options.world or make_world(scratch / "world", options.people, options.seed)
        return measure(world, scratch)


def make_world(home: Path, people: int, seed: int | None) -> Path:
    """Simulates the shop; not measured."""
    command = [sys.executable, "-m", "simulation", "--home", str(home), "--people", str(people)]
    command += ["--workers", "2", *(word for setting in BUSY for word in ("--set", setting))]
    command += ["--seed", str(seed)] if seed is not None else []
    print(run_measured(command, folder=PROJECT).output.strip(), flush=True)
    return home


def measure(world: Path, scratch: Path) -> int:
    """Both loads, and what each of them staged."""
    home, landing = scratch / "home", scratch / "home" / "landing"
    last_day = find_last_day(world / "landing")
    loads = []
    for name, day in (
        ("first full load", last_day - timedelta(days=1)),
        ("one more day", last_day),
    ):
        files = link_files(world / "landing", landing, day)
        before = count_staged(home)
        phases = {phase: start_phase(phase, home, day) for phase in PHASES}
        loads.append(Load(name, phases))
        parts, records = (b - a for a, b in zip(before, count_staged(home), strict=True))
        print(
            f"{name}: as of {day}, {files} files, {parts} parts with {records:,} records staged, "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    print_loads(*loads)
    return 0 if records else 1


def find_last_day(landing: Path) -> date:
    """The last day many feeds deliver: what comes after it are late files."""
    days: dict[date, set[str]] = {}
    for path, day in stamped(landing):
        days.setdefault(day, set()).add(path.parent.name)
    most = max(len(feeds) for feeds in days.values())
    return max(day for day, feeds in days.items() if len(feeds) * 2 >= most)


def stamped(landing: Path) -> Iterator[tuple[Path, date]]:
    """Every landed file with the day it was delivered on."""
    for path in sorted(landing.glob("*/*")):
        if found := STAMP.search(path.name):
            yield path, date.fromisoformat(found[1])


def link_files(source: Path, target: Path, until: date) -> int:
    """Lets everything delivered by a day land; returns how many files are new."""
    count = 0
    for path, day in stamped(source):
        landed = target / path.parent.name / path.name
        if day <= until and not landed.exists():
            landed.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, landed)
            count += 1
    return count


def start_phase(phase: str, home: Path, day: date) -> Measured:
    """One phase as a process of its own, so that its children are counted with it."""
    command = [sys.executable, "-m", "benchmarks.night_cost", "--phase", phase]
    settings = read_settings(PROJECT / "examples" / "world" / "settings.env")
    return run_measured(
        [*command, "--home", str(home), "--as-of", str(day)], folder=PROJECT, env=settings
    )


def read_settings(path: Path) -> dict[str, str]:
    """The example's own keys, zone and currency."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def run_phase(phase: str, path: Path, day: str) -> None:
    """The measured work: the pipeline's own job, or the part of it up to the staged parts."""
    import dagster as dg

    from crm_pipeline.lib.dagster_home import prepare_environment
    from crm_pipeline.lib.home import CrmHome
    from crm_pipeline.resources import Deployment
    from crm_pipeline.run_command import CHANNELS, load_feeds, settle
    from crm_pipeline.runner import execute, open_instance

    home = CrmHome(path).ensure()
    prepare_environment(home)
    feeds = load_feeds(CHANNELS)
    settle(home, feeds, landing=home.landing, example=None)
    with open_instance(Deployment(home=str(home.root))) as instance:
        if phase == "ingest":
            execute(instance, "ingest_job")
        else:
            tables = dg.AssetSelection.assets(*map(dg.AssetKey, (STAGED_LAST, TIMELINE, LATE)))
            models = tables.upstream() - dg.AssetSelection.groups("channels", "pulls")
            chosen = models.required_multi_asset_neighbors()
            execute(instance, "nightly_job", partition_key=day, only=chosen)


def count_staged(home: Path) -> tuple[int, int]:
    """Parts and records the warehouse counts as staged."""
    warehouse = home / "warehouse" / "crm.duckdb"
    if not warehouse.exists():
        return 0, 0
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute(
            "select (select count(*) from staging.staged_parts), "
            "(select count(*) from staging.stg_record_ids)"
        ).fetchall()
    return rows[0][0], rows[0][1]


def print_loads(full: Load, day: Load) -> None:
    """CPU seconds, wall in brackets."""
    print(
        f"\nSeconds as CPU (wall), children included\n\n{'':24}{full.name:>20}{day.name:>20}{'':>9}"
    )
    for phase in PHASES:
        one, other = full.phases[phase], day.phases[phase]
        print_line(phase, one.cpu, one.wall, other.cpu, other.wall)
    print_line("together", full.cpu, full.wall, day.cpu, day.wall)
    peaks = [max(phase.peak_rss_bytes for phase in load.phases.values()) for load in (full, day)]
    print(f"{'peak memory, GiB':24}{peaks[0] / 2**30:>20.2f}{peaks[1] / 2**30:>20.2f}")
    print(f"\nTarget: one more day ≤ {TARGET_PCT} % of the first full load")


def print_line(name: str, cpu: float, wall: float, day_cpu: float, day_wall: float) -> None:
    """One row of the table."""
    both = f"{cpu:.1f} ({wall:.1f})", f"{day_cpu:.1f} ({day_wall:.1f})"
    print(f"{name:24}{both[0]:>20}{both[1]:>20}{100 * day_cpu / cpu:>7.1f} %")


if __name__ == "__main__":
    sys.exit(main())
