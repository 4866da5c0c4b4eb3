-- What a customer bought on a day, told twice: by category, and by what is used up (`use`). Orders that were paid back
-- whole are left out. One row per customer, scope, series and day.
with

order_lines as (select * from {{ ref('int_order_lines_valued') }}),

orders as (select * from {{ ref('int_orders_refunded') }}),

source_customers as (select * from {{ ref('source_customers') }}),

categories as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}
    where category_name is not null

),

uses as (select * from {{ ref('int_product_uses') }}),

kept_orders as (

    select
        channel,
        order_id,
        source_customer_id,
        business_date
    from orders
    where
        document_kind = 'sale'
        and source_customer_id is not null
        and not coalesce(
            refund_exact_amount > 0 and refund_exact_amount >= gross_exact_amount - discount_exact_amount, false
        )

),

bought as (

    select
        source_customers.customer_id,
        kept_orders.business_date,
        order_lines.sku,
        sum(order_lines.quantity) as quantity,
        sum(order_lines.gross_exact_amount) as gross_exact_amount
    from order_lines
    inner join kept_orders
        on
            order_lines.channel = kept_orders.channel
            and order_lines.order_id = kept_orders.order_id
    inner join source_customers
        on
            kept_orders.channel = source_customers.channel
            and kept_orders.source_customer_id = source_customers.source_customer_id
    where order_lines.is_sale and order_lines.item_class = 'product'
    group by source_customers.customer_id, kept_orders.business_date, order_lines.sku

),

told as (

    select
        bought.customer_id,
        'category' as scope,
        categories.category_name as series,
        bought.business_date,
        bought.quantity,
        bought.gross_exact_amount,
        'consumable' as kind
    from bought
    inner join categories on bought.sku = categories.sku

    union all

    select
        bought.customer_id,
        'use' as scope,
        uses.use_group as series,
        bought.business_date,
        bought.quantity,
        bought.gross_exact_amount,
        uses.kind
    from bought
    inner join uses on bought.sku = uses.sku

),

-- A durable comes with one consumable inside; bought together with spare ones it adds nothing to them.
final as (

    select
        customer_id,
        scope,
        series,
        business_date,
        count(case when kind = 'consumable' then 1 end) > 0 as has_consumable,
        coalesce(sum(case when kind = 'consumable' then quantity end), 1) as quantity,
        sum(gross_exact_amount) as gross_exact_amount
    from told
    group by customer_id, scope, series, business_date

)

select * from final
