with

segments as (select * from {{ ref('customer_segments') }}),

final as (

    select
        {{ as_of() }} as as_of_date,
        rfm_tier,
        scene_tag,
        count(*) as customer_count,
        cast(sum(order_count_in_window) as bigint) as order_count_in_window,
        cast(sum(spend_amount_in_window) as decimal(18, 2)) as spend_amount_in_window,
        currency
    from segments
    group by rfm_tier, scene_tag, currency

)

select * from final
