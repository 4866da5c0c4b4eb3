with

benchmarks as (

    {{ benchmarks_in_force() }}

),

benchmark_bases as (

    select distinct
        comparison_base,
        category_name
    from benchmarks

),

favourites as (

    select
        customer_id,
        top_category_name
    from {{ ref('int_customer_favourites') }}

),

-- The benchmark of the category the customer spends most on, else of the whole industry, else the own base.
customers as (

    select
        orders.customer_id,
        orders.days_since_last_order,
        orders.order_count_in_window,
        {{ half_even('orders.net_exact_amount_in_window') }} as spend_amount_in_window,
        coalesce(
            by_category.comparison_base, by_industry.comparison_base, 'own_base'
        ) as comparison_base
    from {{ ref('int_customer_orders') }} as orders
    left join favourites on orders.customer_id = favourites.customer_id
    left join benchmark_bases as by_category on favourites.top_category_name = by_category.category_name
    left join benchmark_bases as by_industry on by_industry.category_name is null

),

rules as (

    select *
    from {{ ref('rfm_ladders') }}
    where ladder = '{{ setting("ladder") }}'

),

{{ ladder_limits() }},

matches as (

    select
        customers.customer_id,
        min(limits.priority) as priority
    from customers
    inner join limits
        on
            {{ customer_meets_limits() }}
    group by customers.customer_id

),

-- Per cent of the other buyers who spent as much or less: P80 is met from 80 on, and equal spends are equal.
places as (

    select
        customer_id,
        case
            when count(*) over () = 1 then cast(100 as double)
            else {{ ratio(
                '100 * (count(*) over () - rank() over (order by spend_amount_in_window desc))',
                '(count(*) over () - 1)'
            ) }}
        end as spend_percentile
    from customers
    where order_count_in_window > 0 and spend_amount_in_window is not null

),

final as (

    select
        customers.customer_id,
        customers.days_since_last_order,
        customers.order_count_in_window,
        customers.spend_amount_in_window,
        places.spend_percentile,
        rules.tier as rfm_tier,
        rules.ladder,
        rules.rule_id as tier_rule_id,
        rules.spend_basis,
        customers.comparison_base
    from customers
    inner join matches on customers.customer_id = matches.customer_id
    inner join rules on matches.priority = rules.priority
    left join places on customers.customer_id = places.customer_id

)

select * from final
