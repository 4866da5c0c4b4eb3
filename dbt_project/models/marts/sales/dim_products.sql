with

order_lines as (select * from {{ ref('stg_order_lines') }}),

catalogue as (select * from {{ ref('stg_products') }}),

sold_names as (

    select
        sku,
        product_name,
        item_class,
        min(business_date) as first_sold_date,
        max(business_date) as last_sold_date,
        max(ordered_at) as last_ordered_at,
        count(*) as line_count
    from order_lines
    group by sku, product_name, item_class

),

-- The name on the newest line that has one; of two at the same moment the first in the alphabet.
sold_named as (

    select
        *,
        row_number() over (
            partition by sku
            order by
                case when product_name is null then 1 else 0 end,
                last_ordered_at desc,
                product_name,
                item_class
        ) as name_place
    from sold_names

),

sold as (

    select
        sku,
        max(case when name_place = 1 then product_name end) as product_name,
        max(case when name_place = 1 then item_class end) as item_class,
        min(first_sold_date) as first_sold_date,
        max(last_sold_date) as last_sold_date,
        sum(line_count) as line_count
    from sold_named
    group by sku

),

-- Several channels may list one sku: the entry that became known last wins.
listed_ranked as (

    select
        *,
        row_number() over (partition by sku order by known_at desc, channel) as listing_place
    from catalogue

),

listed as (

    select *
    from listed_ranked
    where listing_place = 1

),

final as (

    select
        coalesce(listed.sku, sold.sku) as sku,
        coalesce(listed.product_name, sold.product_name) as product_name,
        coalesce(sold.item_class, 'product') as item_class,
        listed.category_name,
        listed.brand_name,
        listed.list_price_amount,
        listed.currency,
        listed.is_premium,
        sold.first_sold_date,
        sold.last_sold_date,
        cast(coalesce(sold.line_count, 0) as bigint) as line_count
    from sold
    full outer join listed on sold.sku = listed.sku

)

select * from final
