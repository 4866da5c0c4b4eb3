with

customer_orders as (select * from {{ ref('int_customer_orders') }}),

source_customers as (select * from {{ ref('source_customers') }}),

event_days as (

    select *
    from {{ ref('fct_events_daily') }}
    where business_date > {{ as_of_plus(-var('cluster_behaviour_days')) }}

),

browsed as (

    select
        source_customers.customer_id,
        count(distinct event_days.business_date) as active_day_count,
        sum(event_days.product_view_count) as product_view_count,
        sum(event_days.cart_added_count) as cart_added_count
    from event_days
    inner join source_customers
        on
            event_days.channel = source_customers.channel
            and event_days.source_customer_id = source_customers.source_customer_id
    group by source_customers.customer_id

),

-- Who has never ordered has no spend and no silence to be grouped by.
buyers as (

    select *
    from customer_orders
    where order_count > 0

),

final as (

    select
        buyers.customer_id,
        buyers.days_since_last_order,
        buyers.order_count_in_window,
        {{ half_even('buyers.net_exact_amount_in_window') }} as spend_in_window_amount,
        {{ ratio('buyers.net_exact_amount', 'buyers.order_count') }} as average_order_amount,
        cast(coalesce(browsed.active_day_count, 0) as bigint) as active_day_count,
        cast(coalesce(browsed.product_view_count, 0) as bigint) as product_view_count,
        cast(coalesce(browsed.cart_added_count, 0) as bigint) as cart_added_count
    from buyers
    left join browsed on buyers.customer_id = browsed.customer_id

)

select * from final
