-- Refunds that name a product, those of orders with one product only, and refund
-- lines. What of an order with several came back nobody knows.
with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

refunds as (

    select
        refunds.channel,
        refunds.order_id,
        linked.source_customer_id,
        refunds.sku,
        refunds.business_date
    from {{ ref('stg_refunds') }} as refunds
    inner join {{ ref('int_refunds_linked') }} as linked
        on
            refunds.channel = linked.channel
            and refunds.refund_id = linked.refund_id
    where linked.refund_state not in ('orphan_held', 'orphan_expired')

),

source_customers as (select * from {{ ref('source_customers') }}),

single_products as (

    select
        channel,
        order_id,
        min(sku) as sku
    from order_lines
    where is_sale and item_class = 'product'
    group by channel, order_id
    having min(sku) = max(sku)

),

returned as (

    select
        refunds.channel,
        refunds.source_customer_id,
        coalesce(refunds.sku, single_products.sku) as sku,
        refunds.business_date
    from refunds
    left join single_products
        on
            refunds.channel = single_products.channel
            and refunds.order_id = single_products.order_id

    union all

    select
        channel,
        source_customer_id,
        sku,
        business_date
    from order_lines
    where line_kind = 'refund' and item_class = 'product'

),

final as (

    select distinct
        source_customers.customer_id,
        returned.sku,
        returned.business_date
    from returned
    inner join source_customers
        on
            returned.channel = source_customers.channel
            and returned.source_customer_id = source_customers.source_customer_id
    where returned.sku is not null

)

select * from final
