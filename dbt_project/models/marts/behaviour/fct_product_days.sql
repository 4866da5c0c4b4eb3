{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

with

events as (

    {{ events_to_roll_up() }}

),

final as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        sku,
        {{ count_when("event_type = 'product_view'") }} as view_count,
        {{ count_when("event_type = 'cart_added'") }} as cart_added_count,
        {{ count_when("event_type = 'favourite_added'") }} as favourite_added_count,
        cast(sum(coalesce(dwell_seconds, 0)) as decimal(18, 3)) as dwell_seconds,
        min(case when event_type = 'product_view' then occurred_at end) as first_viewed_at,
        max(case when event_type = 'product_view' then occurred_at end) as last_viewed_at,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at
    from events
    where sku is not null
    group by channel, source_customer_id, device_id, business_date, sku

)

select * from final
