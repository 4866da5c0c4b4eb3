{{ config(materialized='view') }}

-- What customers did on a day that a buyer does before buying. One row per account and day with any of it; only
-- the days some stage is told from.
{%- set first_day -%}
    (select min(lifecycle_days.snapshot_date) from {{ ref('int_lifecycle_days') }} as lifecycle_days)
{%- endset %}

with

event_days as (

    select
        channel,
        source_customer_id,
        business_date,
        cart_added_count + favourite_added_count + checkout_started_count as interest_count,
        product_view_count
    from {{ ref('fct_events_daily') }}
    where source_customer_id is not null

),

question_days as (

    select
        channel,
        source_customer_id,
        business_date,
        question_count as interest_count,
        0 as product_view_count
    from {{ ref('fct_community_days') }}
    where source_customer_id is not null and question_count > 0

),

visit_days as (

    select
        channel,
        source_customer_id,
        business_date,
        1 as interest_count,
        0 as product_view_count
    from {{ ref('stg_store_visits') }}
    where source_customer_id is not null

),

account_days as (

    select * from event_days
    union all
    select * from question_days
    union all
    select * from visit_days

),

final as (

    select
        source_customers.customer_id,
        account_days.business_date,
        account_days.interest_count,
        account_days.product_view_count
    from account_days
    inner join {{ ref('source_customers') }} as source_customers
        on
            account_days.channel = source_customers.channel
            and account_days.source_customer_id = source_customers.source_customer_id
    where
        (account_days.interest_count > 0 or account_days.product_view_count > 0)
        and account_days.business_date > {{ add_days(first_day, -var('interest_window_days')) }}

)

select * from final
