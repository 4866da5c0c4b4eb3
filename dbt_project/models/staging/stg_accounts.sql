with

current_accounts as (

    {{ current_records('accounts') }}

),

-- A display name or a birth day points at a person: neither leaves the private part of the data.
final as (

    select
        channel,
        source_customer_id,
        registered_at,
        coalesce(source_version, known_at) as said_at,
        {{ to_business_date('coalesce(registered_at, known_at)') }} as first_seen_date,
        gender,
        cast(extract(year from birth_date) as integer) as birth_year,
        city_name,
        country_name,
        guide_id,
        store_id,
        source_name
    from current_accounts

)

select * from final
