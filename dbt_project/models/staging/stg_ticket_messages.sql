{{ config(materialized='view') }}

with

current_ticket_messages as (

    {{ current_records('ticket_messages', event_at='sent_at') }}

),

final as (

    select
        channel as feed_channel,
        message_id,
        ticket_id,
        sender_kind,
        sent_at,
        {{ to_business_date('sent_at') }} as business_date,
        message_text
    from current_ticket_messages

)

select * from final
