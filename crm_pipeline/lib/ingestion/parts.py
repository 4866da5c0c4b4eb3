"""One file's records on disk: the part and its quarantine.

Add here: how they are written.
Not here: what is wrong with a record.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from crm_pipeline.lib import files
from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import conform, personal, readers
from crm_pipeline.lib.ingestion.conform import FileFacts
from crm_pipeline.lib.ingestion.conversions import quote
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.landing import Manifest
from crm_pipeline.lib.ingestion.readers.batch import Batch, Reader, Reject, shorten

MEMORY_LIMIT = "700MB"  # of the conversion; what does not fit goes to a private spill folder

QUARANTINE_SCHEMA = pa.schema(
    [
        ("feed", pa.string()),
        ("channel", pa.string()),
        ("entity", pa.string()),
        ("file_sha256", pa.string()),
        ("record_number", pa.int64()),
        ("raw_record", pa.string()),
        ("reason_code", pa.string()),
        ("column_name", pa.string()),
        ("contract_hash", pa.string()),
    ]
)


@dataclass(frozen=True)
class Conformed:
    """What became of one file's records. Paths are relative to the home."""

    received: int
    written: int
    quarantined: int
    part_path: str | None
    quarantine_path: str | None
    warnings: tuple[str, ...] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def engine(home: CrmHome) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private in-memory DuckDB that spills below the home instead of growing."""
    home.conformed.mkdir(parents=True, exist_ok=True)
    spill = home.conformed / f".spill-{os.getpid()}-{os.urandom(4).hex()}"
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(
            f"set memory_limit = {quote(os.environ.get('CRM_INGEST_MEMORY', MEMORY_LIMIT))}"
        )
        connection.execute(f"set temp_directory = {quote(spill)}")
        connection.execute("set preserve_insertion_order = true")
        connection.execute("set enable_progress_bar = false")
        yield connection
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)


@contextmanager
def lazy_engine(home: CrmHome) -> Iterator[Callable[[], duckdb.DuckDBPyConnection]]:
    """An engine that starts with its first use: most looks into a folder find nothing."""
    with ExitStack() as stack:
        started: list[duckdb.DuckDBPyConnection] = []

        def start() -> duckdb.DuckDBPyConnection:
            if not started:
                started.append(stack.enter_context(engine(home)))
            return started[0]

        yield start


def part_name(spec: FeedSpec, file_sha256: str) -> str:
    """File name of a part; the contract hash in it keeps results of other mappings apart."""
    return f"{spec.feed}-{file_sha256}-{spec.contract_hash}.parquet"


def write_parts(
    home: CrmHome,
    connection: duckdb.DuckDBPyConnection,
    spec: FeedSpec,
    facts: FileFacts,
    opened: readers.Opener,
    manifest: Manifest | None,
) -> Conformed:
    """Reads one raw file and writes its part and its quarantine, each whole or not at all.

    Raises:
        LandingError: the file is refused as a whole; nothing is left behind.
    """
    job = _Job(home, connection, spec, facts)
    with opened() as reader, job.quarantine_file() as quarantine:
        for batch in reader.batches():
            job.take(batch, reader, quarantine)
        job.number_lines()
        job.refuse_mixed_currencies(opened, quarantine)
        _check_counts(spec, job, manifest)
        part_path = job.write_part()
        quarantine_path = quarantine.finish()
        warnings = [*reader.notes.warnings]
    if changed := job.conformer.changed_count:
        warnings.append(f"invisible or control characters were removed from {changed} values")
    if job.received == 0:
        warnings.append("the file has a header and no record")
    return Conformed(
        job.received,
        job.received - quarantine.count,
        quarantine.count,
        part_path,
        quarantine_path,
        tuple(warnings),
        dict(sorted(quarantine.reasons.items())),
    )


class _Job:
    """The work on one file."""

    def __init__(
        self, home: CrmHome, connection: duckdb.DuckDBPyConnection, spec: FeedSpec, facts: FileFacts
    ) -> None:
        self.home, self.connection, self.spec, self.facts = home, connection, spec, facts
        self.received = 0
        self.conformer = conform.Conformer(connection, spec, facts)

    def quarantine_file(self) -> QuarantineFile:
        return QuarantineFile(self.home, self.spec, self.facts.file_sha256)

    def take(self, batch: Batch, reader: Reader, quarantine: QuarantineFile) -> None:
        rejects = list(batch.rejects)
        self.received += batch.record_count
        if batch.cells.num_rows:
            self.conformer.take(batch.cells, reader.positions)
            rejects += self._problems(batch, reader)
        quarantine.add(sorted(rejects, key=lambda reject: reject.record_number))

    def _problems(self, batch: Batch, reader: Reader) -> Iterator[Reject]:
        numbers = batch.cells["record_number"]
        bounds = [numbers[0].as_py(), numbers[-1].as_py()]
        found = self.connection.execute(
            "select record_number, problem from typed where record_number between ? and ? and "
            "problem is not null",
            bounds,
        ).fetchall()
        if not found:
            return
        place = {number: n for n, number in enumerate(numbers.to_pylist())}
        for number, problem in found:
            code, _, column = problem.partition("|")
            raw = raw_record(batch, reader, place[number])
            if code == "misplaced_personal_data":
                raw = personal.mask(raw)
            yield Reject(number, code, raw, column or None)

    def number_lines(self) -> None:
        """Counts equal lines inside their document; most lines stand once and keep their 1."""
        if not self.spec.is_numbered:
            return
        self.connection.execute(
            """
            update typed set occurrence = counted.n from (
                select record_number, row_number() over (
                    partition by content_hash, batch order by record_number
                ) as n
                from typed
                where problem is null and content_hash in (
                    select content_hash from typed where problem is null
                    group by content_hash having count(*) > 1
                )
            ) as counted
            where typed.record_number = counted.record_number and counted.n > 1
            """
        )

    def refuse_mixed_currencies(self, opened: readers.Opener, quarantine: QuarantineFile) -> None:
        """A document in two currencies is quarantined whole: its lines must never be summed."""
        document = self.spec.contract.document
        if not (self.spec.currency and self.spec.currency.source and document):
            return
        self.connection.execute(
            f"""
            update typed set problem = 'mixed_currency|currency'
            where problem is null and {document} in (
                select {document} from typed where problem is null
                group by {document} having count(distinct currency) > 1
            )
            """
        )
        late = self.connection.execute(
            "select record_number from typed where problem = 'mixed_currency|currency' order by 1"
        ).fetchall()
        if late:
            quarantine.add(_read_again(opened, {number for (number,) in late}))

    def write_part(self) -> str | None:
        spec = self.spec
        (written,) = self.connection.execute(
            "select count(*) from typed where problem is null"
        ).fetchone() or (0,)
        if not written:
            return None
        target = (
            self.home.conformed
            / spec.entity
            / spec.channel
            / part_name(spec, self.facts.file_sha256)
        )
        contract = ", ".join(spec.contract.column_names)
        failpoint("part_before")
        with files.atomic_path(target) as temporary:
            self.connection.execute(
                f"""
                copy (
                    select {quote(spec.feed)} as feed, {quote(spec.channel)} as channel,
                        {quote(self.facts.file_sha256)} as file_sha256, record_number,
                        {conform.record_id(spec)} as record_id, content_hash,
                        source_version, known_at, {contract}
                    from typed where problem is null
                ) to {quote(temporary)} (
                    format parquet, compression zstd, compression_level 1,
                    row_group_size {files.PARQUET_ROW_GROUP}
                )
                """
            )
            failpoint("part_during")
        failpoint("part_after")
        return target.relative_to(self.home.root).as_posix()

    def total(self, column: str) -> Decimal:
        value = self.connection.execute(f"select coalesce(sum({column}), 0) from typed").fetchone()
        return Decimal(value[0]) if value else Decimal(0)


def raw_record(batch: Batch, reader: Reader, row: int) -> str:
    """The record as it stood in the file: its own text, or its cells by name."""
    if "raw" in batch.cells.column_names:
        return shorten(batch.cells["raw"][row].as_py())
    cells = {name: batch.cells[f"s{n}"][row].as_py() for n, name in enumerate(reader.names)}
    return shorten(json.dumps(cells, ensure_ascii=False))


def _read_again(opened: readers.Opener, wanted: set[int]) -> list[Reject]:
    found = []
    with opened() as reader:
        for batch in reader.batches():
            for row, number in enumerate(batch.cells["record_number"].to_pylist()):
                if number in wanted:
                    raw = raw_record(batch, reader, row)
                    found.append(Reject(number, "mixed_currency", raw, "currency"))
    return found


def _check_counts(spec: FeedSpec, job: _Job, manifest: Manifest | None) -> None:
    if job.received < spec.format.min_records:
        raise LandingError(
            f"{job.received} records; at least {spec.format.min_records} are declared",
            reason_code="min_records",
            remedy="ask the source for the whole file, or lower min_records",
        )
    if manifest is None:
        return
    if manifest.records is not None and manifest.records != job.received:
        raise LandingError(
            f"{job.received} records; the manifest says {manifest.records}",
            reason_code="records_differ",
            remedy="ask the source for the whole file",
        )
    for column, said in manifest.control_totals.items():
        _check_total(spec, job, column, said)


def _check_total(spec: FeedSpec, job: _Job, column: str, said: str) -> None:
    known = {
        c.name: c.name for c in spec.contract.columns if c.kind in ("money", "quantity", "integer")
    }
    known |= {m.source: name for name, m in spec.columns.items() if m.source and name in known}
    try:
        expected = Decimal(said)
        found = job.total(known[column])
    except (KeyError, InvalidOperation) as error:
        raise LandingError(
            f"the control total of {column!r} cannot be checked",
            reason_code="manifest",
            remedy=f"name one of {', '.join(known)} and write its sum as text",
        ) from error
    if found != expected:
        raise LandingError(
            f"the sum of {column} is {found}; the manifest says {said}",
            reason_code="control_total",
            remedy="ask the source for the right file",
        )


class QuarantineFile:
    """The quarantine of one file, written as it grows and moved into place at the end."""

    def __init__(self, home: CrmHome, spec: FeedSpec, file_sha256: str) -> None:
        self._home, self._spec, self._sha256 = home, spec, file_sha256
        self._target = home.quarantine / spec.entity / spec.channel / part_name(spec, file_sha256)
        self._temporary = self._target.parent / f".tmp-{os.getpid()}-{os.urandom(4).hex()}"
        self._writer: pq.ParquetWriter | None = None
        self.count = 0
        self.reasons: dict[str, int] = {}

    def __enter__(self) -> QuarantineFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer:
            self._writer.close()
        self._temporary.unlink(missing_ok=True)

    def add(self, rejects: Sequence[Reject]) -> None:
        if not rejects:
            return
        if self._writer is None:
            self._temporary.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._writer = pq.ParquetWriter(self._temporary, QUARANTINE_SCHEMA, compression="zstd")
        self._writer.write_table(self._table(rejects))
        self.count += len(rejects)
        for reject in rejects:
            self.reasons[reject.reason_code] = self.reasons.get(reject.reason_code, 0) + 1

    def _table(self, rejects: Sequence[Reject]) -> pa.Table:
        spec, count = self._spec, len(rejects)
        columns: list[list[Any]] = [
            [spec.feed] * count,
            [spec.channel] * count,
            [spec.entity] * count,
            [self._sha256] * count,
            [r.record_number for r in rejects],
            [r.raw_record for r in rejects],
            [r.reason_code for r in rejects],
            [r.column_name for r in rejects],
            [spec.contract_hash] * count,
        ]
        return pa.Table.from_arrays(
            [pa.array(c, t) for c, t in zip(columns, QUARANTINE_SCHEMA.types, strict=True)],
            schema=QUARANTINE_SCHEMA,
        )

    def finish(self) -> str | None:
        """Moves the file into place; returns its path relative to the home."""
        if self._writer is None:
            return None
        self._writer.close()
        self._writer = None
        files.fsync_file(self._temporary)
        self._temporary.replace(self._target)
        files.fsync_dir(self._target.parent)
        failpoint("quarantine_after")
        return self._target.relative_to(self._home.root).as_posix()
