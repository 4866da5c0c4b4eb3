-- What a customer buys most. One row per customer who bought a product. By spend; equal spends by the number of
-- pieces, then by the alphabet. Never by the order of rows.
with

customer_products as (select * from {{ ref('int_customer_products') }}),

products as (

    select
        sku,
        category_name,
        brand_name
    from {{ ref('dim_products') }}

),

priced as (select * from {{ ref('int_products_priced') }}),

described as (

    select
        customer_products.customer_id,
        customer_products.sku,
        customer_products.gross_exact_amount,
        customer_products.item_quantity,
        products.category_name,
        products.brand_name,
        priced.price_band,
        priced.band_from_percentile
    from customer_products
    left join products on customer_products.sku = products.sku
    left join priced on customer_products.sku = priced.sku

),

ranked_products as (

    select
        customer_id,
        sku,
        row_number() over (
            partition by customer_id
            order by gross_exact_amount desc nulls last, item_quantity desc, sku
        ) as place
    from described

),

category_sums as (

    select
        customer_id,
        category_name,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(item_quantity) as item_quantity
    from described
    where category_name is not null
    group by customer_id, category_name

),

ranked_categories as (

    select
        customer_id,
        category_name,
        gross_exact_amount,
        sum(gross_exact_amount) over (partition by customer_id) as all_exact_amount,
        row_number() over (
            partition by customer_id
            order by gross_exact_amount desc nulls last, item_quantity desc, category_name
        ) as place,
        count(*) over (partition by customer_id) as category_count
    from category_sums

),

top_categories as (

    select
        customer_id,
        max(category_count) as category_count,
        max(case when place = 1 then category_name end) as top_category_name,
        max(case when place = 1 then {{ ratio('100 * gross_exact_amount', 'all_exact_amount') }} end)
            as top_category_share_pct,
        max(case when place = 2 then category_name end) as second_category_name,
        max(case when place = 2 then {{ ratio('100 * gross_exact_amount', 'all_exact_amount') }} end)
            as second_category_share_pct
    from ranked_categories
    where place <= 2
    group by customer_id

),

brand_sums as (

    select
        customer_id,
        brand_name,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(item_quantity) as item_quantity
    from described
    where brand_name is not null
    group by customer_id, brand_name

),

ranked_brands as (

    select
        customer_id,
        brand_name,
        row_number() over (
            partition by customer_id
            order by gross_exact_amount desc nulls last, item_quantity desc, brand_name
        ) as place
    from brand_sums

),

-- By pieces: by spend the dearest band would win too often.
band_sums as (

    select
        customer_id,
        price_band,
        band_from_percentile,
        sum(item_quantity) as item_quantity
    from described
    where price_band is not null
    group by customer_id, price_band, band_from_percentile

),

ranked_bands as (

    select
        customer_id,
        price_band,
        row_number() over (partition by customer_id order by item_quantity desc, band_from_percentile) as place
    from band_sums

),

final as (

    select
        ranked_products.customer_id,
        ranked_products.sku as top_sku,
        top_categories.category_count,
        top_categories.top_category_name,
        top_categories.top_category_share_pct,
        top_categories.second_category_name,
        top_categories.second_category_share_pct,
        ranked_brands.brand_name as top_brand_name,
        ranked_bands.price_band
    from ranked_products
    left join top_categories on ranked_products.customer_id = top_categories.customer_id
    left join ranked_brands
        on ranked_products.customer_id = ranked_brands.customer_id and ranked_brands.place = 1
    left join ranked_bands
        on ranked_products.customer_id = ranked_bands.customer_id and ranked_bands.place = 1
    where ranked_products.place = 1

)

select * from final
