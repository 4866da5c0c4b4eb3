{{ config(materialized='view') }}

with

current_points_events as (

    {{ current_records('points_events', event_at='occurred_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        event_id,
        source_customer_id,
        event_kind,
        points,
        occurred_at,
        {{ to_business_date('occurred_at') }} as business_date,
        to_customer_id,
        reference_id
    from current_points_events

)

select * from final
