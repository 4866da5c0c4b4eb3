with

changes as (

    select *
    from {{ ref('int_official_tier_steps') }}
    where direction <> 'stayed'

),

final as (

    select
        customer_id,
        as_of_date as valid_from,
        lead(as_of_date) over (partition by customer_id order by as_of_date) as valid_until,
        rfm_tier,
        previous_rfm_tier,
        direction,
        ladder,
        reason
    from changes

)

select * from final
