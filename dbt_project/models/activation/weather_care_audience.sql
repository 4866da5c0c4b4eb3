with

customers as (select * from {{ ref('dim_customers') }}),

alerts as (

    select
        *,
        coalesce(
            ends_at, {{ local_midnight_at(add_days('business_date', journey_window('weather_care', 'valid_days'))) }}
        ) as expires_at,
        row_number() over (partition by alert_id, city_name order by issued_at desc, channel) as alert_place
    from {{ ref('stg_weather_alerts') }}

),

words as (select * from {{ ref('weather_words') }}),

-- One that ended today is still shown, so that it is seen to have expired.
alerts_in_force as (

    select *
    from alerts
    where alert_place = 1 and expires_at >= {{ local_midnight_at(as_of()) }}

),

candidates as (

    select
        customers.customer_id,
        alerts_in_force.alert_id as occurrence,
        alerts_in_force.issued_at as triggered_at,
        alerts_in_force.expires_at,
        words.alert_zh,
        words.alert_en,
        words.care_zh,
        words.care_en,
        alerts_in_force.alert_kind,
        alerts_in_force.alert_level,
        customers.city_name
    from customers
    inner join alerts_in_force on customers.city_name = alerts_in_force.city_name
    inner join words on alerts_in_force.alert_kind = words.alert_kind

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
        candidates.alert_zh,
        candidates.alert_en,
        candidates.care_zh,
        candidates.care_en,
        candidates.alert_kind,
        candidates.alert_level,
        candidates.city_name
    from candidates
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
