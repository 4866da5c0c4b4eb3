"""Sightings of identifiers, kept in the warehouse by part.

Add here: how records become sightings, and sightings the identifiers of an account.
Not here: which columns hold identifiers (``identifiers``), what they prove (``resolution``).

A part is read once: its sightings stay until the part is replaced, the rule table reads values in
another way, or staging takes other records of it out (two contents under one version). So a night
costs what is new, and deleting the warehouse resets everything.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_pipeline.lib.identity.identifiers import (
    ENTITY_SOURCES,
    SPELLED_SCHEMA,
    EntitySource,
    IdentifierColumn,
    spell,
)
from crm_pipeline.lib.ledger.schema import vault
from crm_pipeline.lib.ledger.statements import insert_ignore
from crm_pipeline.lib.settings import TOKEN_KEY_ID
from crm_pipeline.lib.warehouse.connection import fetch_row
from ml.identity import IdentifierKind

__all__ = ["Reading", "make_identifiers", "refresh_sightings"]

READING_VERSION = 1  # one more when columns or normalisers change: every part is read again
RECORDS_AT_ONCE = 1_000_000

_TABLES = """
create schema if not exists identity;
create table if not exists identity.sighting_parts (
    entity varchar, feed varchar, file_sha256 varchar, contract_hash varchar,
    reading varchar, left_out varchar
);
create table if not exists identity.sightings (
    feed varchar, file_sha256 varchar, is_profile boolean,
    channel varchar, source_customer_id varchar,
    identifier_kind varchar, identifier_state varchar, identifier_token varchar,
    identifier_mask varchar, spelling_token varchar, visible_on date, said_at timestamp,
    seen_from timestamp, seen_to timestamp
);
"""

# Records staging took out for having two contents under one version are no evidence either.
_LEFT_OUT = """
create or replace temp table left_out as
select feed, file_sha256, record_number
from staging.stg_repeats
where outcome = 'conflict' and entity in (select unnest($entities))
"""

_WANTED = """
create or replace temp table wanted_parts as
select
    i.entity, i.feed, i.file_sha256, i.contract_hash, i.written_count,
    $reading as reading,
    coalesce(l.numbers, '') as left_out
from ledger.inbox_files as i
left join (
    select feed, file_sha256, md5(string_agg(record_number::varchar, ',' order by record_number))
        as numbers
    from left_out
    group by feed, file_sha256
) as l using (feed, file_sha256)
where i.state = 'active' and i.written_count > 0 and i.entity in (select unnest($entities))
"""

_GONE = """
create or replace temp table gone_parts as
select feed, file_sha256
from identity.sighting_parts
anti join wanted_parts using (entity, feed, file_sha256, contract_hash, reading, left_out)
"""

_NEW = """
select entity, feed, file_sha256, contract_hash, left_out, written_count
from wanted_parts
anti join identity.sighting_parts
    using (entity, feed, file_sha256, contract_hash, reading, left_out)
order by entity, feed, file_sha256
"""

_INSERT = """
insert into identity.sightings
select
    d.feed, d.file_sha256, d.is_profile, d.channel, d.source_customer_id, s.kind, s.state,
    s.token, s.mask, s.spelling_token, d.visible_on, d.said_at, d.seen_from, d.seen_to
from delivered as d
inner join spelled as s using (column_name, scope, delivered)
order by d.channel, d.source_customer_id, s.kind
"""

# A corrected record says a new value about the whole time since the account was opened: of the
# second and later keys of a kind only what was seen since they were said is believed.
_IDENTIFIERS = """
create or replace table identity.identifiers as
with shown as (
    select
        s.channel, s.source_customer_id, s.identifier_kind, s.identifier_state, s.identifier_token,
        min(s.identifier_mask) as identifier_mask,
        min(s.said_at) filter (where s.is_profile) as said_at,
        min(s.seen_from) as seen_from,
        min(greatest(s.seen_from, s.said_at)) as surely_seen_from,
        max(s.seen_to) as seen_to
    from identity.sightings as s
    semi join intermediate.int_accounts_seen as a
        on s.channel = a.channel and s.source_customer_id = a.source_customer_id
    where s.visible_on <= $as_of
    group by all
),
placed as (
    select
        *,
        min(case when identifier_state = 'key' then said_at end) over (
            partition by channel, source_customer_id, identifier_kind
        ) as kind_said_at
    from shown
)
select
    channel, source_customer_id, identifier_kind, identifier_state, identifier_token,
    identifier_mask,
    -- A value that had ended before it was said was seen until its end at least.
    case when said_at > kind_said_at then least(surely_seen_from, seen_to) else seen_from end
        as seen_from,
    seen_to
from placed
order by channel, source_customer_id, identifier_kind
"""


@dataclass(frozen=True)
class Reading:
    """How parts are read.

    Attributes:
        kinds: The rule table; only its ``exclude_patterns`` matter here.
        key: Secret of the tokens.
        zone: Business time zone, which tells the day a record is seen from.
    """

    kinds: tuple[IdentifierKind, ...]
    key: bytes
    zone: ZoneInfo

    @property
    def fingerprint(self) -> str:
        """Another one means that kept sightings are of no use."""
        patterns = [(kind.name, kind.exclude_patterns) for kind in self.kinds]
        said = repr((READING_VERSION, patterns, self.zone.key))
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Part:
    entity: str
    feed: str
    file_sha256: str
    contract_hash: str
    left_out: str
    record_count: int


def refresh_sightings(
    connection: duckdb.DuckDBPyConnection, vault_engine: sa.Engine, reading: Reading
) -> int:
    """Brings ``identity.sightings`` up to the active parts; returns how many parts were read.

    All of it is one transaction. Clear contacts go to the vault first: a token whose address is
    unknown would be of a person nobody can reach, while an address nobody refers to harms nothing.
    """
    entities = [source.entity for source in ENTITY_SOURCES]
    connection.execute(_TABLES)
    connection.execute("begin")
    try:
        connection.execute(_LEFT_OUT, {"entities": entities})
        connection.execute(_WANTED, {"entities": entities, "reading": reading.fingerprint})
        connection.execute(_GONE)
        for table in ("sightings", "sighting_parts"):
            connection.execute(
                f"delete from identity.{table} where (feed, file_sha256) in (from gone_parts)"
            )
        parts = [_Part(*row) for row in connection.execute(_NEW).fetchall()]
        for source in ENTITY_SOURCES:
            for batch in _batches(part for part in parts if part.entity == source.entity):
                _read_batch(connection, vault_engine, source, batch, reading)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return len(parts)


def make_identifiers(connection: duckdb.DuckDBPyConnection, as_of: dt.date) -> int:
    """Makes ``identity.identifiers``: what each account seen by ``as_of`` has shown by then.

    One row per account, kind, state and token, with the first and last instant it was seen at.
    """
    connection.execute(_IDENTIFIERS, {"as_of": as_of})
    (count,) = fetch_row(connection, "select count(*) from identity.identifiers")
    return int(count)


def _batches(parts: Iterable[_Part]) -> Iterable[list[_Part]]:
    """Parts in groups small enough for their distinct texts to fit in memory."""
    records = 0
    batch: list[_Part] = []
    for part in parts:
        if batch and records + part.record_count > RECORDS_AT_ONCE:
            yield batch
            batch, records = [], 0
        batch.append(part)
        records += part.record_count
    if batch:
        yield batch


def _read_batch(
    connection: duckdb.DuckDBPyConnection,
    vault_engine: sa.Engine,
    source: EntitySource,
    batch: Sequence[_Part],
    reading: Reading,
) -> None:
    connection.register("batch_parts", _parts_table(batch))
    connection.execute(_delivered_query(source, batch, reading.zone))
    spelled = pa.concat_tables(
        [SPELLED_SCHEMA.empty_table()]
        + [_spell_column(connection, column, reading) for column in source.columns]
    )
    _fill_vault(vault_engine, spelled)
    connection.register("spelled", spelled.drop_columns(["clear_value"]))
    connection.execute(_INSERT)
    connection.execute(
        "insert into identity.sighting_parts select entity, feed, file_sha256, contract_hash, "
        "?, left_out from batch_parts",
        [reading.fingerprint],
    )
    connection.unregister("spelled")
    connection.unregister("batch_parts")
    connection.execute("drop table delivered")


def _parts_table(batch: Sequence[_Part]) -> pa.Table:
    names = ("entity", "feed", "file_sha256", "contract_hash", "left_out")
    return pa.table({name: [getattr(part, name) for part in batch] for name in names})


def _delivered_query(source: EntitySource, batch: Sequence[_Part], zone: ZoneInfo) -> str:
    """SQL of the temporary table ``delivered``: every text with its account and span, once a day.

    The file hashes are written out, so that the engine skips other files by their statistics.
    """
    files = ", ".join(sorted({f"'{part.file_sha256}'" for part in batch}))
    visible_on = f"cast(timezone('{zone.key}', timezone('UTC', {source.visible_at})) as date)"
    values = ", ".join(
        f"{column.value} as {column.name}, "
        f"{column.seen_to or source.seen_to} as {column.name}_until"
        for column in source.columns
    )
    branches = " union all ".join(_branch(column) for column in source.columns)
    return f"""
    create or replace temp table delivered as
    with records as (
        select
            feed, file_sha256, channel, source_customer_id,
            {visible_on} as visible_on,
            {str(source.is_profile).lower()} as is_profile,
            {source.said_at} as said_at,
            {source.seen_from} as seen_from,
            {values}
        from conformed.{source.entity}
        semi join batch_parts using (feed, file_sha256)
        anti join left_out using (feed, file_sha256, record_number)
        where file_sha256 in ({files}) and source_customer_id is not null
    ),
    texts as (
        {branches}
    )
    select
        feed, file_sha256, is_profile, channel, source_customer_id, visible_on, column_name, scope,
        delivered, min(said_at) as said_at, min(seen_from) as seen_from, max(seen_to) as seen_to
    from texts
    where delivered is not null
    group by all
    """


def _branch(column: IdentifierColumn) -> str:
    scope = "channel" if column.of_channel else "''"
    return f"""
        select
            feed, file_sha256, is_profile, channel, source_customer_id, visible_on, said_at,
            seen_from,
            greatest({column.name}_until, seen_from) as seen_to,
            '{column.name}' as column_name, {scope} as scope, {column.name} as delivered
        from records
    """


def _spell_column(
    connection: duckdb.DuckDBPyConnection, column: IdentifierColumn, reading: Reading
) -> pa.Table:
    texts = connection.sql(
        "select distinct scope, delivered from delivered where column_name = $name order by all",
        params={"name": column.name},
    ).to_arrow_table()
    scopes, delivered = (texts[name].combine_chunks() for name in ("scope", "delivered"))
    return spell(column, scopes, delivered, reading.kinds, reading.key)


def _fill_vault(vault_engine: sa.Engine, spelled: pa.Table) -> None:
    kept = spelled.filter(pc.is_valid(spelled["clear_value"]))
    rows = {
        row["token"]: {
            "token": row["token"],
            "kind": row["column_name"],
            "clear_value": row["clear_value"],
            "mask": row["mask"],
            "key_id": TOKEN_KEY_ID,
        }
        for row in kept.select(["token", "column_name", "clear_value", "mask"]).to_pylist()
    }
    if rows:
        with vault_engine.begin() as connection:
            insert_ignore(connection, vault, list(rows.values()))
