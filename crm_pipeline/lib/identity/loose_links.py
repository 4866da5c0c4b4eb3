"""Who might be the same person as an account that no identifier links: a list for people to review.

Add here: which accounts are compared, and what of the answer is kept.
Not here: how likeness is weighed (``ml.identity.records``), what is compared
(``defs/identity/loose_links/loose_links.yaml``).

Names, addresses and birth days are read from the conformed parts into memory and stay there. What
is kept names accounts and says which columns agreed. It decides nothing: customers come from
``customer_accounts``, and a link that somebody finds right becomes an override.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import duckdb
import pandas as pd
import pyarrow as pa
import pydantic

from crm_pipeline.lib.errors import ConfigError
from crm_pipeline.lib.strict_yaml import load_document, validate
from crm_pipeline.lib.warehouse.connection import fetch_row
from crm_pipeline.lib.warehouse.sources import PYTHON_TABLES
from ml.errors import ConvergenceError, NotEnoughDataError
from ml.identity.record_spec import RecordSpec, RecordSpecError, load_record_spec
from ml.identity.records import RecordResolution, resolve_records

__all__ = ["TABLE", "FoundLinks", "LooseLinkRules", "find_loose_links", "load_loose_link_rules"]

TABLE = "identity.loose_links"
_TYPES = {
    "varchar": pa.string(), "double": pa.float64(), "bigint": pa.int64(), "date": pa.date32(),
}  # fmt: skip
SCHEMA = pa.schema([(name, _TYPES[kind]) for name, kind in PYTHON_TABLES[TABLE].items()])
ACCOUNT = "account"

# The latest record of each account that staging has accepted. An account that is alone in its
# customer is one that no identifier links; one without a record says nothing about a person.
_ACCOUNTS = """
with left_out as (
    select feed, file_sha256, record_number
    from staging.stg_repeats
    where entity = 'accounts' and not is_current
),
current_accounts as (
    select a.*
    from conformed.accounts as a
    anti join left_out using (feed, file_sha256, record_number)
    where a.known_at < $before
    qualify row_number() over (
        partition by a.channel, a.source_customer_id order by a.known_at desc, a.record_id
    ) = 1
)
select
    c.channel || ':' || c.source_customer_id as account,
    c.customer_id,
    count(*) over (partition by c.customer_id) = 1 as is_alone,
    {columns}
from identity.customer_accounts as c
left join current_accounts as a using (channel, source_customer_id)
qualify a.record_id is not null
"""

# Of all pairs of accounts between two customers the surest one stands for them. The account that
# nothing links stands first, of two such the one earlier in the order. Rivals are the further
# customers such an account might be: at most one of them is right, unless they are one person too.
_LINKS = """
with pairs as (
    select
        case when l.is_alone then l.account else r.account end as account,
        case when l.is_alone then r.account else l.account end as linked_account,
        case when l.is_alone then l.customer_id else r.customer_id end as customer_id,
        case when l.is_alone then r.customer_id else l.customer_id end as linked_customer_id,
        l.is_alone and r.is_alone as are_both_alone,
        f.match_probability,
        case when f.confidence = 'loose' then 'loose' else 'likely' end as confidence_class,
        f.evidence
    from found as f
    inner join accounts as l on f."left" = l.account
    inner join accounts as r on f."right" = r.account
    where l.customer_id <> r.customer_id and (l.is_alone or r.is_alone)
    qualify row_number() over (
        partition by least(l.customer_id, r.customer_id), greatest(l.customer_id, r.customer_id)
        order by f.match_probability desc, f."left", f."right"
    ) = 1
),
rivals as (
    select customer_id, count(*) - 1 as rival_count
    from (
        select customer_id from pairs
        union all
        select linked_customer_id from pairs where are_both_alone
    )
    group by customer_id
),
rivalled as (
    select p.*, greatest(r.rival_count, coalesce(o.rival_count, 0)) as rival_count
    from pairs as p
    inner join rivals as r using (customer_id)
    left join rivals as o on p.linked_customer_id = o.customer_id
)
select
    $as_of::date as as_of_date,
    split_part(account, ':', 1) as channel,
    substr(account, strpos(account, ':') + 1) as source_customer_id,
    customer_id,
    split_part(linked_account, ':', 1) as linked_channel,
    substr(linked_account, strpos(linked_account, ':') + 1) as linked_source_customer_id,
    linked_customer_id,
    match_probability,
    confidence_class,
    rival_count,
    evidence,
    $model_fingerprint as model_fingerprint
from rivalled
where confidence_class = 'likely' or rival_count <= $most_rivals
order by account, linked_account
"""


@dataclass(frozen=True)
class LooseLinkRules:
    """What is compared, among how many accounts at most, and what is too common to be shown."""

    most_accounts: int
    most_rivals: int
    spec: RecordSpec


@dataclass(frozen=True)
class FoundLinks:
    """What a search came to.

    Attributes:
        table: the rows of ``identity.loose_links``.
        account_count: accounts whose records were compared.
        unlinked_count: accounts among them that no identifier links.
        model_fingerprint: of what was learned; None where nothing could be.
        note: why nothing could be learned, free of values.
    """

    table: pa.Table
    account_count: int
    unlinked_count: int
    model_fingerprint: str | None = None
    note: str | None = None

    @property
    def likely_count(self) -> int:
        """Links of the class ``likely``; the others are ``loose``."""
        return self.table["confidence_class"].to_pylist().count("likely")


class _RulesFile(pydantic.BaseModel):
    """The file as it is written; ``records`` is checked by the engine that reads it."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    most_accounts: Annotated[int, pydantic.Field(ge=2)]
    most_rivals: Annotated[int, pydantic.Field(ge=0)]
    records: dict[str, Any]


def load_loose_link_rules(path: Path) -> LooseLinkRules:
    """Reads and checks the declaration.

    Raises:
        ConfigError: it cannot be read, or an entry is wrong.
    """
    document = load_document(path)
    rules = validate(_RulesFile, document)
    try:
        spec = load_record_spec(rules.records)
    except RecordSpecError as error:
        raise ConfigError(error.what, where=f"{path.name}: records", remedy=error.remedy) from error
    if spec.id != ACCOUNT or spec.probabilistic is None:
        raise ConfigError(
            f"records are known by {spec.id!r} or nothing is declared under `probabilistic`",
            where=path.name,
            remedy=f"write `id: {ACCOUNT}` and the part `probabilistic`",
        )
    return LooseLinkRules(rules.most_accounts, rules.most_rivals, spec)


def find_loose_links(
    connection: duckdb.DuckDBPyConnection,
    rules: LooseLinkRules,
    *,
    as_of: dt.date,
    before: dt.datetime,
) -> FoundLinks:
    """Compares accounts nothing links with all others, by a model trained on all of them.

    The same accounts give the same links, in whatever order they came.

    Args:
        connection: the warehouse after identity was resolved; only read.
        rules: from ``load_loose_link_rules``.
        as_of: the business day of that resolution.
        before: end of that day, UTC without zone; what was delivered later is not seen.

    Raises:
        ConfigError: there are more accounts than ``most_accounts``.
        ml.identity.splink_engine.MissingExtraError: Splink is not installed.
    """
    accounts = _read_accounts(connection, rules, before)
    counts = len(accounts), int(accounts["is_alone"].sum())
    try:
        found = resolve_records(accounts, rules.spec, "probabilistic")
    except (NotEnoughDataError, ConvergenceError) as error:
        return FoundLinks(SCHEMA.empty_table(), *counts, note=error.what)
    fingerprint = _fingerprint(rules, found)
    told = {
        "as_of": as_of, "model_fingerprint": fingerprint, "most_rivals": rules.most_rivals
    }  # fmt: skip
    return FoundLinks(_keep(accounts, found.links, told), *counts, fingerprint)


def _read_accounts(
    connection: duckdb.DuckDBPyConnection, rules: LooseLinkRules, before: dt.datetime
) -> pd.DataFrame:
    (count,) = fetch_row(connection, "select count(*) from identity.customer_accounts")
    if count > rules.most_accounts:
        raise ConfigError(
            f"{count:,} accounts are more than may be compared at once ({rules.most_accounts:,})",
            where="loose_links.yaml: most_accounts",
            remedy="raise it if the machine has the memory (docs/loose_links.md says how much)",
        )
    names = dict.fromkeys(source for column in rules.spec.columns for source in column.of)
    columns = ", ".join(f'a."{name}"' for name in names)
    try:
        return connection.execute(_ACCOUNTS.format(columns=columns), {"before": before}).df()
    except duckdb.BinderException as error:
        raise ConfigError(
            f"a column of {', '.join(names)} does not exist",
            where="loose_links.yaml: records.columns",
            remedy="name columns of the entity accounts (docs/entities/customers.md)",
        ) from error


def _keep(accounts: pd.DataFrame, links: pd.DataFrame, told: dict[str, Any]) -> pa.Table:
    """The links in question, without anything the accounts say about a person."""
    with duckdb.connect() as connection:
        connection.register("found", pa.Table.from_pandas(links, preserve_index=False))
        known = accounts[[ACCOUNT, "customer_id", "is_alone"]]
        connection.register("accounts", pa.Table.from_pandas(known, preserve_index=False))
        return connection.sql(_LINKS, params=told).to_arrow_table().cast(SCHEMA)


def _fingerprint(rules: LooseLinkRules, found: RecordResolution) -> str:
    """Another one means that the list is not to be compared with the one before."""
    said = json.dumps([repr(rules), found.model], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
