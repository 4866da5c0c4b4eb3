with

tiers as (select * from {{ ref('rfm_tiers') }}),

near_festivals as (

    select
        *,
        {{ add_days('starts_on', '-lead_days') }} as thought_of_date
    from {{ ref('festivals') }}
    where
        {{ add_days('starts_on', '-lead_days') }} <= {{ as_of() }}
        and ends_on >= {{ as_of() }}

),

-- Somebody who never bought has a day nothing was ordered since, too.
recent_customers as (

    select *
    from tiers
    where
        last_order_date is not null
        and days_since_last_order <= {{ journey_window('festival_care', 'bought_days') }}

),

candidates as (

    select
        recent_customers.customer_id,
        concat(
            near_festivals.festival_id, ' ', cast(extract(year from near_festivals.starts_on) as varchar)
        ) as occurrence,
        {{ local_midnight_at('near_festivals.thought_of_date') }} as triggered_at,
        {{ local_midnight_at(add_days('near_festivals.ends_on', 1)) }} as expires_at,
        near_festivals.festival_id,
        near_festivals.name_zh as festival_zh,
        near_festivals.name_en as festival_en,
        near_festivals.starts_on,
        recent_customers.last_order_date
    from recent_customers
    cross join near_festivals

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
        candidates.festival_zh,
        candidates.festival_en,
        candidates.festival_id,
        candidates.starts_on,
        candidates.last_order_date
    from candidates
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
