-- What a customer gave back. One row per customer with a refund.
with

source_customers as (select * from {{ ref('source_customers') }}),

-- Refunds of a known order, whether or not their money could be told, and documents with refund lines of their own.
refunds as (

    select
        channel,
        source_customer_id,
        order_id as refunded_order_id,
        business_date
    from {{ ref('int_refunds_linked') }}
    where refund_state not in ('orphan_held', 'orphan_expired') and source_customer_id is not null

    union all

    select
        channel,
        source_customer_id,
        case when document_kind = 'sale' then order_id end as refunded_order_id,
        business_date
    from {{ ref('int_order_documents') }}
    where refund_line_count > 0 and source_customer_id is not null

),

accounts as (

    select
        channel,
        source_customer_id,
        count(*) as refund_count,
        count(distinct refunded_order_id) as refunded_order_count,
        max(business_date) as last_refund_date
    from refunds
    group by channel, source_customer_id

),

final as (

    select
        source_customers.customer_id,
        cast(sum(accounts.refund_count) as bigint) as refund_count,
        cast(sum(accounts.refunded_order_count) as bigint) as refunded_order_count,
        max(accounts.last_refund_date) as last_refund_date
    from accounts
    inner join source_customers
        on
            accounts.channel = source_customers.channel
            and accounts.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

)

select * from final
