with

customers as (

    select
        customer_id,
        days_since_last_order,
        order_count_in_window,
        {{ half_even('net_exact_amount_in_window') }} as spend_amount_in_window
    from {{ ref('int_customer_orders') }}

),

rules as (

    select *
    from {{ ref('rfm_ladders') }}
    where ladder = '{{ setting("ladder") }}'

),

-- M is compared with the customers who ordered in the window; the others would pull every limit to 0.
buyers as (

    select
        spend_amount_in_window,
        row_number() over (order by spend_amount_in_window, customer_id) as spend_place
    from customers
    where order_count_in_window > 0 and spend_amount_in_window is not null

),

base as (

    select
        count(*) as buyer_count,
        sum(spend_amount_in_window) as total_amount
    from buyers

),

percentiles as (

    select min_spend_pct as spend_pct
    from rules
    where spend_basis = 'percentile'

    union distinct

    select max_spend_pct
    from rules
    where spend_basis = 'percentile'

),

-- Position p * (n - 1) between the ordered spends, as quantile_cont does, but in whole numbers.
positions as (

    select
        percentiles.spend_pct,
        base.buyer_count,
        percentiles.spend_pct * (base.buyer_count - 1) as position_hundredths,
        percentiles.spend_pct * (base.buyer_count - 1) % 100 as fraction_hundredths
    from percentiles
    cross join base
    where percentiles.spend_pct is not null and base.buyer_count > 0

),

-- Hundredfold, so that no limit is ever rounded.
percentile_limits as (

    select
        positions.spend_pct,
        lower_buyers.spend_amount_in_window * (100 - positions.fraction_hundredths)
        + upper_buyers.spend_amount_in_window * positions.fraction_hundredths as hundredfold_amount
    from positions
    inner join buyers as lower_buyers
        on
            lower_buyers.spend_place
            = cast((positions.position_hundredths - positions.fraction_hundredths) / 100 as bigint) + 1
    inner join buyers as upper_buyers
        on
            upper_buyers.spend_place
            = least(
                cast((positions.position_hundredths - positions.fraction_hundredths) / 100 as bigint) + 2,
                positions.buyer_count
            )

),

limits as (

    select
        rules.*,
        case rules.spend_basis
            when 'percentile' then 100
            when 'mean' then base.buyer_count * 100
        end as spend_factor,
        case rules.spend_basis
            when 'percentile' then lower_limits.hundredfold_amount
            when 'mean' then base.total_amount * rules.min_spend_pct
        end as min_amount_by_factor,
        case rules.spend_basis
            when 'percentile' then upper_limits.hundredfold_amount
            when 'mean' then base.total_amount * rules.max_spend_pct
        end as max_amount_by_factor
    from rules
    cross join base
    left join percentile_limits as lower_limits on rules.min_spend_pct = lower_limits.spend_pct
    left join percentile_limits as upper_limits on rules.max_spend_pct = upper_limits.spend_pct

),

-- A limit on spend is never met by someone who spent nothing: all-refunded customers are no top customers.
matches as (

    select
        customers.customer_id,
        min(limits.priority) as priority
    from customers
    inner join limits
        on
            customers.days_since_last_order >= coalesce(limits.min_days_since_last_order, 0)
            and (
                limits.max_days_since_last_order is null
                or customers.days_since_last_order <= limits.max_days_since_last_order
            )
            and customers.order_count_in_window >= coalesce(limits.min_order_count, 0)
            and (
                limits.max_order_count is null
                or customers.order_count_in_window <= limits.max_order_count
            )
            and (
                limits.spend_basis = 'none'
                or (
                    customers.spend_amount_in_window > 0
                    and (
                        limits.min_spend_pct is null
                        or customers.spend_amount_in_window * limits.spend_factor >= limits.min_amount_by_factor
                    )
                    and (
                        limits.max_spend_pct is null
                        or customers.spend_amount_in_window * limits.spend_factor <= limits.max_amount_by_factor
                    )
                )
            )
    group by customers.customer_id

),

final as (

    select
        customers.customer_id,
        customers.days_since_last_order,
        customers.order_count_in_window,
        customers.spend_amount_in_window,
        rules.tier as rfm_tier,
        rules.ladder,
        rules.rule_id as tier_rule_id,
        rules.spend_basis
    from customers
    inner join matches on customers.customer_id = matches.customer_id
    inner join rules on matches.priority = rules.priority

)

select * from final
