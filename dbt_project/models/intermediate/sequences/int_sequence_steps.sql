{{ config(materialized='view') }}

-- For every purchase day and every category the customer ever bought: when it was bought last and next, in one pass
-- over the customer's days. Days on which it was bought itself are left out. One row per customer, day and category.
with

category_days as (select * from {{ ref('int_sequence_days') }}),

purchase_days as (

    select distinct
        customer_id,
        business_date
    from category_days

),

bought_categories as (

    select distinct
        customer_id,
        category_name
    from category_days

),

spread as (

    select
        purchase_days.customer_id,
        purchase_days.business_date,
        bought_categories.category_name,
        category_days.business_date as bought_date
    from purchase_days
    inner join bought_categories on purchase_days.customer_id = bought_categories.customer_id
    left join category_days
        on
            purchase_days.customer_id = category_days.customer_id
            and purchase_days.business_date = category_days.business_date
            and bought_categories.category_name = category_days.category_name

),

neighbours as (

    select
        *,
        max(bought_date) over (
            partition by customer_id, category_name
            order by business_date
            rows between unbounded preceding and 1 preceding
        ) as previous_date,
        min(bought_date) over (
            partition by customer_id, category_name
            order by business_date
            rows between 1 following and unbounded following
        ) as next_date
    from spread

),

final as (

    select
        customer_id,
        business_date,
        category_name as then_category,
        previous_date,
        next_date
    from neighbours
    where bought_date is null

)

select * from final
