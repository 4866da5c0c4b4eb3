"""``python -m simulation``: writes the landing folder and the truth of a made-up shop.

Add here: a flag of the command line.
Not here: a number of the world (``examples/world/world.yaml``).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crm_pipeline.lib.errors import ConfigError, CrmError
from simulation.delivery import delivery_parameters, write_landing
from simulation.engine import finish_truth, write_clean
from simulation.parameters import DEFAULT_CONFIG, WorldParameters, load_parameters

MARKER = "world.json"


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; 1 when something a user can mend is wrong."""
    options = _parser().parse_args(arguments)
    try:
        parameters = _parameters(options)
        if options.clean_only and not options.scale_only:
            raise ConfigError("--clean-only measures only", remedy="give --scale-only too")
        if options.scale_only:
            _measure(parameters, options)
        else:
            _make(parameters, options)
    except CrmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--home", type=Path, help="gets landing/ and truth/")
    parser.add_argument("--landing", type=Path, help="landing folder, instead of HOME/landing")
    parser.add_argument("--truth", type=Path, help="truth folder, instead of HOME/truth")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="the world's numbers")
    parser.add_argument("--people", type=int, help="instead of the file's number")
    parser.add_argument("--months", type=int, help="instead of the file's number")
    parser.add_argument("--seed", type=int, help="instead of the file's number")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
        help="another number than the file's, such as purchases.rate_scale_days=20; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--work",
        type=Path,
        help="gets a folder for clean records while they are needed (default: beside truth)",
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that make people at the same time"
    )
    parser.add_argument(
        "--scale-only", action="store_true",
        help="make everything, print rates and memory, keep nothing",
    )  # fmt: skip
    parser.add_argument(
        "--clean-only", action="store_true", help="with --scale-only: write no channel files"
    )
    return parser


def _parameters(options: argparse.Namespace) -> WorldParameters:
    given = {
        f"world__{key}": getattr(options, key)
        for key in ("people", "months", "seed")
        if getattr(options, key) is not None
    }
    given |= dict(_setting(text) for text in options.set)
    try:
        return load_parameters(options.config).changed(**given)
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"this world cannot be: {error}",
            where=str(options.config),
            remedy="name a number of the file as section.key=value",
        ) from error


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} sets nothing", remedy="write --set section.key=value")
    return name.replace(".", "__"), json.loads(value) if value[:1] in "0123456789[{-" else value


def _make(parameters: WorldParameters, options: argparse.Namespace) -> None:
    landing, truth = _folders(options)
    fingerprint = fingerprint_of(parameters)
    marker = truth / MARKER
    said = json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}
    if said.get("fingerprint") == fingerprint and said.get("is_finished"):
        print(f"{landing} already holds this world; it is left alone")
        return
    if said.get("fingerprint") != fingerprint and _has_files(landing):
        raise ConfigError(
            "the landing folder holds something else than this world",
            where=str(landing),
            remedy="name another home, or empty the folder and its truth first",
        )
    truth.mkdir(parents=True, exist_ok=True)
    _mark(marker, fingerprint, parameters, is_finished=False)
    started = time.perf_counter()
    with _work_folder(options.work or truth.parent) as work:
        rows = write_world(parameters, landing, truth, work, workers=options.workers)
    _mark(marker, fingerprint, parameters, is_finished=True)
    seconds = time.perf_counter() - started
    print(f"{rows:,} records of {parameters.world.people:,} people in {seconds:.1f} s: {landing}")


def write_world(
    parameters: WorldParameters, landing: Path, truth: Path, work: Path, *, workers: int = 1
) -> int:
    """Writes all files of the landing folder and all tables of the truth; returns the records.

    ``work`` is an empty folder of the caller's; what is left in it is of no further use.
    """
    written = write_clean(parameters, work / "clean", truth, workers=workers)
    landed = write_landing(
        work / "clean",
        landing,
        delivery_parameters(parameters),
        parameters.world.seed,
        work_dir=work / "delivery",
    )
    limit = parameters.delivery.memory_limit
    finish_truth(truth, landed.account_files, landed.defects, limit)
    return written.records


def _measure(parameters: WorldParameters, options: argparse.Namespace) -> None:
    started = time.perf_counter()
    with _work_folder(options.work) as place:
        written = write_clean(parameters, place / "clean", place / "truth", workers=options.workers)
        _report("clean records", written.records, started, written.workers_peak)
        for feed, count in written.counts.items():
            print(f"  {feed}: {count:,}")
        if not options.clean_only:
            started = time.perf_counter()
            landed = write_landing(
                place / "clean", place / "landing", delivery_parameters(parameters),
                parameters.world.seed, work_dir=place / "delivery",
            )  # fmt: skip
            _report("delivered records", landed.records, started)


@contextmanager
def _work_folder(parent: Path | None) -> Iterator[Path]:
    """A new folder in ``parent`` (default: where temporary files go), gone at the end."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=parent) as folder:
        yield Path(folder)


def _report(what: str, rows: int, started: float, workers_peak: int = 0) -> None:
    """Rate and memory: the peak of this process so far, and of its workers together."""
    seconds = time.perf_counter() - started
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = (own + workers_peak) / 1024**3
    print(f"{rows:,} {what} in {seconds:.1f} s: {rows / seconds:,.0f} a second, "
          f"peak memory {peak:.2f} GiB")  # fmt: skip


def _folders(options: argparse.Namespace) -> tuple[Path, Path]:
    landing = options.landing or (options.home and options.home / "landing")
    truth = options.truth or (options.home and options.home / "truth")
    if not landing or not truth:
        raise ConfigError("nowhere to write", remedy="give --home, or --landing and --truth")
    return landing.resolve(), truth.resolve()


def fingerprint_of(parameters: WorldParameters) -> str:
    """Equal for equal parameters."""
    said = json.dumps(parameters.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()


def _has_files(folder: Path) -> bool:
    return folder.exists() and any(path.is_file() for path in folder.rglob("*"))


def _mark(
    marker: Path, fingerprint: str, parameters: WorldParameters, *, is_finished: bool
) -> None:
    said = {
        "fingerprint": fingerprint,
        "is_finished": is_finished,
        "parameters": parameters.model_dump(mode="json"),
    }
    marker.write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
