with

orders as (select * from {{ ref('int_order_documents') }}),

linked_refunds as (

    select *
    from {{ ref('int_refunds_linked') }}
    where refund_state in ('counted', 'capped')

),

-- A refund counts on the day it was booked, so that no later refund changes an earlier day.
movements as (

    select
        channel,
        source_customer_id,
        business_date,
        case when document_kind = 'sale' then 1 else 0 end as order_count,
        case when document_kind = 'sale' then sale_line_count else 0 end as sale_line_count,
        case when document_kind = 'sale' then item_quantity else 0 end as item_quantity,
        case when document_kind = 'sale' and gross_exact_amount is null then 1 else 0 end
            as unconverted_order_count,
        gross_exact_amount,
        discount_exact_amount,
        line_refund_exact_amount as refund_exact_amount
    from orders

    union all

    select
        channel,
        source_customer_id,
        business_date,
        0 as order_count,
        0 as sale_line_count,
        0 as item_quantity,
        0 as unconverted_order_count,
        0 as gross_exact_amount,
        0 as discount_exact_amount,
        refund_exact_amount
    from linked_refunds

),

account_days as (

    select
        channel,
        source_customer_id,
        business_date,
        cast(sum(order_count) as bigint) as order_count,
        cast(sum(sale_line_count) as bigint) as sale_line_count,
        sum(item_quantity) as item_quantity,
        cast(sum(unconverted_order_count) as bigint) as unconverted_order_count,
        sum(gross_exact_amount) as gross_exact_amount,
        sum(discount_exact_amount) as discount_exact_amount,
        sum(refund_exact_amount) as refund_exact_amount
    from movements
    group by channel, source_customer_id, business_date

)

select * from account_days
