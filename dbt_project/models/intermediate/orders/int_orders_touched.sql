{{ config(materialized='stepwise', shape='replace_keys', key='attempt', keys='finished_attempts') }}
{%- set before = documents_before() %}

-- Documents of which a line or the header is on a day that changed, now or before, or whose rate did, since the last
-- finished staging. What is made of documents is made anew for these. A full build leaves it empty: nothing is stepped.
with

order_lines as (select * from {{ ref('stg_order_lines') }}),

orders as (select * from {{ ref('stg_orders') }}),

touched_days as (

    {{ touched_days(['order_lines', 'orders']) }}

),

-- A rate holds for some days after its own.
rated_days as (

    {% for days in range(0, var('rate_max_age_days') + 1) %}
        select {{ add_days('business_date', days) }} as business_date
        from ({{ touched_days(['exchange_rates']) }}) as quoted
        {% if not loop.last %}union distinct{% endif %}
    {% endfor %}

),

records as (

    {% for relation in ['order_lines', 'orders'] %}
        select
            {{ relation }}.channel,
            {{ relation }}.order_id
        from {{ relation }}
        where
            {{ relation }}.business_date in (select touched_days.business_date from touched_days)
            or (
                {{ relation }}.currency <> '{{ setting("reporting_currency") }}'
                and {{ relation }}.business_date in (select rated_days.business_date from rated_days)
            )
        {% if not loop.last %}union all{% endif %}
    {% endfor %}
    {% if before is not none %}
        -- Its records may be gone or on another day by now.
        union all
        select
            documents.channel,
            documents.order_id
        from {{ before }} as documents
        inner join touched_days
            on touched_days.business_date between documents.first_record_date and documents.last_record_date
        -- A document takes the rate of its lines on the day of its header: neither record need be in both.
        union all
        select
            channel,
            order_id
        from {{ before }}
        where
            currency <> '{{ setting("reporting_currency") }}'
            and business_date in (select rated_days.business_date from rated_days)
    {% endif %}

),

final as (

    select distinct
        channel,
        order_id,
        {{ order_key() }} as order_key,
        cast({{ step_state().attempt }} as integer) as attempt
    from records
    where {{ 'true' if is_stepping() else 'false' }}

)

select * from final
