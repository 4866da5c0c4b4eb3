"""One file's records on disk: the part and its quarantine.

Add here: how they are written.
Not here: what is wrong with a record.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from crm_pipeline.lib import files
from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.failpoints import failpoint
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion import conform, entities, personal, readers
from crm_pipeline.lib.ingestion.conform import FileFacts
from crm_pipeline.lib.ingestion.conversions import quote
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.landing import Manifest
from crm_pipeline.lib.ingestion.leftovers import SPILL
from crm_pipeline.lib.ingestion.readers.batch import Batch, Reader, Reject, shorten
from crm_pipeline.lib.ingestion.spool import LineCounter, Spool

MEMORY_LIMIT = "700MB"  # of the conversion; what does not fit goes to a private spill folder

ROW_GROUP = 262_144  # a block of a file gives one or two
_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "store_schema": False,  # how texts were coded on the way is nobody's business
    "store_decimal_as_integer": True,
}

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
    spill = home.conformed / f"{SPILL}{os.getpid()}-{os.urandom(4).hex()}"
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
    job = _Job(home, connection, spec, facts, manifest)
    with opened() as reader, job.quarantine_file() as quarantine, Spool(home) as spool:
        for batch in reader.batches():
            job.take(batch, reader, quarantine, spool)
        mixed = job.refuse_mixed_currencies(opened, quarantine)
        _check_counts(job, manifest)
        written = job.received - quarantine.count
        part_path = job.write_part(spool, mixed) if written else None
        quarantine_path = quarantine.finish()
        warnings = [*reader.notes.warnings]
    if changed := job.conformer.changed_count:
        warnings.append(f"invisible or control characters were removed from {changed} values")
    if job.received == 0:
        warnings.append("the file has a header and no record")
    return Conformed(
        job.received,
        written,
        quarantine.count,
        part_path,
        quarantine_path,
        tuple(warnings),
        dict(sorted(quarantine.reasons.items())),
    )


class _Job:
    """The work on one file."""

    def __init__(
        self,
        home: CrmHome,
        connection: duckdb.DuckDBPyConnection,
        spec: FeedSpec,
        facts: FileFacts,
        manifest: Manifest | None,
    ) -> None:
        self.home, self.spec, self.facts = home, spec, facts
        self.received = 0
        totalled = sorted(set(_totalled(spec, manifest).values()))
        self.conformer = conform.Conformer(connection, spec, facts, totalled)
        self._line_hashes: list[np.ndarray] = []
        self._currencies: dict[str, set[str]] = {}

    def quarantine_file(self) -> QuarantineFile:
        return QuarantineFile(self.home, self.spec, self.facts.file_sha256)

    def take(self, batch: Batch, reader: Reader, quarantine: QuarantineFile, spool: Spool) -> None:
        rejects = list(batch.rejects)
        self.received += batch.record_count
        if batch.cells.num_rows:
            found = self.conformer.take(batch.cells, reader.positions)
            rejects += [self._reject(batch, reader, *problem) for problem in found.problems]
            self._note(found.good)
            spool.add(found.good)
        quarantine.add(sorted(rejects, key=lambda reject: reject.record_number))

    def _reject(self, batch: Batch, reader: Reader, place: int, problem: str) -> Reject:
        code, _, column = problem.partition("|")
        raw = raw_record(batch, reader, place)
        if code == "misplaced_personal_data":
            raw = personal.mask(raw)
        number = batch.cells["record_number"][place].as_py()
        return Reject(number, code, raw, column or None)

    def _note(self, rows: pa.Table) -> None:
        """Remembers what can be judged only when the whole file was seen."""
        if "line_hash" in rows.column_names:
            self._line_hashes.append(rows["line_hash"].to_numpy())
        if self._may_mix_currencies:
            pairs = rows.select([str(self.spec.contract.document), "currency"])
            for document, currency in {tuple(row.values()) for row in pairs.to_pylist()}:
                self._currencies.setdefault(document, set()).add(currency)

    @property
    def _may_mix_currencies(self) -> bool:
        spec = self.spec
        return bool(spec.currency and spec.currency.source and spec.contract.document)

    def refuse_mixed_currencies(
        self, opened: readers.Opener, quarantine: QuarantineFile
    ) -> pa.Array | None:
        """Quarantines documents in two currencies whole: their lines must never be summed."""
        mixed = [document for document, found in self._currencies.items() if len(found) > 1]
        if not mixed:
            return None
        documents = pa.array(mixed, pa.string())
        quarantine.add(self._read_again(opened, documents))
        return documents

    def _read_again(self, opened: readers.Opener, documents: pa.Array) -> list[Reject]:
        found: list[Reject] = []
        with opened() as reader:
            for batch in reader.batches():
                good = self.conformer.take(batch.cells, reader.positions).good
                is_mixed = pc.is_in(_plain(good[self.spec.contract.document]), documents)
                wanted = set(good.filter(is_mixed)["record_number"].to_pylist())
                for place, number in enumerate(batch.cells["record_number"].to_pylist()):
                    if number in wanted:
                        raw = raw_record(batch, reader, place)
                        found.append(Reject(number, "mixed_currency", raw, "currency"))
        return found

    def write_part(self, spool: Spool, mixed: pa.Array | None) -> str:
        spec = self.spec
        folder = self.home.conformed / spec.entity / spec.channel
        target = folder / part_name(spec, self.facts.file_sha256)
        counter = LineCounter(self._line_hashes) if spec.is_numbered else None
        failpoint("part_before")
        with files.atomic_path(target) as temporary, ExitStack() as stack:
            writer: pq.ParquetWriter | None = None
            for rows in spool.tables():
                part = self._part(rows, counter, mixed)
                if writer is None:
                    writer = _open_writer(temporary, part.schema)
                    stack.enter_context(writer)
                writer.write_table(part, row_group_size=ROW_GROUP)
            stack.close()
            failpoint("part_during")
        failpoint("part_after")
        return target.relative_to(self.home.root).as_posix()

    def _part(
        self, rows: pa.Table, counter: LineCounter | None, mixed: pa.Array | None
    ) -> pa.Table:
        spec = self.spec
        if mixed is not None:
            document = _plain(rows[spec.contract.document])
            rows = rows.filter(pc.invert(pc.is_in(document, mixed)))
        if counter:
            rows = rows.append_column("occurrence", counter.number(rows))
        constants = {
            "feed": spec.feed,
            "channel": spec.channel,
            "file_sha256": self.facts.file_sha256,
        }
        columns: dict[str, Any] = {
            name: pa.DictionaryArray.from_arrays(np.zeros(rows.num_rows, np.int32), [value])
            for name, value in constants.items()
        }
        columns["record_id"] = self.conformer.identify(rows)
        names = [name for name, _ in entities.part_columns(spec.contract)]
        return pa.table({name: columns[name] if name in columns else rows[name] for name in names})


def raw_record(batch: Batch, reader: Reader, row: int) -> str:
    """The record as it stood in the file: its own text, or its cells by name."""
    if "raw" in batch.cells.column_names:
        return shorten(batch.cells["raw"][row].as_py())
    cells = {name: batch.cells[f"s{n}"][row].as_py() for n, name in enumerate(reader.names)}
    return shorten(json.dumps(cells, ensure_ascii=False))


def _open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Hashes and numbers never repeat; looking for repetition would cost as much as writing them.
    unique = ("record_number", "record_id", "content_hash")
    repeated = [name for name in schema.names if name not in unique]
    return pq.ParquetWriter(path, schema, use_dictionary=repeated, **_PARQUET)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.cast(column, pa.string())


def _check_counts(job: _Job, manifest: Manifest | None) -> None:
    minimum = job.spec.format.min_records
    if job.received < minimum:
        raise LandingError(
            f"{job.received} records; at least {minimum} are declared",
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
    for said, column in _totalled(job.spec, manifest).items():
        if job.conformer.totals[column] != Decimal(manifest.control_totals[said]):
            raise LandingError(
                f"the sum of {said} is {job.conformer.totals[column]}; "
                f"the manifest says {manifest.control_totals[said]}",
                reason_code="control_total",
                remedy="ask the source for the right file",
            )


def _totalled(spec: FeedSpec, manifest: Manifest | None) -> dict[str, str]:
    """The manifest's names of summed columns, and the canonical columns they mean."""
    numbers = [c.name for c in spec.contract.columns if c.kind in entities.NUMBERS]
    known = {name: name for name in numbers if name in spec.columns}
    known |= {str(spec.columns[name].source): name for name in known}
    for column, said in (manifest.control_totals if manifest else {}).items():
        if column not in known or not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,6})?", said):
            raise LandingError(
                f"the control total of {column!r} cannot be checked",
                reason_code="manifest",
                remedy=f"name one of {', '.join(known)} and write its sum as text",
            )
    return {column: known[column] for column in (manifest.control_totals if manifest else {})}


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
