{{ config(materialized='view') }}

with

current_device_usage as (

    {{ current_records('device_usage', event_at='measured_at') }}

),

final as (

    select
        coalesce(account_channel, channel) as channel,
        channel as feed_channel,
        device_id,
        source_customer_id,
        sku,
        metric,
        reading,
        measured_at,
        {{ to_business_date('measured_at') }} as business_date
    from current_device_usage

)

select * from final
