"""``make bench``: the pipeline beside one hand-written script with the same outputs.

Add here: what is run, in which order, and how it is printed.
Not here: what counts as start-up and what as work (``pipeline_times``, docs/benchmarks.md).

Nothing here asserts a time: machines differ. Only unequal outputs are a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare import compare_builds
from benchmarks.measure import Measured, run_measured
from benchmarks.pipeline_times import NODES, Amount, PipelineTimes, split_pipeline

PROJECT = Path(__file__).resolve().parents[1]
FULL = PROJECT.parent / "shared" / "data" / "online_retail_ii"
EXAMPLE = PROJECT / "examples" / "online_retail"
YEARS = "year_*.csv"
KEYS = {  # fixed, so that both sides mint the same ids; of use for nothing else
    "CRM_TOKEN_KEY": "benchmark-only-token-key-0123456789",
    "CRM_ID_KEY": "benchmark-only-id-key-0123456789",
    "CRM_HOLDOUT_SALT": "benchmark-only-salt-0123456789",
}
GIB = 2**30


@dataclass(frozen=True)
class HandWritten:
    """One run of the script."""

    whole: Amount
    startup: Amount
    phases: dict[str, Amount]
    peak_rss_bytes: int

    @property
    def work(self) -> Amount:
        """Everything after the imports."""
        return self.whole - self.startup


@dataclass(frozen=True)
class Pipeline:
    """One ``crm run`` on a fresh home."""

    times: PipelineTimes
    peak_rss_bytes: int


def main() -> int:
    """Measures, prints, and returns 1 when the two sides say different things."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side [default: 3]")
    parser.add_argument("--data", type=Path, help="folder with the two yearly files")
    parser.add_argument("--no-example", action="store_true", help="leave `make run` out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        scratch = Path(folder)
        landing, row_count = lay_out(scratch, arguments.data)
        hands, pipelines = run_alternately(scratch, landing, arguments.repeats)
        differences = list(compare_builds(*published_files(scratch)))
        print_results(hands, pipelines, row_count)
        for difference in differences:
            print(f"DIFFERENT {difference.table}: {difference.text}")
        if not differences:
            print("\nSame outputs: every table, every row (benchmarks/compare.py).")
        if not arguments.no_example:
            print_example(scratch)
    return 1 if differences else 0


def lay_out(scratch: Path, given: Path | None) -> tuple[Path, int]:
    """Copies the yearly files to a landing folder of their own and counts their records."""
    source = given or (FULL if FULL.is_dir() else None)
    if source is None:
        from crm_pipeline.lib.examples import prepare_example

        source = prepare_example(EXAMPLE.name) / EXAMPLE.name
        print("The full data set is not beside the checkout: this is the shipped slice (10 %).")
    landing = scratch / "landing"
    target = landing / "online_retail"
    target.mkdir(parents=True)
    rows = 0
    for path in sorted(source.glob(YEARS)):
        shutil.copyfile(path, target / path.name)
        with path.open("rb") as lines:
            rows += sum(1 for _ in lines) - 1
    if not rows:
        raise SystemExit(f"no {YEARS} in the folder given")
    size = sum(path.stat().st_size for path in target.iterdir()) / 2**20
    print(f"Input: {len(list(target.iterdir()))} files, {rows:,} records, {size:.0f} MiB")
    return landing, rows


def run_alternately(
    scratch: Path, landing: Path, repeats: int
) -> tuple[list[HandWritten], list[Pipeline]]:
    """Both sides in turn, each from nothing; the last outputs stay."""
    hands, pipelines = [], []
    for place in range(repeats):
        for folder in ("by_hand", "home"):
            shutil.rmtree(scratch / folder, ignore_errors=True)
        hands.append(run_hand_written(scratch, landing))
        pipelines.append(run_pipeline(scratch, landing))
        hand, times = hands[-1], pipelines[-1].times
        print(
            f"  {place + 1}/{repeats}: by hand {hand.work.cpu:.1f} CPU s of work, "
            f"crm run {times.work.cpu:.1f}, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return hands, pipelines


def run_hand_written(scratch: Path, landing: Path) -> HandWritten:
    """One process, one script."""
    command = [sys.executable, "-m", "benchmarks.hand_written", "--landing", str(landing)]
    measured = run_measured([*command, "--out", str(scratch / "by_hand")], folder=PROJECT, env=KEYS)
    report = json.loads(measured.output)
    phases = {name: Amount(*seconds) for name, seconds in report["phases"].items()}
    whole = Amount(measured.wall, measured.cpu)
    working = sum(phases.values(), Amount())
    return HandWritten(whole, whole - working, phases, measured.peak_rss_bytes)


def run_pipeline(scratch: Path, landing: Path) -> Pipeline:
    """``crm run`` as a person types it, on a home that does not exist yet."""
    home = scratch / "home"
    measured = run_measured(
        [str(crm()), "run", "--home", str(home), "--landing", str(landing)],
        folder=PROJECT,
        env=KEYS,
    )
    times = split_pipeline(home, measured, time_import("great_expectations"))
    return Pipeline(times, measured.peak_rss_bytes)


def time_import(module: str) -> Amount:
    """What one import costs in a process that has what every step has loaded."""
    code = (
        "import time, dagster, pandas, pyarrow, scipy\n"
        "wall, cpu = time.perf_counter(), time.process_time()\n"
        f"import {module}\n"
        "print(time.perf_counter() - wall, time.process_time() - cpu)"
    )
    measured = run_measured([sys.executable, "-c", code], folder=PROJECT)
    wall, cpu = measured.output.split()[-2:]
    return Amount(float(wall), float(cpu))


def crm() -> Path:
    """The console script of this environment."""
    return Path(sys.executable).with_name("crm")


def published_files(scratch: Path) -> tuple[Path, Path]:
    """Both databases as BI would open them."""
    return (
        scratch / "by_hand" / "crm.duckdb",
        scratch / "home" / "published" / "current" / "crm.duckdb",
    )


def print_results(
    hands: Sequence[HandWritten], pipelines: Sequence[Pipeline], row_count: int
) -> None:
    """Medians of all runs."""
    times = [pipeline.times for pipeline in pipelines]
    print(f"\nMedians of {len(hands)}; seconds as CPU (wall)\n")
    print(f"{'':26}{'by hand':>16}{'crm run':>18}{'CPU ratio':>11}{'wall ratio':>11}")
    for name, of_hand, of_run in (
        ("whole process", lambda h: h.whole, lambda t: t.whole),
        ("start-up", lambda h: h.startup, lambda t: t.startup),
        ("work without scores", lambda h: h.work, lambda t: t.work),
    ):
        print_line(name, median([of_hand(h) for h in hands]), median([of_run(t) for t in times]))
    scores = median([run.scores for run in times])
    print(f"{'scores':26}{'–':>16}{show(scores):>18}")
    peaks = [statistics.median(run.peak_rss_bytes for run in side) for side in (hands, pipelines)]
    print(f"{'peak memory, GiB':26}{peaks[0] / GIB:>16.2f}{peaks[1] / GIB:>18.2f}")
    print("\nTarget: work ≤ 2 × by hand. Where the work of crm run goes:")
    groups = {name: median([t.work_by_group.get(name, Amount()) for t in times])
              for name in times[-1].work_by_group}  # fmt: skip
    for name, amount in sorted(groups.items(), key=lambda item: -item[1].cpu):
        print(f"  {name:34}{show(amount)}")
    print("By hand:")
    for name in hands[-1].phases:
        print(f"  {name:34}{show(median([h.phases[name] for h in hands]))}")
    print_startups(times)
    ingest = groups["ingest"]
    print(f"\nIngest: {row_count / ingest.cpu / 1000:,.0f} thousand records per CPU second")


def print_line(name: str, hand: Amount, run: Amount) -> None:
    """One row of the table."""
    print(
        f"{name:26}{show(hand):>16}{show(run):>18}{run.cpu / hand.cpu:>10.2f}×"
        f"{run.wall / hand.wall:>10.2f}×"
    )


def print_startups(times: Sequence[PipelineTimes]) -> None:
    """Start-up of the main process and of each call of dbt."""
    print("\nStart-up of crm run:")
    main_process = median([t.main_startup for t in times])
    print(f"  {'main process, until the first step':38}{show(main_process)}")
    parse = median([t.parse for t in times])
    if parse.wall:
        print(f"  {'dbt parse (project was new or changed)':38}{show(parse)}")
    imports = median([t.lazy_imports for t in times])
    print(f"  {'import of Great Expectations':38}{show(imports)}")
    calls = list(zip(*(t.invocations for t in times), strict=True))
    for place, same in enumerate(calls, start=1):
        startup, nodes = median([c.startup for c in same]), median([c.nodes for c in same])
        print(
            f"  dbt call {place}: start-up {show(startup)}, "
            f"{same[-1].node_count} nodes {show(nodes)}; slowest: "
            + ", ".join(f"{name} {seconds:.1f}" for name, seconds in same[-1].slowest[:3])
        )
    print(f"  {len(calls)} calls of dbt (aim 4; target ≤ 8 s of start-up each)")
    print(f"  {NODES}: a call's time between the start of its first node and the end of its last")


def print_example(scratch: Path) -> None:
    """``make run`` on the shipped example, twice: the second time nothing is new."""
    env = {"CRM_HOME": str(scratch / "example"), "MAKEFLAGS": "", "MAKELEVEL": ""}
    first, second = (run_measured(["make", "run"], folder=PROJECT, env=env) for _ in range(2))
    said = "with" if "dbt reads its project" in first.errors else "without"
    print("\nmake run on the shipped example (target < 90 s)")
    print(f"  first, {said} dbt parse  {show_measured(first)}")
    print(f"  again, nothing new       {show_measured(second)}")


def show_measured(measured: Measured) -> str:
    """CPU and wall of a whole command."""
    return show(Amount(measured.wall, measured.cpu))


def show(amount: Amount) -> str:
    """CPU seconds and, in brackets, wall seconds."""
    return f"{amount.cpu:.1f} ({amount.wall:.1f})"


def median(amounts: Sequence[Amount]) -> Amount:
    """Median of wall and of CPU, each for itself."""
    return Amount(
        statistics.median(amount.wall for amount in amounts),
        statistics.median(amount.cpu for amount in amounts),
    )


if __name__ == "__main__":
    sys.exit(main())
