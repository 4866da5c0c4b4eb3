"""From text cells to typed records.

Add here: the two queries of a feed, and what goes between them.
Not here: how one kind of value is converted (``conversions``), files (``parts``).

Cells repeat: a million order lines hold a few thousand dates, names and prices. So every distinct
cell is cleaned, converted and judged once (numbers and times by the *lexicon* query), and rows are
put together from the results (by the *rows* query). A row with a problem goes to quarantine whole,
with the first one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from operator import attrgetter

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from crm_pipeline.lib.ingestion import conversions, entities, normalise, words
from crm_pipeline.lib.ingestion.conversions import quote, value_name
from crm_pipeline.lib.ingestion.entities import Column
from crm_pipeline.lib.ingestion.feed_spec import Branch, ColumnMapping, Condition, FeedSpec

SEPARATOR = "\x1f"  # control characters never survive cleaning, so neither can stand in a value
ABSENT = "\x1e"
SMALL = 20_000  # rows; below it planning a query costs more than running it


@dataclass(frozen=True)
class FileFacts:
    """What the queries need to know of the file itself."""

    file_sha256: str
    received_at: datetime
    known_at: datetime | None  # from the file's name


@dataclass(frozen=True)
class Cell:
    """A cell a feed reads. ``column`` is absent for delivery time, version and batch."""

    name: str
    source: str
    column: Column | None
    mapping: ColumnMapping


@dataclass(frozen=True)
class Lexicon:
    """What became of the distinct cells of one source column: per value, by its code."""

    codes: pa.ChunkedArray
    values: dict[str, pa.Array]
    problems: pa.Array | None  # a reason per value, or None when no value has one


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
    if spec.version and spec.version.source:
        yield "source_version", spec.version.source
    if spec.key and spec.key.batch:
        yield "batch", spec.key.batch


def mapping_of(spec: FeedSpec, column: Column) -> ColumnMapping | None:
    """How ``column`` is filled; the currency stands at the feed's level."""
    if column.kind == "currency" and spec.currency:
        if spec.currency.value:
            return ColumnMapping(value=spec.currency.value)
        return ColumnMapping(source=spec.currency.source, map=spec.currency.map)
    return spec.columns.get(column.name)


@dataclass(frozen=True)
class Conformed:
    """A batch after conversion: the good rows, and the others by place with ``reason|column``."""

    good: pa.Table
    problems: Sequence[tuple[int, str]]


class Conformer:
    """Turns the batches of one file into typed rows."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        spec: FeedSpec,
        facts: FileFacts,
        totalled: Sequence[str] = (),
    ) -> None:
        self._connection, self._spec, self._facts = connection, spec, facts
        self.totals = dict.fromkeys(totalled, Decimal(0))
        self._cells = list(cells_of(spec))
        self._lexicon_query = lexicon_query(spec, facts, "distinct_cells")
        self.changed_count = 0

    def take(self, cells: pa.Table, positions: Mapping[str, int]) -> Conformed:
        """Converts a batch; the rows keep the order of the file."""
        lexicons = self._convert(self._encode(cells, positions))
        arrays: dict[str, pa.ChunkedArray] = {"record_number": cells["record_number"]}
        judged: list[str] = []
        if (damage := _total_rows(self._spec, cells)) is not None:
            arrays["damage"] = damage
            judged.append("damage")
        for name, lexicon in lexicons.items():
            for value, distinct in lexicon.values.items():
                arrays[value] = _spread(lexicon.codes, distinct)
            if lexicon.problems is not None:
                arrays[f"p_{name}"] = _spread(lexicon.codes, lexicon.problems)
                judged.append(f"p_{name} || '|{name}'")
        spread = pa.table(arrays)
        for name in self.totals:  # quarantined records count too where they have a number
            self.totals[name] += pc.sum(spread[f"v_{name}"]).as_py() or 0
        query = rows_query(self._spec, self._facts, judged, "spread_cells")
        return self._split(spread, self._run(query, "spread_cells", spread))

    def _split(self, spread: pa.Table, found: pa.Table) -> Conformed:
        if not found["record_number"].equals(spread["record_number"]):
            raise RuntimeError("the engine changed the order of the rows")
        columns = {
            name: found[name] if name in found.column_names else spread[source]
            for name, source in _row_columns(self._spec)
        }
        rows = pa.table(columns)
        is_bad = pc.is_valid(found["problem"])
        if not pc.any(is_bad).as_py():
            return Conformed(rows, ())
        places = pc.indices_nonzero(is_bad)
        reasons = found["problem"].take(places).to_pylist()
        problems = list(zip(places.to_pylist(), reasons, strict=True))
        return Conformed(rows.filter(pc.invert(is_bad)), problems)

    def identify(self, rows: pa.Table) -> pa.Array:
        """The record ids of rows; numbered lines have been given their ``occurrence`` by now."""
        if "record_id" in rows.column_names:
            return rows["record_id"]
        query = f"select {record_id(self._spec)} as record_id from identified"
        return self._run(query, "identified", rows)["record_id"]

    def _run(self, query: str, name: str, relation: pa.Table) -> pa.Table:
        connection = self._connection
        connection.register(name, relation)
        try:
            if relation.num_rows > SMALL:
                return connection.sql(query).to_arrow_table()
            # A relation is planned twice, which a small file would feel more than a copy.
            connection.execute(f"create or replace temp table small_result as {query}")
            return connection.table("small_result").to_arrow_table()
        finally:
            connection.unregister(name)

    def _encode(
        self, cells: pa.Table, positions: Mapping[str, int]
    ) -> dict[str, tuple[pa.ChunkedArray, normalise.Cleaned]]:
        """The distinct cells of each column, cleaned, and the codes of the rows."""
        encoded = {}
        for cell in self._cells:
            if cell.source in positions:
                column = cells[f"s{positions[cell.source]}"]
            else:
                column = pa.chunked_array([pa.nulls(cells.num_rows, pa.string())])
            codes = column.dictionary_encode(null_encoding="encode")
            is_key = cell.column is None or cell.column.kind in _KEYS
            cleaned = normalise.clean(
                codes.chunk(0).dictionary, is_key=is_key, is_folded=cell.mapping.full_width
            )
            self.changed_count += cleaned.changed_count
            tidied = words.tidy(cleaned.cells, cell.column, cell.mapping)
            encoded[cell.name] = (codes, replace(cleaned, cells=tidied))
        return encoded

    def _convert(
        self, encoded: Mapping[str, tuple[pa.ChunkedArray, normalise.Cleaned]]
    ) -> dict[str, Lexicon]:
        found = self._calculate({name: cleaned.cells for name, (_, cleaned) in encoded.items()})
        lexicons = {}
        for cell in self._cells:
            codes, cleaned = encoded[cell.name]
            if is_calculated(cell):
                values, problems = found[f"v_{cell.name}"], found[f"p_{cell.name}"]
            else:
                values, problems = _worded(cell, cleaned.cells)
            problems = pc.coalesce(_absent(self._spec, cell, cleaned.cells), problems)
            if cell.column is not None and cell.column.names_channel and self._spec.channels:
                problems = pc.coalesce(problems, _undeclared(values, self._spec.channels))
            if cleaned.damage is not None:
                problems = pc.coalesce(cleaned.damage, problems)
            tests = conditions_on(self._spec, cell.name)
            columns = {f"k_{cell.name}_{n}": words.holds(t, values) for n, t in enumerate(tests)}
            columns[f"v_{cell.name}"] = values
            if cell.column is not None:
                columns[f"h_{cell.name}"] = _spelling(cell, values, found)
            has_problem = problems.null_count < len(problems)
            lexicons[cell.name] = Lexicon(codes, columns, problems if has_problem else None)
        return lexicons

    def _calculate(self, cells: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Numbers and times of all columns in one query, the shorter columns padded.

        ``v_…`` values, ``p_…`` problems, ``h_…`` what is hashed.
        """
        names = [cell.name for cell in self._cells if is_calculated(cell)]
        if not names:
            return {}
        longest = max(len(cells[name]) for name in names)
        table = {"i": pa.array(range(longest), pa.int64())}
        for name in names:
            padding = pa.nulls(longest - len(cells[name]), pa.string())
            table[f"t_{name}"] = pa.concat_arrays([cells[name], padding])
        found = self._run(self._lexicon_query, "distinct_cells", pa.table(table))
        return {
            f"{part}_{name}": _first(found[f"{part}_{name}"], len(cells[name]))
            for name in names
            for part in "vph"
        }


_KEYS = ("id", "enum", "currency", "boolean")


def is_calculated(cell: Cell) -> bool:
    """Whether a cell is a number or a time; the others are words."""
    if cell.column is None:
        return cell.name != "batch"
    return cell.column.kind in (*entities.NUMBERS, "timestamp", "date")


def _worded(cell: Cell, cells: pa.Array) -> tuple[pa.Array, pa.Array]:
    if cell.column is None:
        return cells, pa.nulls(len(cells), pa.string())
    convert = words.text if cell.column.kind in ("id", "text") else words.choice
    return convert(cell.column, cell.mapping, cells)


def _undeclared(values: pa.Array, channels: Sequence[str]) -> pa.Array:
    """The reason of values that name no channel; a typing error must not make one."""
    nothing = pa.scalar(None, pa.string())
    is_known = pc.or_(values.is_null(), pc.is_in(values, value_set=pa.array(channels)))
    return pc.if_else(is_known, nothing, pa.scalar("channel"))


def _spelling(cell: Cell, values: pa.Array, found: Mapping[str, pa.Array]) -> pa.Array:
    """What of a value goes into the content hash: its one spelling and an end mark."""
    text = found[f"h_{cell.name}"] if is_calculated(cell) else pc.cast(values, pa.string())
    return pc.binary_join_element_wise(pc.fill_null(text, ABSENT), SEPARATOR, "")


def _absent(spec: FeedSpec, cell: Cell, cells: pa.Array) -> pa.Array:
    """The reason of cells that are absent and must not be."""
    nothing = pa.scalar(None, pa.string())
    if cell.column is None:
        reason = pa.scalar(_EXTRA[cell.name])
    elif cell.name in spec.natural_key:
        reason = pa.scalar("key")
    else:
        reason = pa.scalar("required") if cell.column.required else nothing
    return pc.if_else(cells.is_null(), reason, nothing)


def _first(column: pa.ChunkedArray, count: int) -> pa.Array:
    whole = column.combine_chunks()
    array = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    return array.slice(0, count)


def _spread(codes: pa.ChunkedArray, distinct: pa.Array) -> pa.ChunkedArray:
    """The values of all rows. Texts stay coded, so that nothing has to find them again."""
    indices = [chunk.indices for chunk in codes.chunks]
    if not pa.types.is_string(distinct.type):
        return pa.chunked_array([distinct.take(i) for i in indices], type=distinct.type)
    if distinct.null_count:  # a code of null has to be a null code
        places = pa.array(range(len(distinct)), pa.int32())
        present = pc.if_else(distinct.is_valid(), places, pa.scalar(None, pa.int32()))
        indices = [present.take(i) for i in indices]
        distinct = distinct.fill_null("")
    coded = [pa.DictionaryArray.from_arrays(i, distinct) for i in indices]
    return pa.chunked_array(coded, type=pa.dictionary(pa.int32(), pa.string()))


def _total_rows(spec: FeedSpec, cells: pa.Table) -> pa.ChunkedArray | None:
    """Marks the total lines of a table by its first cell; ``None`` when there is none."""
    markers = spec.format.total_row_marker
    if spec.format.kind not in ("csv", "tsv", "xlsx") or not markers:
        return None
    first = cells["s0"]
    if normalise.is_plain(first) and not any(marker.isascii() for marker in markers):
        return None
    is_total = pc.is_in(pc.utf8_trim_whitespace(first), value_set=pa.array(markers))
    if not pc.any(is_total).as_py():
        return None
    return pc.if_else(is_total, "not_a_record|", pa.scalar(None, pa.string()))


# ----------------------------------------------------------------------------- lexicon


def lexicon_query(spec: FeedSpec, facts: FileFacts, relation: str) -> str:
    """Value ``v_…`` and problem ``p_…`` of each distinct number and time ``t_<name>``.

    Columns do not see each other here, so a row of ``relation`` may hold unrelated cells.
    """
    cleaned, typed, judged = [], [], []
    for cell in filter(is_calculated, cells_of(spec)):
        name, text = cell.name, f"t_{cell.name}"
        if cell.column is None:
            problem = f"case when v_{name} is null then '{_EXTRA[name]}' end"
            value = _extra_value(spec, name)
        else:
            if cell.column.kind in entities.NUMBERS:
                text = conversions.number_text(text, cell.mapping)
            value, problem = _conversion(spec, facts, cell.column, cell.mapping)
            problem = f"case when c_{name} is not null then {problem} end"
        cleaned.append(f"{text} as c_{name}")
        typed.append(f"{value} as v_{name}")
        hashed = _as_text(f"v_{name}", cell.column.kind) if cell.column else "null"
        judged.append(f"v_{name}, {problem} as p_{name}, cast({hashed} as varchar) as h_{name}")
    if not judged:
        return "select i from " + relation
    return f"""
with cleaned as (select i, {", ".join(cleaned)} from {relation}),
typed as (select *, {", ".join(typed)} from cleaned)
select {", ".join(judged)} from typed order by i
"""


_EXTRA = {"known_at": "known_at", "source_version": "version", "batch": "key"}


def _extra_value(spec: FeedSpec, name: str) -> str:
    if name == "known_at":
        return _delivery_time(spec, "c_known_at")
    if name == "source_version" and spec.version:
        formats, epoch = spec.version.format, spec.version.epoch
        return conversions.utc_time(formats, epoch, spec.timezone, "c_source_version")
    return f"c_{name}"


def _delivery_time(spec: FeedSpec, cell: str) -> str:
    pattern = str(spec.known_at.format)
    if is_day(pattern):  # delivered that day: known before the next begins
        return conversions.utc_time([pattern], None, spec.timezone, cell, plus="86399 seconds")
    return conversions.utc_time([pattern], None, spec.timezone, cell)


def is_day(pattern: str) -> bool:
    """Whether a date format names a day without a time."""
    return pattern not in ("iso8601", "excel_serial") and not any(
        part in pattern for part in ("%H", "%I", "%M", "%S", "%c", "%X", "%T")
    )


def _conversion(
    spec: FeedSpec, facts: FileFacts, column: Column, mapping: ColumnMapping
) -> conversions.Conversion:
    if column.kind in entities.NUMBERS:
        return conversions.number(column, mapping)
    latest = None if spec.known_at.source else _latest(facts)
    zone = mapping.timezone or spec.timezone
    return conversions.instant(column, formats_of(spec, mapping), mapping.epoch, zone, latest)


def formats_of(spec: FeedSpec, mapping: ColumnMapping) -> list[str]:
    """The declared date formats; typed dates of Parquet and xlsx arrive in ISO form besides."""
    formats = list(mapping.format or [])
    is_typed = spec.format.kind in ("parquet", "xlsx") and not mapping.epoch
    return [*formats, "iso8601"] if is_typed and "iso8601" not in formats else formats


def _latest(facts: FileFacts) -> str:
    """After this nothing in the file can have happened: the delivery, else the inbox time."""
    return _timestamp(facts.known_at or facts.received_at)


def _timestamp(moment: datetime) -> str:
    return f"timestamp '{moment:%Y-%m-%d %H:%M:%S.%f}'"


def conditions_on(spec: FeedSpec, name: str) -> list[Condition]:
    """The distinct tests of column ``name`` in all rules of the feed, in a fixed order."""
    found: list[Condition] = []
    for mapping in spec.columns.values():
        for branch in mapping.first_match or []:
            condition = (branch.when or {}).get(name)
            if condition is not None and condition not in found:
                found.append(condition)
    return found


# -------------------------------------------------------------------------------- rows


def _row_columns(spec: FeedSpec) -> Iterator[tuple[str, str]]:
    """Columns of a conformed row, with their names among the spread values."""
    yield "record_number", "record_number"
    yield "content_hash", "content_hash"
    if spec.is_numbered:
        yield "line_hash", "line_hash"
    else:
        yield "record_id", "record_id"
    if spec.key and spec.key.batch:
        yield "batch", "v_batch"
    yield "source_version", "v_source_version"
    yield "known_at", "v_known_at"
    for column in spec.contract.columns:
        yield column.name, value_name(column)


def rows_query(spec: FeedSpec, facts: FileFacts, judged: Sequence[str], relation: str) -> str:
    """Typed rows with their first problem, from spread values.

    Args:
        spec: the feed.
        facts: of the file.
        relation: the table of spread values.
        judged: expressions giving ``reason|column`` or null, of the columns with any problem.
    """
    problems = [*judged, *_late_problems(spec), *_rule_problems(spec), *_row_problems(spec)]
    selected = [
        "record_number",
        f"coalesce({', '.join(problems)}, null) as problem" if problems else _NO_PROBLEM,
        f"{content_hash(spec)} as content_hash",
        f"{_known_at(spec, facts)} as known_at",
        *(f"{value_name(c)} as {c.name}" for c in spec.contract.columns if not _is_read(spec, c)),
        *(f"{value_name(c)} as {c.name}" for c, *_ in _completed(spec)),
    ]
    if not (spec.version and spec.version.source):
        version = _known_at(spec, facts) if spec.version else "null"
        selected.append(f"cast({version} as timestamp) as source_version")
    if spec.is_numbered:  # only to find lines that may be equal
        batch = ", v_batch" if spec.key and spec.key.batch else ""
        selected.append(f"hash(content_hash{batch}) as line_hash")
    else:
        selected.append(f"{record_id(spec, value_name)} as record_id")
    return f"""
with valued as (select *, {", ".join(_unmapped(spec))} from {relation}),
completed as (select * {_replacements(spec)} from valued)
select {", ".join(selected)} from completed
"""


_NO_PROBLEM = "cast(null as varchar) as problem"


def _is_read(spec: FeedSpec, column: Column) -> bool:
    mapping = mapping_of(spec, column)
    return mapping is not None and mapping.source is not None


def _unmapped(spec: FeedSpec) -> list[str]:
    """Constants, absent columns and rules."""
    found = ["0 as nothing"]
    for column in spec.contract.columns:
        mapping = mapping_of(spec, column)
        name = value_name(column)
        if mapping is None:
            found.append(f"cast(null as {column.sql_type}) as {name}")
        elif mapping.value is not None:
            found.append(f"cast({quote(mapping.value)} as {column.sql_type}) as {name}")
        elif mapping.first_match:
            branches = " ".join(_branch(spec, branch) for branch in mapping.first_match)
            found.append(f"case {branches} end as {name}")
    return found


def _branch(spec: FeedSpec, branch: Branch) -> str:
    if branch.when is None:
        return f"else {quote(branch.otherwise)}"
    tests = [_tested(spec, name, condition) for name, condition in branch.when.items()]
    return f"when {' and '.join(tests)} then {quote(branch.result)}"


def _tested(spec: FeedSpec, name: str, condition: Condition) -> str:
    column = spec.contract.column(name)
    mapping = mapping_of(spec, column)
    if mapping is None or mapping.source is None:  # a constant has no lexicon
        text = pa.array([None if mapping is None else str(mapping.value)], pa.string())
        is_number = column.kind in entities.NUMBERS
        constant = text.cast(pa.decimal128(38, 6)) if is_number else text
        return str(words.holds(condition, constant)[0].as_py()).lower()
    return f"k_{name}_{conditions_on(spec, name).index(condition)}"


def _late_problems(spec: FeedSpec) -> list[str]:
    """Instants against a delivery time that differs from row to row."""
    if not spec.known_at.source:
        return []
    mapped = [c for c in spec.contract.columns if (m := mapping_of(spec, c)) and m.source]
    return [
        f"case when {value_name(c)} > v_known_at then 'future|{c.name}' end"
        for c in mapped
        if c.kind in ("timestamp", "date")
    ]


def _rule_problems(spec: FeedSpec) -> list[str]:
    found = []
    for column in spec.contract.columns:
        mapping = spec.columns.get(column.name)
        if not mapping or not mapping.first_match:
            continue
        is_total = any(branch.otherwise is not None for branch in mapping.first_match)
        if not is_total and (column.required or column.name in spec.natural_key):
            found.append(f"case when {value_name(column)} is null then 'enum|{column.name}' end")
    return found


def _completed(spec: FeedSpec) -> Iterator[tuple[Column, str, str]]:
    """Columns whose value another column completes, with value and spelling in SQL.

    The spelling goes with the value: one record has one content, however a source writes it.
    """
    for column in spec.contract.columns:
        mapping = spec.columns.get(column.name)
        value, spelling = value_name(column), f"h_{column.name}"
        if mapping and mapping.sign == "by_kind":
            turned = f"case when {_kind_of(spec, column)} = 'refund' then"
            yield (
                column,
                f"{turned} -{value} else {value} end",
                f"{turned} '-' || {spelling} else {spelling} end",
            )
        elif mapping and mapping.within:
            scope = value_name(spec.contract.column(mapping.within))
            yield column, f"{scope} || '-' || {value}", f"{scope} || '-' || {spelling}"


def _replacements(spec: FeedSpec) -> str:
    replaced = [
        f"{value} as {value_name(column)}, {spelling} as h_{column.name}"
        for column, value, spelling in _completed(spec)
    ]
    return f"replace ({', '.join(replaced)})" if replaced else ""


def _row_problems(spec: FeedSpec) -> list[str]:
    """What is wrong with a value only beside another one of its row."""
    found = []
    for column in spec.contract.columns:
        mapping = spec.columns.get(column.name)
        if mapping and mapping.within:
            scope = value_name(spec.contract.column(mapping.within))
            found.append(f"case when {scope} is null then 'key|{mapping.within}' end")
        if mapping and column.signed_by:
            value, kind = value_name(column), _kind_of(spec, column)
            found.append(
                f"case when ({kind} = 'refund' and {value} >= 0) "
                f"or ({kind} = 'sale' and {value} < 0) then 'sign|{column.name}' end"
            )
    return found


def _kind_of(spec: FeedSpec, column: Column) -> str:
    return value_name(spec.contract.column(str(column.signed_by)))


def _known_at(spec: FeedSpec, facts: FileFacts) -> str:
    if spec.known_at.event:
        event = value_name(spec.contract.column(spec.known_at.event))
        days = spec.known_at.lag_days
        return f"{event} + interval {days} day" if days else event
    return _timestamp(facts.known_at) if facts.known_at else "v_known_at"


# ----------------------------------------------------------------- identity of a record


def _as_text(v: str, kind: entities.Kind) -> str:
    """SQL of a value's one spelling: the same on every version of the engine."""
    return f"epoch_us({v})" if kind == "timestamp" else v


def content_hash(spec: FeedSpec) -> str:
    """SQL of the hash over all contract columns, each value in its one spelling."""
    separator, absent = f"chr({ord(SEPARATOR)})", f"chr({ord(ABSENT)})"
    parts = []
    for column in spec.contract.columns:
        if _is_read(spec, column):
            parts.append(f"h_{column.name}")
        else:
            text = f"cast({_as_text(value_name(column), column.kind)} as varchar)"
            parts += [f"coalesce({text}, {absent})", separator]
    return f"left(sha256(concat({', '.join(parts)})), 32)"


def record_id(spec: FeedSpec, named: Callable[[Column], str] = attrgetter("name")) -> str:
    """SQL of the record's own id over a row whose columns are ``named`` so.

    It covers channel, entity and natural key, never feed or file. For numbered lines the key is
    document, content and count; the content hash covers the first two. The scope is hashed by
    itself, so that what remains fits one block of SHA-256.
    """
    scope = hashlib.sha256(f"{spec.channel}/{spec.entity}".encode()).hexdigest()[:16]
    if spec.is_numbered:
        batch = ["batch"] if spec.key and spec.key.batch else []
        texts = ["content_hash", "occurrence", *batch]
    else:
        columns = [spec.contract.column(name) for name in spec.natural_key]
        texts = [_as_text(named(column), column.kind) for column in columns]
    separator = f", chr({ord(SEPARATOR)}), "
    return f"left(sha256(concat({separator.join([quote(scope), *texts])})), 32)"
