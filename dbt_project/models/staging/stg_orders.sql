with

current_orders as (

    {{ current_records('orders', ref('stg_order_repeats'), 'ordered_at') }}

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
        store_id
    from current_orders

)

select * from final
