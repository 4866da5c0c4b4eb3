with

current_accounts as (

    {{ current_records('accounts') }}

),

-- A display name or a date of birth points at a person: neither leaves the private part of the data. Of the date
-- only its parts do, the day and the month for the birthday alone.
final as (

    select
        channel,
        source_customer_id,
        registered_at,
        coalesce(source_version, known_at) as said_at,
        {{ to_business_date('coalesce(registered_at, known_at)') }} as first_seen_date,
        gender,
        cast(extract(year from birth_date) as integer) as birth_year,
        cast(extract(month from birth_date) as integer) as birth_month,
        cast(extract(day from birth_date) as integer) as birth_day,
        city_name,
        country_name,
        guide_id,
        store_id,
        source_name
    from current_accounts

)

select * from final
