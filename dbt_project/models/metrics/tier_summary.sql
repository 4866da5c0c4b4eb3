with

tiers as (

    select
        rfm_tiers.*,
        count(*) over () as all_customer_count
    from {{ ref('rfm_tiers') }} as rfm_tiers

),

summed as (

    select
        as_of_date,
        rfm_tier,
        currency,
        max(all_customer_count) as all_customer_count,
        count(*) as customer_count,
        sum(order_count) as order_count,
        sum(spend_amount) as spend_amount,
        sum(spend_amount_in_window) as spend_amount_in_window,
        sum(days_since_last_order) as silent_days
    from tiers
    group by as_of_date, rfm_tier, currency

),

final as (

    select
        as_of_date,
        rfm_tier,
        customer_count,
        {{ ratio('100 * customer_count', 'all_customer_count') }} as customer_share_pct,
        cast(order_count as bigint) as order_count,
        currency,
        cast(spend_amount as decimal(18, 2)) as spend_amount,
        cast(spend_amount_in_window as decimal(18, 2)) as spend_amount_in_window,
        {{ ratio('silent_days', 'customer_count') }} as average_days_since_last_order
    from summed

)

select * from final
