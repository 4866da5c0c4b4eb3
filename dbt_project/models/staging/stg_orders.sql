{{ config(materialized='stepwise', shape='replace_days', touched_by=['orders']) }}

with

current_orders as (

    {{ current_records('orders', event_at='ordered_at') }}

),

final as (

    select
        channel,
        order_id,
        source_customer_id,
        ordered_at,
        {{ to_business_date('ordered_at') }} as business_date,
        order_status,
        paid_amount,
        shipping_amount,
        discount_amount,
        currency,
        payment_method,
        store_id,
        coupon_id,
        live_room_id
    from current_orders
    where {{ is_touched('ordered_at') }}

)

select * from final
