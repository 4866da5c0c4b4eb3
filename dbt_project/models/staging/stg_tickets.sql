{{ config(materialized='view') }}

with

current_tickets as (

    {{ current_records('tickets', event_at='opened_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        ticket_id,
        source_customer_id,
        ticket_kind,
        priority,
        ticket_status,
        opened_at,
        {{ to_business_date('opened_at') }} as business_date,
        first_responded_at,
        resolved_at,
        followed_up_at,
        reopened_at,
        order_id,
        sku,
        agent_id,
        subject_text,
        satisfaction_score
    from current_tickets

)

select * from final
