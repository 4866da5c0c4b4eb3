with

source_customers as (select * from {{ ref('source_customers') }}),

products as (select * from {{ ref('dim_products') }}),

offers as (select * from {{ ref('outreach_offers') }}),

cart_days as (

    select
        source_customers.customer_id,
        cart_days.*
    from {{ ref('fct_cart_days') }} as cart_days
    inner join source_customers
        on
            cart_days.channel = source_customers.channel
            and cart_days.source_customer_id = source_customers.source_customer_id
    where {{ is_still_kept('cart_days.business_date', 'cart_rescue') }}

),

cart_events as (

    select
        source_customers.customer_id,
        events.*
    from {{ ref('stg_events') }} as events
    inner join source_customers
        on
            events.channel = source_customers.channel
            and events.source_customer_id = source_customers.source_customer_id
    where
        events.event_type = 'cart_added'
        and {{ is_still_kept('events.business_date', 'cart_rescue') }}
        -- The same by the instant, coarsely: Parquet files are skipped by it, and by no local day.
        and events.occurred_at >= {{ local_midnight_at(as_of_plus(-var('outreach_memory_days'))) }}

),

removals as (

    select
        channel,
        source_customer_id,
        sku,
        max(last_removed_at) as last_removed_at
    from cart_days
    group by channel, source_customer_id, sku

),

-- One product in the carts of two accounts is one wish of the person who owns both.
carts as (

    select
        cart_days.customer_id,
        cart_days.sku,
        cart_days.business_date,
        max(cart_days.last_added_at) as triggered_at
    from cart_days
    inner join removals
        on
            cart_days.channel = removals.channel
            and cart_days.source_customer_id = removals.source_customer_id
            and cart_days.sku = removals.sku
    where
        cart_days.last_added_at is not null
        and (removals.last_removed_at is null or cart_days.last_added_at > removals.last_removed_at)
    group by cart_days.customer_id, cart_days.sku, cart_days.business_date

),

-- The lowest price the customer was shown that day is the one the message must keep.
shown_prices as (

    select
        customer_id,
        sku,
        business_date,
        currency,
        min(unit_price_amount) as price_amount
    from cart_events
    where unit_price_amount > 0
    group by customer_id, sku, business_date, currency

),

-- Put into the cart once more, the newer day speaks for the product.
candidates as (

    select
        *,
        concat(sku, ' ', cast(business_date as varchar)) as occurrence,
        lead(triggered_at) over (partition by customer_id, sku order by business_date) as expires_at
    from carts

),

conversions as (

    {{ orders_since('candidates') }}

),

final as (

    select
        candidates.customer_id,
        candidates.occurrence,
        candidates.triggered_at,
        'marketing' as purpose,
        candidates.expires_at,
        conversions.converted_at,
        candidates.sku,
        cast(coalesce(shown_prices.price_amount, offers.price_amount) as decimal(18, 6)) as offered_price_amount,
        candidates.business_date as cart_date,
        products.product_name,
        products.category_name,
        case
            when
                offers.available_quantity >= 1
                and offers.available_quantity <= {{ journey_window('cart_rescue', 'few_left') }}
                then cast(cast(floor(offers.available_quantity) as integer) as varchar)
        end as stock_left
    from candidates
    inner join products on candidates.sku = products.sku and products.product_name is not null
    left join offers on candidates.sku = offers.sku
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence
    left join shown_prices
        on
            candidates.customer_id = shown_prices.customer_id
            and candidates.sku = shown_prices.sku
            and candidates.business_date = shown_prices.business_date
            and offers.currency = shown_prices.currency

)

select * from final
