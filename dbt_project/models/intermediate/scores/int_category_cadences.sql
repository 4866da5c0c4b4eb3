-- After how many days a customer of a category is expected again, and within which. One row per category, and one (*)
-- for every other.
with

lives as (

    select *
    from {{ ref('int_repurchase_lives') }}
    where scope = 'category'

),

rules as (select * from {{ ref('category_cadences') }}),

every_other as (

    select cadence_days
    from rules
    where category_name = '*'

),

categories as (

    select distinct category_name
    from {{ ref('dim_products') }}
    where category_name is not null
    union distinct
    select '*' as category_name

),

told as (

    select
        categories.category_name,
        coalesce(rules.cadence_days, every_other.cadence_days) as rule_days,
        coalesce(lives.closed_count >= {{ var('cadence_min_gaps') }}, false) as has_enough_gaps,
        -- What is used up is bought again then; anything else when half of those who do come back are back.
        coalesce(lives.life_days, lives.median_days) as measured_days,
        lives.from_days,
        lives.until_days
    from categories
    cross join every_other
    left join lives on categories.category_name = lives.series
    left join rules on lower(categories.category_name) = lower(rules.category_name)

),

final as (

    select
        category_name,
        case when has_enough_gaps then 'category' else 'rule' end as cadence_basis,
        case when has_enough_gaps then greatest(measured_days, 1) else rule_days end as cadence_days,
        case when has_enough_gaps then from_days end as from_days,
        case when has_enough_gaps then until_days end as until_days
    from told

)

select * from final
