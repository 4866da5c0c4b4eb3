{{ config(materialized='view') }}

with

current_exchange_rates as (

    {{ current_records('exchange_rates') }}

),

final as (

    select
        channel,
        base_currency,
        quote_currency,
        rate_date,
        rate
    from current_exchange_rates
    where rate_date <= {{ as_of() }}

)

select * from final
