{{ config(materialized='stepwise', shape='replace_days', touched_by=['events']) }}

with

events as (

    {{ events_to_roll_up() }}

),

-- Events within one slot as long as the gap are never further apart than the gap: only slots need an order.
slots as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        {{ slot_of('occurred_at', var('session_gap_minutes')) }} as slot,
        min(occurred_at) as first_event_at,
        max(occurred_at) as last_event_at,
        count(*) as event_count,
        {{ count_when("event_type = 'product_view'") }} as product_view_count,
        {{ count_when("event_type = 'cart_added'") }} as cart_added_count,
        {{ count_when("event_type = 'checkout_started'") }} as checkout_count,
        sum(coalesce(dwell_seconds, 0)) as dwell_seconds
    from events
    group by
        channel,
        source_customer_id,
        device_id,
        business_date,
        {{ slot_of('occurred_at', var('session_gap_minutes')) }}

),

-- A session ends after the gap, and at the business midnight, so that a day never depends on another day.
opened as (

    select
        *,
        case
            when
                first_event_at
                <= lag(last_event_at) over visitor_day + {{ interval_of_minutes(var('session_gap_minutes')) }}
                then 0
            else 1
        end as is_opening
    from slots
    window
        visitor_day as (
            partition by channel, source_customer_id, device_id, business_date
            order by slot
        )

),

numbered as (

    select
        *,
        sum(is_opening) over (
            partition by channel, source_customer_id, device_id, business_date
            order by slot
            rows between unbounded preceding and current row
        ) as session_number
    from opened

),

final as (

    select
        channel,
        source_customer_id,
        device_id,
        business_date,
        cast(session_number as integer) as session_number,
        min(first_event_at) as first_event_at,
        max(last_event_at) as last_event_at,
        cast(sum(event_count) as bigint) as event_count,
        cast(sum(product_view_count) as bigint) as product_view_count,
        cast(sum(cart_added_count) as bigint) as cart_added_count,
        cast(sum(checkout_count) as bigint) as checkout_count,
        cast(sum(dwell_seconds) as decimal(18, 3)) as dwell_seconds
    from numbered
    group by channel, source_customer_id, device_id, business_date, session_number

)

select * from final
