"""``python -m benchmarks.identity_graph``: sightings to clusters, beside a plain GROUP BY.

Add here: how the sightings are made up, what is measured and how the figures are printed.
Not here: how a process is observed (``measure``).

Both sides read the same Parquet file, each in a process of its own, in turn, three times; imports
are left out. The ratios of each turn are printed, and the fastest of each phase. Further a day on
which one sighting in a hundred is new, a chain of records in which each shares a value with the
next, and a device of 20,000 people.
Nothing here asserts a time.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measure import run_measured

PROJECT = Path(__file__).resolve().parents[1]
TARGET_RATIO = 3
TARGET_GIB = 4
CHUNK = 500_000
CHAIN_LENGTH = 300_000
CROWD = 20_000
DAY = 86_400_000_000
FIRST_DAY = int(dt.datetime(2023, 1, 1, tzinfo=dt.UTC).timestamp() * 1_000_000)
SHOP_PHONES = 20
# Kinds and the share of sightings each has.
SHARES = {
    "phone": 0.34,
    "email": 0.20,
    "union_id": 0.15,
    "member_number": 0.15,
    "device_id": 0.14,
    "receiver_phone": 0.02,
}
IS_NEW = "hash(account, kind, value, seen_from) % 100 = 0"
COUNT_IDENTIFIERS = "select count(*) from identifiers"
Ints: TypeAlias = NDArray[Any]
Count: TypeAlias = Callable[[], dict[str, int]]
Work: TypeAlias = Callable[[], Count]


@dataclass(frozen=True)
class Timed:
    """What one phase reports about itself, and its peak."""

    wall: float
    cpu: float
    counts: dict[str, int]
    peak_rss_bytes: int


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.identity_graph", description=__doc__
    )
    parser.add_argument("--edges", type=int, default=10_000_000, help="sightings [10,000,000]")
    parser.add_argument("--text-accounts", action="store_true", help="accounts are texts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each phase [3]")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    parser.add_argument("--parquet", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        run_phase(options.phase, options.parquet)
        return 0
    with tempfile.TemporaryDirectory(prefix="crm-identity-") as folder:
        sightings, chain, crowd = (Path(folder) / name for name in ("sightings", "chain", "crowd"))
        write_sightings(sightings, options.edges, as_text=options.text_accounts)
        write_chain(chain)
        write_crowd(crowd)
        size = sightings.stat().st_size / 2**20
        print(f"{options.edges:,} sightings, {size:.0f} MiB, load {os.getloadavg()[0]:.1f}\n")
        compare(sightings, options.repeats)
        print()
        for phase in ("chain", "cut_chain"):
            print_line(f"{CHAIN_LENGTH:,} {phase}", measure(phase, chain))
        print_line(f"{CROWD:,} crowd", measure("crowd", crowd))
    return 0


def write_sightings(path: Path, count: int, *, as_text: bool) -> None:
    """A shop's sightings in random order, one chunk in memory at a time.

    A person has two or three accounts, an account three sightings on average. Planted: shops'
    phones, phones that were somebody else's years ago, receivers, and a few e-mail addresses given
    by the wrong person, so that some components hold two people.
    """
    writer = None
    for start in range(0, count, CHUNK):
        chunk = make_chunk(start // CHUNK, min(CHUNK, count - start), count // 3 + 1, as_text)
        writer = writer or pq.ParquetWriter(path, chunk.schema, compression="zstd")
        writer.write_table(chunk)
    if writer is not None:
        writer.close()


def make_chunk(number: int, count: int, account_count: int, as_text: bool) -> pa.Table:
    """One chunk; the same for any number of chunks before it."""
    rng = np.random.Generator(np.random.Philox(key=[7, number]))
    account = rng.integers(0, account_count, count)
    person = scramble_within(account, account_count) * 10 // 23
    luck = rng.random(count)
    kind = rng.choice(len(SHARES), count, p=list(SHARES.values()))
    is_phone, is_email = kind == 0, kind == 1
    recycled = is_phone & (luck < 0.01)
    stranger = recycled | (is_email & (luck < 0.001)) | (kind == 5)
    person = np.where(stranger, rng.integers(0, account_count * 10 // 23 + 1, count), person)
    day = rng.integers(0, 700, count) - np.where(recycled, 3000, 0)
    code = np.where(kind == 4, scramble(account), scramble(person))
    code = np.where(is_phone & (luck > 0.997), rng.integers(0, SHOP_PHONES, count), code)
    prefixes = pa.array(["+861", "user", "oUnionIdOfWeChat", "M", "oaid-0123-4567-", "+861"])
    suffixes = pa.array(["", "@example.com", "", "", "", ""])
    kinds = pa.array(kind)
    value = pc.binary_join_element_wise(
        prefixes.take(kinds),
        pc.utf8_lpad(pa.array(code).cast(pa.string()), 10, "0"),
        suffixes.take(kinds),
        "",
    )
    seen = FIRST_DAY + day * DAY
    accounts = pa.array(account)
    return pa.table(
        {
            "account": pc.binary_join_element_wise("shop:", accounts.cast(pa.string()), "")
            if as_text
            else accounts,
            "kind": pa.array(list(SHARES)).take(kinds),
            "value": value,
            "seen_from": pa.array(seen).cast(pa.timestamp("us")),
            "seen_to": pa.array(seen + rng.integers(0, 60, count) * DAY).cast(pa.timestamp("us")),
        }
    )


def scramble(number: Ints) -> Ints:
    """One to one below ten thousand million, so that neighbours are nowhere near."""
    return (number * 2_654_435_761 + 12_345) % 10_000_000_019 % 10_000_000_000


def scramble_within(number: Ints, count: int) -> Ints:
    """One to one below ``count``: accounts of one person are not neighbours."""
    factor = 1_618_033
    while np.gcd(factor, count) > 1:
        factor += 1
    return number * factor % count


def write_chain(path: Path) -> None:
    """Account n and account n + 1 share a value."""
    link = np.arange(CHAIN_LENGTH - 1)
    account = np.concatenate([link, link + 1])
    order = np.random.Generator(np.random.Philox(key=[7, 10**6])).permutation(len(account))
    value = pc.binary_join_element_wise(
        "user", pa.array(np.concatenate([link, link])[order]).cast(pa.string()), "@example.com", ""
    )
    seen = pa.array(np.full(len(account), FIRST_DAY)).cast(pa.timestamp("us"))
    kind = pa.repeat("email", len(account))
    names = ["account", "kind", "value", "seen_from", "seen_to"]
    pq.write_table(pa.table([pa.array(account[order]), kind, value, seen, seen], names), path)


def write_crowd(path: Path) -> None:
    """A till's tablet, of a kind without a limit, on accounts of as many members.

    The accounts have no number of their own; one with the same e-mail has it, so that who they are
    shows on the way only.
    """
    person = pa.array(np.arange(CROWD)).cast(pa.string())
    other = np.arange(CROWD, 2 * CROWD)
    emails = pc.binary_join_element_wise("user", person, "@example.com", "")
    columns = [
        (np.arange(CROWD), "tablet", pa.repeat("shared", CROWD)),
        (np.arange(CROWD), "email", emails),
        (other, "email", emails),
        (other, "member_number", person),
    ]
    seen = pa.array(np.full(CROWD, FIRST_DAY)).cast(pa.timestamp("us"))
    names = ["account", "kind", "value", "seen_from", "seen_to"]
    tables = [
        pa.table([pa.array(account), pa.repeat(kind, CROWD), value, seen, seen], names)
        for account, kind, value in columns
    ]
    pq.write_table(pa.concat_tables(tables), path)


def compare(sightings: Path, repeats: int) -> None:
    """All phases in turn: ratios of one turn are of one state of the machine."""
    best: dict[str, Timed] = {}
    for turn in range(1, repeats + 1):
        told = []
        for phase in ("floor", "resolve", "resolve_and_edges", "one_more_day"):
            found = measure(phase, sightings)
            if phase == "floor":
                floor = found
            told.append(f"{phase} {found.wall / floor.wall:.2f} ({found.cpu / floor.cpu:.2f})")
            if phase not in best or found.wall < best[phase].wall:
                best[phase] = found
        print(f"turn {turn}, load {os.getloadavg()[0]:.1f}, × floor, wall (CPU): {', '.join(told)}")
    print()
    for phase, found in best.items():
        print_line(phase, found)
    print(f"\nTarget: resolve ≤ {TARGET_RATIO} × floor, ≤ {TARGET_GIB} GiB")


def print_line(name: str, found: Timed) -> None:
    """One phase."""
    counts = ", ".join(f"{count:,} {what}" for what, count in found.counts.items())
    print(
        f"{name:20}{found.wall:7.2f} s wall{found.cpu:8.2f} s CPU"
        f"{found.peak_rss_bytes / 2**30:6.2f} GiB  {counts}",
        flush=True,
    )


def measure(phase: str, parquet: Path) -> Timed:
    """One phase in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.identity_graph", "--phase", phase]
    measured = run_measured([*command, "--parquet", str(parquet)], folder=PROJECT)
    told = json.loads(measured.output)
    return Timed(told["wall"], told["cpu"], told["counts"], measured.peak_rss_bytes)


def run_phase(phase: str, parquet: Path) -> None:
    """Measures itself, imports and preparations left out."""
    import duckdb

    import ml.identity  # noqa: F401  its import is not part of the work

    work = PHASES[phase](duckdb.connect().read_parquet(str(parquet)))
    wall, cpu = time.perf_counter(), time.process_time()
    count = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"wall": wall, "cpu": cpu, "counts": count()}))


def group_by_value(relation: Any) -> Work:
    """The floor: what an analyst writes to see which identifiers are shared."""
    create = (
        "create temp table identifiers as select kind, value, count(*) as sightings, "
        "min(account) as account from s group by kind, value"
    )

    def work() -> Count:
        relation.query("s", create)
        return lambda: {"identifiers": relation.query("s", COUNT_IDENTIFIERS).fetchall()[0][0]}

    return work


def resolve_all(relation: Any, *, limit: int | None = 100, with_edges: bool = False) -> Work:
    """The whole resolution; edges and dropped evidence are made only when asked for."""
    from ml.identity import ResolveConfig, resolve

    kinds, config = make_kinds(), ResolveConfig(component_limit=limit)

    def work() -> Count:
        found = resolve(relation, kinds, config=config)
        if with_edges:
            edges, dropped = found.edges, found.dropped
            return lambda: {"edges": edges.num_rows, "dropped": dropped.num_rows}
        return lambda: {
            "accounts": found.clusters.num_rows,
            "clusters": pc.count_distinct(found.clusters["cluster"]).as_py(),
        }

    return work


def resolve_day(relation: Any) -> Work:
    """One sighting in a hundred is new; yesterday's tables are there already."""
    from ml.identity import resolve, resolve_increment

    yesterday = resolve(relation.filter(f"not ({IS_NEW})"), make_kinds())
    _ = yesterday.edges, yesterday.dropped
    changed = relation.filter(IS_NEW).project("account, kind, value").to_arrow_table()

    def work() -> Count:
        found = resolve_increment(yesterday, relation, changed)
        return lambda: {
            "sightings new": changed.num_rows,
            "accounts touched": found.touched_count or 0,
            "edges": found.edges.num_rows,
            "dropped": found.dropped.num_rows,
        }

    return work


def make_kinds() -> Any:
    """Guards as a shop would set them."""
    from ml.identity import read_kinds

    rows: list[dict[str, object]] = [
        {"name": "phone", "semantics": "shared", "strength": 50, "account_limit": 12,
         "valid_days": 730, "exclude_patterns": r"\+8613800138000 \+861380000\d{4}"},
        {"name": "email", "semantics": "shared", "strength": 60, "account_limit": 12,
         "exclude_patterns": r".*@example\.test no-?reply@.*"},
        {"name": "union_id", "semantics": "unique", "strength": 100},
        {"name": "member_number", "semantics": "unique", "strength": 90},
        {"name": "device_id", "semantics": "equality_only", "strength": 20, "account_limit": 4},
        {"name": "tablet", "semantics": "equality_only", "strength": 10},
        {"name": "receiver_phone", "semantics": "receiver", "strength": ""},
    ]  # fmt: skip
    return read_kinds(rows)


PHASES: dict[str, Callable[[Any], Work]] = {
    "floor": group_by_value,
    "resolve": resolve_all,
    "resolve_and_edges": lambda relation: resolve_all(relation, with_edges=True),
    "one_more_day": resolve_day,
    "chain": lambda relation: resolve_all(relation, limit=None),
    "cut_chain": resolve_all,
    "crowd": lambda relation: resolve_all(relation, limit=None),
}


if __name__ == "__main__":
    sys.exit(main())
