-- Only what the journeys look at: nothing they wait for takes longer than outreach_memory_days.
with

orders as (

    select *
    from {{ ref('fct_orders') }}
    where
        document_kind = 'sale'
        and customer_id is not null
        and {{ days_between('business_date', as_of()) }} < {{ var('outreach_memory_days') }}

),

order_lines as (

    select *
    from {{ ref('fct_order_lines') }}
    where line_kind = 'sale' and item_class = 'product'

),

lines_placed as (

    select
        order_lines.channel,
        order_lines.order_id,
        order_lines.sku,
        row_number() over (
            partition by order_lines.channel, order_lines.order_id
            order by
                order_lines.gross_exact_amount desc nulls last, order_lines.sku nulls last, order_lines.order_line_id
        ) as line_place
    from order_lines
    inner join orders
        on
            order_lines.channel = orders.channel
            and order_lines.order_id = orders.order_id

),

final as (

    select
        orders.customer_id,
        orders.channel,
        orders.order_id,
        orders.ordered_at,
        orders.business_date,
        lines_placed.sku as main_sku,
        coalesce(orders.gross_amount > 0 and orders.net_exact_amount <= 0, false) as is_given_back
    from orders
    left join lines_placed
        on
            orders.channel = lines_placed.channel
            and orders.order_id = lines_placed.order_id
            and lines_placed.line_place = 1

)

select * from final
