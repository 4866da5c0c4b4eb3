"""What stops a message by itself: consent, claims, time, complaint, stock, holdout.

Add here: a rule about one candidate, in its order.
Not here: rules about several messages together (``limits``), facts (``candidates``).
"""

from __future__ import annotations

import duckdb

from crm_pipeline.lib.warehouse.connection import joined_as_written


def make_checked(connection: duckdb.DuckDBPyConnection, *, best_minute: int) -> None:
    """Makes ``_checked``: of each candidate, by its row, the contact, time and content.

    Beside it ``_shared_tokens``: the contacts that several customers have.
    ``outcome`` and ``rule_id`` are null where nothing stops the message yet. In this order:
    no_consent, duplicate, expired, open_complaint, stock_gone, held, holdout.

    Args:
        connection: has the tables of facts and policies.
        best_minute: local minute of sending where neither the journey nor the customer has one.
    """
    with joined_as_written(connection):
        connection.execute(_CHOSEN)
    connection.execute(_SHARED_TOKENS)
    connection.execute(_SHARED)
    connection.execute(_SPANS)
    connection.execute(_CHOICES)
    connection.execute(_CHECKED, {"best_minute": best_minute})
    for name in ("_chosen", "_shared", "_spans", "_choices"):
        connection.execute(f"drop table temp.{name}")


# The first channel that is allowed, reachable and did not fail; else the way that came nearest.
# ``refusal_place``: how near it came, 0 allowed. A contact goes by its row in ``_contacts``.
_CHOSEN = """
create or replace temp table _chosen as
with judged as (
    select
        rowid as contact, customer_id, purpose, consent_channel,
        case
            when contains(contact_token, 'x_') then 5
            when is_granted is null then 6
            when not is_granted or withdrawn_at >= consent_at then 3
            when not is_usable then 4
            when reach_rule is not null then 2
            else 0
        end as refusal_place
    from _contacts
),
ranked as (
    select
        c.rowid as candidate, j.contact, s.consent_channel,
        s.channel_place + 100 * case
            when t.is_failed and j.refusal_place = 0 then 1 else coalesce(j.refusal_place, 7)
        end as place
    from _candidates as c
    inner join _step_channels as s on c.journey = s.journey and c.step = s.step
    left join judged as j
        on c.customer_id = j.customer_id and c.purpose = j.purpose
        and s.consent_channel = j.consent_channel
    left join _tried_channels as t
        on c.rowid = t.candidate and s.consent_channel = t.consent_channel
),
nearest as (
    select
        candidate, arg_min(contact, place) as contact,
        arg_min(consent_channel, place) as consent_channel, min(place) // 100 as refusal_place
    from ranked group by candidate
)
select
    n.candidate, n.contact, n.consent_channel, k.best_hour,
    case n.refusal_place
        when 2 then k.reach_rule
        when 3 then 'consent.withdrawn'
        when 4 then 'consent.not_usable'
        when 5 then 'consent.unusable_contact'
        when 6 then 'consent.never_given'
        when 7 then 'consent.no_contact'
    end as refusal,
    coalesce(t.is_failed, false) as is_failed, coalesce(t.is_claimed, false) as is_claimed
from nearest as n
left join _contacts as k on n.contact = k.rowid
left join _tried_channels as t
    on n.candidate = t.candidate and n.consent_channel = t.consent_channel
"""

_SHARED_TOKENS = """
create or replace temp table _shared_tokens as
select contact_token from _contacts
group by contact_token having min(customer_id) < max(customer_id)
"""

# Of several people behind one contact, the first who may have the message takes it.
_SHARED = """
create or replace temp table _shared as
with claimants as (
    select
        k.candidate,
        min(k.candidate) over (
            partition by a.contact_token, c.journey, c.step, c.occurrence
        ) as first_candidate
    from _shared_tokens as t
    inner join _contacts as a on t.contact_token = a.contact_token
    inner join _chosen as k on a.rowid = k.contact
    inner join _candidates as c on k.candidate = c.rowid
    inner join _steps as s on c.journey = s.journey and c.step = s.step
    where k.refusal is null and not k.is_failed and c.purpose = s.purpose
        and c.suppression_rule is null and not c.is_claimed
)
select candidate from claimants where first_candidate < candidate
"""

# From when until when a channel may be used on the day of sending. A time at or after the quiet
# hours begin again has no allowed minute left in this day.
_SPANS = """
create or replace temp table _spans as
select c.consent_channel, z.timezone,
    coalesce(opens.minute_at, z.day_from_at) as opens_at,
    coalesce(closes.minute_at, z.day_until_at) as closes_at
from _channels as c
cross join _zone_days as z
left join _zone_minutes as opens
    on z.timezone = opens.timezone and opens.minute
        = 60 * left(c.quiet_until, 2)::integer + right(c.quiet_until, 2)::integer
left join _zone_minutes as closes
    on z.timezone = closes.timezone and closes.minute
        = 60 * left(c.quiet_from, 2)::integer + right(c.quiet_from, 2)::integer
"""

# The content of every combination there is: the customer's language, then Chinese; the customer's
# tier, then the one for all; of these the one that shows most, and only if nothing in it is blank.
_CHOICES = """
create or replace temp table _choices as
with needs as (
    select s.journey, s.step, l.rowid as content, l.* exclude (subject, body),
        coalesce(sum(1::bigint << v.variable_place) filter (
            where contains(concat(l.subject, ' ', l.body), '{' || v.variable || '}')
        ), 0)::bigint as needed
    from (select distinct journey, step, scene from _steps) as s
    inner join _contents as l on s.scene = l.scene
    left join _variables as v on s.journey = v.journey
    group by all
),
asked as (
    select distinct c.journey, c.step, k.consent_channel, c.language, c.rfm_tier, c.blank_variables
    from _candidates as c
    inner join _chosen as k on c.rowid = k.candidate
    where k.refusal is null
)
select a.*, n.content
from asked as a
inner join needs as n
    on a.journey = n.journey and a.step = n.step and a.consent_channel = n.consent_channel
    and n.language in (a.language, 'zh-CN')
    and n.rfm_tier in (coalesce(a.rfm_tier, 'all'), 'all')
    and n.needed & a.blank_variables = 0
qualify row_number() over (
    partition by a.journey, a.step, a.consent_channel, a.language, a.rfm_tier, a.blank_variables
    order by
        (n.language = a.language) desc, (n.rfm_tier <> 'all') desc,
        bit_count(n.needed) desc, n.content_id
) = 1
"""

# planned_at: at night the local time asked for, else now; never before it is due, never in quiet
# hours. The reasons are in the order of asking: the first that is not null is the outcome.
_CHECKED = """
create or replace temp table _checked as
with stale as (
    select
        max(g.gate_id) filter (
            where g.gate_id = 'consent' and not coalesce(
                m.consent_known_at + to_hours(g.max_age_hours) >= m.decided_at, false
            )
        ) as consent_gate,
        max(g.gate_id) filter (
            where g.gate_id = 'stock' and not coalesce(
                m.stock_counted_at + to_hours(g.max_age_hours) >= m.decided_at, false
            )
        ) as stock_gate
    from _gates as g cross join _moment as m
),
quiet_zones as (
    select distinct z.timezone
    from _zone_days as z inner join _quiet_days as q on q.timezone in ('all', z.timezone)
),
timed as (
    select
        k.*, c.journey, c.step, c.timezone, c.language, c.rfm_tier,
        c.blank_variables, c.valid_until, c.converted_at, c.open_complaint_since,
        c.suppression_rule, c.available_quantity, c.price_amount, c.offered_price_amount,
        c.holdout_draw, c.is_claimed as is_person_claimed, c.purpose, s.purpose as step_purpose,
        s.ends_on_conversion, s.pauses_on_complaint, s.asks_stock, s.asks_price, s.held_by,
        s.holdout_pct, p.closes_at,
        greatest(
            c.due_at, p.opens_at, m.decided_at,
            case when m.run_kind = 'nightly' then z.minute_at else m.decided_at end
        ) as planned_at
    from _candidates as c
    cross join _moment as m
    inner join _steps as s on c.journey = s.journey and c.step = s.step
    inner join _chosen as k on c.rowid = k.candidate
    inner join _spans as p
        on c.timezone = p.timezone and k.consent_channel = p.consent_channel
    inner join _zone_minutes as z
        on c.timezone = z.timezone
        and z.minute = coalesce(s.send_minute, 60 * k.best_hour, $best_minute)
),
asked as (
    select
        t.candidate, t.contact, t.consent_channel, t.planned_at,
        l.content,
        case
            when t.suppression_rule is not null then t.suppression_rule
            when t.purpose is distinct from t.step_purpose then 'consent.other_purpose'
            else t.refusal
        end as no_consent,
        case
            when t.is_person_claimed then 'claim.person'
            when t.is_failed then 'claim.failed'
            when t.is_claimed then 'claim.contact'
            when d.candidate is not null then 'claim.shared_contact'
        end as duplicate,
        case
            when t.planned_at > t.valid_until then 'trigger.expired'
            when t.ends_on_conversion and t.converted_at is not null then 'exit.converted'
        end as expired,
        case
            when t.pauses_on_complaint and t.open_complaint_since is not null
                then 'complaint.open'
        end as complaint,
        case
            when t.asks_stock and t.available_quantity is null then 'stock.unknown'
            when t.asks_stock and t.available_quantity <= 0 then 'stock.none_left'
            when t.asks_price and t.offered_price_amount is not null and t.price_amount is null
                then 'price.unknown'
            when t.asks_price and t.price_amount > t.offered_price_amount then 'price.risen'
        end as stock,
        case
            when t.held_by is not null then t.held_by
            when e.consent_gate is not null then 'gate.consent_stale'
            when (t.asks_stock or t.asks_price) and e.stock_gate is not null
                then 'gate.stock_stale'
            when l.content is null then 'content.missing'
            when q.timezone is not null and t.purpose = 'marketing' then 'quiet.day'
            when t.planned_at >= t.closes_at then 'quiet.hours'
        end as held,
        case when t.holdout_draw < t.holdout_pct / 100 then 'holdout.journey' end as holdout
    from timed as t
    cross join stale as e
    left join _shared as d on t.candidate = d.candidate
    left join _choices as l
        on t.journey = l.journey and t.step = l.step and t.consent_channel = l.consent_channel
        and t.language = l.language and t.rfm_tier is not distinct from l.rfm_tier
        and t.blank_variables = l.blank_variables
    left join quiet_zones as q on t.timezone = q.timezone
)
select
    * exclude (no_consent, duplicate, expired, complaint, stock, held, holdout),
    case
        when no_consent is not null then 'no_consent'
        when duplicate is not null then 'duplicate'
        when expired is not null then 'expired'
        when complaint is not null then 'open_complaint'
        when stock is not null then 'stock_gone'
        when held is not null then 'held'
        when holdout is not null then 'holdout'
    end as outcome,
    coalesce(no_consent, duplicate, expired, complaint, stock, held, holdout) as rule_id
from asked
"""
