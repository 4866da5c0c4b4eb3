{{ config(materialized='view') }}

with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

account_products as (

    select
        channel,
        source_customer_id,
        sku,
        min(business_date) as first_order_date,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(quantity) as item_quantity
    from order_lines
    where is_sale and item_class = 'product' and source_customer_id is not null
    group by channel, source_customer_id, sku

)

select * from account_products
