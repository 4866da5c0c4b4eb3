with

source_customers as (select * from {{ ref('source_customers') }}),

tiers as (select * from {{ ref('rfm_tiers') }}),

products as (

    select *
    from {{ ref('dim_products') }}
    where is_premium

),

value_weights as (select * from {{ ref('int_value_weights') }}),

-- Far enough back that the first sign of a row of signs is seen as long as it counts.
product_days as (

    select *
    from {{ ref('fct_product_days') }}
    where
        view_count > 0
        and {{ days_between('business_date', as_of()) }}
        < {{ journey_window('vip_preorder', 'kept_days') }}
        + {{ journey_window('vip_preorder', 'rest_days') }}
        + {{ journey_window('vip_preorder', 'within_days') }}

),

looks as (

    select
        source_customers.customer_id,
        product_days.business_date,
        product_days.sku,
        products.product_name,
        sum(product_days.view_count) as view_count,
        min(product_days.first_viewed_at) as first_viewed_at,
        max(product_days.last_viewed_at) as last_viewed_at
    from product_days
    inner join products on product_days.sku = products.sku
    inner join source_customers
        on
            product_days.channel = source_customers.channel
            and product_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id, product_days.business_date, product_days.sku, products.product_name

),

look_days as (

    select
        customer_id,
        business_date,
        min(first_viewed_at) as first_viewed_at,
        row_number() over (partition by customer_id order by business_date) as day_place
    from looks
    group by customer_id, business_date

),

sign_days as (

    select
        look_days.customer_id,
        first_days.business_date as from_date,
        look_days.business_date,
        look_days.first_viewed_at
    from look_days
    inner join look_days as first_days
        on
            look_days.customer_id = first_days.customer_id
            and look_days.day_place - {{ journey_window('vip_preorder', 'seen_days') }} + 1 = first_days.day_place
    where
        {{ days_between('first_days.business_date', 'look_days.business_date') }}
        < {{ journey_window('vip_preorder', 'within_days') }}

),

signs_followed as (

    select
        *,
        lag(business_date) over (partition by customer_id order by business_date) as earlier_sign_date
    from sign_days

),

-- Who goes on looking gave the same sign: it counts once, from its first day.
first_signs as (

    select
        customer_id,
        cast(business_date as varchar) as occurrence,
        from_date,
        business_date,
        first_viewed_at as triggered_at
    from signs_followed
    where
        {{ is_still_kept('business_date', 'vip_preorder') }}
        and (
            earlier_sign_date is null
            or {{ days_between('earlier_sign_date', 'business_date') }}
            > {{ journey_window('vip_preorder', 'rest_days') }}
        )

),

-- What was looked at most on these days; of equals what was seen last.
ranked_products as (

    select
        first_signs.customer_id,
        first_signs.occurrence,
        looks.sku,
        looks.product_name,
        row_number() over (
            partition by first_signs.customer_id, first_signs.occurrence
            order by sum(looks.view_count) desc, max(looks.last_viewed_at) desc, looks.sku
        ) as product_place
    from first_signs
    inner join looks
        on
            first_signs.customer_id = looks.customer_id
            and looks.business_date between first_signs.from_date and first_signs.business_date
    group by first_signs.customer_id, first_signs.occurrence, looks.sku, looks.product_name

),

candidates as (

    select
        first_signs.*,
        tiers.spend_percentile,
        tiers.order_count_in_window
    from first_signs
    inner join tiers on first_signs.customer_id = tiers.customer_id
    where
        tiers.spend_percentile >= {{ journey_window('vip_preorder', 'spend_percentile') }}
        or tiers.order_count_in_window > {{ journey_window('vip_preorder', 'loyal_order_count') }}

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
        conversions.converted_at,
        coalesce(value_weights.value_weight, 1) as value_weight,
        ranked_products.sku,
        ranked_products.product_name,
        candidates.from_date,
        candidates.spend_percentile,
        candidates.order_count_in_window
    from candidates
    inner join ranked_products
        on
            candidates.customer_id = ranked_products.customer_id
            and candidates.occurrence = ranked_products.occurrence
            and ranked_products.product_place = 1
    left join value_weights on candidates.customer_id = value_weights.customer_id
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
