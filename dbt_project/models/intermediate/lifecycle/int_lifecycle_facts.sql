-- What decides the stage of a customer on a day, from what is known at as_of. One row per customer and day, from the
-- day the customer was first seen.
with

lifecycle_days as (select snapshot_date from {{ ref('int_lifecycle_days') }}),

customers as (

    select
        customers.customer_id,
        customers.first_seen_date,
        lifecycle_days.snapshot_date
    from {{ ref('dim_customers') }} as customers
    inner join lifecycle_days on customers.first_seen_date <= lifecycle_days.snapshot_date

),

orders as (

    select
        customer_days.customer_id,
        lifecycle_days.snapshot_date,
        sum(customer_days.order_count) as order_count,
        sum(
            case
                when
                    customer_days.business_date
                    > {{ add_days('lifecycle_days.snapshot_date', -var('lifecycle_year_days')) }}
                    then customer_days.order_count
                else 0
            end
        ) as order_count_in_year,
        max(customer_days.business_date) as last_order_date
    from {{ ref('int_customer_days') }} as customer_days
    inner join lifecycle_days on customer_days.business_date <= lifecycle_days.snapshot_date
    where customer_days.order_count > 0
    group by customer_days.customer_id, lifecycle_days.snapshot_date

),

interest as (

    select
        interest_days.customer_id,
        lifecycle_days.snapshot_date,
        sum(interest_days.interest_count) as interest_count,
        sum(interest_days.product_view_count) as product_view_count
    from {{ ref('int_customer_interest_days') }} as interest_days
    inner join lifecycle_days
        on
            interest_days.business_date <= lifecycle_days.snapshot_date
            and interest_days.business_date
            > {{ add_days('lifecycle_days.snapshot_date', -var('interest_window_days')) }}
    group by interest_days.customer_id, lifecycle_days.snapshot_date

),

final as (

    select
        customers.customer_id,
        customers.snapshot_date,
        cast(coalesce(orders.order_count, 0) as bigint) as order_count,
        cast(coalesce(orders.order_count_in_year, 0) as bigint) as order_count_in_year,
        {{ days_between('coalesce(orders.last_order_date, customers.first_seen_date)', 'customers.snapshot_date') }}
            as days_since_last_order,
        cast(coalesce(interest.interest_count, 0) as bigint) as interest_count,
        cast(coalesce(interest.product_view_count, 0) as bigint) as product_view_count
    from customers
    left join orders
        on customers.customer_id = orders.customer_id and customers.snapshot_date = orders.snapshot_date
    left join interest
        on customers.customer_id = interest.customer_id and customers.snapshot_date = interest.snapshot_date

)

select * from final
