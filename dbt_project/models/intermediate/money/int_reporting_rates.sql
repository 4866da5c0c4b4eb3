with

-- Only the pair as quoted: one unit of the foreign currency costs so much of ours. The other direction has another
-- spread, and 1 divided by it is no exact number.
rates as (

    select *
    from {{ ref('stg_exchange_rates') }}
    where
        quote_currency = '{{ setting("reporting_currency") }}'
        and base_currency <> quote_currency
        and rate > 0

),

-- Markets rest on holidays, so a rate holds for some days after its own.
ages as (

    select 0 as age_days
    {%- for days in range(1, var('rate_max_age_days') + 1) %}
        union all
        select {{ days }}
    {%- endfor %}

),

held as (

    select
        rates.base_currency as currency,
        {{ add_days('rates.rate_date', 'ages.age_days') }} as business_date,
        rates.rate,
        rates.rate_date,
        ages.age_days,
        rates.channel
    from rates
    cross join ages

),

-- The newest rate of the day; of two sources for the same day the first in the alphabet.
ranked as (

    select
        *,
        row_number() over (partition by currency, business_date order by age_days, channel) as rate_place
    from held
    where business_date <= {{ as_of() }}

),

final as (

    select
        currency,
        business_date,
        rate as reporting_rate,
        rate_date
    from ranked
    where rate_place = 1

)

select * from final
