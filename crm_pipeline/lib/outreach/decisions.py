"""One outcome for every candidate of every journey.

Add here: the order of the steps, the shape of a decision.
Not here: who is a candidate (dbt ``activation``), facts (``candidates``), rules (``rules``,
``limits``), claiming and sending (``claims``, ``batch``).
"""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from crm_pipeline.lib.outreach.balance import count_candidates, require_balance
from crm_pipeline.lib.outreach.candidates import FACTS, make_candidates
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.limits import make_limited
from crm_pipeline.lib.outreach.moments import Moment
from crm_pipeline.lib.outreach.policies import BEST_HOUR_UNKNOWN, POLICIES, make_policies
from crm_pipeline.lib.outreach.rules import make_checked
from crm_pipeline.lib.warehouse.connection import joined_as_written

DECISION_SCHEMA = pa.schema(
    [
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("journey", pa.string()),
        ("step", pa.string()),
        ("occurrence", pa.string()),
        ("run_kind", pa.string()),
        ("outcome", pa.string()),
        ("rule_id", pa.string()),
        ("purpose", pa.string()),
        ("message_tag", pa.string()),
        ("consent_channel", pa.string()),
        ("contact_token", pa.string()),
        ("contact_mask", pa.string()),
        ("language", pa.string()),
        ("content_id", pa.string()),
        ("content_version", pa.string()),
        ("sku", pa.string()),
        ("guide_id", pa.string()),
        ("priority", pa.int32()),
        ("unit_cost_amount", pa.decimal128(18, 6)),
        ("triggered_at", pa.timestamp("us")),
        ("planned_send_at", pa.timestamp("us")),
        ("valid_until", pa.timestamp("us")),
        ("decided_at", pa.timestamp("us")),
        ("as_of_date", pa.date32()),
        ("variables", pa.string()),
        ("evidence", pa.string()),
    ]
)


def decide_all(
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    *,
    moment: Moment,
    zone: ZoneInfo,
    salt: str,
) -> pa.Table:
    """Gives every candidate of every journey exactly one outcome.

    In this order: no_consent, duplicate, expired, open_complaint, stock_gone, held, holdout,
    capped or lost_to_higher_priority, send. The clock is ``moment`` alone, so that the same facts
    give the same bytes.

    Args:
        connection: the open warehouse with the audiences, the rule tables and the sources
            ``ledger``, ``identity`` and ``history``. The facts stay in its temporary tables until
            ``drop_facts``, so that they can be kept (``inputs``).
        journeys: the journeys to decide for; at night all of them.
        moment: when it is, logically.
        zone: business time zone.
        salt: secret of the holdout draw.

    Raises:
        OutreachError: a rule table or a column of an audience is not there, an audience repeats a
            candidate, or candidates are not the sum of the outcomes.
    """
    if not journeys:
        return DECISION_SCHEMA.empty_table()
    make_policies(connection, journeys, moment, zone)
    make_candidates(connection, journeys, zone=zone, salt=salt)
    decisions = decide_facts(connection)
    require_balance(decisions, count_candidates(connection, journeys, moment=moment, zone=zone))
    return decisions


def decide_facts(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The decisions that follow from the facts and policies in the temporary tables."""
    minute = 60 * BEST_HOUR_UNKNOWN.hour + BEST_HOUR_UNKNOWN.minute
    make_checked(connection, best_minute=minute)
    make_limited(connection)
    with joined_as_written(connection):
        table = connection.sql(_DECISIONS).to_arrow_table()
    for name in ("_checked", "_shared_tokens", "_limited"):
        connection.execute(f"drop table temp.{name}")
    return table.cast(DECISION_SCHEMA)


def drop_facts(connection: duckdb.DuckDBPyConnection) -> None:
    """Drops what ``decide_all`` left in the connection."""
    for name in (*POLICIES, *FACTS, "_people"):
        connection.execute(f"drop table if exists temp.{name}")


# The candidates are the widest table: written first and joined as written, they are read once, and
# what belongs to them is looked up.
_DECISIONS = """
select
    c.decision_id, c.customer_id, c.journey, c.step, c.occurrence, m.run_kind,
    coalesce(k.outcome, l.outcome, 'send') as outcome,
    coalesce(k.rule_id, l.rule_id, 'send.allowed') as rule_id,
    c.purpose, s.message_tag, k.consent_channel, a.contact_token, a.contact_mask,
    coalesce(t.language, c.language) as language,
    t.content_id, t.content_version, c.sku, c.guide_id, s.priority, p.unit_cost_amount,
    c.triggered_at, k.planned_at as planned_send_at, c.valid_until, m.decided_at,
    m.as_of as as_of_date, c.variables,
    to_json({
        'due_at': c.due_at,
        'timezone': c.timezone,
        'rfm_tier': c.rfm_tier,
        'consent_at': a.consent_at,
        'notice_version': a.notice_version,
        'withdrawn_at': a.withdrawn_at,
        'open_complaint_since': c.open_complaint_since,
        'available_quantity': c.available_quantity,
        'offered_price_amount': c.offered_price_amount,
        'price_amount': c.price_amount,
        'holdout_draw': round(c.holdout_draw, 6),
        'holdout_pct': s.holdout_pct,
        'value_weight': c.value_weight,
        'counted': l.counted,
        'allowed': l.allowed
    })::varchar as evidence
from _candidates as c
inner join _steps as s on c.journey = s.journey and c.step = s.step
inner join _checked as k on c.rowid = k.candidate
left join _contacts as a on k.contact = a.rowid
left join _contents as t on k.content = t.rowid
left join _limited as l on c.rowid = l.candidate
left join _channels as p on k.consent_channel = p.consent_channel
cross join _moment as m
order by c.rowid
"""
