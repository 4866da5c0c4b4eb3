-- Where the price of a product stands within its category: 0 the cheapest, 100 the dearest; products at one price
-- share the lower place. One row per product of a category with a price.
with

account_products as (select * from {{ ref('int_account_products') }}),

products as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}
    where category_name is not null

),

bands as (select * from {{ ref('price_bands') }}),

-- What people paid for a piece, in the reporting currency: list prices stand in many currencies and are seldom paid.
prices as (

    select
        sku,
        cast(sum(gross_exact_amount) / sum(item_quantity) as decimal(18, 6)) as unit_price_amount
    from account_products
    where gross_exact_amount is not null and item_quantity > 0
    group by sku

),

placed as (

    select
        products.sku,
        products.category_name,
        prices.unit_price_amount,
        rank() over (partition by products.category_name order by prices.unit_price_amount) - 1 as cheaper_count,
        count(*) over (partition by products.category_name) as product_count
    from products
    inner join prices on products.sku = prices.sku

),

-- In whole numbers, so that a limit is met exactly: percentile = 100 * cheaper / (products - 1).
final as (

    select
        placed.sku,
        placed.category_name,
        placed.unit_price_amount,
        bands.price_band,
        bands.from_percentile as band_from_percentile
    from placed
    inner join bands
        on
            100 * placed.cheaper_count >= bands.from_percentile * (placed.product_count - 1)
            and (
                100 * placed.cheaper_count < bands.to_percentile * (placed.product_count - 1)
                or bands.to_percentile = 100
            )
    where placed.product_count >= {{ var('price_band_min_products') }}

)

select * from final
