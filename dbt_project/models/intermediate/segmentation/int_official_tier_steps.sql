{{ config(materialized='view') }}

with

official_tiers as (

    select *
    from {{ source('history', 'official_rfm_tiers') }}
    where as_of_date <= {{ as_of() }}

),

labels as (select * from {{ ref('rfm_tier_labels') }}),

compared as (

    select
        customer_id,
        as_of_date,
        rfm_tier,
        ladder,
        reason,
        lag(rfm_tier) over (partition by customer_id order by as_of_date) as previous_rfm_tier,
        lag(ladder) over (partition by customer_id order by as_of_date) as previous_ladder
    from official_tiers

),

-- Ranks of two ladders cannot be compared: who comes from another ladder enters this one.
final as (

    select
        compared.customer_id,
        compared.as_of_date,
        compared.rfm_tier,
        compared.ladder,
        compared.reason,
        case when compared.previous_ladder = compared.ladder then compared.previous_rfm_tier end as previous_rfm_tier,
        case
            when compared.previous_rfm_tier is null or compared.previous_ladder <> compared.ladder then 'entered'
            when compared.previous_rfm_tier = compared.rfm_tier then 'stayed'
            when labels.rank < previous_labels.rank then 'up'
            else 'down'
        end as direction
    from compared
    left join labels
        on compared.ladder = labels.ladder and compared.rfm_tier = labels.tier
    left join labels as previous_labels
        on
            compared.previous_ladder = previous_labels.ladder
            and compared.previous_rfm_tier = previous_labels.tier

)

select * from final
