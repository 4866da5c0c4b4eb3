with

current_products as (

    {{ current_records('products') }}

),

final as (

    select
        channel,
        sku,
        product_name,
        category_name,
        brand_name,
        list_price_amount,
        currency,
        is_premium,
        barcode,
        erp_sku,
        replenish_days,
        listed_at,
        known_at
    from current_products

)

select * from final
