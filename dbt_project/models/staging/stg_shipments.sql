{{ config(materialized='view') }}

with

current_shipments as (

    {{ current_records('shipments', event_at='shipped_at') }}

),

final as (

    select
        order_channel as channel,
        channel as feed_channel,
        shipment_id,
        order_id,
        carrier_name,
        shipment_status,
        shipped_at,
        {{ to_business_date('shipped_at') }} as business_date,
        promised_at,
        delivered_at,
        city_name
    from current_shipments

)

select * from final
