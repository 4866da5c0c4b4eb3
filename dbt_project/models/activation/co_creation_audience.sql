with

tiers as (select * from {{ ref('rfm_tiers') }}),

last_orders as (

    select
        customer_id,
        max(ordered_at) as ordered_at
    from {{ ref('fct_orders') }}
    where document_kind = 'sale'
    group by customer_id

),

-- The last order is the fact: it was made by somebody loyal. A year asks once.
final as (

    select
        tiers.customer_id,
        cast(extract(year from tiers.last_order_date) as varchar) as occurrence,
        last_orders.ordered_at as triggered_at,
        'marketing' as purpose,
        cast(tiers.order_count_in_window as varchar) as order_count,
        tiers.last_order_date
    from tiers
    inner join last_orders on tiers.customer_id = last_orders.customer_id
    where
        tiers.order_count_in_window > {{ journey_window('co_creation', 'loyal_order_count') }}
        and {{ is_still_kept('tiers.last_order_date', 'co_creation') }}

)

select * from final
