with

consent_states as (select * from {{ ref('consent_states') }}),

messages as (select * from {{ ref('int_messages') }}),

reach_rules as (select * from {{ ref('reach_rules') }}),

customers as (select * from {{ ref('outreach_customers') }}),

purposes as (select distinct purpose from consent_states),

known_contacts as (

    select distinct
        customer_id,
        consent_channel,
        contact_token,
        contact_mask
    from consent_states

),

-- A contact known from another purpose was never asked about this one: it is no contact anybody may use.
candidates as (

    select
        known_contacts.customer_id,
        known_contacts.consent_channel,
        purposes.purpose,
        known_contacts.contact_token,
        known_contacts.contact_mask,
        consent_states.is_granted,
        coalesce(consent_states.is_usable, false) as is_usable,
        consent_states.occurred_at,
        consent_states.notice_version
    from known_contacts
    cross join purposes
    left join consent_states
        on
            known_contacts.customer_id = consent_states.customer_id
            and known_contacts.consent_channel = consent_states.consent_channel
            and known_contacts.contact_token = consent_states.contact_token
            and known_contacts.contact_mask is not distinct from consent_states.contact_mask
            and purposes.purpose = consent_states.purpose

),

-- One contact per customer: a usable one before the others, then what was said last.
placed as (

    select
        *,
        row_number() over (
            partition by customer_id, purpose, consent_channel
            order by is_usable desc, occurred_at desc nulls last, contact_token, contact_mask
        ) as contact_place
    from candidates

),

best_contacts as (

    select * from placed
    where contact_place = 1

),

last_opens as (

    select
        customer_id,
        consent_channel,
        max(case when delivered_at is not null then sent_at end) as reached_at,
        max(case when opened_at is not null then sent_at end) as opened_at
    from messages
    group by customer_id, consent_channel

),

-- Failures of an older contact say nothing about one that was agreed to since.
failures as (

    select
        best_contacts.customer_id,
        best_contacts.purpose,
        best_contacts.consent_channel,
        count(*) as failure_count
    from best_contacts
    inner join messages
        on
            best_contacts.customer_id = messages.customer_id
            and best_contacts.consent_channel = messages.consent_channel
    inner join last_opens
        on
            messages.customer_id = last_opens.customer_id
            and messages.consent_channel = last_opens.consent_channel
    where
        messages.failed_at is not null
        and messages.failed_at > coalesce(last_opens.reached_at, cast('1900-01-01' as timestamp))
        and messages.failed_at > coalesce(best_contacts.occurred_at, cast('1900-01-01' as timestamp))
    group by best_contacts.customer_id, best_contacts.purpose, best_contacts.consent_channel

),

unopened as (

    select
        messages.customer_id,
        messages.consent_channel,
        count(*) as unopened_count
    from messages
    inner join reach_rules on messages.consent_channel = reach_rules.consent_channel
    inner join last_opens
        on
            messages.customer_id = last_opens.customer_id
            and messages.consent_channel = last_opens.consent_channel
    where
        messages.delivered_at is not null
        and messages.sent_at > coalesce(last_opens.opened_at, cast('1900-01-01' as timestamp))
        and {{ days_between(to_business_date('messages.sent_at'), as_of()) }} < reach_rules.unopened_days
    group by messages.customer_id, messages.consent_channel

),

-- On the customer's own clock, by which the hour is used.
opened_hours as (

    select
        messages.customer_id,
        messages.consent_channel,
        cast(
            extract(hour from {{ to_zone_time('messages.opened_at', 'customers.timezone') }}) as integer
        ) as opened_hour
    from messages
    inner join customers on messages.customer_id = customers.customer_id
    where messages.opened_at is not null

),

-- Only hours at which messages may go: an hour of the night would keep every message back.
hours as (

    select
        opened_hours.customer_id,
        opened_hours.consent_channel,
        opened_hours.opened_hour,
        count(*) as hour_open_count,
        sum(count(*)) over (partition by opened_hours.customer_id, opened_hours.consent_channel) as open_count,
        row_number() over (
            partition by opened_hours.customer_id, opened_hours.consent_channel
            order by count(*) desc, opened_hours.opened_hour
        ) as hour_place
    from opened_hours
    inner join reach_rules on opened_hours.consent_channel = reach_rules.consent_channel
    where opened_hours.opened_hour between reach_rules.best_hour_from and reach_rules.best_hour_until
    group by opened_hours.customer_id, opened_hours.consent_channel, opened_hours.opened_hour

),

best_hours as (

    select
        hours.customer_id,
        hours.consent_channel,
        hours.opened_hour as best_hour
    from hours
    inner join reach_rules on hours.consent_channel = reach_rules.consent_channel
    where
        hours.hour_place = 1
        and hours.open_count >= reach_rules.best_hour_min_opens
        and hours.hour_open_count >= reach_rules.best_hour_min_same

),

final as (

    select
        best_contacts.customer_id,
        best_contacts.purpose,
        best_contacts.consent_channel,
        best_contacts.contact_token,
        best_contacts.contact_mask,
        best_contacts.is_usable,
        best_contacts.is_granted,
        best_contacts.occurred_at,
        best_contacts.notice_version,
        case when failures.failure_count >= reach_rules.max_failures then 'reach.failures' end as reach_rule,
        case when unopened.unopened_count >= reach_rules.max_unopened then 'fatigue.unopened' end as fatigue_rule,
        best_hours.best_hour,
        coalesce(failures.failure_count, 0) as failure_count,
        coalesce(unopened.unopened_count, 0) as unopened_count
    from best_contacts
    left join reach_rules on best_contacts.consent_channel = reach_rules.consent_channel
    left join failures
        on
            best_contacts.customer_id = failures.customer_id
            and best_contacts.purpose = failures.purpose
            and best_contacts.consent_channel = failures.consent_channel
    left join unopened
        on
            best_contacts.customer_id = unopened.customer_id
            and best_contacts.consent_channel = unopened.consent_channel
    left join best_hours
        on
            best_contacts.customer_id = best_hours.customer_id
            and best_contacts.consent_channel = best_hours.consent_channel

)

select * from final
