with

dues as (

    select *
    from {{ ref('replenishment_dues') }}
    where replenishment_status <> 'lapsed'

),

uses as (select * from {{ ref('int_product_uses') }}),

products as (select * from {{ ref('dim_products') }}),

-- Near on the day the messages go: thought of already, and still to come.
festivals as (

    select *
    from {{ ref('festivals') }}
    where
        {{ add_days('starts_on', '-lead_days') }} <= {{ as_of() }}
        and starts_on > {{ as_of_plus(1) }}

),

use_categories as (

    select distinct
        uses.use_group,
        products.category_name
    from uses
    inner join products on uses.sku = products.sku

),

festivals_placed as (

    select
        use_categories.use_group,
        festivals.name_zh,
        festivals.name_en,
        row_number() over (
            partition by use_categories.use_group
            order by festivals.starts_on, festivals.festival_id, use_categories.category_name
        ) as festival_place
    from use_categories
    inner join festivals
        on
            coalesce(festivals.category_names, '') = ''
            or {{ is_in_list('lower(use_categories.category_name)', 'lower(festivals.category_names)') }}

),

halved as (

    select
        *,
        {{ half_of_days('last_bought_on', 'expected_depletion_date') }} as half_days
    from dues

),

-- Never before half of it is used up, however short it lasts.
due_days as (

    select
        *,
        greatest(
            {{ add_days('expected_depletion_date', '-' ~ journey_window('repurchase_cadence', 'lead_days')) }},
            {{ add_days('last_bought_on', 'greatest(half_days, 1)') }}
        ) as due_date
    from halved

),

candidates as (

    select
        *,
        concat(use_group, ' ', cast(last_bought_on as varchar)) as occurrence,
        {{ local_midnight_at('due_date') }} as triggered_at
    from due_days
    where due_date <= {{ as_of() }} and {{ is_still_kept('due_date', 'repurchase_cadence') }}

),

conversions as (

    {{ orders_since('candidates') }}

),

final as (

    select
        candidates.customer_id,
        candidates.occurrence,
        candidates.triggered_at,
        'marketing' as purpose,
        conversions.converted_at,
        candidates.use_group,
        candidates.last_bought_on,
        candidates.expected_depletion_date,
        candidates.life_basis,
        candidates.use_group_name_zh as supply_zh,
        candidates.use_group_name_en as supply_en,
        festivals_placed.name_zh as festival_zh,
        festivals_placed.name_en as festival_en
    from candidates
    left join conversions
        on
            candidates.customer_id = conversions.customer_id
            and candidates.occurrence = conversions.occurrence
    left join festivals_placed
        on
            candidates.use_group = festivals_placed.use_group
            and festivals_placed.festival_place = 1

)

select * from final
