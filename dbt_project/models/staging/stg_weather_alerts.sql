{{ config(materialized='view') }}

with

current_weather_alerts as (

    {{ current_records('weather_alerts', event_at='issued_at') }}

),

final as (

    select
        channel,
        alert_id,
        city_name,
        alert_kind,
        alert_level,
        issued_at,
        {{ to_business_date('issued_at') }} as business_date,
        starts_at,
        ends_at
    from current_weather_alerts

)

select * from final
