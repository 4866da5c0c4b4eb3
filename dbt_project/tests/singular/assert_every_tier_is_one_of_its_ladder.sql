-- The tiers of a ladder are those its labels name: whoever shows a tier finds its name and its rank.
with

labels as (select * from {{ ref('rfm_tier_labels') }}),

given as (

    select
        ladder,
        tier as rfm_tier
    from {{ ref('rfm_ladders') }}

    union distinct

    select
        ladder,
        rfm_tier
    from {{ ref('rfm_tiers') }}

),

without_label as (

    select given.*
    from given
    left join labels on given.ladder = labels.ladder and given.rfm_tier = labels.tier
    where labels.tier is null

)

select * from without_label
