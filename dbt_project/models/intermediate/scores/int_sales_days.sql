-- What was sold by day, at the prices of the lines: before discounts of whole orders and before refunds. One row per
-- series and day with a sale; the series are `total` and every category.
with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

categories as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}
    where category_name is not null

),

sold as (

    select
        sku,
        business_date,
        sum(gross_exact_amount) as gross_exact_amount
    from order_lines
    where is_sale and item_class = 'product' and gross_exact_amount is not null
    group by sku, business_date

),

told as (

    select
        'total' as series,
        business_date,
        gross_exact_amount
    from sold

    union all

    select
        'category: ' || categories.category_name as series,
        sold.business_date,
        sold.gross_exact_amount
    from sold
    inner join categories on sold.sku = categories.sku

),

final as (

    select
        series,
        business_date,
        {{ half_even('sum(gross_exact_amount)') }} as sales_amount
    from told
    group by series, business_date

)

select * from final
