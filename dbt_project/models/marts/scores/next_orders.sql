{%- set rule_window = var('next_order_rule_window_pct') -%}
{%- set window = var('next_order_window_pct') -%}

with

customer_days as (select * from {{ ref('int_customer_days') }}),

purchases as (select * from {{ ref('int_purchase_series') }}),

cadences as (select * from {{ ref('int_category_cadences') }}),

-- Beside each gap what the same rule would have said before it.
purchase_days as (

    select
        customer_id,
        business_date,
        days_since_previous_purchase as gap_days,
        count(days_since_previous_purchase) over earlier as earlier_gap_count,
        {{ quantile_of('days_since_previous_purchase', 0.5) }} over earlier as earlier_median_days
    from customer_days
    where purchase_day_number is not null
    window
        earlier as (
            partition by customer_id order by business_date rows between unbounded preceding and 1 preceding
        )

),

customers as (

    select
        customer_id,
        count(*) as purchase_day_count,
        max(business_date) as last_order_date,
        {{ ratio('sum(gap_days)', 'count(gap_days)') }} as average_days_between_orders,
        {{ quantile_of('gap_days', 0.5) }} as median_days_between_orders
    from purchase_days
    group by customer_id

),

-- How far from the own rhythm the next order really came, over all customers who have one.
own_spread as (

    select
        count(*) as gap_count,
        {{ quantile_of(ratio('gap_days', 'earlier_median_days'), window[0] / 100) }} as from_ratio,
        {{ quantile_of(ratio('gap_days', 'earlier_median_days'), window[1] / 100) }} as until_ratio
    from purchase_days
    where gap_days is not null and earlier_gap_count >= {{ var('rhythm_min_purchase_days') - 1 }}

),

-- The category most was paid for on the last day with a category.
last_categories as (

    select
        customer_id,
        series as category_name,
        row_number() over (
            partition by customer_id
            order by business_date desc, gross_exact_amount desc nulls last, quantity desc, series
        ) as place
    from purchases
    where scope = 'category'

),

told as (

    select
        customers.*,
        last_categories.category_name as last_category_name,
        customers.purchase_day_count >= {{ var('rhythm_min_purchase_days') }} as has_own_rhythm,
        {{ nearest_whole('customers.median_days_between_orders') }} as own_days,
        cadences.cadence_basis as category_basis,
        cadences.cadence_days as category_days,
        cadences.from_days as category_from_days,
        cadences.until_days as category_until_days,
        case when own_spread.gap_count >= {{ var('cadence_min_gaps') }} then own_spread.from_ratio end
            as own_from_ratio,
        case when own_spread.gap_count >= {{ var('cadence_min_gaps') }} then own_spread.until_ratio end
            as own_until_ratio
    from customers
    cross join own_spread
    left join last_categories
        on customers.customer_id = last_categories.customer_id and last_categories.place = 1
    left join cadences on cadences.category_name = coalesce(last_categories.category_name, '*')

),

chosen as (

    select
        *,
        case when has_own_rhythm then 'own' else category_basis end as cadence_basis,
        case when has_own_rhythm then own_days else category_days end as cadence_days,
        case when has_own_rhythm then cast(own_days * own_from_ratio as double) else category_from_days end
            as measured_from_days,
        case when has_own_rhythm then cast(own_days * own_until_ratio as double) else category_until_days end
            as measured_until_days
    from told

),

dated as (

    select
        *,
        {{ add_days('last_order_date', 'cadence_days') }} as due_date,
        {{ nearest_whole('coalesce(measured_from_days, cadence_days * ' ~ rule_window[0] ~ ' / 100.0)') }}
            as from_days,
        {{ nearest_whole('coalesce(measured_until_days, cadence_days * ' ~ rule_window[1] ~ ' / 100.0)') }}
            as until_days,
        {{ days_between('last_order_date', as_of()) }} > greatest(
            {{ var('next_order_lapse_cadences') }} * cadence_days, {{ var('churn_horizon_days') }}
        ) as is_lapsed
    from chosen

),

spanned as (

    select
        *,
        greatest({{ add_days('last_order_date', 'until_days') }}, due_date) as until_date
    from dated

),

final as (

    select
        customer_id,
        cast(purchase_day_count as bigint) as purchase_day_count,
        last_order_date,
        average_days_between_orders,
        cast(median_days_between_orders as double) as median_days_between_orders,
        last_category_name,
        cadence_basis,
        cadence_days,
        due_date,
        case
            when is_lapsed then 'lapsed'
            when due_date <= {{ as_of() }} then 'overdue'
            else 'expected'
        end as next_order_status,
        due_date <= {{ as_of() }} as is_overdue,
        greatest({{ days_between('due_date', as_of_plus(1)) }}, 0) as overdue_days,
        case when not is_lapsed then greatest(due_date, {{ as_of_plus(1) }}) end as expected_date_of_next_order,
        -- A span that is over says nothing: cut to one day it would promise four of five for tomorrow.
        case
            when not is_lapsed and until_date > {{ as_of() }}
                then greatest({{ add_days('last_order_date', 'from_days') }}, {{ as_of_plus(1) }})
        end as next_order_from_date,
        case when not is_lapsed and until_date > {{ as_of() }} then until_date end as next_order_until_date
    from spanned

)

select * from final
