-- On which days a customer bought of a category. One row per customer, day and category.
with

product_days as (

    select *
    from {{ ref('int_customer_product_days') }}
    where
        category_name is not null
        and business_date <= {{ sequences_until() }}
        and business_date > {{ add_days(sequences_until(), -(var('sequence_history_days') | int)) }}

),

customer_days as (

    select distinct
        customer_id,
        business_date,
        category_name
    from product_days

),

-- Pairs grow with the square of the categories: the ones bought most are kept.
categories as (

    select
        category_name,
        row_number() over (order by count(*) desc, category_name) as category_place
    from customer_days
    group by category_name

),

final as (

    select
        customer_days.customer_id,
        customer_days.business_date,
        customer_days.category_name
    from customer_days
    inner join categories on customer_days.category_name = categories.category_name
    where categories.category_place <= {{ var('sequence_category_limit') }}

)

select * from final
