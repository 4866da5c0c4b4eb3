{{ config(materialized='stepwise', shape='replace_days', touched_by=['order_lines']) }}

with

current_lines as (

    {{ current_records('order_lines', event_at='ordered_at') }}

),

final as (

    select
        record_id as order_line_id,
        channel,
        order_id,
        line_number,
        source_customer_id,
        ordered_at,
        {{ to_business_date('ordered_at') }} as business_date,
        sku,
        product_name,
        line_kind,
        item_class,
        quantity,
        unit_price_amount,
        {{ exact_product('quantity', 'unit_price_amount') }} as line_amount,
        currency,
        country_name,
        store_id,
        live_room_id
    from current_lines
    where {{ is_touched('ordered_at') }}

)

select * from final
