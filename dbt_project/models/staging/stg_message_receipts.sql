{{ config(materialized='view') }}

with

current_message_receipts as (

    {{ current_records('message_receipts', event_at='occurred_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        message_id,
        source_customer_id,
        receipt_kind,
        occurred_at,
        {{ to_business_date('occurred_at') }} as business_date,
        journey,
        step,
        decision_id,
        failure_text,
        reply_text
    from current_message_receipts

)

select * from final
