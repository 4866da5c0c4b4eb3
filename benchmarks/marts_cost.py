"""``python -m benchmarks.marts_cost``: what the models cost, all of them anew and for one more day.

Add here: which builds are made, how the cost of a model is read, what the figures are held against.
Not here: how the world is made (``night_cost``), tables written by hand (``hand_written_marts``).

A simulated shop is delivered twice: everything but its last day, then that day. One warehouse is
built after the first delivery and stepped after the second; another is built from both at once. The
files are taken in by the door's own code without Dagster and Great Expectations, and everybody's
accounts are told by the truth of the world: neither is measured. Nothing here asserts a time. It
fails when the stepped warehouse differs from the other one in a row, or the hand-written one does.

CPU seconds are those of the process, read when dbt says that a node, or a statement of it, begins
and ends, with one node at a time. *SQL* is the statements; the rest of a node is dbt's own work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.hand_written_marts import MADE_BY_HAND, make_by_hand
from benchmarks.measure import run_measured
from benchmarks.night_cost import (
    PROJECT,
    find_last_day,
    link_files,
    make_world,
    read_settings,
)

DBT_PROJECT = PROJECT / "dbt_project"
TARGET_BY_HAND, TARGET_SCAN, TARGET_DAY_PCT = 1.3, 25, 15
FIRST, SECOND = "first", "second"
# What a build says about itself: its name and moment, and which of its tables were stepped.
ABOUT_THE_BUILD = {
    "ops.build", "staging.staged_parts", "staging.stg_parts", "staging.step_notes",
    "staging.stg_record_ids", "staging.stg_part_days", "staging.stg_touched_days",
    "staging.stg_repeats", "staging.stg_repeated_records",
}  # fmt: skip
COMPARED_SCHEMAS = ("staging", "intermediate", "marts", "metrics", "activation", "ops")
SETTINGS = "set TimeZone = 'UTC'; set preserve_insertion_order = false"


@dataclass
class Node:
    """What one node of dbt used."""

    name: str
    kind: str
    layer: str
    cpu: float = 0.0
    sql_cpu: float = 0.0
    wall: float = 0.0


@dataclass
class Build:
    """One call of dbt."""

    nodes: dict[str, Node] = field(default_factory=dict)
    upstream: dict[str, list[str]] = field(default_factory=dict)

    def sql_cpu(self, names: Iterable[str] | None = None) -> float:
        """CPU seconds of the statements, of these nodes or of all."""
        return sum(self.nodes[name].sql_cpu for name in (self.nodes if names is None else names))

    def cpu(self) -> float:
        """CPU seconds of all nodes, with what dbt does for each."""
        return sum(node.cpu for node in self.nodes.values())

    def models(self) -> list[str]:
        """Names of all nodes that are no tests."""
        return [name for name, node in self.nodes.items() if node.kind != "test"]

    def needed_for(self, tables: Iterable[str]) -> set[str]:
        """The models these tables are made of, themselves included."""
        wanted = set(tables)
        found: set[str] = set()
        waiting = [name for name, node in self.nodes.items() if node.name in wanted]
        while waiting:
            name = waiting.pop()
            if name in self.nodes and name not in found and self.nodes[name].kind != "test":
                found.add(name)
                waiting += self.upstream.get(name, [])
        return found


def main() -> int:
    """Measures and prints; returns 1 when two outputs differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.marts_cost", description=__doc__)
    parser.add_argument("--people", type=int, default=200_000, help="[default: 200,000]")
    parser.add_argument("--seed", type=int, help="instead of the world's own")
    parser.add_argument("--world", type=Path, help="a home `python -m simulation` has filled")
    parser.add_argument("--taken-in", type=Path, help="keep what was taken in here, and use it")
    parser.add_argument("--copies", type=int, default=10, help="of each person [default: 10]")
    parser.add_argument("--keep", type=Path, help="leave the warehouses in this folder")
    parser.add_argument("--figures", type=Path, help="also write all figures to this JSON file")
    parser.add_argument("--phase", choices=("take_in", "multiply", "build"), help=argparse.SUPPRESS)
    parser.add_argument("--as-of", help=argparse.SUPPRESS)
    parser.add_argument("--warehouse", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase == "take_in":
        take_in(options.world, options.taken_in.resolve())
        return 0
    if options.phase == "multiply":
        multiply(options.world, options.taken_in.resolve(), options.copies)
        return 0
    if options.phase == "build":
        build = run_dbt(options.taken_in, options.warehouse, options.as_of)
        options.figures.write_text(json.dumps(asdict(build)), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory(prefix="crm-marts-") as folder:
        scratch = Path(folder)
        home = (options.taken_in or scratch / "home").resolve()
        if not (home / "snapshots" / SECOND).exists():
            home.mkdir(parents=True, exist_ok=True)
            world = options.world or make_world(scratch / "world", options.people, options.seed)
            start_phase("take_in", "--world", str(world.resolve()), "--taken-in", str(home))
        return measure(home, (options.keep or scratch).resolve(), options.figures)


def start_phase(phase: str, *arguments: str) -> None:
    """A phase as a process of its own, so that caches of another do not help it."""
    command = [sys.executable, "-m", "benchmarks.marts_cost", "--phase", phase, *arguments]
    settings = read_settings(PROJECT / "examples" / "world" / "settings.env")
    print(run_measured(command, folder=PROJECT, env=settings).output.strip(), flush=True)


# ------------------------------------------------------------------------- what is delivered


def take_in(world: Path, home_path: Path) -> None:
    """Two deliveries through the door, and the ledger as it was after each."""
    from crm_pipeline.lib.home import CrmHome
    from crm_pipeline.lib.ingestion import ingest_feed, load_feeds
    from crm_pipeline.lib.warehouse import export_snapshot
    from crm_pipeline.resources import Deployment
    from crm_pipeline.run_command import CHANNELS, settle

    home = CrmHome(home_path).ensure()
    feeds = load_feeds(CHANNELS)
    last_day = find_last_day(world / "landing")
    (home.root / "last_day").write_text(str(last_day), encoding="utf-8")
    (home.root / "identity").write_text(str(world / "truth" / "identity.parquet"), encoding="utf-8")
    for name, day in ((FIRST, last_day - timedelta(days=1)), (SECOND, last_day)):
        files = link_files(world / "landing", home.landing, day)
        settle(home, feeds, landing=home.landing, example=None)
        deployment = Deployment(home=str(home.root))
        written = 0
        for spec in feeds:
            report = ingest_feed(
                home,
                deployment.ledger,
                spec,
                home.landing,
                received_at=datetime.now(UTC).replace(tzinfo=None),
                post_consents=deployment.post_consents,
            )
            written += report.written
        export_snapshot(deployment.ledger, home.snapshots / name)
        print(f"{name} delivery: until {day}, {files} files, {written:,} records")


# Ids that are one person's own; products, shops, rooms and campaigns are everybody's.
OF_A_PERSON = {
    "order_id", "source_customer_id", "coupon_id", "refund_id", "device_id", "left_customer_id",
    "right_customer_id", "pair_id", "request_id", "event_id", "visit_id", "post_id", "reply_to_id",
    "ticket_id", "message_id", "review_id", "answer_id", "shipment_id", "decision_id",
    "to_customer_id", "reference_id", "referral_id", "invitee_customer_id", "record_id",
    "contact_token",
}  # fmt: skip
OF_THE_SHOP = ("products", "stock_levels", "marketing_spend", "exchange_rates", "weather_alerts")


def multiply(home: Path, target: Path, copies: int) -> None:
    """A shop of many times the people: each record again with ids of its own, in the same files.

    Taking a shop of 200,000 people in costs an hour, and nothing of it is measured here.
    """
    with duckdb.connect() as connection:
        connection.execute(SETTINGS)
        for name in (FIRST, SECOND):
            source, made = home / "snapshots" / name, target / "snapshots" / name
            shutil.copytree(source, made)
            parts = json.loads((source / "parts.json").read_text(encoding="utf-8"))
            for part in parts:
                if part["part_path"] and not (target / part["part_path"]).exists():
                    times = 1 if part["entity"] in OF_THE_SHOP else copies
                    copy_rows(
                        connection, home / part["part_path"], target / part["part_path"], times
                    )
                part["quarantine_path"] = None
            (made / "parts.json").write_text(json.dumps(parts), encoding="utf-8")
            copy_rows(connection, source / "consents.parquet", made / "consents.parquet", copies)
            connection.execute(
                f"""
                copy (
                    select * exclude (times) replace (
                        written_count * times + quarantined_count as received_count,
                        written_count * times as written_count
                    )
                    from (
                        select *,
                            case when entity in {OF_THE_SHOP} then 1 else {copies} end as times
                        from read_parquet('{source / "inbox_files.parquet"}')
                    )
                ) to '{made / "inbox_files.parquet"}' (format parquet)
                """
            )
        truth = (home / "identity").read_text(encoding="utf-8")
        copy_rows(connection, Path(truth), target / "identity.parquet", copies)
    (target / "identity").write_text(str(target / "identity.parquet"), encoding="utf-8")
    (target / "last_day").write_text((home / "last_day").read_text(encoding="utf-8"))
    shutil.copy(home / "settings.env", target / "settings.env")


def copy_rows(
    connection: duckdb.DuckDBPyConnection, source: Path, target: Path, copies: int
) -> None:
    """Every row so many times; the first one as it is."""
    target.parent.mkdir(parents=True, exist_ok=True)
    described = connection.execute(f"describe from read_parquet('{source}')").fetchall()
    columns = {name: kind for name, kind, *_ in described}
    changed = []
    for name in columns:
        if name == "record_id":
            changed.append(
                "case when turn = 0 then record_id else md5(record_id || turn) end as record_id"
            )
        elif name == "record_number":
            changed.append(f"record_number * {copies} + turn as record_number")
        elif name == "person_id":
            changed.append(f"person_id * {copies} + turn as person_id")
        elif name in OF_A_PERSON:
            changed.append(
                f"case when turn = 0 then {name} else {name} || '~' || turn end as {name}"
            )
    replaced = f" replace ({', '.join(changed)})" if changed else ""
    connection.execute(
        f"""
        copy (
            select * exclude (turn){replaced}
            from read_parquet('{source}'), (select range as turn from range({copies})) as turns
        ) to '{target}' (
            format parquet, compression zstd, compression_level 1, row_group_size 262144
        )
        """
    )


def open_sources(home_path: Path, delivery: str, warehouse: Path) -> None:
    """Points the warehouse at what had been delivered by then, and says whose accounts they are."""
    from crm_pipeline.lib.home import CrmHome
    from crm_pipeline.lib.ingestion.entities import empty_relations
    from crm_pipeline.lib.warehouse import create_source_views

    warehouse.parent.mkdir(parents=True, exist_ok=True)
    home = CrmHome(home_path)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(SETTINGS)
        create_source_views(connection, home, home.snapshots / delivery, empty_relations())
        connection.execute(
            f"""
            create or replace table identity.customer_accounts as
            select
                named.channel,
                named.source_customer_id,
                md5(coalesce(
                    cast(told.person_id as varchar), concat_ws('|', channel, source_customer_id)
                )) as customer_id,
                'exact' as linked_by
            from ({accounts_named(connection)}) as named
            left join (
                select channel, source_customer_id, min(person_id) as person_id
                from read_parquet('{(home_path / "identity").read_text(encoding="utf-8")}')
                group by all
            ) as told using (channel, source_customer_id)
            order by all
            """
        )


def accounts_named(connection: duckdb.DuckDBPyConnection) -> str:
    """A query of every account any record names."""
    columns: dict[tuple[str, str], set[str]] = {}
    for schema, table, column in connection.execute(
        "select table_schema, table_name, column_name from information_schema.columns "
        "where table_schema = 'conformed' or table_name = 'consents'"
    ).fetchall():
        columns.setdefault((schema, table), set()).add(column)
    queries = []
    for (schema, table), names in sorted(columns.items()):
        channel = "coalesce(account_channel, channel)" if "account_channel" in names else "channel"
        for said, account in (
            (channel, "source_customer_id"),
            (channel, "to_customer_id"),
            (channel, "invitee_customer_id"),
            ("left_channel", "left_customer_id"),
            ("right_channel", "right_customer_id"),
        ):
            if account in names:
                queries.append(
                    f"select {said} as channel, {account} as source_customer_id "
                    f"from {schema}.{table} where {account} is not null"
                )
    return " union ".join(queries)


# ------------------------------------------------------------------------- what is measured


def measure(home: Path, scratch: Path, figures: Path | None) -> int:
    """Three builds, the floor, the script by hand; prints all of it."""
    last_day = date.fromisoformat((home / "last_day").read_text(encoding="utf-8"))
    stepped, fresh = (scratch / name / "crm.duckdb" for name in ("stepped", "fresh"))
    builds: dict[str, Build] = {}
    for name, warehouse, delivery, day in (
        ("before", stepped, FIRST, last_day - timedelta(days=1)),
        ("one more day", stepped, SECOND, last_day),
        ("full", fresh, SECOND, last_day),
    ):
        open_sources(home, delivery, warehouse)
        builds[name] = build(home, warehouse, day, scratch / f"{name}.json")
        print(f"{name}: {builds[name].cpu():.1f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    full, night = builds["full"], builds["one more day"]
    scan = scan_everything(fresh)
    by_hand = scratch / "by_hand.duckdb"
    hand = make_by_hand(fresh, by_hand, last_day)
    print_nodes(full, night)
    print_ratios(full, night, scan, hand)
    wrong = differences(stepped, fresh, tables_of(fresh))
    wrong += differences(by_hand, fresh, MADE_BY_HAND)
    for line in wrong:
        print(f"DIFFERENT: {line}")
    if figures:
        told = {name: asdict(made) for name, made in builds.items()}
        figures.write_text(json.dumps(told | {"scan": scan, "hand": hand}), encoding="utf-8")
    return 1 if wrong else 0


def build(home: Path, warehouse: Path, day: date, figures: Path) -> Build:
    """One call of dbt, as a process of its own."""
    start_phase(
        "build", "--taken-in", str(home), "--warehouse", str(warehouse), "--as-of", str(day),
        "--figures", str(figures),
    )  # fmt: skip
    told = json.loads(figures.read_text(encoding="utf-8"))
    return Build({key: Node(**node) for key, node in told["nodes"].items()}, told["upstream"])


def run_dbt(home: Path, warehouse: Path, as_of: str) -> Build:
    """Every model, seed and data test, one at a time, with what each of them uses."""
    from dbt.cli.main import dbtRunner

    from crm_pipeline.lib.home import CrmHome
    from crm_pipeline.lib.settings import resolve
    from crm_pipeline.resources import dbt_environment

    settings = resolve(CrmHome(home), env=os.environ)
    os.environ.update(dbt_environment(settings))
    os.environ.update(
        {"CRM_WAREHOUSE_PATH": str(warehouse), "CRM_DBT_AS_OF_DATE": as_of, "DO_NOT_TRACK": "1"}
    )
    meter = Meter()
    target = warehouse.parent / "target"
    done = dbtRunner(callbacks=[meter.take]).invoke(
        [
            *("build", "--exclude-resource-type", "unit_test", "--threads", "1", "--quiet"),
            *("--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)),
            *("--target-path", str(target), "--log-path", str(target)),
            *("--log-level-file", "none"),
        ]
    )
    if not done.success:
        said = [result.message for result in getattr(done.result, "results", ())
                if result.status in ("error", "fail")]  # fmt: skip
        raise RuntimeError(f"dbt failed: {said or done.exception}")
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    return Build(meter.nodes, manifest["parent_map"])


class Meter:
    """Reads the process's CPU clock whenever dbt tells of a node or a statement."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self._node: Node | None = None
        self._began = (0.0, 0.0)
        self._statement: float | None = None

    def take(self, event: Any) -> None:
        """An event of dbt."""
        match event.info.name:
            case "NodeStart":
                said = event.data.node_info
                self._node = Node(said.node_name, said.resource_type, layer_of(said.node_path))
                self.nodes[said.unique_id] = self._node
                self._began = (time.process_time(), time.perf_counter())
            case "SQLQuery":
                self._statement = time.process_time()
            case "SQLQueryStatus" | "SQLQueryError" if self._node and self._statement is not None:
                self._node.sql_cpu += time.process_time() - self._statement
                self._statement = None
            case "NodeFinished" if self._node:
                self._node.cpu = time.process_time() - self._began[0]
                self._node.wall = time.perf_counter() - self._began[1]
                self._node = None


def layer_of(path: str) -> str:
    """First folder of the file; a test has none of its own."""
    return path.split("/", maxsplit=1)[0] if "/" in path else "tests"


def scan_everything(warehouse: Path) -> dict[str, float]:
    """CPU seconds of reading every value of every part the models may read, entity by entity."""
    found: dict[str, float] = {}
    with opened(warehouse) as connection:
        columns: dict[str, list[str]] = {}
        for table, column in connection.execute(
            "select table_name, column_name from information_schema.columns "
            "where table_schema = 'conformed' order by all"
        ).fetchall():
            columns.setdefault(table, []).append(column)
        for table, names in columns.items():
            began = time.process_time()
            # Sums of hashes: a count or a maximum is answered from the statistics of the file.
            hashes = ", ".join(f"bit_xor(hash({name}))" for name in names)
            connection.execute(f"select {hashes} from conformed.{table}").fetchall()
            found[table] = time.process_time() - began
    return found


@contextmanager
def opened(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse for reading."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute(SETTINGS)
        yield connection


# ------------------------------------------------------------------------- what must be equal


def tables_of(warehouse: Path) -> list[str]:
    """Every table and view models have made, but what a build says about itself."""
    with opened(warehouse) as connection:
        names = connection.execute(
            "select table_schema || '.' || table_name from information_schema.tables "
            f"where table_schema in {COMPARED_SCHEMAS} order by all"
        ).fetchall()
    return [name for (name,) in names if name not in ABOUT_THE_BUILD]


def differences(one: Path, other: Path, tables: Sequence[str]) -> list[str]:
    """Tables of which one file has rows the other has not, in the columns both have."""
    found = []
    with duckdb.connect() as connection:
        connection.execute(SETTINGS)
        connection.execute(f"attach '{one}' as one (read_only)")
        connection.execute(f"attach '{other}' as other (read_only)")
        for name in tables:
            described = [
                [row[0] for row in connection.execute(f"describe {side}.{name}").fetchall()]
                for side in ("one", "other")
            ]
            columns = ", ".join(column for column in described[0] if column in described[1])
            counts = []
            for this, that in (("one", "other"), ("other", "one")):
                query = f"select {columns} from {this}.{name}"
                query += f" except all select {columns} from {that}.{name}"
                rows = connection.execute(f"select count(*) from ({query})").fetchall()
                counts.append(rows[0][0])
            if any(counts):
                found.append(f"{name}: {counts[0]:,} rows only in the first, {counts[1]:,} missing")
    return found


# ------------------------------------------------------------------------- what is printed


def print_nodes(full: Build, night: Build, least: float = 0.02) -> None:
    """Every node whose SQL costs anything in either build, the dearest of the night first."""
    print(f"\nCPU seconds\n\n{'':58}{'full':>9}{'one day':>9}")
    names = sorted(full.nodes, key=lambda name: -night.nodes[name].sql_cpu)
    left_out = [0.0, 0.0]
    for name in names:
        one, other = full.nodes[name].sql_cpu, night.nodes[name].sql_cpu
        if max(one, other) < least * max(1.0, full.sql_cpu() / 100):
            left_out = [left_out[0] + one, left_out[1] + other]
            continue
        print(f"{full.nodes[name].kind:>6} {full.nodes[name].name[:50]:51}{one:>9.2f}{other:>9.2f}")
    print(f"{'':7}{'all others':51}{left_out[0]:>9.2f}{left_out[1]:>9.2f}\n")
    layers = sorted({node.layer for node in full.nodes.values() if node.kind != "test"})
    for layer in layers:
        chosen = [n for n in full.models() if full.nodes[n].layer == layer]
        print_both(f"SQL of models: {layer}", full.sql_cpu(chosen), night.sql_cpu(chosen))
    tests = [name for name, node in full.nodes.items() if node.kind == "test"]
    print_both("SQL of tests", full.sql_cpu(tests), night.sql_cpu(tests))
    own = full.cpu() - full.sql_cpu(), night.cpu() - night.sql_cpu()
    print_both(f"dbt's own work for {len(full.nodes)} nodes", *own)


def print_both(name: str, full: float, night: float) -> None:
    """One row with the share of the day."""
    share = f"{100 * night / full:>8.1f} %" if full else ""
    print(f"{name:58}{full:>9.1f}{night:>9.1f}{share}")


def print_ratios(
    full: Build, night: Build, scan: Mapping[str, float], hand: Mapping[str, float]
) -> None:
    """What the issue asks for."""
    all_models, floor, script = full.sql_cpu(full.models()), sum(scan.values()), sum(hand.values())
    compared = full.sql_cpu(full.needed_for(name.split(".")[1] for name in MADE_BY_HAND))
    print_both("\nSQL of all models", all_models, night.sql_cpu(night.models()))
    print_both("SQL of all models and tests", full.sql_cpu(), night.sql_cpu())
    print_both("all nodes, with dbt's own work", full.cpu(), night.cpu())
    print(f"\nplain scan of every column: {floor:.2f} s; all models are {all_models / floor:.1f} × "
          f"it (target ≤ {TARGET_SCAN})")  # fmt: skip
    if script:
        print(
            f"by hand: {script:.1f} s for {len(MADE_BY_HAND)} tables; the models they need take "
            f"{compared:.1f} s: {compared / script:.2f} × it (target ≤ {TARGET_BY_HAND})"
        )
        for name, seconds in hand.items():
            print(f"    {name:54}{seconds:>9.2f}")
    print(f"one more day: target ≤ {TARGET_DAY_PCT} % of the full build")


if __name__ == "__main__":
    sys.exit(main())
