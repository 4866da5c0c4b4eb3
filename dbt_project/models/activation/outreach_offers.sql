with

products as (select * from {{ ref('dim_products') }}),

catalogue as (select * from {{ ref('stg_products') }}),

counts_placed as (

    select
        *,
        quantity_on_hand - coalesce(quantity_reserved, 0) as free_quantity,
        row_number() over (partition by channel, sku, location_id order by counted_at desc) as count_place
    from {{ ref('stg_stock_levels') }}

),

newest_counts as (

    select
        *,
        max(business_date) over (partition by sku) as newest_date
    from counts_placed
    where count_place = 1

),

-- As fresh as its oldest part. More promised than there is at one place takes from what the others have.
stock as (

    select
        sku,
        sum(free_quantity) as available_quantity,
        min(counted_at) as counted_at
    from newest_counts
    where {{ days_between('business_date', 'newest_date') }} < {{ var('stock_place_days') }}
    group by sku

),

-- The ERP counts under its own numbers; a product listed with one is looked up by it.
erp_skus as (

    select
        sku,
        max(erp_sku) as erp_sku
    from catalogue
    group by sku

),

final as (

    select
        products.sku,
        cast(stock.available_quantity as decimal(18, 3)) as available_quantity,
        stock.counted_at,
        products.list_price_amount as price_amount,
        products.currency
    from products
    left join erp_skus on products.sku = erp_skus.sku
    left join stock on coalesce(erp_skus.erp_sku, products.sku) = stock.sku
    where products.item_class = 'product'

)

select * from final
