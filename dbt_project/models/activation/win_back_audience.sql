with

tiers as (select * from {{ ref('rfm_tiers') }}),

favourites as (select * from {{ ref('int_customer_favourites') }}),

value_weights as (select * from {{ ref('int_value_weights') }}),

lost_customers as (

    select
        customer_id,
        cast(last_order_date as varchar) as occurrence,
        {{ add_days('last_order_date', journey_window('win_back', 'silent_days')) }} as lost_date,
        rfm_tier,
        days_since_last_order,
        last_order_date
    from tiers
    where last_order_date is not null

),

candidates as (

    select *
    from lost_customers
    where lost_date <= {{ as_of() }} and {{ is_still_kept('lost_date', 'win_back') }}

),

final as (

    select
        candidates.customer_id,
        candidates.occurrence,
        {{ local_midnight_at('candidates.lost_date') }} as triggered_at,
        'marketing' as purpose,
        coalesce(value_weights.value_weight, 1) as value_weight,
        favourites.top_category_name as favourite_category,
        candidates.rfm_tier,
        candidates.days_since_last_order,
        candidates.last_order_date
    from candidates
    left join favourites on candidates.customer_id = favourites.customer_id
    left join value_weights on candidates.customer_id = value_weights.customer_id

)

select * from final
