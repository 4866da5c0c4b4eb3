with

gaps as (

    select *
    from {{ ref('int_repurchase_gaps') }}
    where scope = 'use'

),

lives as (

    select *
    from {{ ref('int_repurchase_lives') }}
    where scope = 'use'

),

uses as (select * from {{ ref('int_product_uses') }}),

rules as (

    select *
    from {{ ref('replenishment_lives') }}
    where kind = 'consumable'

),

-- Of several rows of one group the first speaks for it.
named_ranked as (

    select
        *,
        row_number() over (partition by use_group order by priority) as place
    from rules

),

declared as (

    select
        use_group,
        {{ nearest_whole(quantile_of('declared_life_days', 0.5)) }} as declared_days
    from uses
    where declared_life_days is not null
    group by use_group

),

groups as (

    select distinct use_group
    from uses

),

-- Without a word about it two pieces last twice as long: that is what a life of a product means.
told as (

    select
        groups.use_group,
        coalesce(named_ranked.name_zh, groups.use_group) as name_zh,
        coalesce(named_ranked.name_en, groups.use_group) as name_en,
        coalesce(lives.is_per_unit, named_ranked.is_per_unit, true) as is_per_unit,
        lives.life_days as measured_days,
        declared.declared_days,
        named_ranked.life_days as rule_days
    from groups
    left join lives on groups.use_group = lives.series
    left join declared on groups.use_group = declared.use_group
    left join named_ranked on groups.use_group = named_ranked.use_group and named_ranked.place = 1

),

own_gaps as (

    select
        gaps.customer_id,
        gaps.series,
        coalesce(told.measured_days, told.declared_days, told.rule_days) as usual_days,
        case when told.is_per_unit then gaps.gap_days / gaps.quantity else gaps.gap_days end as lasted_days
    from gaps
    inner join told on gaps.series = told.use_group
    where gaps.is_closed and gaps.quantity > 0

),

-- A gap far shorter or longer than others see was a gift or a pause, and says nothing about use.
own as (

    select
        customer_id,
        series,
        count(*) as gap_count,
        {{ quantile_of('lasted_days', 0.5) }} as own_days
    from own_gaps
    where
        100 * lasted_days >= {{ var('own_life_pct')[0] }} * usual_days
        and 100 * lasted_days <= {{ var('own_life_pct')[1] }} * usual_days
    group by customer_id, series

),

latest as (

    select
        gaps.customer_id,
        told.*,
        gaps.business_date,
        gaps.has_consumable,
        gaps.quantity,
        case
            when own.gap_count >= {{ var('rhythm_min_purchase_days') - 1 }}
                then greatest({{ nearest_whole('own.own_days') }}, 1)
        end as own_days
    from gaps
    inner join told on gaps.series = told.use_group
    left join own on gaps.customer_id = own.customer_id and gaps.series = own.series
    where gaps.recency_place = 1

),

lasting as (

    select
        *,
        coalesce(own_days, measured_days, declared_days, rule_days) as life_days,
        case
            when own_days is not null then 'own'
            when measured_days is not null then 'measured'
            when declared_days is not null then 'declared'
            else 'rule'
        end as life_basis
    from latest

),

dated as (

    select
        *,
        {{ add_days(
            'business_date',
            'least(greatest(life_days * (case when is_per_unit then quantity else 1 end), 1), '
            ~ var('replenish_longest_days') ~ ')'
        ) }} as expected_depletion_date
    from lasting

),

counted as (

    select
        *,
        {{ days_between(as_of(), 'expected_depletion_date') }} as days_left
    from dated

),

-- Who has gone without for one more life has stopped using it or buys it elsewhere.
judged as (

    select
        *,
        case
            when days_left > {{ var('replenish_lead_days') }} then 'in_use'
            when days_left >= -life_days then 'due'
            else 'lapsed'
        end as replenishment_status
    from counted

),

final as (

    select
        customer_id,
        use_group,
        name_zh as use_group_name_zh,
        name_en as use_group_name_en,
        business_date as last_bought_on,
        not has_consumable as is_with_durable,
        cast(quantity as decimal(18, 3)) as quantity_bought,
        life_days,
        life_basis,
        is_per_unit as is_life_per_unit,
        expected_depletion_date,
        days_left,
        replenishment_status,
        replenishment_status = 'due' as is_due
    from judged

)

select * from final
