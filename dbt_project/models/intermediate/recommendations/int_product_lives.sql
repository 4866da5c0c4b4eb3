-- Whether a product is used up, and after how long it is bought again. The catalogue's own word counts first; where it
-- is silent the category's buyers tell by coming back.
with

product_days as (select * from {{ ref('int_customer_product_days') }}),

catalogue as (select * from {{ ref('stg_products') }}),

products as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}
    where item_class = 'product'

),

listed as (

    select
        sku,
        replenish_days,
        row_number() over (
            partition by sku
            order by case when replenish_days is null then 1 else 0 end, known_at desc, channel
        ) as listing_place
    from catalogue

),

category_days as (

    select distinct
        customer_id,
        category_name,
        business_date
    from product_days
    where category_name is not null

),

visits as (

    select
        customer_id,
        category_name,
        {{ days_between(
            'lag(business_date) over (partition by customer_id, category_name order by business_date)',
            'business_date'
        ) }} as gap_days
    from category_days

),

buyers as (

    select
        customer_id,
        category_name,
        count(gap_days) as repeat_count
    from visits
    group by customer_id, category_name

),

repeat_shares as (

    select
        category_name,
        {{ ratio('100 * sum(case when repeat_count > 0 then 1 else 0 end)', 'count(*)') }} as repeat_share_pct
    from buyers
    group by category_name

),

usual_gaps as (

    select
        category_name,
        {{ quantile_of('gap_days', 0.5) }} as usual_gap_days
    from visits
    where gap_days is not null
    group by category_name

),

final as (

    select
        products.sku,
        products.category_name,
        case
            when listed.replenish_days is not null then listed.replenish_days > 0
            else coalesce(repeat_shares.repeat_share_pct >= {{ var('recommendation_repeat_share_pct') }}, false)
        end as is_used_up,
        case
            when listed.replenish_days > 0 then cast(listed.replenish_days as double)
            else cast(usual_gaps.usual_gap_days as double)
        end as usual_gap_days
    from products
    left join listed on products.sku = listed.sku and listed.listing_place = 1
    left join repeat_shares on products.category_name = repeat_shares.category_name
    left join usual_gaps on products.category_name = usual_gaps.category_name

)

select * from final
