{{ config(materialized='view') }}

with

official_tiers as (select * from {{ source('history', 'official_rfm_tiers') }}),

ranked as (

    select
        customer_id,
        as_of_date,
        rfm_tier,
        row_number() over (partition by customer_id order by as_of_date desc) as recency_place
    from official_tiers
    where as_of_date <= {{ as_of() }}

),

latest as (

    select
        customer_id,
        as_of_date,
        rfm_tier
    from ranked
    where recency_place = 1

)

select * from latest
