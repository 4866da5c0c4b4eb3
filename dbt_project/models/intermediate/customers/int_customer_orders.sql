with

customers as (select * from {{ ref('dim_customers') }}),

customer_days as (select * from {{ ref('int_customer_days') }}),

lifetime as (

    select
        customer_id,
        sum(order_count) as order_count,
        sum(sale_line_count) as sale_line_count,
        sum(item_quantity) as item_quantity,
        sum(unconverted_order_count) as unconverted_order_count,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(discount_exact_amount) as discount_exact_amount,
        sum(refund_exact_amount) as refund_exact_amount,
        sum(net_exact_amount) as net_exact_amount,
        sum(new_product_count) as product_count,
        count(purchase_day_number) as purchase_day_count,
        min(case when order_count > 0 then business_date end) as first_order_date,
        max(case when order_count > 0 then business_date end) as last_order_date,
        sum(case when business_date > {{ as_of_plus(-var('rfm_window_days')) }} then order_count else 0 end)
            as order_count_in_window,
        sum(case when business_date > {{ as_of_plus(-var('rfm_window_days')) }} then net_exact_amount else 0 end)
            as net_exact_amount_in_window
    from customer_days
    group by customer_id

),

-- Money is null only where every order is in a currency without a rate; without an order it is 0.
final as (

    select
        customers.customer_id,
        customers.first_seen_date,
        lifetime.first_order_date,
        lifetime.last_order_date,
        cast(coalesce(lifetime.order_count, 0) as bigint) as order_count,
        cast(coalesce(lifetime.unconverted_order_count, 0) as bigint) as unconverted_order_count,
        cast(coalesce(lifetime.purchase_day_count, 0) as bigint) as purchase_day_count,
        cast(coalesce(lifetime.sale_line_count, 0) as bigint) as sale_line_count,
        cast(coalesce(lifetime.product_count, 0) as bigint) as product_count,
        coalesce(lifetime.item_quantity, 0) as item_quantity,
        case
            when lifetime.order_count > 0 and lifetime.order_count = lifetime.unconverted_order_count then null
            else coalesce(lifetime.gross_exact_amount, 0)
        end as gross_exact_amount,
        case
            when lifetime.order_count > 0 and lifetime.order_count = lifetime.unconverted_order_count then null
            else coalesce(lifetime.discount_exact_amount, 0)
        end as discount_exact_amount,
        coalesce(lifetime.refund_exact_amount, 0) as refund_exact_amount,
        case
            when lifetime.order_count > 0 and lifetime.order_count = lifetime.unconverted_order_count then null
            else coalesce(lifetime.net_exact_amount, 0)
        end as net_exact_amount,
        cast(coalesce(lifetime.order_count_in_window, 0) as bigint) as order_count_in_window,
        case
            when lifetime.order_count > 0 and lifetime.order_count = lifetime.unconverted_order_count then null
            else coalesce(lifetime.net_exact_amount_in_window, 0)
        end as net_exact_amount_in_window,
        {{ days_between('coalesce(lifetime.last_order_date, customers.first_seen_date)', as_of()) }}
            as days_since_last_order
    from customers
    left join lifetime on customers.customer_id = lifetime.customer_id

)

select * from final
