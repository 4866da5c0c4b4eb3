with

account_products as (select * from {{ ref('int_account_products') }}),

source_customers as (select * from {{ ref('source_customers') }}),

customer_products as (

    select
        source_customers.customer_id,
        account_products.sku,
        min(account_products.first_order_date) as first_order_date,
        sum(account_products.gross_exact_amount) as gross_exact_amount,
        sum(account_products.item_quantity) as item_quantity
    from account_products
    inner join source_customers
        on
            account_products.channel = source_customers.channel
            and account_products.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, account_products.sku

)

select * from customer_products
