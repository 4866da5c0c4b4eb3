-- Orders of one day are one purchase: shops split a basket into parcels with a number each, and nobody means to
-- thank for the second of them.
with

paid_orders as (select * from {{ ref('int_paid_orders') }}),

customer_days as (select * from {{ ref('int_customer_days') }}),

orders_placed as (

    select
        *,
        row_number() over (
            partition by customer_id, business_date
            order by ordered_at, channel, order_id
        ) as order_place,
        max(case when is_given_back then 0 else 1 end) over (partition by customer_id, business_date) as kept_most
    from paid_orders

),

starts as (

    select
        *,
        lead(ordered_at) over (partition by customer_id order by business_date) as next_ordered_at
    from orders_placed
    where order_place = 1

),

final as (

    select
        starts.customer_id,
        starts.business_date,
        starts.channel,
        starts.order_id,
        starts.ordered_at,
        starts.main_sku,
        starts.kept_most = 1 as is_kept,
        starts.next_ordered_at,
        customer_days.purchase_day_number
    from starts
    inner join customer_days
        on
            starts.customer_id = customer_days.customer_id
            and starts.business_date = customer_days.business_date

)

select * from final
