{{ config(materialized='view') }}

with

current_stock_levels as (

    {{ current_records('stock_levels', event_at='counted_at') }}

),

final as (

    select
        channel,
        sku,
        location_id,
        counted_at,
        {{ to_business_date('counted_at') }} as business_date,
        quantity_on_hand,
        quantity_reserved
    from current_stock_levels

)

select * from final
