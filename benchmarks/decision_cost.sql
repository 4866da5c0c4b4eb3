-- The night of benchmarks/decision_cost.py, written by hand for its four journeys.
with
people as (
    select *, case when timezone = 'Europe/London' then timestamp '2024-07-01 09:00:00'
        else timestamp '2024-07-01 02:00:00' end as planned_at
    from activation.outreach_customers
),
emails as (
    select customer_id, contact_token, contact_mask, occurred_at, notice_version, case
        when not is_granted then 'consent.withdrawn' when not is_usable then 'consent.not_usable'
        else reach_rule end as refusal
    from activation.outreach_contacts where consent_channel = 'email'
),
texts as (
    select customer_id, contact_token, contact_mask, occurred_at, notice_version, case
        when not is_granted then 'consent.withdrawn' when not is_usable then 'consent.not_usable'
        else reach_rule end as refusal
    from activation.outreach_contacts where consent_channel = 'sms'
),
found as (
    select 'win_back' as journey, 80 as priority, true as is_text_first, true as has_text, *
    from activation.win_back_audience
    union all
    select 'birthday', 60, false, false, * from activation.birthday_audience
    union all
    select 'weather', 40, false, true, * from activation.weather_audience
    union all
    select 'festival', 20, false, false, * from activation.festival_audience
),
claimed as (
    select distinct person_id, journey, step, occurrence from ledger.claims where state = 'sent'
),
counted as (
    select person_id,
        count(*) filter (where planned_send_at >= timestamp '2024-06-24 16:00:00') as shanghai,
        count(*) filter (where planned_send_at >= timestamp '2024-06-24 23:00:00') as london
    from ledger.claims group by person_id
),
reached as (
    select f.*, p.timezone, p.language, p.rfm_tier, p.suppression_rule, p.open_complaint_since,
        p.guide_id, p.planned_at, e as email, t as text,
        not f.has_text or (not f.is_text_first and e.refusal is null)
        or (e.refusal is null and t.refusal is not null) as by_email,
        f.triggered_at + interval 72 hour as valid_until,
        left(sha256(concat_ws(chr(31), f.journey, 'first', f.customer_id, f.occurrence,
            '2024-06-30')), 32) as decision_id,
        ('0x' || left(sha256(concat_ws('|', 'a salt', f.journey, f.customer_id)), 13))::bigint
        / (1::bigint << 52) as draw,
        case when e.refusal = 'reach.failed' then 1 when e.refusal = 'consent.withdrawn' then 2
            when e.refusal is not null then 3 else 0 end as email_place,
        case when t.refusal = 'reach.failed' then 1 when t.refusal = 'consent.withdrawn' then 2
            when t.refusal is not null then 3 else 0 end as text_place
    from found as f
    inner join people as p on f.customer_id = p.customer_id
    inner join emails as e on f.customer_id = e.customer_id
    inner join texts as t on f.customer_id = t.customer_id
),
chosen as (
    select * exclude (email, text, by_email),
        case when not has_text or email_place < text_place
            or (email_place = text_place and not is_text_first) then 'email' else 'sms' end as way,
        case when way = 'email' then email else text end as contact
    from reached
),
judged as (
    select c.*, case
            when suppression_rule is not null then suppression_rule
            when contact.refusal is not null then contact.refusal
            when k.person_id is not null then 'claim.person'
            when planned_at > valid_until then 'trigger.expired'
            when open_complaint_since is not null then 'complaint.open'
            when draw < 0.1 then 'holdout.journey'
        end as stopped,
        case when c.timezone = 'Europe/London' then n.london else n.shanghai end as week_count
    from chosen as c
    left join claimed as k
        on c.customer_id = k.person_id and c.journey = k.journey and k.step = 'first'
        and c.occurrence = k.occurrence
    left join counted as n on c.customer_id = n.person_id
),
ranked as (
    select *, coalesce(stopped, case when week_count >= 3 then 'cap.all_week.person' end) as rule,
        row_number() over (
            partition by customer_id, rule is null order by priority desc
        ) as place,
        first_value(journey) over (
            partition by customer_id, rule is null order by priority desc
        ) as winner
    from judged
)
select
    decision_id, customer_id, journey, 'first' as step, occurrence, 'nightly' as run_kind,
    case
        when rule like 'consent.%' or rule like 'reach.%' or rule like 'suppression.%'
            then 'no_consent'
        when rule = 'claim.person' then 'duplicate'
        when rule = 'trigger.expired' then 'expired'
        when rule = 'complaint.open' then 'open_complaint'
        when rule = 'holdout.journey' then 'holdout'
        when rule is not null then 'capped'
        when place > 1 then 'lost_to_higher_priority'
        else 'send'
    end as outcome,
    coalesce(rule, case when place > 1 then 'priority.' || winner else 'send.allowed' end)
        as rule_id,
    purpose, 'promotion' as message_tag, way as consent_channel,
    contact.contact_token as contact_token, contact.contact_mask as contact_mask, language,
    journey || '_first' || way || language as content_id, '1' as content_version,
    null::varchar as sku, guide_id, priority::integer as priority,
    (case way when 'email' then 0.002 else 0.045 end)::decimal(18, 6) as unit_cost_amount,
    triggered_at, planned_at as planned_send_at, valid_until,
    timestamp '2024-06-30 18:00:00' as decided_at, date '2024-06-30' as as_of_date,
    json_object('product_name', product_name)::varchar as variables,
    to_json({
        'due_at': triggered_at, 'timezone': timezone, 'rfm_tier': rfm_tier,
        'consent_at': contact.occurred_at, 'notice_version': contact.notice_version,
        'withdrawn_at': null, 'open_complaint_since': open_complaint_since,
        'available_quantity': null, 'offered_price_amount': null, 'price_amount': null,
        'holdout_draw': round(draw, 6), 'holdout_pct': 10.0, 'value_weight': 1.0,
        'counted': week_count, 'allowed': 3
    })::varchar as evidence
from ranked
order by decision_id
