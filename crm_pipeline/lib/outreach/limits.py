"""What stops messages together: caps, quotas, budgets, and which of them go where not all may.

Add here: a limit that several messages share.
Not here: rules about one message (``rules``), the search itself (``ml.arbitration``).

Limits are whole numbers: messages, or millionths of a currency unit.

Only marketing is limited. A message of service is under the caps of its own YAML alone; it goes
first, and what it takes of a quota or budget is taken off before marketing has its turn.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

from ml.arbitration import arbitrate


def make_limited(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes ``_limited``: candidates that a limit stops, with outcome, rule, count and allowance.

    Limits that cannot bind are dropped before anything is joined with every message; messages under
    no limit that binds go; only the others are arbitrated.
    """
    connection.execute(_OPEN)
    connection.execute(_AT_RISK)
    connection.execute(_PERSON_LIMITS)
    connection.execute(_COMMON_LIMITS)
    connection.execute(_MEMBERS)
    connection.execute(_FULL)
    connection.execute(_CONTESTED)
    _arbitrate(connection)
    connection.execute(_LOST)
    for name in ("_open", "_at_risk", "_limits", "_members", "_full", "_contested", "_arbitrated"):
        connection.execute(f"drop table temp.{name}")


def _arbitrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Makes ``_arbitrated``: of the contested messages, which go and what stopped the others."""
    rows = connection.sql("from _contested order by candidate, limit_number").to_arrow_table()
    column = {name: rows.column(name).to_numpy() for name in rows.column_names}
    candidate, first, member = np.unique(
        column["candidate"], return_index=True, return_inverse=True
    )
    chosen, stopped = np.zeros(0, np.bool_), np.zeros(0, np.int64)
    if rows.num_rows:
        numbers, at, limit = np.unique(
            column["limit_number"], return_index=True, return_inverse=True
        )
        # The most valuable first; of equals the first candidate.
        order = np.argsort(-column["value"][first], kind="stable")
        candidate, first = candidate[order], first[order]
        choice = arbitrate(
            column["value"][first],
            (np.argsort(order)[member], limit, column["weight"]),
            column["capacity"][at],
        )
        chosen = choice.chosen
        stopped = np.where(chosen, -1, numbers[choice.binding_limit])
    table = pa.table({"candidate": candidate, "is_chosen": chosen, "limit_number": stopped})
    connection.register("_choice", table)
    connection.execute("create or replace temp table _arbitrated as select * from _choice")
    connection.unregister("_choice")


# A hair less for each later step of a journey: nobody gets the offer before the word of care.
_OPEN = """
create or replace temp table _open as
select
    k.candidate, c.customer_id, a.contact_token, c.journey, k.consent_channel, s.message_tag,
    c.purpose, c.timezone, c.guide_id, a.fatigue_rule,
    (s.priority + 1) * greatest(c.value_weight, 0) * (1 - s.step_place / 1000.0) as value,
    p.unit_cost_amount, (p.unit_cost_amount * 1000000)::bigint as cost
from _checked as k
inner join _candidates as c on k.candidate = c.rowid
inner join _steps as s on c.journey = s.journey and c.step = s.step
inner join _channels as p on k.consent_channel = p.consent_channel
inner join _contacts as a on k.contact = a.rowid
where k.outcome is null
"""

# A person (or contact) is safe if all messages of tonight and all of the longest window together
# are no more than the strictest cap allows. Most are, and no cap is asked about them. A contact of
# one person, without messages before, is as safe as the person.
_AT_RISK = """
create or replace temp table _at_risk as
with strictest as (select coalesce(min(max_messages), 1000000) as max_messages from _caps),
persons as (
    select customer_id, min(timezone) as timezone, count(*) as messages
    from _open group by customer_id
),
sent_to_persons as (
    select customer_id, count(*) as messages from _counted group by customer_id
),
sent_to_contacts as (
    select contact_token, count(distinct message_id) as messages from _counted
    where contact_token is not null group by contact_token
    union all
    select contact_token, 0 from _shared_tokens
    where contact_token not in (select contact_token from _counted where contact_token is not null)
),
contacts as (
    select
        t.contact_token, t.messages as sent, min(o.timezone) as timezone, count(*) as messages
    from sent_to_contacts as t inner join _open as o on t.contact_token = o.contact_token
    group by all
)
select 'person' as scope, p.customer_id as who, p.timezone, p.messages
from persons as p
cross join strictest as s
left join sent_to_persons as t on p.customer_id = t.customer_id
where p.messages + coalesce(t.messages, 0) > s.max_messages
union all
select 'contact', c.contact_token, c.timezone, c.messages
from contacts as c
cross join strictest as s
where c.messages + c.sent > s.max_messages
"""

# The days of a window are the local days of whoever it is about, that of sending included. A cap
# that leaves room for all messages of tonight is none.
_PERSON_LIMITS = """
create or replace temp table _limits as
with sent as (
    select 'person' as scope, customer_id as who, * from _counted
    union all
    select 'contact', contact_token, * from _counted where contact_token is not null
),
used as (
    select r.scope, r.who, c.cap_place, count(distinct m.message_id) as messages
    from _at_risk as r
    inner join sent as m on r.scope = m.scope and r.who = m.who
    inner join _caps as c
        on c.consent_channel in ('all', m.consent_channel)
        and c.message_tag in ('all', m.message_tag)
        and case when c.journey is null then m.purpose = 'marketing'
            else m.journey is not distinct from c.journey end
    inner join _zone_windows as w on r.timezone = w.timezone and c.window_days = w.window_days
    where m.sent_at >= w.from_at
    group by all
),
capped as (
    select journey, customer_id, contact_token from _open
    where journey in (select journey from _caps)
),
tonight as (
    select 'person' as scope, customer_id as who, journey from capped
    union
    select 'contact', contact_token, journey from capped
),
asked as (
    select r.scope, r.who, r.messages, c.cap_place
    from _at_risk as r cross join _caps as c where c.journey is null
    union all
    select r.scope, r.who, r.messages, c.cap_place
    from _at_risk as r
    inner join tonight as t on r.scope = t.scope and r.who = t.who
    inner join _caps as c on t.journey = c.journey
)
select
    (row_number() over (order by c.cap_place, r.scope desc, r.who))::bigint as limit_number,
    'cap.' || c.cap_id || '.' || r.scope as rule_id,
    r.scope as kind, r.who, c.cap_place, c.journey, c.consent_channel, c.message_tag,
    (c.max_messages - coalesce(u.messages, 0))::bigint as capacity,
    coalesce(u.messages, 0)::double as counted, c.max_messages::double as allowed
from asked as r
inner join _caps as c on r.cap_place = c.cap_place
left join used as u on r.scope = u.scope and r.who = u.who and r.cap_place = u.cap_place
where c.max_messages - coalesce(u.messages, 0) < r.messages
"""

# Quotas of a channel and of an advisor for the day of sending, and budgets over their windows.
_COMMON_LIMITS = """
insert into _limits
with quotas as (
    select
        'quota.' || c.consent_channel as rule_id, 'channel' as kind, c.consent_channel as who,
        c.consent_channel, c.daily_quota as allowed,
        (select count(distinct m.message_id) from _counted as m, _moment
         where m.consent_channel = c.consent_channel and sent_at >= send_day_from_at) as used,
        (select count(*) from _open
         where _open.consent_channel = c.consent_channel and purpose <> 'marketing') as service
    from _channels as c where c.daily_quota is not null
    union all
    select
        'quota.' || c.consent_channel || '.advisor', 'advisor', o.guide_id, c.consent_channel,
        c.advisor_daily_quota,
        (select count(distinct m.message_id) from _counted as m, _moment
         where m.consent_channel = c.consent_channel and m.guide_id = o.guide_id
            and sent_at >= send_day_from_at),
        0
    from _channels as c
    inner join (
        select consent_channel, guide_id, count(*) as messages from _open
        where guide_id is not null and purpose = 'marketing' group by all
    ) as o on c.consent_channel = o.consent_channel
    where c.advisor_daily_quota is not null
),
budgets as (
    select
        'budget.' || b.budget_id as rule_id, 'budget_' || b.scope as kind, b.scope_name as who,
        b.amount as allowed,
        (
            select coalesce(sum(p.unit_cost_amount), 0)
            from (select distinct message_id, consent_channel, journey, sent_at from _counted) as m
            inner join _channels as p on m.consent_channel = p.consent_channel
            cross join _moment as n
            where m.sent_at >= n.send_day_from_at - to_days(b.window_days - 1)
                and (b.scope = 'all' or b.scope_name in (m.journey, m.consent_channel))
        ) as used,
        (
            select coalesce(sum(o.unit_cost_amount), 0) from _open as o
            where o.purpose <> 'marketing'
                and (b.scope = 'all' or b.scope_name in (o.journey, o.consent_channel))
        ) as service
    from _budgets as b
),
found as (
    select rule_id, kind, who, consent_channel, allowed::decimal(24, 6) as allowed,
        (used + service)::decimal(24, 6) as counted
    from quotas
    union all
    select rule_id, kind, who, null, allowed::decimal(24, 6), (used + service)::decimal(24, 6)
    from budgets
)
select
    (select count(*) from _limits) + row_number() over (order by rule_id, who),
    rule_id, kind, who, 1000000::integer, null, consent_channel, null,
    floor((allowed - counted) * case when kind like 'budget%' then 1000000 else 1 end)::bigint,
    counted, allowed
from found
"""

# Which message takes how much of which limit. A limit on all of a channel, an advisor, a journey or
# a budget is joined only where the messages of tonight take more than it has left.
_MEMBERS = """
create or replace temp table _members as
with common as (
    select limit_number, kind, who, consent_channel, capacity
    from _limits where kind not in ('person', 'contact')
),
marketing as (
    select candidate, journey, consent_channel, guide_id, cost
    from _open where purpose = 'marketing' and exists (from common)
),
taken as (
    select l.limit_number, o.candidate, o.cost as weight
    from marketing as o inner join common as l on l.kind = 'budget_all'
    union all
    select l.limit_number, o.candidate, o.cost
    from marketing as o inner join common as l on l.kind = 'budget_journey' and o.journey = l.who
    union all
    select l.limit_number, o.candidate, o.cost
    from marketing as o
    inner join common as l on l.kind = 'budget_channel' and o.consent_channel = l.who
    union all
    select l.limit_number, o.candidate, 1
    from marketing as o inner join common as l on l.kind = 'channel' and o.consent_channel = l.who
    union all
    select l.limit_number, o.candidate, 1
    from marketing as o
    inner join common as l
        on l.kind = 'advisor' and o.guide_id = l.who and o.consent_channel = l.consent_channel
),
binding as (
    select t.limit_number
    from taken as t inner join common as l on t.limit_number = l.limit_number
    group by t.limit_number having sum(t.weight) > max(l.capacity)
)
select o.candidate, l.limit_number, 1::bigint as weight
from _open as o
inner join _limits as l on l.kind = 'person' and o.customer_id = l.who
where l.consent_channel in ('all', o.consent_channel) and l.message_tag in ('all', o.message_tag)
    and coalesce(l.journey = o.journey, o.purpose = 'marketing')
union all
select o.candidate, l.limit_number, 1
from _open as o
inner join _limits as l on l.kind = 'contact' and o.contact_token = l.who
where l.consent_channel in ('all', o.consent_channel) and l.message_tag in ('all', o.message_tag)
    and coalesce(l.journey = o.journey, o.purpose = 'marketing')
union all
select t.candidate, t.limit_number, t.weight
from taken as t inner join binding as b on t.limit_number = b.limit_number
"""

# Stopped by what was sent before, whatever becomes of the other messages of tonight.
_FULL = """
create or replace temp table _full as
with reasons as (
    select candidate, fatigue_rule as rule_id, 0 as place, null::double as counted,
        null::double as allowed
    from _open where fatigue_rule is not null and purpose = 'marketing'
    union all
    select m.candidate, l.rule_id, l.limit_number, l.counted, l.allowed
    from _members as m
    inner join _limits as l on m.limit_number = l.limit_number
    where m.weight > l.capacity
)
select * exclude (place) from reasons
qualify row_number() over (partition by candidate order by place) = 1
"""

_CONTESTED = """
create or replace temp table _contested as
with remaining as (
    select m.*, l.capacity
    from _members as m
    inner join _limits as l on m.limit_number = l.limit_number
    where m.candidate not in (select candidate from _full) and m.weight > 0
),
binding as (
    select limit_number from remaining
    group by limit_number having sum(weight) > max(capacity)
)
select r.candidate, r.limit_number, r.weight, r.capacity, o.value
from remaining as r
inner join binding as b on r.limit_number = b.limit_number
inner join _open as o on r.candidate = o.candidate
"""

# Who lost a place under a cap lost it to the most valuable message that got one.
_LOST = """
create or replace temp table _limited as
with winners as (
    select c.limit_number, arg_min(o.journey, (-c.value, c.candidate)) as journey
    from _contested as c
    inner join _arbitrated as a on c.candidate = a.candidate and a.is_chosen
    inner join _open as o on c.candidate = o.candidate
    group by c.limit_number
)
select
    a.candidate,
    case when l.kind in ('person', 'contact') then 'lost_to_higher_priority' else 'capped' end
        as outcome,
    case when l.kind in ('person', 'contact') then 'priority.' || w.journey else l.rule_id end
        as rule_id,
    l.counted, l.allowed
from _arbitrated as a
inner join _limits as l on a.limit_number = l.limit_number
left join winners as w on a.limit_number = w.limit_number
where not a.is_chosen
union all
select candidate, 'capped', rule_id, counted, allowed from _full
"""
