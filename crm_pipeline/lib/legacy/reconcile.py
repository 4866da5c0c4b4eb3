"""One legacy feed, file by file: does everything the source delivered stand somewhere?

Add here: a figure that must agree.
Not here: how it is shown (``report``), reading the raw file (``raw_figures``).

Source = accepted + duplicate + rejected, in records, in distinct keys, and in every sum to the last
digit; and the source is what it declared. Records are followed one by one by their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb
import sqlalchemy as sa

from crm_pipeline.lib.errors import LandingError
from crm_pipeline.lib.home import CrmHome
from crm_pipeline.lib.ingestion.conversions import quote
from crm_pipeline.lib.ingestion.feed_spec import FeedSpec
from crm_pipeline.lib.ingestion.parts import engine
from crm_pipeline.lib.ledger.schema import inbox_files, inbox_parts
from crm_pipeline.lib.legacy.control import Control, read_control, summed_columns
from crm_pipeline.lib.legacy.raw_figures import key_columns, raw_rows, raw_texts

OUTCOMES = ("accepted", "duplicate", "rejected")
TOTAL_LINE = "not_a_record"
COUNTED_BY = 2  # raise it when another count would come out


@dataclass(frozen=True)
class Figures:
    """What is counted on both sides."""

    records: int = 0
    keys: int = 0
    sums: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Reject:
    """One record that was not taken over."""

    record_number: int
    reason_code: str
    column_name: str
    raw_record: str


@dataclass(frozen=True)
class FileResult:
    """One delivered file. Its name may be personal; reports name it by its hash."""

    file_sha256: str
    file_name: str
    declared: Control | None = None
    source: Figures = field(default_factory=Figures)
    outcomes: Mapping[str, Figures] = field(default_factory=dict)
    total_lines: int = 0
    unreadable: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = field(default=(), repr=False)
    refused: str | None = None
    findings: tuple[str, ...] = ()

    @property
    def file_id(self) -> str:
        return self.file_sha256[:12]


@dataclass(frozen=True)
class Reconciliation:
    """All files of one feed."""

    feed: str
    entity: str
    columns: tuple[str, ...]
    files: tuple[FileResult, ...]
    inputs: str = ""  # names what was counted: equal inputs need no second count

    @property
    def findings(self) -> list[str]:
        return [f"{file.file_id}: {finding}" for file in self.files for finding in file.findings]

    @property
    def matches(self) -> bool:
        """Whether everything agrees. No file at all agrees with nothing delivered."""
        return not self.findings


def reconcile_feed(
    home: CrmHome, ledger: sa.Engine, spec: FeedSpec, landing_dir: Path
) -> Reconciliation:
    """Counts every delivered file of ``spec`` anew and compares."""
    delivered = _delivered(ledger, spec)
    with engine(home) as connection:
        _load_parts(connection, home, ledger, spec)
        files = tuple(
            _reconcile_file(connection, home, spec, row, landing_dir) for row in delivered
        )
    inputs = inputs_of(ledger, spec, landing_dir)
    return Reconciliation(spec.feed, spec.entity, tuple(summed_columns(spec)), files, inputs)


def inputs_of(ledger: sa.Engine, spec: FeedSpec, landing_dir: Path) -> str:
    """A hash over everything a reconciliation of ``spec`` would look at."""
    files, parts = inbox_files, inbox_parts
    query = (
        sa.select(
            files.c.feed, files.c.file_sha256, files.c.file_name, parts.c.contract_hash,
            parts.c.state, parts.c.received_count, parts.c.written_count,
        )
        .where(
            parts.c.feed == files.c.feed,
            parts.c.file_sha256 == files.c.file_sha256,
            files.c.entity == spec.entity,
            files.c.channel == spec.channel,
        )
        .order_by(files.c.inbox_seq, parts.c.contract_hash, files.c.feed)
    )  # fmt: skip
    with ledger.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    folder = landing_dir / spec.landing_folder
    declared = [read_control(spec, folder / row[2]) for row in rows if row[0] == spec.feed]
    said = repr((COUNTED_BY, rows, declared))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _delivered(ledger: sa.Engine, spec: FeedSpec) -> list[sa.Row[tuple[object, ...]]]:
    """Every file that came, with what counts of it: its active part, else why it was refused."""
    files, parts = inbox_files, inbox_parts
    joined = files.join(
        parts, sa.and_(parts.c.feed == files.c.feed, parts.c.file_sha256 == files.c.file_sha256)
    )
    query = (
        sa.select(
            files.c.file_sha256, files.c.file_name, files.c.inbox_seq, parts.c.state,
            parts.c.quarantine_path, parts.c.reason_code, parts.c.message,
        )
        .select_from(joined)
        .where(files.c.feed == spec.feed, parts.c.state.in_(("active", "refused")))
        .order_by(files.c.inbox_seq, parts.c.state)
    )  # fmt: skip
    found: dict[str, sa.Row[tuple[object, ...]]] = {}
    with ledger.connect() as connection:
        for row in connection.execute(query):
            found.setdefault(row.file_sha256, row)  # "active" sorts before "refused"
    return list(found.values())


def _load_parts(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, ledger: sa.Engine, spec: FeedSpec
) -> None:
    """What was taken over: of equal records the first counts, of contradicting ones none.

    A delivery that repeats what the one before it said belongs to the version it repeats.
    """
    files, parts = inbox_files, inbox_parts
    query = sa.select(parts.c.part_path, files.c.inbox_seq).where(
        parts.c.feed == files.c.feed,
        parts.c.file_sha256 == files.c.file_sha256,
        parts.c.state == "active",
        parts.c.part_path.is_not(None),
        files.c.entity == spec.entity,
        files.c.channel == spec.channel,
    )
    with ledger.connect() as ledger_connection:
        rows = ledger_connection.execute(query).all()
    sums = summed_columns(spec)
    keys = " || chr(31) || ".join(f"cast({name} as varchar)" for name in key_columns(spec))
    values = "".join(f", cast({name} as decimal(38, 6)) as v_{name}" for name in sums)
    read = f"""
        select file_sha256, record_number, record_id, content_hash,
            source_version as version, known_at,
            {keys or "record_id"} as key{values}"""
    selects = [
        f"{read}, {int(row.inbox_seq)} as seq "
        f"from read_parquet({quote(home.root / row.part_path)}, hive_partitioning = false)"
        for row in rows
    ] or [_no_part(sums)]
    connection.execute(
        f"""
        create table taken as
        with parts as ({" union all ".join(selects)}),
        versions as (
            select record_id, version,
                coalesce(
                    max(known_at) = version and min(content_hash) = lag(min(content_hash)) over (
                        partition by record_id order by version nulls first
                    ),
                    false
                ) as is_repeat
            from parts
            group by record_id, version
            having min(content_hash) = max(content_hash)
        ),
        started as (
            select record_id, version,
                max(case when not is_repeat then version end) over (
                    partition by record_id order by version nulls first rows unbounded preceding
                ) as repeated_version
            from versions
        ),
        placed as (
            select parts.* replace (
                case when started.record_id is null then parts.version else repeated_version end
                    as version
            )
            from parts
            left join started
                on started.record_id = parts.record_id and started.version = parts.version
        )
        select *,
            min(content_hash) over same <> max(content_hash) over same as is_conflict,
            row_number() over (
                partition by record_id, version, content_hash order by seq, record_number
            ) > 1 as is_duplicate
        from placed
        window same as (partition by record_id, version)
        """
    )


def _no_part(sums: list[str]) -> str:
    values = "".join(f", cast(null as decimal(38, 6)) as v_{name}" for name in sums)
    return (
        "select '' as file_sha256, 0::bigint as record_number, '' as record_id, "
        "'' as content_hash, cast(null as timestamp) as version, "
        "cast(null as timestamp) as known_at, "
        f"'' as key{values}, 0 as seq where false"
    )


def _reconcile_file(
    connection: duckdb.DuckDBPyConnection,
    home: CrmHome,
    spec: FeedSpec,
    row: sa.Row[tuple[object, ...]],
    landing_dir: Path,
) -> FileResult:
    sha256, name = str(row.file_sha256), str(row.file_name)
    declared = read_control(spec, landing_dir / spec.landing_folder / name)
    if row.state == "refused":
        why = f"{row.reason_code}: {row.message}"
        told = f"the file was refused as a whole ({row.reason_code})"
        return FileResult(sha256, name, declared, refused=why, findings=(told,))
    try:
        _load_raw(connection, home, spec, sha256)
    except LandingError as error:
        return FileResult(sha256, name, declared, findings=(f"{error.what}: nothing to compare",))
    _load_rejects(connection, home, row.quarantine_path)
    _judge(connection, sha256)
    sums = summed_columns(spec)
    result = FileResult(
        sha256,
        name,
        declared,
        source=_source(connection, sums),
        outcomes={outcome: _outcome(connection, sums, outcome) for outcome in OUTCOMES},
        total_lines=_count(connection, f"outcome = '{TOTAL_LINE}'"),
        unreadable={
            column: count
            for column in sums
            if (count := _count(connection, f"u_{column} and outcome <> '{TOTAL_LINE}'"))
        },
        reasons=dict(
            connection.execute(
                "select reason_code, count(*) from judged where outcome = 'rejected' "
                "group by all order by all"
            ).fetchall()
        ),
        rejects=tuple(_rejects(connection, home, spec, sha256)),
    )
    findings = [*_unplaced(connection, sums), *_compare(result, sums)]
    return FileResult(**{**result.__dict__, "findings": tuple(findings)})


def _load_raw(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, spec: FeedSpec, sha256: str
) -> None:
    connection.execute("drop table if exists raw_records")
    for number, batch in enumerate(raw_rows(home, spec, sha256)):
        connection.register("batch", batch)
        verb = "insert into raw_records" if number else "create table raw_records as"
        connection.execute(f"{verb} select * from batch")
        connection.unregister("batch")


def _load_rejects(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, quarantine_path: str | None
) -> None:
    source = (
        f"read_parquet({quote(home.root / quarantine_path)}, hive_partitioning = false)"
        if quarantine_path
        else "(select 0::bigint as record_number, '' as reason_code, '' as column_name, "
        "'' as raw_record where false)"
    )
    connection.execute(
        "create or replace table rejected as "
        f"select record_number, reason_code, column_name, raw_record from {source}"
    )


def _judge(connection: duckdb.DuckDBPyConnection, sha256: str) -> None:
    """Every record of the raw file with what became of it."""
    connection.execute(
        f"""
        create or replace table judged as
        select raw_records.*, columns(taken.*) as 't_\\0',
            case
                when rejected.reason_code = '{TOTAL_LINE}' then '{TOTAL_LINE}'
                when rejected.record_number is not null then 'rejected'
                when taken.is_conflict then 'rejected'
                when taken.is_duplicate then 'duplicate'
                when taken.record_number is not null then 'accepted'
                else 'lost'
            end as outcome,
            coalesce(rejected.reason_code, case when taken.is_conflict then 'conflict' end)
                as reason_code,
            rejected.column_name, rejected.raw_record,
            rejected.record_number is not null and taken.record_number is not null as is_twice
        from raw_records
        left join rejected using (record_number)
        left join taken
            on taken.record_number = raw_records.record_number
            and taken.file_sha256 = {quote(sha256)}
        """
    )


def _count(connection: duckdb.DuckDBPyConnection, condition: str) -> int:
    found = connection.execute(f"select count(*) from judged where {condition}").fetchall()
    return int(found[0][0])


def _source(connection: duckdb.DuckDBPyConnection, sums: list[str]) -> Figures:
    """As the raw file reads, with nothing of what the door made of it."""
    return _figures(connection, "key", sums, "v_", f"outcome <> '{TOTAL_LINE}'")


def _outcome(connection: duckdb.DuckDBPyConnection, sums: list[str], outcome: str) -> Figures:
    """As it stands in the parts; what was rejected exists only as raw text.

    A key counts once, where it fared best.
    """
    column, prefix = ("key", "v_") if outcome == "rejected" else ("t_key", "t_v_")
    better = OUTCOMES[: OUTCOMES.index(outcome)]
    found = _figures(connection, column, sums, prefix, f"outcome = '{outcome}'")
    if better:
        names = ", ".join(quote(name) for name in better)
        keys = connection.execute(
            f"select count(distinct {column}) from judged where outcome = '{outcome}' and {column} "
            f"not in (select t_key from judged where outcome in ({names}))"
        ).fetchall()[0][0]
        found = Figures(found.records, int(keys), found.sums)
    return found


def _figures(
    connection: duckdb.DuckDBPyConnection, key: str, sums: list[str], prefix: str, condition: str
) -> Figures:
    totals = "".join(f", coalesce(sum({prefix}{name}), 0)" for name in sums)
    row = connection.execute(
        f"select count(*), count(distinct {key}){totals} from judged where {condition}"
    ).fetchall()[0]
    return Figures(int(row[0]), int(row[1]), dict(zip(sums, map(Decimal, row[2:]), strict=True)))


def _rejects(
    connection: duckdb.DuckDBPyConnection, home: CrmHome, spec: FeedSpec, sha256: str
) -> Iterator[Reject]:
    rows = connection.execute(
        "select record_number, reason_code, coalesce(column_name, ''), raw_record "
        "from judged where outcome = 'rejected' order by record_number"
    ).fetchall()
    # The door took contradicting records in; what they said stands only in the raw file.
    texts = raw_texts(home, spec, sha256, {row[0] for row in rows if row[3] is None})
    for number, reason, column, raw in rows:
        yield Reject(int(number), reason, column, texts[number] if raw is None else raw)


def _unplaced(connection: duckdb.DuckDBPyConnection, sums: list[str]) -> Iterator[str]:
    """Records followed one by one: none may be nowhere, in two places, or with another value."""
    if lost := _count(connection, "outcome = 'lost'"):
        yield f"{lost} records are neither taken over nor rejected"
    if twice := _count(connection, "is_twice"):
        yield f"{twice} records are taken over and rejected as well"
    taken = "outcome in ('accepted', 'duplicate')"
    if keys := _count(connection, f"{taken} and key is distinct from t_key"):
        yield f"{keys} records have another key than the source"
    for name in sums:
        differing = f"{taken} and v_{name} is distinct from t_v_{name}"
        if count := _count(connection, differing):
            yield f"{name}: {count} records have another value than the source"


def _compare(result: FileResult, sums: list[str]) -> Iterator[str]:
    """Totals against totals, and against what was declared."""
    source, parts = result.source, result.outcomes.values()
    if source.records != sum(part.records for part in parts):
        yield f"records: {source.records} in the source, {sum(p.records for p in parts)} placed"
    if source.keys != sum(part.keys for part in parts):
        yield f"distinct keys: {source.keys} in the source, {sum(p.keys for p in parts)} placed"
    for name in sums:
        placed = sum((part.sums[name] for part in parts), Decimal(0))
        if source.sums[name] != placed:
            yield f"{name}: {source.sums[name]:f} in the source, {placed:f} placed"
    declared = result.declared
    if declared is None:
        return
    if declared.records is not None and declared.records != source.records:
        yield f"records: {declared.records} declared, {source.records} in the file"
    if declared.distinct_keys is not None and declared.distinct_keys != source.keys:
        yield f"distinct keys: {declared.distinct_keys} declared, {source.keys} in the file"
    for name, total in declared.sums.items():
        if total != source.sums[name]:
            unread = result.unreadable.get(name, 0)
            hint = f" ({unread} values cannot be read)" if unread else ""
            yield f"{name}: {total:f} declared, {source.sums[name]:f} in the file{hint}"
