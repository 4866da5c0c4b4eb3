"""From text cells to typed records. Add here: the one query of a feed and what surrounds it. Not here: a kind's conversion, files.

Three layers, each computed once per row: cleaned cells (``c_…``), typed values (``v_…``), then the first
problem of the row as ``reason|column``. A row with a problem goes to quarantine whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.lib.ingestion import conversions, entities, normalise
from crm_pipeline.lib.ingestion.conversions import cell_name, in_list, quote, value_name
from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.feed_spec import Branch, ColumnMapping, Condition, FeedSpec

SEPARATOR = "\x1f"  # control characters never survive cleaning, so neither can stand in a value
ABSENT = "\x1e"


@dataclass(frozen=True)
class FileFacts:
    """What the query needs to know of the file itself."""

    file_sha256: str
    received_at: datetime
    known_at: datetime | None  # from the file's name


@dataclass(frozen=True)
class Cell:
    """A cell the query reads: its name, where it comes from, and how it is cleaned."""

    name: str
    source: str
    column: Column | None
    mapping: ColumnMapping


def cells_of(spec: FeedSpec) -> Iterator[Cell]:
    """All cells a feed reads, contract columns first."""
    for column in spec.contract.columns:
        mapping = mapping_of(spec, column)
        if mapping and mapping.source:
            yield Cell(column.name, mapping.source, column, mapping)
    for name, source in _extras(spec):
        yield Cell(name, source, None, ColumnMapping(source=source))


def _extras(spec: FeedSpec) -> Iterator[tuple[str, str]]:
    if spec.known_at.source:
        yield "known_at", spec.known_at.source
    if spec.version:
        yield "source_version", spec.version.source
    if spec.key and spec.key.batch:
        yield "batch", spec.key.batch


def mapping_of(spec: FeedSpec, column: Column) -> ColumnMapping | None:
    """How ``column`` is filled; the currency stands at the feed's level."""
    if column.kind == "currency" and column.name == "currency" and spec.currency:
        currency = spec.currency
        if currency.value:
            return ColumnMapping(value=currency.value)
        return ColumnMapping(source=currency.source, map=currency.map)
    return spec.columns.get(column.name)


# ------------------------------------------------------------------------------------------------ cleaning


@dataclass(frozen=True)
class Prepared:
    """A batch ready for the query."""

    table: pa.Table
    changed_count: int


def prepare(spec: FeedSpec, cells: pa.Table, positions: Mapping[str, int]) -> Prepared:
    """Cleans the wanted columns and notes which rows hold destroyed characters."""
    arrays: dict[str, pa.ChunkedArray] = {"record_number": cells["record_number"]}
    destroyed: list[tuple[str, pa.ChunkedArray]] = []
    changed = 0
    for cell in cells_of(spec):
        if cell.source not in positions:
            arrays[f"t_{cell.name}"] = pa.chunked_array([pa.nulls(cells.num_rows, pa.string())])
            continue
        column = cells[f"s{positions[cell.source]}"]
        is_key = cell.column is None or cell.column.kind in ("id", "enum", "currency", "boolean")
        cleaned = normalise.clean(column, is_key=is_key)
        changed += cleaned.changed_count
        if cleaned.destroyed is not None:
            destroyed.append((cell.name, cleaned.destroyed))
        text = cleaned.cells
        if cell.mapping.full_width:
            text = normalise.full_width_digits(text)
        arrays[f"t_{cell.name}"] = text
    arrays["damage"] = _damage(cells, destroyed, spec)
    return Prepared(pa.table(arrays), changed)


def _damage(
    cells: pa.Table, destroyed: Sequence[tuple[str, pa.ChunkedArray]], spec: FeedSpec
) -> pa.ChunkedArray:
    damage = pa.chunked_array([pa.nulls(cells.num_rows, pa.string())])
    for name, flags in destroyed:
        damage = pc.if_else(pc.fill_null(flags, False), f"encoding|{name}", damage)
    if "s0" in cells.column_names and spec.format.kind != "jsonl":
        markers = pa.array(spec.format.total_row_marker)
        if not normalise.is_plain(cells["s0"]) or any(m.as_py().isascii() for m in markers):
            is_total = pc.is_in(pc.utf8_trim_whitespace(cells["s0"]), value_set=markers)
            damage = pc.if_else(pc.fill_null(is_total, False), "not_a_record|", damage)
    return damage


# ------------------------------------------------------------------------------------------------ the query


def typed_columns(spec: FeedSpec) -> list[tuple[str, str]]:
    """Names and types of the query's result."""
    columns = [("record_number", "bigint"), ("problem", "varchar"), ("content_hash", "varchar")]
    columns += [("source_version", "timestamp"), ("known_at", "timestamp"), ("batch", "varchar")]
    return columns + [(c.name, c.sql_type) for c in spec.contract.columns]


def conforming_query(spec: FeedSpec, facts: FileFacts, relation: str) -> str:
    """The SELECT that turns the prepared batch ``relation`` into typed rows, each with its first problem or none."""
    cleaned, typed, problems = _layers(spec, facts)
    contract = [f"{value_name(c)} as {c.name}" for c in spec.contract.columns]
    hashed = _hash([_as_text(c) for c in spec.contract.columns])
    batch = "c_batch" if spec.key and spec.key.batch else "cast(null as varchar)"
    return f"""
with cleaned as (select record_number, damage, {", ".join(cleaned)} from {relation}),
typed as (select *, {", ".join(typed)} from cleaned),
derived as (select *, {", ".join(_derived(spec))} from typed),
judged as (select *, coalesce(damage, {", ".join(problems)}) as problem from derived)
select
    record_number, problem, {hashed} as content_hash,
    {_version_value(spec)} as source_version, {_known_at_value(spec)} as known_at, {batch} as batch,
    {", ".join(contract)}
from judged
"""


def _layers(spec: FeedSpec, facts: FileFacts) -> tuple[list[str], list[str], list[str]]:
    cleaned, typed, problems = ["1 as one"], [], []
    latest = f"timestamp '{facts.received_at:%Y-%m-%d %H:%M:%S.%f}'"
    for column in spec.contract.columns:
        mapping = mapping_of(spec, column)
        if mapping is None:
            typed.append(f"cast(null as {column.sql_type}) as {value_name(column)}")
        elif mapping.value is not None:
            typed.append(f"{_constant(column, mapping)} as {value_name(column)}")
        elif mapping.source is not None:
            cell = conversions.cleaned_cell(f"t_{column.name}", column, mapping)
            cleaned.append(f"{_cell_text(column, mapping, cell)} as {cell_name(column)}")
            conversion = _conversion(
                spec, column, mapping, "v_known_at" if _knows(spec) else latest
            )
            typed.append(f"{conversion.value} as {value_name(column)}")
            problems.append(_problem(spec, column, conversion.problem))
    for name, _ in _extras(spec):
        cleaned.append(f"nullif(trim(t_{name}), '') as c_{name}")
    if _knows(spec):
        typed.append(f"{_declared_delivery(spec, facts)} as v_known_at")
    return cleaned, typed, [*_delivery_problems(spec), *problems, *_rule_problems(spec), "null"]


def _cell_text(column: Column, mapping: ColumnMapping, cell: str) -> str:
    if column.kind in entities.NUMBERS:
        return conversions.number_text(cell, mapping)
    return cell


def _constant(column: Column, mapping: ColumnMapping) -> str:
    return f"cast({quote(mapping.value)} as {column.sql_type})"


def _conversion(
    spec: FeedSpec, column: Column, mapping: ColumnMapping, latest: str
) -> conversions.Conversion:
    if column.kind in entities.NUMBERS:
        return conversions.number(column, mapping)
    if column.kind in ("timestamp", "date"):
        return conversions.instant(column, mapping, mapping.timezone or spec.timezone, latest)
    if column.kind in ("id", "text"):
        found = conversions.text(column, mapping)
        if mapping.map:
            branches = " ".join(f"when {quote(k)} then {quote(v)}" for k, v in mapping.map.items())
            return conversions.Conversion(
                f"case {cell_name(column)} {branches} else {cell_name(column)} end", found.problem
            )
        return found
    return conversions.choice(column, mapping)


def _problem(spec: FeedSpec, column: Column, problem: str) -> str:
    """``code|column`` of a mapped column, or null."""
    c = cell_name(column)
    absent = (
        "'key'" if column.name in spec.natural_key else "'required'" if column.required else "null"
    )
    whole = f"case when {c} is null then {absent} else {problem} end"
    return f"{whole} || '|{column.name}'"


# ------------------------------------------------------------------------------------------------ delivery time, version, rules


def _knows(spec: FeedSpec) -> bool:
    """Whether the delivery time is declared by the source, and so bounds every instant."""
    return spec.known_at.event is None


def _known_at_value(spec: FeedSpec) -> str:
    if spec.known_at.event:
        event = value_name(spec.contract.column(spec.known_at.event))
        return (
            f"{event} + interval {spec.known_at.lag_days} day" if spec.known_at.lag_days else event
        )
    return "v_known_at"


def _declared_delivery(spec: FeedSpec, facts: FileFacts) -> str:
    if spec.known_at.source:
        return _delivery_time(spec, "c_known_at")
    return f"timestamp '{facts.known_at:%Y-%m-%d %H:%M:%S.%f}'"


def _delivery_time(spec: FeedSpec, cell: str) -> str:
    formats = [str(spec.known_at.format)]
    local = conversions.local_time(formats, cell)
    if local and is_day(formats[0]):
        local = f"{local} + interval '86399 seconds'"  # delivered that day: known before the next begins
    absolute = conversions.absolute_time(formats, None, cell)
    parts = [
        p for p in (absolute, conversions.to_utc(local, spec.timezone) if local else None) if p
    ]
    return f"coalesce({', '.join(parts)})"


def is_day(pattern: str) -> bool:
    """Whether a date format names a day without a time."""
    return pattern not in ("iso8601", "excel_serial") and not any(
        part in pattern for part in ("%H", "%I", "%M", "%S", "%c", "%X", "%T")
    )


def _version_value(spec: FeedSpec) -> str:
    if spec.version is None:
        return "cast(null as timestamp)"
    formats = spec.version.format
    local = conversions.local_time(formats, "c_source_version")
    absolute = conversions.absolute_time(formats, spec.version.epoch, "c_source_version")
    parts = [
        p for p in (absolute, conversions.to_utc(local, spec.timezone) if local else None) if p
    ]
    return f"coalesce({', '.join(parts)})"


def _delivery_problems(spec: FeedSpec) -> list[str]:
    problems = []
    if spec.known_at.source:
        problems.append("case when v_known_at is null then 'known_at|' end")
    if spec.version:
        problems.append(f"case when {_version_value(spec)} is null then 'version|' end")
    if spec.key and spec.key.batch:
        problems.append("case when c_batch is null then 'key|' end")
    return problems


def _derived(spec: FeedSpec) -> list[str]:
    found = ["1 as another"]
    for column in spec.contract.columns:
        mapping = spec.columns.get(column.name)
        if mapping and mapping.first_match:
            branches = " ".join(_branch(spec, branch) for branch in mapping.first_match)
            found.append(f"case {branches} end as {value_name(column)}")
    return found


def _branch(spec: FeedSpec, branch: Branch) -> str:
    if branch.when is None:
        return f"else {quote(branch.otherwise)}"
    tests = [
        _test(spec.contract.column(name), condition) for name, condition in branch.when.items()
    ]
    return f"when {' and '.join(tests)} then {quote(branch.result)}"


def _test(column: Column, condition: Condition) -> str:
    v = value_name(column)
    if condition.starts_with is not None:
        return f"starts_with({v}, {quote(condition.starts_with)})"
    if condition.is_in is not None:
        return f"{v} in ({in_list(condition.is_in)})"
    if condition.below is not None:
        return f"{v} < {condition.below}"
    if condition.above is not None:
        return f"{v} > {condition.above}"
    if condition.is_null is not None:
        return f"{v} is {'null' if condition.is_null else 'not null'}"
    literal = quote(condition.equals) if isinstance(condition.equals, str) else condition.equals
    return f"{v} = {literal}"


def _rule_problems(spec: FeedSpec) -> list[str]:
    problems = []
    for column in spec.contract.columns:
        mapping = spec.columns.get(column.name)
        if mapping and mapping.first_match and (column.required or column.name in spec.natural_key):
            problems.append(f"case when {value_name(column)} is null then 'enum|{column.name}' end")
    return problems


# ------------------------------------------------------------------------------------------------ identity of a record


def _as_text(column: Column) -> str:
    """A value's one spelling: the same bytes for the same value on every engine version."""
    v = value_name(column)
    if column.kind == "timestamp":
        v = f"epoch_us({v})"
    return f"coalesce(cast({v} as varchar), chr({ord(ABSENT)}))"


def _hash(parts: Sequence[str]) -> str:
    return f"left(sha256(concat_ws(chr({ord(SEPARATOR)}), {', '.join(parts)})), 32)"


def record_id(spec: FeedSpec, occurrence: str) -> str:
    """SQL of the record's own id over a typed row: channel, entity and natural key, never feed or file."""
    scope = [quote(spec.channel), quote(spec.entity)]
    if spec.is_numbered:
        batch = ["batch"] if spec.key and spec.key.batch else []
        return _hash(
            [*scope, "'numbered'", *batch, "content_hash", f"cast({occurrence} as varchar)"]
        )
    texts = []
    for name in spec.natural_key:
        column = spec.contract.column(name)
        text = f"epoch_us({name})" if column.kind == "timestamp" else name
        texts.append(f"cast({text} as varchar)")
    return _hash([*scope, *texts])
