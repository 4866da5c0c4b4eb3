-- Document by document, the money of the lines less the header's discount and the refunds that name the order is the
-- order's, exactly.
with

line_money as (

    select
        channel,
        order_id,
        sum(net_exact_amount) as net_exact_amount
    from {{ ref('fct_order_lines') }}
    group by channel, order_id

),

discounts as (

    select
        channel,
        order_id,
        discount_exact_amount
    from {{ ref('int_orders_refunded') }}

),

linked_refund_money as (

    select
        channel,
        order_id,
        sum(refund_exact_amount) as refund_exact_amount
    from {{ ref('int_refunds_linked') }}
    where refund_state in ('counted', 'capped')
    group by channel, order_id

),

differences as (

    select
        orders.channel,
        orders.order_id,
        orders.net_exact_amount,
        line_money.net_exact_amount as line_amount,
        discounts.discount_exact_amount,
        linked_refund_money.refund_exact_amount
    from {{ ref('fct_orders') }} as orders
    left join line_money
        on orders.channel = line_money.channel and orders.order_id = line_money.order_id
    left join discounts
        on orders.channel = discounts.channel and orders.order_id = discounts.order_id
    left join linked_refund_money
        on orders.channel = linked_refund_money.channel and orders.order_id = linked_refund_money.order_id
    where
        orders.line_count > 0
        and orders.net_exact_amount is not null
        and orders.net_exact_amount
        <> coalesce(line_money.net_exact_amount, 0)
        - discounts.discount_exact_amount
        - coalesce(linked_refund_money.refund_exact_amount, 0)

)

select * from differences
