with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

source_customers as (select * from {{ ref('source_customers') }}),

products as (select * from {{ ref('dim_products') }}),

account_product_days as (

    select
        channel,
        source_customer_id,
        sku,
        business_date,
        sum(quantity) as item_quantity
    from order_lines
    where is_sale and item_class = 'product' and source_customer_id is not null and sku is not null
    group by channel, source_customer_id, sku, business_date

),

final as (

    select
        source_customers.customer_id,
        account_product_days.sku,
        products.category_name,
        account_product_days.business_date,
        sum(account_product_days.item_quantity) as item_quantity
    from account_product_days
    inner join source_customers
        on
            account_product_days.channel = source_customers.channel
            and account_product_days.source_customer_id = source_customers.source_customer_id
    inner join products on account_product_days.sku = products.sku
    group by
        source_customers.customer_id,
        account_product_days.sku,
        products.category_name,
        account_product_days.business_date

)

select * from final
