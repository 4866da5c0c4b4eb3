with

recommended as (select * from {{ ref('int_products_recommended_before') }}),

popular as (select * from {{ ref('int_products_popular_before') }}),

product_days as (select * from {{ ref('int_customer_product_days') }}),

products as (

    select sku
    from {{ ref('dim_products') }}
    where item_class = 'product'

),

rankings as (

    select
        'recommendations' as ranking,
        customer_id,
        sku
    from recommended

    union all

    select
        'best_sellers' as ranking,
        customer_id,
        sku
    from popular

),

{%- set cutoff = as_of_plus(-(var('recommendation_quality_days') | int)) %}

names as (

    select 'recommendations' as ranking
    union all
    select 'best_sellers' as ranking

),

known_customers as (

    select distinct customer_id
    from product_days
    where business_date <= {{ cutoff }}

),

-- What people bought afterwards who had bought before: of the others nothing was known but the best sellers.
bought as (

    select distinct
        product_days.customer_id,
        product_days.sku
    from product_days
    inner join known_customers on product_days.customer_id = known_customers.customer_id
    where product_days.business_date > {{ cutoff }}

),

buyers as (select count(distinct customer_id) as buyer_count from bought),

catalogue as (select count(*) as product_count from products),

hits as (

    select
        rankings.ranking,
        count(distinct rankings.customer_id) as hit_customer_count,
        count(*) as hit_count
    from rankings
    inner join bought
        on
            rankings.customer_id = bought.customer_id
            and rankings.sku = bought.sku
    group by rankings.ranking

),

shown as (

    select
        ranking,
        count(distinct sku) as recommended_product_count,
        count(distinct customer_id) as recommended_customer_count
    from rankings
    group by ranking

),

final as (

    select
        names.ranking,
        {{ cutoff }} as cutoff_date,
        {{ as_of() }} as as_of_date,
        cast({{ var('recommendation_count') }} as integer) as recommendation_count,
        buyers.buyer_count,
        coalesce(hits.hit_customer_count, 0) as hit_customer_count,
        {{ ratio('100 * coalesce(hits.hit_customer_count, 0)', 'buyers.buyer_count') }} as hit_rate_pct,
        coalesce(hits.hit_count, 0) as hit_count,
        coalesce(shown.recommended_product_count, 0) as recommended_product_count,
        {{ ratio('100 * coalesce(shown.recommended_product_count, 0)', 'catalogue.product_count') }}
            as catalogue_coverage_pct,
        coalesce(shown.recommended_customer_count, 0) as recommended_customer_count
    from names
    cross join buyers
    cross join catalogue
    left join shown on names.ranking = shown.ranking
    left join hits on names.ranking = hits.ranking

)

select * from final
