with

official_tiers as (

    select *
    from {{ source('history', 'official_rfm_tiers') }}
    where as_of_date <= {{ as_of() }}

),

compared as (

    select
        customer_id,
        as_of_date,
        rfm_tier,
        ladder,
        reason,
        lag(rfm_tier) over (partition by customer_id order by as_of_date) as previous_rfm_tier
    from official_tiers

),

changes as (

    select *
    from compared
    where previous_rfm_tier is null or previous_rfm_tier <> rfm_tier

),

final as (

    select
        customer_id,
        as_of_date as valid_from,
        lead(as_of_date) over (partition by customer_id order by as_of_date) as valid_until,
        rfm_tier,
        previous_rfm_tier,
        ladder,
        reason
    from changes

)

select * from final
