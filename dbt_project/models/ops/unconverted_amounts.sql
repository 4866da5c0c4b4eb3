with

rates as (select * from {{ ref('int_reporting_rates') }}),

booked as (

    select
        'order_lines' as entity,
        channel,
        currency,
        business_date,
        line_amount as amount
    from {{ ref('stg_order_lines') }}
    where currency <> '{{ setting("reporting_currency") }}'

    union all

    select
        'orders' as entity,
        channel,
        currency,
        business_date,
        paid_amount as amount
    from {{ ref('stg_orders') }}
    where currency <> '{{ setting("reporting_currency") }}'

    union all

    select
        'refunds' as entity,
        channel,
        currency,
        business_date,
        refund_amount as amount
    from {{ ref('stg_refunds') }}
    where currency <> '{{ setting("reporting_currency") }}'

),

final as (

    select
        booked.entity,
        booked.channel,
        booked.currency,
        booked.business_date,
        count(*) as record_count,
        {{ half_even('sum(booked.amount)') }} as amount
    from booked
    left join rates
        on booked.currency = rates.currency and booked.business_date = rates.business_date
    where rates.currency is null
    group by booked.entity, booked.channel, booked.currency, booked.business_date

)

select * from final
