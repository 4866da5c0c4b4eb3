"""The facts of every candidate, before any rule is asked.

Add here: a fact the rules need.
Not here: who is in an audience (dbt ``activation``), what follows from a fact (``rules``).

A candidate is one customer × occurrence × due step of a journey. All journeys are one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import duckdb

from crm_pipeline.lib.errors import OutreachError
from crm_pipeline.lib.outreach.journey import JourneySpec
from crm_pipeline.lib.outreach.policies import make_clocks
from crm_pipeline.lib.warehouse.connection import fetch_row

REQUIRED = {
    "customer_id": "varchar",
    "occurrence": "varchar",
    "triggered_at": "timestamp",
    "purpose": "varchar",
}
OPTIONAL = {
    "expires_at": "timestamp",
    "converted_at": "timestamp",
    "sku": "varchar",
    "offered_price_amount": "decimal(18,6)",
    "guide_id": "varchar",
    "value_weight": "double",
}
OFFERS = "activation.outreach_offers"
_SCRATCH = ("_offers", "_claims", "_tried", "_withdrawals")
# Beside the policies, all the rules may see.
FACTS = ("_candidates", "_contacts", "_tried_channels", "_counted")


def make_candidates(
    connection: duckdb.DuckDBPyConnection,
    journeys: Sequence[JourneySpec],
    *,
    zone: ZoneInfo,
    salt: str,
) -> None:
    """Makes the tables of ``FACTS``: candidates, contacts, channels tried before, messages counted.

    Raises:
        OutreachError: an audience lacks a column, has an incomplete entry, or repeats a candidate.
    """
    connection.execute(_PEOPLE, {"zone": zone.key})
    (send_date,) = fetch_row(connection, "select send_date from _moment")
    make_clocks(connection, send_date, zone)
    _make_audience(connection, journeys)
    connection.execute(_CLAIMS)
    connection.execute(_TRIED)
    _make_offers(connection)
    connection.execute(_CANDIDATES, {"zone": zone.key, "salt": salt})
    _require_grain(connection, journeys)
    connection.execute(_WITHDRAWALS)
    connection.execute(_CONTACTS)
    connection.execute(_TRIED_CHANNELS)
    connection.execute(_COUNTED)
    connection.execute("drop view temp._audience")
    for name in _SCRATCH:
        connection.execute(f"drop table temp.{name}")


_PEOPLE = """
create or replace temp table _people as
select
    customer_id, coalesce(timezone, $zone) as timezone, coalesce(language, 'zh-CN') as language,
    rfm_tier, suppression_rule, open_complaint_since, guide_id
from activation.outreach_customers
"""


def _make_audience(connection: duckdb.DuckDBPyConnection, journeys: Sequence[JourneySpec]) -> None:
    """Every audience, in the shape all share. Who may enter only once enters by the first fact."""
    queries = " union all by name ".join(_audience_query(connection, one) for one in journeys)
    connection.execute(f"create or replace temp view _audience as {queries}")


def _make_offers(connection: duckdb.DuckDBPyConnection) -> None:
    """What is there and what it costs; a shop without stock data knows of nothing."""
    columns = (
        "null::varchar as sku, null::bigint as available_quantity, null::double as price_amount"
    )
    query = f"select {columns} where false"
    if columns_of(connection, OFFERS):
        query = f"select sku, available_quantity, price_amount from {OFFERS}"
    connection.execute(f"create or replace temp table _offers as {query}")


def _audience_query(connection: duckdb.DuckDBPyConnection, journey: JourneySpec) -> str:
    found = columns_of(connection, journey.audience)
    missing = [name for name in (*REQUIRED, *journey.variables) if name not in found]
    if missing:
        raise OutreachError(
            f"the audience lacks {', '.join(missing)}",
            where=journey.audience,
            remedy="add the columns to the model (see docs on audiences)",
        )
    listed = [f"{name}::{kind} as {name}" for name, kind in REQUIRED.items()]
    for name, kind in OPTIONAL.items():
        listed.append(f"{name}::{kind} as {name}" if name in found else f"null::{kind} as {name}")
    pairs = ", ".join(f"'{name}', {name}::varchar" for name in journey.variables)
    # Which variables are blank, as a bit each: a content that needs one of them does not fit.
    bits = [
        f"case when coalesce(trim({name}::varchar), '') = '' then {1 << at} else 0 end"
        for at, name in enumerate(journey.variables)
    ]
    listed.append(f"({' + '.join(bits) or '0'})::bigint as blank_variables")
    listed.append(f"json_object({pairs})::varchar as variables")
    query = f"select '{journey.journey}' as journey, {', '.join(listed)} from {journey.audience}"
    if journey.re_entry == "never":
        query = (
            f"select * replace ('once' as occurrence) from ({query}) qualify row_number() over "
            "(partition by customer_id order by triggered_at, occurrence) = 1"
        )
    return query


def _require_grain(connection: duckdb.DuckDBPyConnection, journeys: Sequence[JourneySpec]) -> None:
    """Refuses entries that are incomplete, which would be lost, and candidates that are repeated.

    Ids that grow from row to row show that none repeats, and that rows are in the order of ids, by
    which ties are settled. Entries are counted only where that is not so.
    """
    (misplaced,) = fetch_row(
        connection,
        "select count(*) filter (where not coalesce(decision_id > before, true)) from "
        "(select decision_id, lag(decision_id) over (order by rowid) as before from _candidates)",
    )
    for one in journeys:
        (incomplete,) = fetch_row(
            connection,
            f"select count(*) from {one.audience} "
            "where customer_id is null or occurrence is null or triggered_at is null",
        )
        repeated = 0
        if misplaced:
            (repeated,) = fetch_row(
                connection,
                "select count(*) - count(distinct (customer_id, occurrence)) from _audience "
                "where journey = ?",
                [one.journey],
            )
        if repeated or incomplete:
            raise OutreachError(
                f"the audience repeats a candidate ({repeated} rows too many) or has "
                f"{incomplete} without customer, occurrence or triggered_at",
                where=one.audience,
                remedy="its grain is one row per customer and occurrence",
            )
    if misplaced:
        raise OutreachError(
            f"{misplaced} candidates are not in the order of their ids",
            where="candidates of outreach",
            remedy="this is a defect in lib/outreach; nothing is decided",
        )


# A claim is of a customer as of its night. It counts for every customer who now holds an account
# that was that customer's then: a merge or a split makes nobody new to a journey or to a cap.
# What a night itself claimed must not change its own decisions when they are made again; a tick has
# a moment of its own and sees everything.
_CLAIMS = """
create or replace temp table _claims as
with former_ids as (
    select
        channel, source_customer_id, from_customer_id, as_of_date as last_night,
        lag(as_of_date) over (partition by channel, source_customer_id order by version)
            as night_before
    from identity.customer_id_changes
),
earlier as (
    select c.*
    from ledger.claims as c, _moment as m
    where m.run_kind <> 'nightly' or coalesce(
        c.as_of_date < m.as_of or (c.as_of_date = m.as_of and c.run_kind <> 'nightly'), true
    )
),
persons as (
    select c.claim_id, a.customer_id
    from earlier as c
    inner join former_ids as h
        on c.person_id = h.from_customer_id
        and coalesce(c.as_of_date <= h.last_night, true)
        and coalesce(c.as_of_date > h.night_before, true)
    inner join identity.customer_accounts as a
        on h.channel = a.channel and h.source_customer_id = a.source_customer_id
    union
    select claim_id, person_id from earlier
)
select c.* exclude (person_id), p.customer_id
from earlier as c
inner join persons as p on c.claim_id = p.claim_id
"""

# Claims of the steps decided now. refused: as if never claimed.
_TRIED = """
create or replace temp table _tried as
select
    customer_id, contact_token, journey, step, occurrence, consent_channel, state,
    state in ('claimed', 'sent', 'uncertain') as is_claimed
from _claims
where state <> 'refused' and (journey, step) in (select (journey, step) from _steps)
"""

# In the order of their ids: what follows sorts and joins by the row. A customer's zone is joined
# first: DuckDB 2.0.0 loses who has no match when the zone of a left join is joined at once.
_CANDIDATES = """
create or replace temp table _candidates as
with people as (
    select p.*, z.day_until_at
    from _people as p inner join _zone_days as z on p.timezone = z.timezone
),
business_day as (select day_until_at from _zone_days where timezone = $zone),
due as (
    select
        a.*, s.step, s.step_place, p.rfm_tier, p.open_complaint_since,
        coalesce(p.timezone, $zone) as timezone,
        coalesce(p.language, 'zh-CN') as language,
        case
            when p.customer_id is null then 'suppression.unknown_customer'
            else p.suppression_rule
        end as suppression_rule,
        coalesce(a.guide_id, p.guide_id) as advisor_id,
        a.triggered_at + to_hours(s.delay_hours) as due_at,
        least(
            a.triggered_at + to_hours(s.delay_hours + s.valid_hours), a.expires_at
        ) as valid_until,
        left(sha256(concat_ws(
            chr(31), a.journey, s.step, a.customer_id, a.occurrence, m.as_of::varchar,
            case
                when m.run_kind <> 'nightly' then m.run_kind || chr(31) || m.decided_at::varchar
            end
        )), 32) as decision_id
    from _audience as a
    inner join _steps as s on a.journey = s.journey
    cross join _moment as m
    cross join business_day as b
    left join people as p on a.customer_id = p.customer_id
    where a.triggered_at + to_hours(s.delay_hours) < coalesce(p.day_until_at, b.day_until_at)
),
claimed as (select distinct customer_id, journey, step, occurrence from _tried where is_claimed)
select
    n.decision_id, n.customer_id, n.journey, n.step, n.step_place, n.occurrence, n.purpose,
    n.triggered_at, n.due_at, n.valid_until, n.converted_at, n.timezone, n.language, n.rfm_tier,
    n.suppression_rule, n.open_complaint_since, n.sku, n.offered_price_amount,
    o.available_quantity::double as available_quantity,
    o.price_amount::decimal(18, 6) as price_amount,
    n.advisor_id as guide_id, coalesce(n.value_weight, 1) as value_weight,
    (
        '0x' || left(sha256(concat_ws('|', $salt, n.journey, n.customer_id)), 13)
    )::bigint / (1::bigint << 52) as holdout_draw,
    c.customer_id is not null as is_claimed,
    n.blank_variables, n.variables
from due as n
left join claimed as c
    on n.customer_id = c.customer_id and n.journey = c.journey and n.step = c.step
    and n.occurrence = c.occurrence
left join _offers as o on n.sku = o.sku
order by n.decision_id
"""

# Withdrawals the night's models could not see yet, by contact and by person.
_WITHDRAWALS = """
create or replace temp table _withdrawals as
with late as (
    select c.contact_token, a.customer_id, c.purpose, c.consent_channel, c.occurred_at
    from ledger.consents as c
    cross join _moment as m
    left join identity.customer_accounts as a
        on c.channel = a.channel and c.source_customer_id = a.source_customer_id
    where not c.is_granted and greatest(c.occurred_at, c.known_at) >= m.models_until_at
)
select 'contact' as by_what, contact_token as who, purpose, consent_channel,
    max(occurred_at) as withdrawn_at
from late group by all
union all
select 'person', customer_id, purpose, consent_channel, max(occurred_at)
from late where customer_id is not null group by all
"""

# Every way to reach a candidate's customer over a channel of the journeys.
_CONTACTS = """
create or replace temp table _contacts as
with asked as (
    select distinct s.purpose, c.consent_channel
    from _steps as s inner join _step_channels as c using (journey, step)
),
withdrawn as (
    select w.by_what, w.who, a.purpose, a.consent_channel, max(w.withdrawn_at) as withdrawn_at
    from _withdrawals as w
    inner join asked as a
        on w.purpose in (a.purpose, '*') and w.consent_channel in (a.consent_channel, '*')
    group by all
)
select
    k.customer_id, k.purpose, k.consent_channel, k.contact_token, k.contact_mask,
    k.is_granted, coalesce(k.is_usable, false) as is_usable, k.occurred_at as consent_at,
    k.notice_version, k.reach_rule, k.fatigue_rule, k.best_hour::integer as best_hour,
    greatest(by_contact.withdrawn_at, by_person.withdrawn_at) as withdrawn_at
from activation.outreach_contacts as k
left join withdrawn as by_contact
    on by_contact.by_what = 'contact' and k.contact_token = by_contact.who
    and k.purpose = by_contact.purpose and k.consent_channel = by_contact.consent_channel
left join withdrawn as by_person
    on by_person.by_what = 'person' and k.customer_id = by_person.who
    and k.purpose = by_person.purpose and k.consent_channel = by_person.consent_channel
where k.contact_token is not null
    and k.consent_channel in (select consent_channel from asked)
    and k.customer_id in (select customer_id from _candidates)
"""

# claimed: this contact has the message, from whomever. failed: it did not reach this contact, or
# this person over this channel; another channel may be tried, this one never again.
_TRIED_CHANNELS = """
create or replace temp table _tried_channels as
with contacts as (
    select contact_token, journey, step, occurrence, bool_or(is_claimed) as is_claimed
    from _tried group by all
),
found as (
    select c.rowid as candidate, k.consent_channel, t.is_claimed
    from contacts as t
    inner join _contacts as k on t.contact_token = k.contact_token
    inner join _candidates as c
        on k.customer_id = c.customer_id and k.purpose = c.purpose
        and t.journey = c.journey and t.step = c.step and t.occurrence = c.occurrence
    union all
    select c.rowid as candidate, t.consent_channel, false
    from _tried as t
    inner join _candidates as c
        on t.customer_id = c.customer_id
        and t.journey = c.journey and t.step = c.step and t.occurrence = c.occurrence
    where t.state = 'failed'
)
select
    candidate, consent_channel, bool_or(is_claimed) as is_claimed,
    bool_or(not is_claimed) as is_failed
from found group by candidate, consent_channel
"""

# What went to somebody within the longest window: claims, and what other systems sent.
# A message without a kind counts as promotion, the kind most caps are about.
_COUNTED = """
create or replace temp table _counted as
with since as (
    select send_day_from_at - to_days(greatest(
        (select coalesce(max(window_days), 1) from _caps),
        (select coalesce(max(window_days), 1) from _budgets)
    )::integer + 1) as since_at
    from _moment
),
guides as (
    select decision_id, guide_id from history.outreach_decisions
    where outcome = 'send' and guide_id is not null
        and as_of_date >= (select as_of - 1 from _moment)
    union all
    select decision_id, guide_id from history.outreach_trigger_decisions
    where outcome = 'send' and guide_id is not null
        and as_of_date >= (select as_of - 1 from _moment)
)
select
    c.claim_id as message_id, c.customer_id, c.contact_token, c.journey, c.consent_channel,
    coalesce(c.message_tag, 'promotion') as message_tag, c.planned_send_at as sent_at, g.guide_id,
    c.purpose
from _claims as c
left join guides as g on c.decision_id = g.decision_id
where c.state not in ('failed', 'refused')
    and c.planned_send_at >= (select since_at from since)
union all
select
    m.message_id, m.customer_id, null, m.journey, m.consent_channel,
    coalesce(m.message_tag, 'promotion'), m.sent_at, null, 'marketing'
from activation.outreach_sent_messages as m
where m.sent_at >= (select since_at from since)
    and (m.message_id is null or m.message_id not in (select claim_id from _claims))
"""


def columns_of(connection: duckdb.DuckDBPyConnection, address: str) -> set[str]:
    """The columns of a table or view of the warehouse."""
    schema, name = address.split(".")
    rows = connection.execute(
        "select column_name from information_schema.columns where table_schema = ? "
        "and table_name = ? and table_catalog = current_database()",
        [schema, name],
    ).fetchall()
    return {column for (column,) in rows}
