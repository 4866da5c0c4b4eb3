{{ config(materialized='view') }}

with

current_events as (

    {{ current_records('events', event_at='occurred_at') }}

),

final as (

    select
        channel,
        event_id,
        source_customer_id,
        device_id,
        occurred_at,
        {{ to_business_date('occurred_at') }} as business_date,
        event_type,
        sku,
        category_name,
        page_name,
        quantity,
        unit_price_amount,
        currency,
        dwell_seconds,
        live_room_id,
        comment_text,
        {{ is_in_time('occurred_at') }} as is_in_time
    from current_events

)

select * from final
