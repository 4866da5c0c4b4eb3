with

customer_products as (select * from {{ ref('int_customer_products') }}),

products as (

    select
        sku,
        category_name
    from {{ ref('dim_products') }}

),

orders as (

    select *
    from {{ ref('fct_orders') }}
    where document_kind = 'sale' and customer_id is not null

),

-- By spend; equal spends by the number of pieces, then by the alphabet. Never by the order of rows.
ranked_products as (

    select
        customer_id,
        sku,
        row_number() over (
            partition by customer_id
            order by gross_exact_amount desc nulls last, item_quantity desc, sku
        ) as place
    from customer_products

),

category_sums as (

    select
        customer_products.customer_id,
        products.category_name,
        sum(customer_products.gross_exact_amount) as gross_exact_amount,
        sum(customer_products.item_quantity) as item_quantity
    from customer_products
    inner join products on customer_products.sku = products.sku
    where products.category_name is not null
    group by customer_products.customer_id, products.category_name

),

ranked_categories as (

    select
        customer_id,
        category_name,
        row_number() over (
            partition by customer_id
            order by gross_exact_amount desc nulls last, item_quantity desc, category_name
        ) as place
    from category_sums

),

hour_counts as (

    select
        customer_id,
        business_hour,
        count(*) as order_count
    from orders
    group by customer_id, business_hour

),

ranked_hours as (

    select
        customer_id,
        business_hour,
        row_number() over (partition by customer_id order by order_count desc, business_hour) as place
    from hour_counts

),

channel_counts as (

    select
        customer_id,
        channel,
        count(*) as order_count
    from orders
    group by customer_id, channel

),

ranked_channels as (

    select
        customer_id,
        channel,
        row_number() over (partition by customer_id order by order_count desc, channel) as place
    from channel_counts

),

buyers as (select distinct customer_id from orders),

final as (

    select
        buyers.customer_id,
        ranked_products.sku as top_sku,
        ranked_categories.category_name as top_category_name,
        ranked_hours.business_hour as preferred_hour,
        ranked_channels.channel as preferred_channel
    from buyers
    left join ranked_products
        on buyers.customer_id = ranked_products.customer_id and ranked_products.place = 1
    left join ranked_categories
        on buyers.customer_id = ranked_categories.customer_id and ranked_categories.place = 1
    left join ranked_hours
        on buyers.customer_id = ranked_hours.customer_id and ranked_hours.place = 1
    left join ranked_channels
        on buyers.customer_id = ranked_channels.customer_id and ranked_channels.place = 1

)

select * from final
