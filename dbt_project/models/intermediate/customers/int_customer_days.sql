with

account_days as (select * from {{ ref('int_account_days') }}),

source_customers as (select * from {{ ref('source_customers') }}),

customer_products as (select * from {{ ref('int_customer_products') }}),

customer_days as (

    select
        source_customers.customer_id,
        account_days.business_date,
        sum(account_days.order_count) as order_count,
        sum(account_days.sale_line_count) as sale_line_count,
        sum(account_days.item_quantity) as item_quantity,
        sum(account_days.unconverted_order_count) as unconverted_order_count,
        sum(account_days.gross_exact_amount) as gross_exact_amount,
        sum(account_days.discount_exact_amount) as discount_exact_amount,
        sum(account_days.refund_exact_amount) as refund_exact_amount
    from account_days
    inner join source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, account_days.business_date

),

new_products as (

    select
        customer_id,
        first_order_date,
        count(*) as new_product_count
    from customer_products
    group by customer_id, first_order_date

),

purchase_days as (

    select
        customer_id,
        business_date,
        row_number() over customer_order as purchase_day_number,
        {{ days_between('lag(business_date) over customer_order', 'business_date') }} as days_since_previous_purchase
    from customer_days
    where order_count > 0
    window customer_order as (partition by customer_id order by business_date)

),

final as (

    select
        customer_days.customer_id,
        customer_days.business_date,
        cast(customer_days.order_count as bigint) as order_count,
        cast(customer_days.sale_line_count as bigint) as sale_line_count,
        customer_days.item_quantity,
        cast(customer_days.unconverted_order_count as bigint) as unconverted_order_count,
        customer_days.gross_exact_amount,
        customer_days.discount_exact_amount,
        customer_days.refund_exact_amount,
        coalesce(customer_days.gross_exact_amount, 0)
        - coalesce(customer_days.discount_exact_amount, 0)
        - coalesce(customer_days.refund_exact_amount, 0) as net_exact_amount,
        coalesce(new_products.new_product_count, 0) as new_product_count,
        purchase_days.purchase_day_number,
        purchase_days.days_since_previous_purchase
    from customer_days
    left join new_products
        on
            customer_days.customer_id = new_products.customer_id
            and customer_days.business_date = new_products.first_order_date
    left join purchase_days
        on
            customer_days.customer_id = purchase_days.customer_id
            and customer_days.business_date = purchase_days.business_date

)

select * from final
