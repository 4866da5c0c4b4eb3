-- Customers who bought A and never B: exposures that nothing followed.
-- One row per pair of categories, window and period.
with

category_days as (select * from {{ ref('int_sequence_days') }}),

windows as (

    {{ sequence_windows() }}

),

placed as (

    select
        category_days.customer_id,
        category_days.category_name as first_category,
        windows.within_days,
        {{ sequence_period('category_days.business_date', 'windows.within_days') }} as period
    from category_days
    cross join windows

),

exposed as (

    select
        customer_id,
        first_category,
        within_days,
        period,
        count(*) as exposure_count
    from placed
    where period is not null
    group by customer_id, first_category, within_days, period

),

everybody as (

    select
        first_category,
        within_days,
        period,
        count(*) as customer_count,
        sum(exposure_count) as exposure_count
    from exposed
    group by first_category, within_days, period

),

bought_categories as (

    select distinct
        customer_id,
        category_name
    from category_days

),

-- Those who did buy B at some time, to be taken off: a list of what people did not buy would be far longer.
bought_too as (

    select
        exposed.first_category,
        bought_categories.category_name as then_category,
        exposed.within_days,
        exposed.period,
        count(*) as customer_count,
        sum(exposed.exposure_count) as exposure_count
    from exposed
    inner join bought_categories on exposed.customer_id = bought_categories.customer_id
    group by exposed.first_category, bought_categories.category_name, exposed.within_days, exposed.period

),

categories as (select distinct category_name from bought_categories),

final as (

    select
        everybody.first_category,
        categories.category_name as then_category,
        everybody.within_days,
        everybody.period,
        cast(everybody.customer_count - coalesce(bought_too.customer_count, 0) as bigint) as customer_count,
        cast(everybody.exposure_count - coalesce(bought_too.exposure_count, 0) as bigint) as exposure_count
    from everybody
    inner join categories on everybody.first_category <> categories.category_name
    left join bought_too
        on
            everybody.first_category = bought_too.first_category
            and categories.category_name = bought_too.then_category
            and everybody.within_days = bought_too.within_days
            and everybody.period = bought_too.period
    where everybody.customer_count > coalesce(bought_too.customer_count, 0)

)

select * from final
