{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

with

events as (

    {{ events_to_roll_up(['live_entered', 'live_left', 'live_liked', 'live_commented', 'live_product_clicked']) }}

),

final as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        live_room_id,
        {{ count_when("event_type = 'live_entered'") }} as entered_count,
        {{ count_when("event_type = 'live_liked'") }} as liked_count,
        {{ count_when("event_type = 'live_commented'") }} as commented_count,
        {{ count_when("event_type = 'live_product_clicked'") }} as product_clicked_count,
        cast(count(distinct sku) as bigint) as product_count,
        cast(sum(coalesce(dwell_seconds, 0)) as decimal(18, 3)) as dwell_seconds,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at
    from events
    group by channel, source_customer_id, device_id, business_date, live_room_id

)

select * from final
