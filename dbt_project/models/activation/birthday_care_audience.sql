with

birthdays as (select * from {{ ref('int_customer_birthdays') }}),

-- Around New Year the next birthday is one of the year after.
years as (

    select cast(extract(year from {{ as_of() }}) as integer) as birthday_year

    union all

    select cast(extract(year from {{ as_of() }}) as integer) + 1 as birthday_year

),

month_starts as (

    select
        birthdays.customer_id,
        birthdays.birth_day,
        birthdays.latest_birth_year,
        years.birthday_year,
        {{ add_months(first_of_year('years.birthday_year'), 'birthdays.birth_month - 1') }} as month_start_date
    from birthdays
    cross join years

),

-- Who was born on 29 February has the birthday on the 28th in the other years.
dated as (

    select
        customer_id,
        latest_birth_year,
        birthday_year,
        least(
            {{ add_days('month_start_date', 'birth_day - 1') }},
            {{ add_days(add_months('month_start_date', 1), -1) }}
        ) as birthday_date
    from month_starts

),

candidates as (

    select
        customer_id,
        cast(birthday_year as varchar) as occurrence,
        {{ local_midnight_at(
            add_days('birthday_date', '-' ~ journey_window('birthday_care', 'lead_days'))
        ) }} as triggered_at,
        {{ local_midnight_at(add_days('birthday_date', 1)) }} as expires_at
    from dated
    where
        birthday_date >= {{ as_of() }}
        and {{ days_between(as_of(), 'birthday_date') }} <= {{ journey_window('birthday_care', 'lead_days') }}
        -- The message comes before the birthday: the age is that of the day before it.
        and birthday_year - latest_birth_year - 1 >= {{ journey_window('birthday_care', 'least_age_years') }}

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
        conversions.converted_at
    from candidates
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence

)

select * from final
