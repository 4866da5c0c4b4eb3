{{ config(materialized='view') }}

with

current_coupon_events as (

    {{ current_records('coupon_events', event_at='occurred_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        coupon_id,
        source_customer_id,
        action,
        occurred_at,
        {{ to_business_date('occurred_at') }} as business_date,
        campaign_id,
        face_amount,
        threshold_amount,
        currency,
        order_id,
        valid_until
    from current_coupon_events

)

select * from final
