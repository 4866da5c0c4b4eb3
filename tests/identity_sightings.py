"""Sightings of a made-up world, as the pipeline makes them of the records it takes in.

Add here: a column that says who somebody is.
Not here: what follows from it (``ml.identity``), the rules (``identifier_kinds.csv``).

They are read from clean records: what is damaged on purpose never gets past the door.
"""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ml.identity import IdentifierKind, normalise_column, read_kinds
from simulation.delivery import all_feeds, delivery_parameters
from simulation.delivery.clean import happened_sql, turn_sql
from simulation.delivery.plan import deliveries
from simulation.feeds import FEEDS, ORDER_CHANNELS
from simulation.parameters import WorldParameters

KINDS_FILE = Path(__file__).resolve().parents[1] / "dbt_project/seeds/identifier_kinds.csv"
COLUMNS = ("account", "kind", "value", "seen_from", "seen_to")
# The kind of a column and how its text is brought into one form; kinds of phones are split later.
_ACCOUNT_COLUMNS = {
    "phone": ("phone", "phone"),
    "email": ("email", "email"),
    "wechat_unionid": ("unionid", "union_id"),
    "wechat_openid": ("openid", "open_id"),
    "alipay_id": ("alipay_id", "alipay_id"),
    "member_number": ("member_number", "member_number"),
    "hidden_id": ("oaid", "device_id"),
    "device_id": ("device", "device_id"),
}
_ORDER_COLUMNS = {
    "buyer_phone": ("phone", "phone"),
    "member_number": ("member_number", "member_number"),
    "receiver_phone": ("receiver_phone", "phone"),
}
_WITHIN_A_CHANNEL = ("openid", "oaid")
_FIXED = "^[+]86(10|2[0-9]|[3-9][0-9]{2})[2-8][0-9]{6,7}$"


def identifier_kinds() -> tuple[IdentifierKind, ...]:
    """The rule table."""
    with KINDS_FILE.open(encoding="utf-8", newline="") as file:
        return read_kinds(csv.DictReader(file))


def raw_sightings(connection: duckdb.DuckDBPyConnection, parameters: WorldParameters) -> pa.Table:
    """Every identifier as it stands in the records: ``COLUMNS``, ``type``, ``name``, ``person_id``.

    Args:
        connection: Has a relation per feed with its clean records.
        parameters: Of the world, for when its files were delivered.
    """
    parts = [_of_accounts(feed.name, feed.channel, parameters)
             for feed in FEEDS if feed.entity_name == "accounts"]  # fmt: skip
    parts += [_of_orders(f"{channel}_orders", channel) for channel in ORDER_CHANNELS]
    parts += [_of_events(feed.name, feed.channel) for feed in FEEDS
              if feed.entity_name == "events"]  # fmt: skip
    return connection.sql(
        f"select * from ({' union all '.join(parts)}) where value is not null order by all"
    ).to_arrow_table()


def sightings(raw: pa.Table) -> pa.Table:
    """The sightings with one spelling per value, those that are none left out."""
    parts = []
    for type_name in pc.unique(raw["type"]).to_pylist():
        of_type = raw.filter(pc.equal(raw["type"], type_name))
        names = of_type["name"] if type_name == "address_name" else None
        values = normalise_column(type_name, of_type["value"], names).values
        place = of_type.schema.get_field_index("value")
        parts.append(of_type.set_column(place, "value", values).filter(pc.is_valid(values)))
    return _with_kinds(pa.concat_tables(parts))


def _with_kinds(table: pa.Table) -> pa.Table:
    """Landlines are told by their shape; ids of one channel's users get its name before them."""
    with duckdb.connect() as connection:
        connection.register("sightings", table)
        scoped = ", ".join(f"'{kind}'" for kind in _WITHIN_A_CHANNEL)
        return connection.sql(
            f"""
            select account,
                case when kind = 'phone' and regexp_matches(value, '{_FIXED}') then 'landline'
                    else kind end as kind,
                case when kind in ({scoped}) then split_part(account, ':', 1) || ':' || value
                    else value end as value,
                seen_from, seen_to
            from sightings
            """
        ).to_arrow_table()


def _of_accounts(feed: str, channel: str, parameters: WorldParameters) -> str:
    rhythm = delivery_parameters(parameters)
    writer = next(w for w in all_feeds() if feed in (w.feed, *w.siblings))
    plan = deliveries(rhythm, writer.cadence)
    moments = ", ".join(f"timestamp '{d.utc(rhythm.zone)}'" for d in plan)
    seen = f"""
        select *, '{channel}:' || source_customer_id as account, registered_at as seen_from,
            greatest(registered_at, [{moments}][1 + {turn_sql(plan, rhythm.zone)}]) as seen_to
        from (
            select *, {happened_sql(writer)} as happened
            from (select *, date_trunc('month', registered_at) as period from {feed})
        )
    """
    kinds = [
        _sighting(kind, column, type_name)
        for column, (kind, type_name) in _ACCOUNT_COLUMNS.items()
        if column != "phone"
    ]
    kinds += [
        _sighting("phone", "case when phone_valid_until is null then phone end", "phone"),
        _sighting("virtual_phone", "case when phone_valid_until is not null then phone end",
                  "phone", seen_to="phone_valid_until"),
        _sighting("address_name", "address_text", "address_name", name="display_name"),
    ]  # fmt: skip
    return _rows(kinds, seen)


def _of_orders(feed: str, channel: str) -> str:
    seen = f"""
        select *, '{channel}:' || source_customer_id as account, ordered_at as seen_from,
            ordered_at as seen_to
        from {feed} where source_customer_id is not null
    """
    kinds = [_sighting(k, column, type_name) for column, (k, type_name) in _ORDER_COLUMNS.items()]
    kinds.append(
        _sighting("receiver_address", "receiver_address", "address_name", name="receiver_name")
    )
    return _rows(kinds, seen)


def _of_events(feed: str, channel: str) -> str:
    seen = f"""
        select '{channel}:' || source_customer_id as account, device_id, any_value(person_id)
            as person_id, min(occurred_at) as seen_from, max(occurred_at) as seen_to
        from {feed} where source_customer_id is not null and device_id is not null group by all
    """
    return _rows([_sighting("device", "device_id", "device_id")], seen)


def _rows(kinds: list[str], seen: str) -> str:
    return " union all ".join(f"({kind} from ({seen}))" for kind in kinds)


def _sighting(
    kind: str, value: str, type_name: str, *, name: str = "null", seen_to: str = "seen_to"
) -> str:
    return (
        f"select account, '{kind}' as kind, cast({value} as varchar) as value, seen_from, "
        f"{seen_to} as seen_to, '{type_name}' as type, cast({name} as varchar) as name, person_id"
    )
