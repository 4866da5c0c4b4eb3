with

source_customers as (select * from {{ ref('source_customers') }}),

products as (select * from {{ ref('dim_products') }}),

product_days as (

    select *
    from {{ ref('fct_product_days') }}
    where
        view_count > 0
        -- What was looked at before the span of the first sign that is still kept, and before the sign before it.
        and {{ days_between('business_date', as_of()) }}
        < {{ journey_window('browse_list', 'kept_days') }} + 2 * {{ journey_window('browse_list', 'within_days') }}

),

purchases as (select * from {{ ref('int_customer_product_days') }}),

lists as (select * from {{ ref('browse_lists') }}),

look_days as (

    select
        source_customers.customer_id,
        lists.list_id,
        product_days.business_date,
        min(product_days.first_viewed_at) as first_viewed_at
    from product_days
    inner join source_customers
        on
            product_days.channel = source_customers.channel
            and product_days.source_customer_id = source_customers.source_customer_id
    inner join products on product_days.sku = products.sku
    inner join lists on {{ is_in_list('lower(products.category_name)', 'lists.category_names') }}
    group by source_customers.customer_id, lists.list_id, product_days.business_date

),

sign_days as (

    select
        look_days.customer_id,
        look_days.list_id,
        look_days.business_date,
        look_days.first_viewed_at
    from look_days
    inner join look_days as earlier_days
        on
            look_days.customer_id = earlier_days.customer_id
            and look_days.list_id = earlier_days.list_id
            and look_days.business_date >= earlier_days.business_date
            and {{ days_between('earlier_days.business_date', 'look_days.business_date') }}
            < {{ journey_window('browse_list', 'within_days') }}
    group by look_days.customer_id, look_days.list_id, look_days.business_date, look_days.first_viewed_at
    having count(*) >= {{ journey_window('browse_list', 'seen_days') }}

),

signs_followed as (

    select
        *,
        lag(business_date) over (partition by customer_id, list_id order by business_date) as earlier_sign_date
    from sign_days

),

-- Who goes on looking gave the same sign: it is counted once, from its first day.
first_signs as (

    select
        customer_id,
        list_id,
        business_date,
        first_viewed_at as triggered_at,
        concat(list_id, ' ', cast(business_date as varchar)) as occurrence
    from signs_followed
    where
        {{ is_still_kept('business_date', 'browse_list') }}
        and (
            earlier_sign_date is null
            or {{ days_between('earlier_sign_date', 'business_date') }}
            > {{ journey_window('browse_list', 'within_days') }}
        )

),

-- Who bought of it while looking needs no list.
bought as (

    select distinct
        first_signs.customer_id,
        first_signs.occurrence
    from first_signs
    inner join lists on first_signs.list_id = lists.list_id
    inner join purchases
        on
            first_signs.customer_id = purchases.customer_id
            and first_signs.business_date >= purchases.business_date
            and {{ days_between('purchases.business_date', 'first_signs.business_date') }}
            < {{ journey_window('browse_list', 'within_days') }}
            and {{ is_in_list('lower(purchases.category_name)', 'lists.category_names') }}

),

candidates as (

    select first_signs.*
    from first_signs
    left join bought
        on
            first_signs.customer_id = bought.customer_id
            and first_signs.occurrence = bought.occurrence
    where bought.customer_id is null

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
        candidates.list_id,
        lists.list_zh,
        lists.list_en
    from candidates
    inner join lists on candidates.list_id = lists.list_id
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
