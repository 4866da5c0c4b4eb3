with

customer_days as (

    select *
    from {{ ref('int_customer_days') }}
    where order_count > 0

),

first_orders as (

    select
        customer_id,
        min(business_date) as first_order_date,
        min(case when purchase_day_number = 2 then business_date end) as second_order_date
    from customer_days
    group by customer_id

),

-- Who has not had the days yet can neither have come back nor have stayed away.
observed as (

    select
        cast(date_trunc('month', first_order_date) as date) as cohort_month_date,
        {{ add_days('first_order_date', var('repurchase_days')) }} <= {{ as_of() }} as is_observed,
        coalesce(second_order_date <= {{ add_days('first_order_date', var('repurchase_days')) }}, false)
            as has_repurchased
    from first_orders

),

counted as (

    select
        cohort_month_date,
        count(*) as customer_count,
        sum(case when is_observed then 1 else 0 end) as observed_customer_count,
        sum(case when is_observed and has_repurchased then 1 else 0 end) as repurchase_customer_count
    from observed
    group by cohort_month_date

),

final as (

    select
        cohort_month_date,
        customer_count,
        cast(observed_customer_count as bigint) as observed_customer_count,
        cast(repurchase_customer_count as bigint) as repurchase_customer_count,
        {{ ratio('100 * repurchase_customer_count', 'observed_customer_count') }} as repurchase_pct
    from counted

)

select * from final
