with

tiers as (select * from {{ ref('rfm_tiers') }}),

favourites as (select * from {{ ref('int_customer_favourites') }}),

-- Who stays silent for longer is lost and belongs to the win-back.
dormant_customers as (

    select
        customer_id,
        cast(last_order_date as varchar) as occurrence,
        {{ add_days('last_order_date', journey_window('dormant_wake_up', 'silent_days')) }} as dormant_date,
        {{ add_days('last_order_date', journey_window('win_back', 'silent_days')) }} as lost_date,
        rfm_tier,
        tier_rule_id,
        days_since_last_order,
        last_order_date
    from tiers
    where
        rfm_tier = 'dormant'
        and days_since_last_order >= {{ journey_window('dormant_wake_up', 'silent_days') }}
        and days_since_last_order < {{ journey_window('win_back', 'silent_days') }}

),

final as (

    select
        dormant_customers.customer_id,
        dormant_customers.occurrence,
        {{ local_midnight_at('dormant_customers.dormant_date') }} as triggered_at,
        'marketing' as purpose,
        {{ local_midnight_at('dormant_customers.lost_date') }} as expires_at,
        favourites.top_category_name as favourite_category,
        dormant_customers.rfm_tier,
        dormant_customers.tier_rule_id,
        dormant_customers.days_since_last_order,
        dormant_customers.last_order_date
    from dormant_customers
    left join favourites on dormant_customers.customer_id = favourites.customer_id

)

select * from final
