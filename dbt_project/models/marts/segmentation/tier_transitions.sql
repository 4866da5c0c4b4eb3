with

steps as (select * from {{ ref('int_official_tier_steps') }}),

counted as (

    select
        as_of_date as month_end,
        ladder,
        coalesce(previous_rfm_tier, 'none') as from_tier,
        rfm_tier as to_tier,
        direction,
        count(*) as customer_count
    from steps
    group by as_of_date, ladder, coalesce(previous_rfm_tier, 'none'), rfm_tier, direction

),

final as (

    select
        month_end,
        ladder,
        from_tier,
        to_tier,
        direction,
        customer_count,
        {{ ratio(
            '100 * customer_count', 'sum(customer_count) over (partition by month_end, ladder, from_tier)'
        ) }} as share_pct
    from counted

)

select * from final
