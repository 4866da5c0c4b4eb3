with

claims as (select * from {{ ref('stg_claims') }}),

messages as (select * from {{ ref('int_messages') }}),

accounts as (select * from {{ ref('source_customers') }}),

former_ids as (select * from {{ ref('customer_id_history') }}),

orders as (

    select *
    from {{ ref('fct_orders') }}
    where document_kind = 'sale' and not coalesce(is_cancelled, false) and customer_id is not null

),

-- Who the customer of a claim is today. Of several who parted, the one who kept the id, else the first.
people as (

    select
        former_ids.customer_id as person_id,
        coalesce(
            max(case when accounts.customer_id = former_ids.customer_id then accounts.customer_id end),
            min(accounts.customer_id)
        ) as customer_id
    from former_ids
    inner join accounts
        on
            former_ids.channel = accounts.channel
            and former_ids.source_customer_id = accounts.source_customer_id
    group by former_ids.customer_id

),

-- A provider returns our number of the message, or at least the decision behind it.
told as (

    select
        claims.message_id,
        messages.sent_at,
        messages.delivered_at,
        messages.opened_at,
        messages.clicked_at,
        messages.failed_at,
        messages.unsubscribed_at
    from claims
    inner join messages
        on claims.consent_channel = messages.consent_channel and claims.message_id = messages.message_id
    union all
    select
        claims.message_id,
        messages.sent_at,
        messages.delivered_at,
        messages.opened_at,
        messages.clicked_at,
        messages.failed_at,
        messages.unsubscribed_at
    from claims
    inner join messages
        on claims.consent_channel = messages.consent_channel and claims.decision_id = messages.decision_id
    where claims.message_id <> messages.message_id

),

told_once as (

    select
        message_id,
        min(sent_at) as sent_at,
        min(delivered_at) as delivered_at,
        min(opened_at) as opened_at,
        min(clicked_at) as clicked_at,
        min(failed_at) as failed_at,
        min(unsubscribed_at) as unsubscribed_at
    from told
    group by message_id

),

-- What the ledger learned from a receipt the receipt itself says, with its moment.
results as (

    select
        claims.message_id,
        claims.decision_id,
        people.customer_id,
        claims.journey,
        claims.step,
        claims.occurrence,
        claims.purpose,
        claims.message_tag,
        claims.consent_channel,
        claims.content_id,
        claims.content_version,
        coalesce(
            case when claims.sent_at < {{ as_of_end_at() }} then claims.sent_at end, told_once.sent_at
        ) as sent_at,
        told_once.delivered_at,
        told_once.opened_at,
        told_once.clicked_at,
        case when told_once.delivered_at is null then told_once.failed_at end as failed_at,
        told_once.unsubscribed_at,
        claims.state,
        claims.state_reason
    from claims
    left join told_once on claims.message_id = told_once.message_id
    left join people on claims.person_id = people.person_id

),

orders_after as (

    select
        results.message_id,
        orders.ordered_at,
        orders.net_amount,
        row_number() over (
            partition by results.message_id
            order by orders.ordered_at, orders.channel, orders.order_id
        ) as order_place
    from results
    inner join orders
        on
            results.customer_id = orders.customer_id
            and results.sent_at <= orders.ordered_at
            and orders.ordered_at < results.sent_at + {{ interval_of_days(var('outreach_result_days')) }}

),

final as (

    select
        results.message_id,
        results.decision_id,
        results.customer_id,
        results.journey,
        results.step,
        results.occurrence,
        results.purpose,
        results.message_tag,
        results.consent_channel,
        results.content_id,
        results.content_version,
        case
            when results.clicked_at is not null then 'clicked'
            when results.opened_at is not null then 'opened'
            when results.delivered_at is not null then 'delivered'
            when results.failed_at is not null then 'failed'
            when results.sent_at is not null and (
                results.state <> 'failed' or results.state_reason like 'receipt:%'
            ) then 'sent'
            else results.state
        end as result_state,
        results.sent_at,
        results.delivered_at,
        results.opened_at,
        results.clicked_at,
        results.failed_at,
        results.unsubscribed_at,
        orders_after.ordered_at as first_ordered_at,
        orders_after.net_amount as first_order_net_amount
    from results
    left join orders_after
        on results.message_id = orders_after.message_id and orders_after.order_place = 1

)

select * from final
