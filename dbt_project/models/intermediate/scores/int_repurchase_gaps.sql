-- Days from each purchase to the next of its series, or to as_of where there was none yet: such a gap is open, and will
-- be at least as long. One row per customer, scope, series and day.
with

purchases as (select * from {{ ref('int_purchase_series') }}),

followed as (

    select
        *,
        min(case when has_consumable then business_date end) over (
            partition by customer_id, scope, series
            order by business_date
            rows between 1 following and unbounded following
        ) as next_date,
        row_number() over (partition by customer_id, scope, series order by business_date desc) as recency_place
    from purchases

),

final as (

    select
        customer_id,
        scope,
        series,
        business_date,
        has_consumable,
        quantity,
        recency_place,
        next_date is not null as is_closed,
        {{ days_between('business_date', 'coalesce(next_date, ' ~ as_of() ~ ')') }} as gap_days
    from followed

)

select * from final
