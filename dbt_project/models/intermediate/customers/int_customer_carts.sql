-- What a customer has in the cart and among the favourites at as_of. One row per customer who ever put something there.
with

source_customers as (select * from {{ ref('source_customers') }}),

cart_products as (

    select
        source_customers.customer_id,
        cart_days.sku,
        max(cart_days.last_added_at) as last_added_at,
        max(cart_days.last_removed_at) as last_removed_at,
        max(case when cart_days.added_count > 0 then cart_days.business_date end) as last_added_date
    from {{ ref('fct_cart_days') }} as cart_days
    inner join source_customers
        on
            cart_days.channel = source_customers.channel
            and cart_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, cart_days.sku

),

-- Only what may have emptied a cart of the recent days.
ordered_products as (

    select
        source_customers.customer_id,
        order_lines.sku,
        max(order_lines.ordered_at) as last_ordered_at
    from {{ ref('int_order_lines_valued') }} as order_lines
    inner join source_customers
        on
            order_lines.channel = source_customers.channel
            and order_lines.source_customer_id = source_customers.source_customer_id
    where order_lines.is_sale and order_lines.business_date > {{ as_of_plus(-var('recent_days')) }}
    group by source_customers.customer_id, order_lines.sku

),

-- Left in the cart: neither taken out nor ordered since it was last put in.
left_products as (

    select
        cart_products.customer_id,
        cart_products.last_added_date,
        cart_products.last_added_date > {{ as_of_plus(-var('recent_days')) }}
        and cart_products.last_added_at > coalesce(cart_products.last_removed_at, {{ sql_instant('1900-01-01') }})
        and cart_products.last_added_at > coalesce(ordered_products.last_ordered_at, {{ sql_instant('1900-01-01') }})
            as is_left
    from cart_products
    left join ordered_products
        on
            cart_products.customer_id = ordered_products.customer_id
            and cart_products.sku = ordered_products.sku

),

carts as (

    select
        customer_id,
        max(last_added_date) as last_cart_date,
        {{ count_when('is_left') }} as open_cart_product_count
    from left_products
    group by customer_id

),

favourite_products as (

    select
        source_customers.customer_id,
        favourite_days.sku,
        max(favourite_days.last_added_at) as last_added_at,
        max(favourite_days.last_removed_at) as last_removed_at,
        max(case when favourite_days.added_count > 0 then favourite_days.business_date end) as last_added_date
    from {{ ref('fct_favourite_days') }} as favourite_days
    inner join source_customers
        on
            favourite_days.channel = source_customers.channel
            and favourite_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, favourite_days.sku

),

favourites as (

    select
        customer_id,
        max(last_added_date) as last_favourite_date,
        {{ count_when("last_added_at > coalesce(last_removed_at, " ~ sql_instant('1900-01-01') ~ ")") }}
            as favourite_product_count
    from favourite_products
    group by customer_id

),

final as (

    select
        coalesce(carts.customer_id, favourites.customer_id) as customer_id,
        coalesce(carts.open_cart_product_count, 0) as open_cart_product_count,
        carts.last_cart_date,
        coalesce(favourites.favourite_product_count, 0) as favourite_product_count,
        favourites.last_favourite_date
    from carts
    full outer join favourites on carts.customer_id = favourites.customer_id

)

select * from final
