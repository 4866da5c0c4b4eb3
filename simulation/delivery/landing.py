"""The landing folder of the world.

Add here: the order in which a feed's files are made.
Not here: a format (``files``), a rhythm (``plan``), a kind of damage (``defects``).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from crm_pipeline.lib.ingestion.entities import Entity, entity_named
from simulation.columns import Ints
from simulation.delivery import clean
from simulation.delivery.channels import all_feeds
from simulation.delivery.clean import Share
from simulation.delivery.damage import Changes, Log, Planter, Record, Spare, generator
from simulation.delivery.defects import (
    RESTATED,
    Correction,
    Defect,
    ExtraLine,
    FileDefect,
    HeldBack,
)
from simulation.delivery.feed_writer import Csv, FeedWriter, Parquet, Xlsx
from simulation.delivery.files import line_sql, open_sink
from simulation.delivery.plan import Delivery, DeliveryParameters, deliveries
from simulation.delivery.sql import create_words, literal

ROWS = 100_000  # records in memory at once, beside what the engine holds
SAMPLE = 4_000_000  # bytes of a good file a bad one is made of
XLSX_ROWS = 200_000

DEFECT_SCHEMA = pa.schema(
    [
        ("feed", pa.string()),
        ("kind", pa.string()),
        ("count", pa.int64()),
        ("unit", pa.string()),
        ("case", pa.string()),
        ("outcome", pa.string()),
        ("reason_code", pa.string()),
    ]
)


@dataclass(frozen=True)
class WrittenFile:
    """One file in the landing folder. ``is_good``: not planted to be refused or recognised."""

    feed: str
    path: Path
    records: int
    is_good: bool = True


@dataclass
class Landed:
    """What was written.

    ``defects`` is the table of the truth; ``account_files`` holds per feed a Parquet file
    (channel, source_customer_id) with the accounts that have a record without a defect.
    """

    files: list[WrittenFile] = field(default_factory=list)
    defects: pa.Table = field(default_factory=DEFECT_SCHEMA.empty_table)
    account_files: dict[str, Path] = field(default_factory=dict)

    @property
    def records(self) -> int:
        return sum(file.records for file in self.files if file.is_good)


def write_landing(
    clean_dir: Path,
    landing_dir: Path,
    parameters: DeliveryParameters,
    seed: int,
    *,
    work_dir: Path,
    feeds: Sequence[FeedWriter] | None = None,
) -> Landed:
    """Writes the files of ``feeds`` from their clean records; feeds without any are left out.

    Args:
        clean_dir: clean records by feed and period (``clean``).
        landing_dir: gets ``<folder>/<folder>_<time>[_n].<extension>``.
        parameters: time, zone, rhythm, rate of damage.
        seed: the same seed and clean records give the same bytes.
        work_dir: for what spills and for the accounts; may be emptied afterwards.
        feeds: the writers; default: those of all channels.
    """
    landed, log = Landed(), Log()
    work_dir.mkdir(parents=True, exist_ok=True)
    with _connection(parameters, work_dir) as connection:
        for writer in all_feeds() if feeds is None else feeds:
            periods = clean.periods_of(clean_dir, writer.feed)
            if periods:
                job = _FeedJob(connection, writer, clean_dir, parameters, seed, log, landed)
                job.run(periods, landing_dir, work_dir)
    landed.defects = _defect_table(log)
    return landed


def _connection(parameters: DeliveryParameters, work_dir: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"set memory_limit = {literal(parameters.memory_limit)}")
    connection.execute(f"set temp_directory = {literal(work_dir / 'spill')}")
    connection.execute(f"set threads = {parameters.threads}")
    connection.execute("set preserve_insertion_order = true")
    connection.execute("set enable_progress_bar = false")
    middle = datetime.combine(parameters.first_day, time(12))
    create_words(connection, parameters.zone, middle)
    return connection


def _defect_table(log: Log) -> pa.Table:
    rows: dict[tuple[str, str, str, str, str, str], int] = {}
    for (feed, defect), count in log.counts.items():
        unit = "files" if isinstance(defect, FileDefect | Trait) else "records"
        key = (feed, defect.kind, unit, defect.case, defect.outcome, defect.reason_code or "")
        rows[key] = rows.get(key, 0) + count
    listed = [
        {
            "feed": feed,
            "kind": kind,
            "count": count,
            "unit": unit,
            "case": case,
            "outcome": outcome,
            "reason_code": reason or None,
        }
        for (feed, kind, unit, case, outcome, reason), count in sorted(rows.items())
    ]
    return pa.Table.from_pylist(listed, DEFECT_SCHEMA)


@dataclass(frozen=True)
class Trait(Defect):
    """Something every file of a feed has and the door puts right."""


def _traits(writer: FeedWriter) -> Iterator[Trait]:
    kind = writer.format
    if isinstance(kind, Csv) and kind.encoding in ("gb18030", "gbk"):
        yield Trait("chinese_encoding", "B02", "normalised")
    if isinstance(kind, Csv) and kind.encoding == "utf-16":
        yield Trait("utf_16", "B03", "normalised")
    if isinstance(kind, Csv) and kind.bom:
        yield Trait("byte_order_mark", "B01", "normalised")
    if isinstance(kind, Csv | Xlsx) and kind.title is not None:
        yield Trait("title_row", "B24", "normalised")


class _FeedJob:
    """The files of one feed."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        writer: FeedWriter,
        clean_dir: Path,
        parameters: DeliveryParameters,
        seed: int,
        log: Log,
        landed: Landed,
    ) -> None:
        self.connection, self.writer, self.parameters = connection, writer, parameters
        self.seed, self.log, self.landed = seed, log, landed
        self.clean_dir = clean_dir
        self.planter = Planter(writer, seed, parameters, log)
        self.headers = [item.header for item in writer.fields]
        self.is_typed = isinstance(writer.format, Parquet)
        self.max_rows = XLSX_ROWS if isinstance(writer.format, Xlsx) else writer.max_rows
        self.carried: list[Record] = []
        self.schema: pa.Schema | None = None
        self.lost: tuple[Counter[tuple[str, str]], ...] = (Counter(), Counter())

    def run(self, periods: clean.Periods, landing_dir: Path, work_dir: Path) -> None:
        writer, zone = self.writer, self.parameters.zone
        plan = deliveries(self.parameters, writer.cadence)
        found = clean.shares(self.connection, writer, periods, plan, zone)
        if writer.restated_at:
            told = sum(share.records for share in found)
            self.log.add(writer.feed, RESTATED, told - self._happened(periods))
        others = {}
        for sibling in writer.siblings:
            others = clean.periods_of(self.clean_dir, sibling)
        self.planter.spread({share.delivery.number: share.records for share in found})
        bad = self._bad_files([share.delivery.number for share in found])
        ends = self._extra_lines([share.delivery.number for share in found])
        folder = landing_dir / writer.landing_folder
        folder.mkdir(parents=True, exist_ok=True)
        for share in found:
            clean.load_batch(self.connection, writer, share, periods, others, plan, zone)
            is_last = share is found[-1]
            turn = share.delivery.number
            paths = self._write(share, folder, ends.get(turn, ()), is_last=is_last)
            self._write_bad(share.delivery, folder, paths, bad.get(turn, ()))
        self._keep_accounts(work_dir)

    def _happened(self, periods: clean.Periods) -> int:
        files = ", ".join(literal(name) for names in periods.values() for name in names)
        query = f"select count(*) from read_parquet([{files}])"
        return int(self.connection.execute(query).fetchall()[0][0])

    # -------------------------------------------------------------------------- good files

    def _write(
        self, share: Share, folder: Path, ends: Sequence[ExtraLine], *, is_last: bool
    ) -> list[Path]:
        changes = self._changes(share)
        added = [*changes.added, *self.carried]
        self.carried = changes.carried
        if is_last:  # there is no later file to wait for
            added, self.carried = [*added, *self.carried], []
        replaced = self._replaced(changes.replaced)
        tail = self._tail(added, ends)
        self._note_accounts(changes)
        paths = []
        parts = range(0, max(share.records, 1), self.max_rows)
        for number, start in enumerate(parts, 1):
            path = self._path(folder, share.delivery, number)
            stop = min(start + self.max_rows, share.records)
            count = self._write_part(path, start, stop, replaced, tail, number == len(parts))
            self.landed.files.append(WrittenFile(self.writer.feed, path, count))
            paths.append(path)
            for trait in _traits(self.writer):
                for feed in (self.writer.feed, *self.writer.siblings):
                    self.log.add(feed, trait)
        return paths

    def _path(self, folder: Path, delivery: Delivery, number: int) -> Path:
        ending = f"_{number}" if number > 1 else ""
        extension = self.writer.format.extension
        return folder / f"{self.writer.landing_folder}_{delivery.stamp}{ending}.{extension}"

    def _write_part(
        self,
        path: Path,
        start: int,
        stop: int,
        replaced: Replaced,
        tail: Sequence[pa.Table],
        has_tail: bool,
    ) -> int:
        reader = self.connection.sql(
            f"select rn, {self._content()} from ({self._cells_sql()}) "
            f"where rn > {start} and rn <= {stop}"
        ).to_arrow_reader(ROWS)
        sink = open_sink(self.writer, path, reader.schema.remove(0))
        count, expected = 0, start + 1
        for batch in reader:
            rows = pa.Table.from_batches([batch])
            numbers = rows["rn"].to_numpy()
            if len(numbers) and (numbers[0] != expected or (np.diff(numbers) != 1).any()):
                raise RuntimeError("the engine changed the order of the rows")
            expected += len(numbers)
            rows = replaced.put_into(rows, expected - len(numbers))
            count += rows.num_rows
            sink.add(rows)
        for rows in tail if has_tail else ():
            count += rows.num_rows
            sink.add(rows.cast(reader.schema) if self.is_typed else rows)
        sink.close()
        return count

    def _cells_sql(self, where: str = "", updated_at: str = "") -> str:
        named = [(f"c{n}", item.sql) for n, item in enumerate(self.writer.fields)]
        if self.is_typed:
            named = [(f'"{item.header}"', item.sql) for item in self.writer.fields]
        cells = ", ".join(f"{sql} as {name}" for name, sql in named)
        source = "batch"
        if updated_at:
            source = f"(select * replace ({updated_at} as updated_at) from batch)"
        return f"select rn, nested_count, {cells} from {source} {where}"

    def _content(self) -> str:
        if self.is_typed:
            return ", ".join(f'"{item.header}"' for item in self.writer.fields)
        return f"{line_sql(self.writer)} as line"

    # ------------------------------------------------------------------------------ damage

    def _changes(self, share: Share) -> Changes:
        if self.parameters.defect_rate == 0:
            return Changes()
        turn = share.delivery.number
        empty = "or nested_count = 0" if self.writer.nested else ""
        kept = self.connection.execute(
            f"select rn from batch where coalesce(is_protected, false) {empty} order by rn"
        ).fetchnumpy()["rn"]
        chosen = self.planter.choose(turn, Spare(share.records, np.asarray(kept)))
        if not chosen:
            return Changes()
        chosen = self._fitting(self._refunded_first(chosen, turn), turn)
        if not chosen:
            return Changes()
        listed = ", ".join(str(number) for number in sorted(chosen))
        records = self._records(f"where rn in ({listed})")
        older = {}
        if any(isinstance(defect, Correction) for defect in chosen.values()):
            older = self._records(f"where rn in ({listed})", "updated_at - interval 1 second")
        cells = {number: record.cells for number, record in older.items()}
        return self.planter.apply(chosen, records, cells)

    def _refunded_first(self, chosen: dict[int, Defect], turn: int) -> dict[int, Defect]:
        """Holds back orders that were refunded, where there are some to spare."""
        held = {n: d for n, d in chosen.items() if isinstance(d, HeldBack) and d.refunds}
        feeds = {defect.refunds for defect in held.values()}
        periods = [p for feed in feeds for p in clean.periods_of(self.clean_dir, feed).values()]
        files = [literal(name) for names in periods for name in names]
        if not files:
            return chosen
        taken = ", ".join(str(number) for number in chosen)
        found = self.connection.execute(
            "select rn from batch where not coalesce(is_protected, false) "
            f"and rn not in ({taken}) and order_id in "
            f"(select order_id from read_parquet([{', '.join(files)}])) order by rn"
        ).fetchnumpy()["rn"]
        random = generator(self.seed, self.writer.feed, turn, "refunded")
        better = random.permutation(np.asarray(found)).tolist()
        for old, new in zip(sorted(held), better, strict=False):
            chosen[new] = chosen.pop(old)
        return chosen

    def _fitting(self, chosen: dict[int, Defect], turn: int) -> dict[int, Defect]:
        """Moves damage that only some records can have to such ones, or leaves it out."""
        fitting: dict[str, Ints] = {}
        for number, defect in sorted(chosen.items()):
            if not defect.only:
                continue
            if defect.only not in fitting:
                fitting[defect.only] = self._unprotected(defect.only)
            del chosen[number]
            free = np.setdiff1d(fitting[defect.only], list(chosen), assume_unique=True)
            if len(free):
                random = generator(self.seed, self.writer.feed, turn, defect.kind, number)
                chosen[int(random.choice(free))] = defect
        return chosen

    def _unprotected(self, only: str) -> Ints:
        return np.asarray(
            self.connection.execute(
                "select rn from batch "
                f"where not coalesce(is_protected, false) and ({only}) order by rn"
            ).fetchnumpy()["rn"]
        )

    def _records(self, where: str, updated_at: str = "") -> dict[int, Record]:
        rows = self.connection.execute(self._cells_sql(where, updated_at)).fetchall()
        return {
            row[0]: Record(dict(zip(self.headers, row[2:], strict=True)), row[1]) for row in rows
        }

    def _replaced(self, replaced: Mapping[int, Record | None]) -> Replaced:
        numbers = sorted(replaced)
        records = [record for number in numbers if (record := replaced[number]) is not None]
        stays = np.array([replaced[number] is not None for number in numbers], bool)
        return Replaced(np.array(numbers, np.int64), stays, self._table(records))

    def _table(self, records: Sequence[Record]) -> pa.Table:
        """One row per record, with its line or its typed cells."""
        if self.is_typed:
            rows = [{"rn": -1, **record.cells} for record in records]
            return pa.Table.from_pylist(rows, self._typed_schema())
        lines = self._lines([record.cells for record in records]) if records else []
        return _line_table(
            record.line_change(line) if record.line_change else line
            for record, line in zip(records, lines, strict=True)
        )

    def _typed_schema(self) -> pa.Schema:
        """Of the rows as they come from the engine."""
        if self.schema is None:
            query = f"select rn, {self._content()} from ({self._cells_sql()}) limit 0"
            self.schema = self.connection.sql(query).to_arrow_table().schema
        return self.schema

    def _lines(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        columns = {
            f"c{n}": pa.array([row[name] for row in rows], pa.string())
            for n, name in enumerate(self.headers)
        }
        cells = pa.table({"seq": pa.array(range(len(rows))), **columns})
        self.connection.register("changed_cells", cells)
        query = f"select {line_sql(self.writer)} as line from changed_cells order by seq"
        found = self.connection.execute(query).fetchall()
        self.connection.unregister("changed_cells")
        return [row[0] for row in found]

    def _tail(self, added: Sequence[Record], ends: Sequence[ExtraLine]) -> list[pa.Table]:
        """Records after the last one of the batch, then what is no record."""
        tables = [self._table(added)] if added else []
        for defect in ends:
            made = defect.make(tuple(self.headers))
            tables.append(_line_table([made]) if isinstance(made, str)
                          else self._table([Record(made)]))  # fmt: skip
            for feed in (self.writer.feed, *self.writer.siblings):
                self.log.add(feed, defect)
        return tables

    def _extra_lines(self, turns: Sequence[int]) -> dict[int, list[ExtraLine]]:
        kinds = [d for d in self.writer.defects if isinstance(d, ExtraLine)]
        # A line without an end can only be the last one.
        kinds.sort(key=lambda defect: defect.kind == "truncated_line")
        return self._by_turn(kinds, turns)

    def _bad_files(self, turns: Sequence[int]) -> dict[int, list[FileDefect]]:
        kinds = [d for d in self.writer.defects if isinstance(d, FileDefect)]
        return self._by_turn(kinds, turns)

    def _by_turn(self, kinds: Sequence[Any], turns: Sequence[int]) -> dict[int, list[Any]]:
        """Each kind in one delivery for sure and in others by its share."""
        found: dict[int, list[Any]] = {}
        if self.parameters.defect_rate == 0:
            return found
        for defect in kinds:
            random = generator(self.seed, self.writer.feed, "files", defect.kind)
            sure = turns[int(random.integers(len(turns)))]
            rate = defect.rate(self.parameters.damaged_files)
            share = min(1.0, rate * self.parameters.defect_rate)
            for turn in turns:
                if turn == sure or random.random() < share:
                    found.setdefault(turn, []).append(defect)
        return found

    def _write_bad(
        self,
        delivery: Delivery,
        folder: Path,
        good: Sequence[Path],
        bad: Sequence[FileDefect],
    ) -> None:
        copies = len(good)
        for number, defect in enumerate(bad, 1):
            if defect.spoil is None:
                copies += 1
                path = self._path(folder, delivery, copies)
                shutil.copyfile(good[0], path)
            else:
                # The bad file came first; the good one followed when somebody had complained.
                before = Delivery(delivery.number, delivery.at - timedelta(minutes=20 * number))
                path = self._path(folder, before, 1)
                with good[0].open("rb") as source:
                    start = source.read(SAMPLE)
                if len(start) == SAMPLE and self.writer.format.extension not in ("parquet", "xlsx"):
                    start = start[: start.rfind(b"\n") + 1]
                path.write_bytes(defect.spoil(start, path.stem))
            self.landed.files.append(WrittenFile(self.writer.feed, path, 0, is_good=False))
            for feed in (self.writer.feed, *self.writer.siblings):
                self.log.add(feed, defect)

    # ---------------------------------------------------------------------------- accounts

    def _has_accounts(self, entity: Entity) -> bool:
        return "source_customer_id" in entity.column_names

    def _note_accounts(self, changes: Changes) -> None:
        """Remembers whose records were lost."""
        if not self._has_accounts(self.writer.contract):
            return
        channel = _account_channel(self.writer, self.writer.contract)
        for lost, damaged in zip(self.lost, (changes.damaged, changes.damaged_beside), strict=True):
            if not damaged:
                continue
            listed = ", ".join(str(number) for number in damaged)
            rows = self.connection.execute(
                f"select rn, {channel}, source_customer_id from batch where rn in ({listed})"
            ).fetchall()
            for number, account_channel, customer in rows:
                lost[account_channel, customer] += damaged[number]

    def _keep_accounts(self, work_dir: Path) -> None:
        """Writes the accounts with more records than were lost."""
        writer, folder = self.writer, work_dir / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        others = [other for other in (writer.nested, writer.beside) if other]
        read = [(writer.feed, writer.contract)]
        read += [(other.feed, entity_named(other.entity)) for other in others]
        for (feed, entity), lost in zip(read, self.lost, strict=False):
            if not self._has_accounts(entity):
                continue
            files = [f for names in clean.periods_of(self.clean_dir, feed).values() for f in names]
            keys = list(lost)
            self.connection.register("lost", pa.table({
                "channel": pa.array([channel for channel, _ in keys], pa.string()),
                "source_customer_id": pa.array([customer for _, customer in keys], pa.string()),
                "records": pa.array([lost[key] for key in keys], pa.int64()),
            }))  # fmt: skip
            path = folder / f"{feed}.parquet"
            self.connection.execute(f"""
                copy (
                    with counted as (
                        select
                            {_account_channel(writer, entity)} as channel,
                            source_customer_id,
                            count(*) as records
                        from ({clean.source_sql(entity, files)})
                        where source_customer_id is not null
                        group by all
                    )
                    select channel, source_customer_id
                    from counted anti join lost using (channel, source_customer_id, records)
                    order by all
                ) to {literal(path)} (format parquet)
            """)
            self.connection.unregister("lost")
            self.landed.account_files[feed] = path


def _account_channel(writer: FeedWriter, entity: Entity) -> str:
    channel = literal(writer.channel)
    return (
        f"coalesce(account_channel, {channel})"
        if "account_channel" in entity.column_names
        else channel
    )


def _line_table(lines: Iterable[str]) -> pa.Table:
    texts = pa.array(lines, pa.string())
    return pa.table({"rn": pa.array(np.full(len(texts), -1)), "line": texts})


@dataclass(frozen=True)
class Replaced:
    """Records of a delivery that are written otherwise, or not at all."""

    numbers: np.ndarray  # rising
    stays: np.ndarray  # whether the record is in the file
    rows: pa.Table  # of those that stay, in their order

    def put_into(self, rows: pa.Table, first: int) -> pa.Table:
        """``rows``, whose numbers begin with ``first``, with these instead of the clean ones."""
        start, stop = np.searchsorted(self.numbers, [first, first + rows.num_rows]).tolist()
        if start == stop:
            return rows
        stays, before = self.stays[start:stop], int(self.stays[:start].sum())
        others = self.rows.slice(before, int(stays.sum())).select(rows.column_names)
        source = np.arange(rows.num_rows)
        source[self.numbers[start:stop] - first] = np.where(
            stays, rows.num_rows + np.cumsum(stays) - 1, -1
        )
        both = pa.concat_tables([rows, others.cast(rows.schema)])
        return both.take(pa.array(source[source >= 0]))


__all__ = ["DEFECT_SCHEMA", "Landed", "WrittenFile", "write_landing"]
